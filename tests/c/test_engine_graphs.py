"""The generated C on graphs made to break it: odd shapes, odd wiring, padding, several sections and inputs."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native_engine import Engine, expected_stream
from random_tflite import random_inputs
from tflite_writer import Node, Writer

from ecg_edge.codegen.bare import bare_files
from ecg_edge.codegen.target import Target
from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.plan import make_plan
from ecg_edge.graph.tflite import read_graph

Build = Callable[..., Engine]
WINDOWS = 12


def signal(net: Writer, length: int, channels: int) -> Node:
    return net.input((1, 1, length, channels), scale=0.05, zero=-3)


def end(net: Writer, x: Node) -> Node:
    """Mean and dense."""
    return net.dense(net.mean(x), 4)


def gate(net: Writer, x: Node, *, by: Node | None = None) -> Node:
    """A squeeze-excite of x, by x or another tensor of as many channels."""
    channels = x.shape[3]
    squeezed = net.dense(net.mean(by or x), channels, activation="RELU")
    excited = net.unary("LOGISTIC", net.dense(squeezed, channels))
    return net.binary("MUL", x, net.reshape(excited, (1, 1, 1, channels)))


def branches_of_one_rate(net: Writer) -> Node:
    x = net.conv(signal(net, 40, 2), 5, 1)
    return end(net, net.concat([net.pool(x, "MAX", 4, stride=2), net.pool(x, "AVERAGE", 4, stride=2)]))


def branches_of_two_rates(net: Writer) -> Node:
    """Both give 8 columns of 16, one of them every second column."""
    x = signal(net, 16, 3)
    return end(net, net.concat([net.pool(x, "MAX", 2, stride=2), net.pool(x, "MAX", 9)]))


def branches_of_two_rates_added(net: Writer) -> Node:
    x = signal(net, 32, 3)
    slow, fast = net.conv(x, 5, 2, stride=2), net.conv(x, 5, 17)
    return end(net, net.binary("ADD", fast, slow))


def stride_beyond_span_padded(net: Writer) -> Node:
    x = net.conv(signal(net, 37, 1), 3, 2, stride=5, same=True, zero=4)
    return end(net, net.conv(x, 17, 1, stride=3, zero=5))


def pads_beyond_the_taps(net: Writer) -> Node:
    x = net.pad(net.pad(signal(net, 30, 3), 2, 1), 5, 7)
    return end(net, net.conv(net.conv(x, 5, 3, stride=4, same=True, zero=9), 1, 2, dilation=2, same=True))


def pad_before_two_readers(net: Writer) -> Node:
    p = net.pad(net.conv(signal(net, 30, 2), 6, 1, zero=11), 3, 2)
    return end(net, net.binary("ADD", net.pool(p, "MAX", 3, same=True), net.depthwise(p, 5, same=True)))


def pad_before_a_mean(net: Writer) -> Node:
    return end(net, net.pad(net.conv(signal(net, 30, 2), 5, 3, zero=11), 4, 5))


def pad_before_a_flat_dense(net: Writer) -> Node:
    return net.dense(net.pad(net.conv(signal(net, 12, 2), 3, 3, zero=11), 4, 5), 4)


def pad_before_a_mean_and_a_layer(net: Writer) -> Node:
    p = net.pad(net.conv(signal(net, 30, 2), 5, 3, zero=11), 4, 5)
    return net.dense(net.concat([net.mean(p, scale=0.1), net.mean(net.conv(p, 5, 3), scale=0.1)]), 3)


def pad_whose_input_is_averaged_too(net: Writer) -> Node:
    x = net.conv(signal(net, 30, 2), 5, 3, zero=11)
    return net.dense(net.concat([net.mean(x, scale=0.1), net.mean(net.pad(x, 2, 3), scale=0.1)]), 3)


def pad_gated(net: Writer) -> Node:
    return end(net, gate(net, net.pad(net.conv(signal(net, 30, 2), 5, 3, zero=11), 4, 5)))


def pad_read_in_two_sections(net: Writer) -> Node:
    p = net.pad(net.conv(signal(net, 30, 2), 5, 3, zero=11), 4, 5)
    g = gate(net, net.pool(p, "MAX", 2, same=True))
    return end(net, net.binary("ADD", g, p))


def pad_of_the_input_gated(net: Writer) -> Node:
    return end(net, gate(net, net.pad(signal(net, 30, 2), 4, 5)))


def pad_twice_gated(net: Writer) -> Node:
    return end(net, gate(net, net.pad(net.pad(signal(net, 30, 2), 4, 5), 1, 0)))


def residual_around_a_stride(net: Writer) -> Node:
    x = net.conv(signal(net, 48, 1), 5, 7, stride=2, same=True, activation="RELU", zero=-128)
    y = net.conv(net.conv(x, 7, 5, same=True, activation="RELU", zero=-100), 9, 3, stride=2, same=True)
    return end(net, net.binary("ADD", y, net.conv(x, 9, 1, stride=2), activation="RELU", zero=-128))


def tensor_beside_itself(net: Writer) -> Node:
    x = net.conv(signal(net, 40, 2), 5, 3)
    return end(net, net.conv(net.concat([x, x]), 3, 3))


def tensor_plus_itself(net: Writer) -> Node:
    x = net.conv(signal(net, 40, 2), 5, 3)
    return end(net, net.conv(net.binary("ADD", x, x), 3, 3))


def input_plus_itself(net: Writer) -> Node:
    x = signal(net, 40, 3)
    return end(net, net.binary("MUL", x, x))


def nested_gates(net: Writer) -> Node:
    x = signal(net, 40, 5)
    y = gate(net, net.conv(x, 5, 3, same=True, zero=7))
    return end(net, net.binary("ADD", gate(net, net.conv(y, 5, 5, same=True)), x))


def gate_of_the_input(net: Writer) -> Node:
    x = signal(net, 40, 3)
    return end(net, gate(net, x, by=net.conv(x, 3, 4)))


def mean_of_the_input(net: Writer) -> Node:
    return end(net, signal(net, 400, 3))


def side_read_late(net: Writer) -> Node:
    x, side = signal(net, 40, 3), net.input((1, 1, 40, 3), scale=0.03, zero=5)
    return end(net, net.binary("ADD", gate(net, net.conv(x, 3, 3, same=True)), side))


def side_of_another_length(net: Writer) -> Node:
    x, side = signal(net, 40, 3), net.input((1, 1, 55, 2), scale=0.03, zero=5)
    vector = net.input((1, 7), scale=0.1, zero=1)
    parts = [net.mean(net.conv(x, 3, 3), scale=0.1), net.mean(net.conv(side, 4, 5, stride=2), scale=0.1)]
    return net.dense(net.concat([*parts, net.dense(vector, 3, scale=0.1)]), 5)


def side_padded(net: Writer) -> Node:
    x, side = signal(net, 40, 3), net.input((1, 1, 33, 3), scale=0.03, zero=5)
    return end(net, net.binary("SUB", gate(net, x), net.pad(side, 3, 4)))


def side_averaged_and_padded(net: Writer) -> Node:
    x, side = signal(net, 40, 3), net.input((1, 1, 33, 3), scale=0.03, zero=5)
    parts = [net.mean(x, scale=0.1), net.mean(side, scale=0.1), net.mean(net.pad(side, 3, 4), scale=0.1)]
    return net.dense(net.concat(parts), 5)


def gate_by_a_side_vector(net: Writer) -> Node:
    x, side = signal(net, 40, 3), net.input((1, 1, 1, 3), scale=0.03, zero=5)
    return end(net, net.binary("MUL", net.conv(x, 3, 2), side))


def folded_in_the_middle(net: Writer) -> Node:
    x = net.conv(signal(net, 42, 2), 3, 3, same=True)
    return end(net, net.conv(net.reshape(x, (1, 1, 21, 6)), 5, 3, stride=2))


def folded_first(net: Writer) -> Node:
    return end(net, net.conv(net.reshape(signal(net, 42, 2), (1, 1, 21, 4)), 5, 3, same=True, stride=2))


def folded_then_averaged(net: Writer) -> Node:
    return end(net, net.reshape(signal(net, 42, 2), (1, 1, 21, 4)))


def folded_padded(net: Writer) -> Node:
    x = net.pad(net.conv(signal(net, 40, 2), 3, 1, zero=4), 1, 1)
    return end(net, net.conv(net.pad(net.reshape(x, (1, 1, 21, 6)), 2, 0), 5, 3, stride=2))


def dense_then_columns(net: Writer) -> Node:
    x = net.dense(net.conv(signal(net, 16, 2), 3, 3), 24, activation="RELU", zero=-128)
    return end(net, net.conv(net.reshape(x, (1, 1, 8, 3)), 5, 3, same=True))


def dense_then_columns_averaged(net: Writer) -> Node:
    x = net.dense(net.conv(signal(net, 16, 2), 3, 3), 24, activation="RELU", zero=-128)
    return end(net, net.reshape(x, (1, 1, 8, 3)))


def dense_then_columns_beside_others(net: Writer) -> Node:
    x = net.conv(signal(net, 16, 2), 3, 3, same=True)
    back = net.reshape(net.dense(x, 48, scale=x.scale, zero=x.zero), (1, 1, 16, 3))
    return end(net, net.concat([x, back]))


def softmax_over_columns(net: Writer) -> Node:
    return end(net, net.conv(net.unary("SOFTMAX", net.conv(signal(net, 40, 2), 5, 3, scale=0.1)), 3, 2))


def tables_on_vectors(net: Writer) -> Node:
    x = net.mean(net.unary("TANH", net.conv(signal(net, 40, 2), 5, 3)))
    x = net.unary("TANH", net.unary("QUANTIZE", net.dense(x, 6), scale=0.02, zero=3))
    return net.binary("ADD", net.dense(x, 5), net.constant(np.arange(-2, 3, dtype=np.int8)[None], scales=[0.05]))


def constants_on_either_side(net: Writer) -> Node:
    x = net.conv(signal(net, 20, 2), 3, 3)
    row = net.constant(np.array([[[[5, -128, 127]]]], np.int8), scales=[0.04], zero=7)
    every = net.constant(net.random.integers(-128, 128, (1, 1, 18, 3), dtype=np.int8), scales=[0.02], zero=-9)
    return end(net, net.binary("SUB", every, net.binary("MUL", net.binary("SUB", row, x), every)))


def one_column_for_the_rest(net: Writer) -> Node:
    x = net.conv(signal(net, 40, 3), 5, 5, stride=2)
    return net.dense(net.pool(x, "MAX", 18, activation="RELU6"), 3)


def one_column_output(net: Writer) -> Node:
    """A convolution over all that is there gives the classes: (1, classes)."""
    return net.conv(net.conv(signal(net, 20, 1), 5, 5, stride=2), 3, 8)


def one_column_then_layers(net: Writer) -> Node:
    x = net.pool(net.conv(signal(net, 24, 3), 5, 5, stride=2), "AVERAGE", 7, same=False)
    x = net.conv(x, 6, 1) if x.shape[2] == 1 else net.conv(net.conv(x, 3, 4), 6, 1)
    return net.dense(x, 3)


def average_over_the_edges(net: Writer) -> Node:
    x = net.pool(signal(net, 41, 3), "AVERAGE", 7, stride=3, same=True)
    return end(net, net.pool(x, "AVERAGE", 14, same=True, activation="RELU6"))


def averages_of_padding(net: Writer) -> Node:
    return end(net, net.pool(net.pad(signal(net, 41, 3), 9, 9), "AVERAGE", 7, stride=3, same=True))


def maximum_of_padding(net: Writer) -> Node:
    return end(net, net.pool(net.pad(signal(net, 41, 3), 9, 9), "MAX", 4, stride=6, same=True))


def odd_depths(net: Writer) -> Node:
    x = net.conv(signal(net, 60, 1), 3, 3)
    x = net.conv(x, 1, 3, dilation=3, same=True, zero=3)
    x = net.conv(net.depthwise(net.conv(x, 17, 5, stride=2), 3, zero=8), 33, 1)
    return end(net, net.conv(net.conv(x, 5, 3, dilation=2), 33, 3, dilation=1, same=True))


def halves_of_sixteen(net: Writer) -> Node:
    """Outputs of which eight are left, in each way that a host finishes them."""
    x = net.conv(net.conv(signal(net, 90, 3), 8, 3, activation="RELU", zero=-128), 24, 3, same=True, stride=2, zero=6)
    return end(net, net.conv(net.conv(x, 40, 1, activation="RELU6"), 8, 5))


def branches_of_several_delays(net: Writer) -> Node:
    """10 columns each, one of them two columns later."""
    x = signal(net, 41, 3)
    return end(net, net.binary("ADD", net.conv(x, 5, 5, stride=4), net.conv(net.conv(x, 5, 2), 5, 1, stride=4)))


def depthwise_of_all_widths(net: Writer) -> Node:
    x = net.depthwise(signal(net, 60, 3), 5, multiplier=3, stride=2, same=True)
    x = net.depthwise(net.conv(x, 33, 1), 3, dilation=4, same=True, zero=5)
    return end(net, net.depthwise(net.conv(net.depthwise(x, 2), 20, 2), 4, stride=3))


def means_in_many_places(net: Writer) -> Node:
    x = signal(net, 64, 4)
    y = net.conv(x, 4, 4, stride=4)
    z = net.conv(y, 4, 3)
    return net.dense(net.concat([net.mean(t, scale=0.1) for t in (x, y, z)]), 5)


def wide_and_narrow_readers(net: Writer) -> Node:
    x = net.conv(signal(net, 50, 3), 5, 1)
    y = [net.conv(x, 5, 1, scale=0.1), net.depthwise(x, 1, scale=0.1), net.pool(x, "MAX", 1)]
    z = net.binary("ADD", net.binary("ADD", y[0], y[1]), y[2])
    return end(net, net.binary("MUL", z, net.conv(x, 5, 1)))


def joins_that_wait(net: Writer) -> Node:
    x = net.conv(signal(net, 60, 2), 3, 3, same=True)
    a = net.conv(net.conv(x, 3, 9, same=True), 3, 9, same=True)
    b = net.conv(x, 3, 3, dilation=4, same=True)
    c = net.binary("ADD", net.binary("ADD", a, b), x)
    return end(net, net.binary("SUB", net.pool(c, "AVERAGE", 11, same=True), a))


GRAPHS: tuple[Callable[[Writer], Node], ...] = tuple(
    made
    for made in list(globals().values())
    if getattr(made, "__module__", "") == __name__ and list(inspect.signature(made).parameters) == ["net"]
)
# Where windows overlap, one core tries the shortest hop, the other the longest.
TARGETS = {"portable": (Target("portable", "size"), 0), "host": (Target("host", "speed"), -1)}


def graph_of(make: Callable[[Writer], Node]) -> Graph:
    net = Writer(seed=3)
    return read_graph(net.finish(make(net)), name=make.__name__)


def hops_of(graph: Graph, which: int) -> list[int]:
    """The window, and the first or the last hop that shares columns, if there is one."""
    length = graph.input.shape[0]
    return [length, *[hop for hop in range(1, length) if make_plan(graph, hop=hop).overlaps][which:][:1]]


@pytest.mark.parametrize("core", TARGETS)
@pytest.mark.parametrize("make", GRAPHS, ids=[make.__name__ for make in GRAPHS])
def test_a_graph_made_to_break_it_answers_as_the_interpreter(
    make: Callable[[Writer], Node], core: str, build_engine: Build
) -> None:
    graph = graph_of(make)
    target, which = TARGETS[core]
    given = random_inputs(graph, WINDOWS, seed=1)
    every = given if isinstance(given, tuple) else (given,)
    expected = run(graph, given).reshape(WINDOWS, -1)
    assert len(np.unique(expected, axis=0)) > 1
    for hop in hops_of(graph, which):
        engine = build_engine(graph, hop=hop, target=target)
        assert np.array_equal(engine.run(np.concatenate([x.reshape(WINDOWS, -1) for x in every], axis=1)), expected)
        if engine.streams:
            columns = every[0].reshape(-1, graph.input.shape[1])
            engine.reset()
            wanted = [(at, np.ravel(scores).tolist()) for at, scores in expected_stream(graph, columns, hop=hop)]
            assert engine.push(columns) == wanted, hop
        assert engine.fences_stand()


@pytest.mark.parametrize("core", TARGETS)
def test_the_scratch_that_a_header_promises_holds_the_state_of_many_narrow_layers(
    core: str, build_library: Callable[..., ctypes.CDLL], tmp_path: Path
) -> None:
    """A line's head is aligned to 8 bytes on this machine; columns between two heads are odd words."""
    net = Writer(seed=1)
    x = net.input((1, 1, 60, 1))
    for _ in range(9):
        x = net.conv(x, 1, 3)
    plan = make_plan(read_graph(net.finish(net.dense(net.mean(x), 4)), name="narrow"), hop=60)
    for name, text in bare_files(plan, name="narrow", fs_hz=250, target=TARGETS[core][0]).items():
        (tmp_path / name).write_text(text)
    promise = (
        '#include "ecg_model_narrow.h"\n#include "ecg_ops.h"\nconst size_t promised = ECG_MODEL_NARROW_SCRATCH_BYTES;\n'
    )
    (tmp_path / "promise.c").write_text(promise)
    library = build_library(*sorted(tmp_path.glob("*.c")), include=tmp_path)
    promised = ctypes.c_size_t.in_dll(library, "promised").value
    assert Engine(library, "narrow").model.scratch_bytes <= promised
