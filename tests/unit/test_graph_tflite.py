"""Reading .tflite files: what the IR says of them, and how damaged or foreign ones are refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tflite as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_edge.errors import GraphError, UnsupportedOpError
from ecg_edge.graph import ir
from ecg_edge.graph.check import check
from ecg_edge.graph.interpret import run
from ecg_edge.graph.tflite import read_graph, read_raw

MODELS = Path(__file__).parents[1] / "golden" / "models"
FILES = {path.stem: path.read_bytes() for path in sorted(MODELS.glob("*.tflite"))}


def graph(name: str) -> ir.Graph:
    return read_graph(FILES[name], name=name)


def graph_of(data: bytes) -> ir.Graph:
    return read_graph(data, name="changed")


def kinds(name: str) -> list[str]:
    return [type(op).__name__ for op in graph(name).ops]


def test_a_benchmark_model_reads_as_its_layers() -> None:
    g = graph("bench_a")
    assert kinds("bench_a") == ["Conv1D", "Conv1D", "Conv1D", "Mean", "Dense", "Softmax"]
    assert [op.output.shape for op in g.ops] == [(177, 16), (87, 24), (43, 32), (32,), (5,), (5,)]
    assert (g.input.shape, g.output.shape) == ((360, 1), (5,))
    assert g.sha256 == hashlib.sha256(FILES["bench_a"]).hexdigest()
    assert g.tflite_ops == ("RESHAPE", "CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX")
    assert g.output.quant == ir.Quant((1 / 256,), -128, None)


def test_same_padding_is_split_as_tensorflow_splits_it() -> None:
    convs = [op for op in graph("bench_b").ops if isinstance(op, ir.Conv1D | ir.DepthwiseConv1D)]
    pads = [(op.padding, op.pad_before, op.pad_after) for op in convs]
    assert pads[0] == ("SAME", 2, 3)  # 720 columns, 7 taps, every 2nd: 5 columns are missing
    assert pads[1] == ("SAME", 1, 2)
    assert pads[2] == ("VALID", 0, 0)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("conv1d", ["Conv1D", "Conv1D", "Mean", "Dense", "Softmax"]),
        ("rows", ["Conv1D", "DepthwiseConv1D", "Conv1D", "Mean", "Dense", "Softmax"]),
        ("columns", ["Conv1D", "MaxPool1D", "DepthwiseConv1D", "AveragePool1D", "Mean", "Dense", "Softmax"]),
        ("pools", ["Conv1D", "AveragePool1D", "MaxPool1D", "Conv1D", "MaxPool1D", "Dense", "Softmax"]),
        ("residual", ["Conv1D", "Conv1D", "Add", "Conv1D", "Add", "Mean", "Dense", "Logistic"]),
        ("flat", ["MaxPool1D", "Dense", "Dense", "Dense", "Softmax"]),
        ("loose", ["Relu", "Reshape", "Conv1D", "MaxPool1D", "Mean", "Relu", "Dense", "Softmax"]),
        ("separable", ["Conv1D", "Conv1D", "DepthwiseConv1D", "Conv1D", "Mean", "Dense", "Softmax"]),
        ("causal", ["Conv1D", "Conv1D", "Conv1D", "Mean", "Dense", "Softmax"]),
        (
            "excite",
            [
                *("Conv1D", "Mean", "Dense", "Dense", "Logistic", "Mul"),
                *("Conv1D", "Tanh", "Requantize", "Conv1D", "Concat"),
                *("Pad", "MaxPool1D", "Conv1D", "Sub", "Mean", "Dense", "Softmax"),
            ],
        ),
    ],
)
def test_every_way_keras_writes_an_op_becomes_the_same_few_ops(name: str, wanted: list[str]) -> None:
    assert kinds(name) == wanted
    check(graph(name), int8=True)


def test_a_pad_becomes_the_padding_of_its_convolution() -> None:
    first, second, third = (op for op in graph("causal").ops if isinstance(op, ir.Conv1D))
    assert (first.padding, first.pad_before, first.pad_after) == ("EXPLICIT", 3, 0)
    assert (second.padding, second.pad_before, second.pad_after) == ("EXPLICIT", 2, 2)  # 1 by hand, 1 of SAME
    assert (third.pad_before, third.pad_after, third.dilation) == (4, 0, 2)


def test_a_depthwise_convolution_of_one_channel_is_an_ordinary_one() -> None:
    op = graph("separable").ops[0]
    assert isinstance(op, ir.Conv1D)
    assert op.weights.shape == (4, 5, 1)
    assert op.weight_quant is not None
    assert (len(op.weight_quant.scale), op.weight_quant.axis) == (4, 0)


def test_weights_cannot_be_written_to() -> None:
    op = graph("conv1d").ops[0]
    assert isinstance(op, ir.Conv1D)
    for array in (op.weights, op.bias, op.multipliers, op.shifts):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_float_graph_has_float_weights_and_no_integer_parameters() -> None:
    g = graph("float")
    op = g.ops[0]
    assert isinstance(op, ir.Conv1D)
    assert g.input.dtype == op.weights.dtype == op.bias.dtype == "float32"
    assert (op.multipliers.size, op.shifts.size, op.input.quant, op.activation) == (0, 0, None, "RELU")
    check(g, int8=False)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("uint8", r"^uint8: tensor 'serving_default_.*' is UINT8; supported: int8, float32$"),
        ("float_ends", r"^float_ends: tensor 'serving_default_.*' is float32: convert with int8 input and output$"),
        ("dynamic_batch", r"^dynamic_batch: tensor 'serving_default_.*' has a dynamic shape; .*batch.* fixed$"),
        ("dynamic_range", r"^dynamic_range: op \d+ CONV_2D: tensor '.*' is INT8; supported here: FLOAT32$"),
    ],
)
def test_a_model_of_another_kind_is_refused_by_the_tensor(name: str, pattern: str) -> None:
    with pytest.raises(GraphError, match=pattern):
        graph(name)


def test_an_unknown_operator_is_named_with_its_place() -> None:
    place = [op.code for op in read_raw(FILES["conv1d"], name="x").ops].index("SOFTMAX")
    refused = []
    for at, byte in enumerate(FILES["conv1d"]):
        if byte == schema.BuiltinOperator.SOFTMAX:  # one of these bytes is the operator's code
            changed = bytearray(FILES["conv1d"])
            changed[at] = schema.BuiltinOperator.SPACE_TO_DEPTH
            try:
                graph_of(bytes(changed))
            except GraphError as error:
                refused.append(error)
    named = [error for error in refused if isinstance(error, UnsupportedOpError)]
    assert [(error.op, error.index) for error in named] == [("SPACE_TO_DEPTH", place)]
    assert str(named[0]).startswith(f"op {place} is SPACE_TO_DEPTH; supported: ADD, ")


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\x00" * 64, b"not a model at all, but long enough", b"\x1c\0\0\0TFL3" * 4]
)
def test_bytes_that_are_no_model_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(GraphError) as caught:
        read_graph(data, name="notes.txt")
    assert str(caught.value).startswith("notes.txt: ")
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused() -> None:
    data = FILES["conv1d"]
    for length in range(0, len(data), 7):
        with pytest.raises(GraphError):
            read_graph(data[:length], name="cut")


@settings(max_examples=80, deadline=1000)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(1, 4),
)
def test_changed_bytes_give_a_graph_error_or_a_graph_that_runs(
    name: str, changes: list[tuple[float, int]], width: int
) -> None:
    data = bytearray(FILES[name])
    for where, value in changes:
        at = int(where * len(data))
        data[at : at + width] = bytes([value]) * len(data[at : at + width])
    try:
        g = read_graph(bytes(data), name="damaged")
        check(g, int8=g.input.dtype == "int8")
    except GraphError:
        return
    with np.errstate(all="ignore"):  # a float graph may overflow: that is its own affair
        scores = run(g, np.zeros((1, *g.input.shape), g.input.dtype))
    assert scores.shape == (1, int(np.prod(g.output.shape)))
