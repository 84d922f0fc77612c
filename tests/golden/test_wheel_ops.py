"""Every op against the tflite-micro wheel, in files written for the purpose; the converter would write few of them."""

import os
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from random_tflite import random_tflite, tflite_files
from tflite_writer import Node, Writer
from wheel import equal_to_wheel

from ecg_edge.errors import GraphError
from ecg_edge.graph import ir
from ecg_edge.graph.check import check
from ecg_edge.graph.interpret import run
from ecg_edge.graph.tflite import read_graph
from ecg_edge.runtime.tflm import TflmBackend

pytest.importorskip("tflite_micro", reason="misses: every op against the tflite-micro wheel")

ENDS = (-128, 127, 5)
SEEDS = 3000 if os.environ.get("ECG_SOAK") == "1" else 150  # of random graphs
Layers = Callable[[Writer, Node], Node]


def model(layers: Layers, *, shape: tuple[int, ...] = (1, 1, 30, 3), scale: float = 0.05, zero: int = -4) -> bytes:
    """One signal through some layers; what still has a time axis at their end is averaged over it."""
    net = Writer(seed=7)
    x = layers(net, net.input(shape, scale=scale, zero=zero))
    return net.finish(x if len(x.shape) == 2 else net.mean(x))


def kinds(data: bytes) -> list[str]:
    return [type(op).__name__ for op in equal_to_wheel(data).ops]


def windows() -> list[Any]:
    """Taps, stride, dilation, padding and layout of sliding layers; each pair of values occurs somewhere."""
    found = []
    for i, (taps, stride, same) in enumerate(product((1, 2, 3, 5, 8), (1, 2, 3), (False, True))):
        dilation = (1, 2, 3)[i % 3] if taps > 1 else 1
        found.append(pytest.param(taps, stride, dilation, same, (1, 30, 1) if i % 4 == 0 else (1, 1, 30), id=f"{i}"))
    return found


@pytest.mark.parametrize(("taps", "stride", "dilation", "same", "shape"), windows())
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_convolution(
    taps: int, stride: int, dilation: int, same: bool, shape: tuple[int, ...], channels: int
) -> None:
    window: dict[str, Any] = {"stride": stride, "dilation": dilation, "same": same}
    data = model(lambda net, x: net.conv(x, 5 - channels % 2, taps, **window), shape=(*shape, channels))
    assert kinds(data) == ["Conv1D", "Mean"]


@pytest.mark.parametrize(("taps", "stride", "dilation", "same", "shape"), windows())
@pytest.mark.parametrize(("channels", "multiplier"), [(1, 1), (1, 4), (3, 1), (4, 2), (2, 3)])
def test_a_depthwise_convolution_of_any_multiplier(
    taps: int, stride: int, dilation: int, same: bool, shape: tuple[int, ...], channels: int, multiplier: int
) -> None:
    window: dict[str, Any] = {"stride": stride, "dilation": dilation, "same": same}
    data = model(lambda net, x: net.depthwise(x, taps, multiplier=multiplier, **window), shape=(*shape, channels))
    as_conv = channels == 1 and multiplier > 1
    assert kinds(data) == ["Conv1D" if as_conv else "DepthwiseConv1D", "Mean"]


@pytest.mark.parametrize(("taps", "stride", "dilation", "same", "shape"), windows())
@pytest.mark.parametrize("kind", ["MAX", "AVERAGE"])
def test_a_pool(taps: int, stride: int, dilation: int, same: bool, shape: tuple[int, ...], kind: str) -> None:
    activation = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")[taps % 4]
    window = {"stride": stride, "same": same, "activation": activation}
    data = model(lambda net, x: net.pool(x, kind, taps, **window), shape=(*shape, 3))
    assert kinds(data)[0] == {"MAX": "MaxPool1D", "AVERAGE": "AveragePool1D"}[kind]


@pytest.mark.parametrize(("zero_in", "zero_out"), list(product(ENDS, ENDS)))
@pytest.mark.parametrize("scale", [3e-6, 0.02, 1.9])
def test_zero_points_at_both_ends_and_scales_of_every_size(zero_in: int, zero_out: int, scale: float) -> None:
    def layers(net: Writer, x: Node) -> Node:
        x = net.conv(x, 4, 3, same=True, zero=zero_out, activation="RELU" if zero_out < 0 else "NONE")
        x = net.depthwise(x, 2, multiplier=2, zero=zero_in)
        x = net.binary("ADD", x, x, zero=zero_out)
        x = net.unary("QUANTIZE", x, scale=x.scale * 1.3, zero=zero_in)
        return net.dense(net.mean(x, zero=zero_out), 5, zero=zero_in)

    equal_to_wheel(model(layers, scale=scale, zero=zero_in))


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
@pytest.mark.parametrize("zero", ENDS)
def test_every_fused_activation(activation: str, zero: int) -> None:
    def layers(net: Writer, x: Node) -> Node:
        x = net.conv(x, 4, 3, same=True, activation=activation, zero=zero)
        x = net.binary("SUB", x, net.conv(x, 4, 1, activation=activation, zero=zero), activation=activation, zero=zero)
        x = net.binary("MUL", x, x, activation=activation, zero=zero)
        return net.dense(x, 6, activation=activation, zero=zero)

    equal_to_wheel(model(layers))


@pytest.mark.parametrize("code", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("ratio", [1.0, 2.5, 0.4, 700.0, 1e-6])
@pytest.mark.parametrize("zeros", [(-128, 127, 0), (127, -128, -128), (0, 3, 127)])
def test_every_pair_of_values_of_a_binary_op(code: str, ratio: float, zeros: tuple[int, int, int]) -> None:
    """256 x 256 pairs, of which the last axis holds one operand's values and time the other's."""
    net = Writer()
    values = np.arange(-128, 128, dtype=np.int8)
    first = net.input((1, 256, 1), scale=0.05, zero=zeros[0])
    ramp = net.constant(np.repeat(values[:, None], 256, axis=1), scales=[0.05], zero=zeros[0])
    other = net.constant(values, scales=[0.05 * ratio], zero=zeros[1])
    signal = net.binary("ADD", net.conv(net.reshape(first, (1, 1, 256, 1)), 256), ramp, scale=0.05, zero=zeros[0])
    for factor in (1.0, 0.4, 2.5):
        scale = factor * (0.05 * 0.05 * ratio * 50 if code == "MUL" else 0.05 * max(1.0, ratio))
        out = net.binary(code, signal, other, scale=scale, zero=zeros[2])
        signal = net.unary("QUANTIZE", out, scale=0.05, zero=zeros[0])
    equal_to_wheel(net.finish(net.mean(signal)), windows=2)


@pytest.mark.parametrize("code", ["RELU", "RELU6", "LOGISTIC", "TANH", "QUANTIZE", "SOFTMAX"])
@pytest.mark.parametrize("scale", [1e-6, 0.004, 0.05, 0.11, 0.9, 7.0, 60.0])
@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_every_value_of_a_function_of_one_value(code: str, scale: float, zero: int) -> None:
    net = Writer()
    x = net.input((1, 1, 256, 1), scale=scale, zero=zero)
    steps = net.constant(np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 256, 1), scales=[scale], zero=zero)
    ramp = net.binary("ADD", steps, x, scale=scale, zero=zero)
    out = net.unary(code, ramp, scale=scale * 0.37, zero=min(-zero, 127) if zero else 9)
    equal_to_wheel(net.finish(net.dense(out, 3)), windows=4)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("outputs", "keep"), [(1, False), (5, False), (8, True)])
def test_a_dense_layer_over_vectors_and_over_every_column(
    per_channel: bool, bias: bool, outputs: int, keep: bool
) -> None:
    def layers(net: Writer, x: Node) -> Node:
        return net.dense(x, outputs, keep=keep, per_channel=per_channel, bias=bias)

    assert kinds(model(layers, shape=(1, 14, 3)))[0] == ("Conv1D" if keep else "Dense")


@pytest.mark.parametrize("length", [1, 2, 7, 43, 128, 1000])
def test_a_mean_over_any_length(length: int) -> None:
    equal_to_wheel(model(lambda net, x: net.mean(x, scale=0.013, zero=-128), shape=(1, length, 3)))


@pytest.mark.parametrize("gate_shape", [(1, 4), (1, 1, 4), (1, 1, 1, 4)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("code", ["MUL", "ADD", "SUB"])
def test_a_vector_of_channels_meets_every_column_in_whatever_shape_it_comes(
    gate_shape: tuple[int, ...], first: bool, code: str
) -> None:
    def layers(net: Writer, x: Node) -> Node:
        x = net.conv(x, 4, 3)
        gate = net.unary("LOGISTIC", net.dense(net.mean(x), 4))
        gate = gate if len(gate_shape) == 2 else net.reshape(gate, gate_shape)
        return net.binary(code, *((gate, x) if first else (x, gate)))

    (op,) = (op for op in equal_to_wheel(model(layers)).ops if isinstance(op, ir.Mul | ir.Add | ir.Sub))
    assert {op.input.shape, op.other.shape} == {(4,), op.output.shape}


def test_a_squeeze_excite_of_one_tap_convolutions() -> None:
    def layers(net: Writer, x: Node) -> Node:
        x = net.conv(x, 6, 3, activation="RELU", zero=-128)
        gate = net.conv(net.mean(x, keep=True), 2, activation="RELU", zero=-128)
        return net.binary("MUL", x, net.unary("LOGISTIC", net.conv(gate, 6)))

    assert "Mul" in kinds(model(layers))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (1, 1, 1, 3), (30, 3), (1, 1, 30, 1), (1, 1, 30, 3)])
@pytest.mark.parametrize("code", ["ADD", "SUB", "MUL"])
def test_constants_of_every_shape_that_broadcasts(shape: tuple[int, ...], code: str) -> None:
    def layers(net: Writer, x: Node) -> Node:
        values = net.random.integers(-128, 128, shape).astype(np.int8)
        return net.binary(code, net.constant(values, scales=[0.03], zero=3), x)

    (op,) = (op for op in equal_to_wheel(model(layers)).ops if isinstance(op, ir.Mul | ir.Add | ir.Sub))
    assert isinstance(op.input, ir.Constant)
    assert op.input.shape == ((30, 3) if 30 in shape else (3,))


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("parts", [1, 2, 10])
def test_a_concatenation_of_channels_or_of_vectors(vectors: bool, parts: int) -> None:
    def layers(net: Writer, x: Node) -> Node:
        shared = net.mean(x) if vectors else x
        return net.concat([net.unary("QUANTIZE", shared, scale=0.07, zero=5) for _ in range(parts)])

    assert kinds(model(layers))[-2 if not vectors else -1] == "Concat"


def test_a_concatenation_of_tensors_of_two_quantizations_is_refused_as_tflm_refuses_it() -> None:
    data = model(lambda net, x: net.concat([x, net.unary("QUANTIZE", x, scale=0.07)]))
    with pytest.raises(GraphError, match=r"CONCATENATION: output 't2' has another quantization than its input 't1'"):
        read_graph(data, name="x")


@pytest.mark.parametrize("after", ["conv", "long", "twice", "pool", "add", "squeezed"])
def test_a_pad_becomes_a_convolutions_own_or_stays_an_op(after: str) -> None:
    def layers(net: Writer, x: Node) -> Node:
        padded = net.pad(x, 6 if after == "long" else 2, 1)
        if after == "pool":
            return net.pool(padded, "AVERAGE", 3)
        if after == "add":
            return net.binary("ADD", padded, padded)
        if after == "squeezed":
            three = net.reshape(padded, (1, 33, 3), code="SQUEEZE")
            padded = net.reshape(three, (1, 1, 33, 3), code="EXPAND_DIMS")
        out = net.conv(padded, 4, 5)
        return net.binary("ADD", out, net.conv(padded, 4, 5)) if after == "twice" else out

    found = kinds(model(layers))
    assert ("Pad" in found) == (after not in ("conv", "squeezed"))


@pytest.mark.parametrize("order", ["signal first", "two signals", "features"])
def test_several_inputs(order: str) -> None:
    net = Writer(seed=3)
    signal = net.input((1, 40, 2), scale=0.03, zero=4)
    other = net.input((1, 6) if order == "features" else (1, 1, 25, 3), scale=0.3, zero=-9)
    third = net.input((1, 2), scale=0.3, zero=-9)
    x = net.mean(net.conv(net.reshape(signal, (1, 1, 40, 2)), 5, 3))
    y = other if order == "features" else net.mean(net.depthwise(other, 3))
    if order == "two signals":
        x = net.binary("MUL", x, net.dense(y, 5))
    joined = net.concat([net.unary("QUANTIZE", part, scale=0.1, zero=1) for part in (x, y, third)])
    graph = equal_to_wheel(net.finish(net.unary("SOFTMAX", net.dense(joined, 4))))
    assert [tensor.shape for tensor in graph.inputs] == [(40, 2), (6,) if order == "features" else (25, 3), (2,)]


@pytest.mark.parametrize("shape", [(1, 1, 30), (1, 30, 1)])
def test_a_float_graph_of_every_op_agrees_within_rounding(shape: tuple[int, ...]) -> None:
    net = Writer(seed=5, real=True)
    signal, features = net.input((*shape, 3)), net.input((1, 4))
    x = net.conv(signal, 6, 5, same=True, dilation=2, activation="RELU6")
    x = net.depthwise(x, 3, multiplier=2, stride=2, activation="RELU_N1_TO_1")
    gate = net.unary("LOGISTIC", net.dense(net.mean(x, keep=True), 12, activation="RELU"))
    x = net.binary("MUL", net.reshape(gate, (1, 1, 1, 12)), x)
    x = net.concat([net.unary("TANH", x), net.unary("RELU", x)])
    x = net.pool(net.pad(x, 2, 1), "AVERAGE", 3, stride=2)
    x = net.pool(net.binary("SUB", x, net.conv(x, 24)), "MAX", 2)
    x = net.binary("ADD", net.constant(net.random.normal(size=24).astype(np.float32)), net.unary("RELU6", x))
    joined = net.concat([net.mean(x), net.mean(x, code="REDUCE_MAX"), features])
    data = net.finish(net.unary("SOFTMAX", net.dense(joined, 5)))
    graph = read_graph(data, name="x")
    check(graph, int8=False)
    random = np.random.default_rng(1)
    inputs = tuple(random.normal(size=(20, *tensor.shape)).astype(np.float32) for tensor in graph.inputs)
    scores = run(graph, inputs)
    # Another order of sums: a few units of float32's last place, over a dozen layers.
    assert scores == pytest.approx(TflmBackend(data).run(inputs), abs=2e-6)
    assert scores.std() > 0.05


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_graph(seed: int) -> None:
    equal_to_wheel(random_tflite(seed), seed=seed)


@pytest.mark.slow
@settings(max_examples=300)
@given(tflite_files())
def test_any_graph_that_hypothesis_draws(data: bytes) -> None:
    equal_to_wheel(data, windows=3)


def test_random_graphs_hold_every_op_and_say_something() -> None:
    found: set[type] = set()
    inputs: set[int] = set()
    for seed in range(150):
        graph = read_graph(random_tflite(seed), name="x")
        check(graph, int8=True, dense_per_channel=True)
        found |= {type(op) for op in graph.ops}
        inputs.add(len(graph.inputs))
    everything = {*ir.Line.__args__, *ir.Table.__args__, *ir.Binary.__args__, ir.Mean, ir.Dense, ir.Softmax, ir.Concat}
    assert found >= everything | {ir.Pad, ir.Reshape}
    assert inputs >= {1, 2, 3}
