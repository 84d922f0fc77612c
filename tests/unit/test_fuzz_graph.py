"""Files that mean harm: damaged at random by the hundred, and built to cost gigabytes or minutes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import SECONDS, feed
from tflite_writer import Node, Writer

from ecg_edge.errors import GraphError, UnsupportedOpError
from ecg_edge.graph.tflite import read_graph

HELPERS = Path(__file__).parents[1] / "helpers"
MUTANTS = 6000 if os.environ.get("ECG_SOAK") == "1" else 250  # in each of two processes
PEAK_MB = 700


@pytest.mark.parametrize("first", [0, 1_000_000])
def test_damaged_files_are_refused_or_run_within_limits_of_memory_and_time(first: int) -> None:
    command = [sys.executable, str(HELPERS / "hostile.py"), str(first), str(MUTANTS)]
    # Each BLAS thread takes address space, which is what is limited.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60 + MUTANTS * 0.1, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["refused"] + report["ran"] == MUTANTS
    assert min(report["refused"], report["ran"]) > MUTANTS // 20, "mutants of one kind only say little"
    assert report["slowest_s"] < SECONDS
    assert report["peak_mb"] < PEAK_MB


Change = Callable[[Writer], bytes]


def scores(net: Writer, x: Node) -> bytes:
    """What a legal graph ends in."""
    return net.finish(net.dense(net.mean(x), 2))


def giant_input(net: Writer) -> bytes:
    return scores(net, net.input((1, 1, 2**31 - 1, 1)))


def giants_that_multiply_past_64_bits(net: Writer) -> bytes:
    return scores(net, net.input((1, 2**31 - 1, 2**31 - 1, 3)))


def many_large_activations(net: Writer) -> bytes:
    x = net.input((1, 1, 1 << 20, 1))
    for _ in range(8):
        x = net.unary("QUANTIZE", x)
    return scores(net, x)


def a_padding_of_billions(net: Writer) -> bytes:
    x = net.input((1, 1, 8, 1))
    amounts = net.constant(np.array([[0, 0], [0, 0], [2**31 - 1, 2**31 - 1], [0, 0]], np.int32))
    return scores(net, net.op("PAD", [x, amounts], (1, 1, 6, 1), scale=0.05, zero=0))


def a_convolution_of_trillions(net: Writer) -> bytes:
    x = net.input((1, 1, 1 << 19, 1))
    return scores(net, net.conv(x, 1, 60_000, same=True))


def pools_over_everything(net: Writer) -> bytes:
    x = net.input((1, 1, 1 << 12, 1))
    for _ in range(900):
        x = net.pool(x, "MAX", 1 << 12, same=True)
    return scores(net, x)


def weights_shared_by_a_thousand_layers(net: Writer) -> bytes:
    x = net.input((1, 1, 1, 700), scale=0.05, zero=0)
    w = net.constant(np.ones((700, 1, 1, 700), np.int8), scales=[0.01])
    for _ in range(300):
        x = net.op("CONV_2D", [x, w], x.shape, scale=0.05, zero=0, Padding=1, StrideW=1, StrideH=1)
    return scores(net, x)


def a_constant_spread_over_a_giant(net: Writer) -> bytes:
    x = net.input((1, 1, 1, 1))
    one = net.constant(np.ones((1, 1), np.int8), scales=[0.1])
    return scores(net, net.op("ADD", [x, one], (1, 30_000, 1, 30_000), scale=0.1, zero=0, FusedActivationFunction=0))


def a_cycle(net: Writer) -> bytes:
    x = net.input((1, 1, 8, 1))
    first = net.binary("ADD", x, Node(x.index + 2, x.shape, 0.05, 0), scale=0.05)
    return scores(net, net.unary("RELU", first, scale=0.05))


def an_operator_that_reads_itself(net: Writer) -> bytes:
    x = net.input((1, 1, 8, 1))
    return scores(net, net.binary("ADD", x, Node(x.index + 1, x.shape, 0.05, 0), scale=0.05))


def a_million_scales_over_and_over(net: Writer) -> bytes:
    x = net.input((1, 1, 8, 1))
    for _ in range(40):
        net.constant(np.zeros((1,), np.int8), scales=[0.5] * 30_000)
    return scores(net, x)


CRAFTED: dict[Change, str] = {
    giant_input: "more than 4194304 values",
    giants_that_multiply_past_64_bits: "two spatial dimensions|more than 4194304 values",
    many_large_activations: "its activations hold 9437..* values; limit: 4194304",
    a_padding_of_billions: r"op 0 PAD: gives \[1, 1, 6, 1\] from \[1, 1, 8, 1\]",
    a_convolution_of_trillions: "a window costs about 31.* multiplications; limit",
    pools_over_everything: "a window costs about .* multiplications; limit",
    weights_shared_by_a_thousand_layers: "brings the constants past 16777216 bytes",
    a_constant_spread_over_a_giant: "two spatial dimensions|more than 4194304 values",
    a_cycle: "used before any op computes it",
    an_operator_that_reads_itself: "used before any op computes it",
    a_million_scales_over_and_over: "scales, zero points and indices, at most 1048576",
}


@pytest.mark.parametrize("craft", CRAFTED, ids=lambda craft: str(craft.__name__))
def test_a_file_built_to_cost_too_much_is_refused_by_name(craft: Change) -> None:
    with pytest.raises(GraphError, match=CRAFTED[craft]) as caught:
        read_graph(craft(Writer()), name="hostile")
    assert "\n" not in str(caught.value)


def test_a_long_kernel_over_a_long_signal_runs_in_blocks() -> None:
    net = Writer()
    x = net.input((1, 1, 1 << 15, 1))
    assert feed(scores(net, net.conv(x, 1, 1 << 12, bound=3))) is not None


@pytest.mark.parametrize("code", ["LSTM", "SPACE_TO_DEPTH", "HARD_SWISH", "DEQUANTIZE", "WHILE", "CALL_ONCE"])
def test_any_other_operator_is_named(code: str) -> None:
    net = Writer()
    x = net.input((1, 1, 8, 1))
    with pytest.raises(UnsupportedOpError, match=f"op 0 is {code}; supported: ADD, "):
        read_graph(scores(net, net.op(code, [x], x.shape, scale=0.05, zero=0)), name="x")


def shapes_that_do_not_broadcast() -> list[tuple[Any, ...]]:
    return [((1, 1, 8, 3), (1, 1, 8, 1)), ((1, 1, 8, 3), (1, 1, 8, 2)), ((1, 8, 1, 3), (1, 1, 8, 3))]


@pytest.mark.parametrize(("a", "b"), shapes_that_do_not_broadcast())
def test_operands_that_the_engine_cannot_spread_are_refused_with_their_shapes(
    a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    net = Writer()
    first, second = net.input(a), net.input(b)
    out = net.op("MUL", [first, second], a, scale=0.05, zero=0, FusedActivationFunction=0)
    with pytest.raises(GraphError, match=r"MUL: takes .* and .*; supported: equal shapes, or one value a channel"):
        read_graph(scores(net, out), name="x")


def test_a_concatenation_over_time_is_refused() -> None:
    net = Writer()
    x = net.input((1, 1, 8, 3))
    out = net.op("CONCATENATION", [x, x], (1, 1, 16, 3), scale=x.scale, zero=0, Axis=2)
    with pytest.raises(GraphError, match=r"joins along axis 2 .*; supported: the last one, channels"):
        read_graph(scores(net, out), name="x")
