"""What the lowering refuses: one field of a good model changed at a time, and the message that names it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_edge.errors import GraphError
from ecg_edge.graph import ir
from ecg_edge.graph.lower import lower
from ecg_edge.graph.raw import RawModel, RawOp, RawTensor
from ecg_edge.graph.tflite import read_raw

MODELS = Path(__file__).parents[1] / "golden" / "models"
Change = Callable[[RawModel], RawModel]


def raw(name: str) -> RawModel:
    return read_raw((MODELS / f"{name}.tflite").read_bytes(), name=name)


def index_of(model: RawModel, code: str) -> int:
    return next(i for i, op in enumerate(model.ops) if op.code == code)


def with_op(code: str, **fields: Any) -> Change:
    """The first operator of a code with fields changed; `options` are merged."""

    def change(model: RawModel) -> RawModel:
        at = index_of(model, code)
        op: RawOp = model.ops[at]
        options = {**op.options, **fields.get("options", {})}
        return replace(
            model, ops=(*model.ops[:at], replace(op, **{**fields, "options": options}), *model.ops[at + 1 :])
        )

    return change


def with_tensor(code: str, side: str, position: int, **fields: Any) -> Change:
    """A tensor of the first operator of a code, with fields changed."""

    def change(model: RawModel) -> RawModel:
        op = model.ops[index_of(model, code)]
        at = (op.inputs if side == "in" else op.outputs)[position]
        tensor: RawTensor = replace(model.tensors[at], **fields)
        return replace(model, tensors=(*model.tensors[:at], tensor, *model.tensors[at + 1 :]))

    return change


def numbers(*values: int) -> Any:
    return np.array(values, "<i4").view(np.uint8)


CASES: dict[str, tuple[str, Change, str]] = {
    "an input twice": ("conv1d", lambda m: replace(m, inputs=m.inputs * 2), "^x: tensor '.*' is an input twice, or a"),
    "no inputs": ("conv1d", lambda m: replace(m, inputs=()), "^x: 0 inputs and 1 outputs; supported: 1..64 inputs"),
    "no outputs": ("conv1d", lambda m: replace(m, outputs=()), "^x: 1 inputs and 0 outputs"),
    "an output nobody computes": ("conv1d", lambda m: replace(m, outputs=(1,)), "used before any op computes it"),
    "a batch of 2": (
        "conv1d",
        with_tensor("RESHAPE", "in", 0, shape=(2, 48, 1)),
        r"^x: tensor 'serving_default.*' has batch 2; supported: 1",
    ),
    "an image": ("rows", with_tensor("CONV_2D", "out", 0, shape=(1, 3, 7, 6)), "two spatial dimensions"),
    "a giant": ("conv1d", with_tensor("RESHAPE", "in", 0, shape=(1, 2**30, 1)), "more than 4194304 values"),
    "one dimension": ("conv1d", with_tensor("RESHAPE", "in", 0, shape=(48,)), "2 to 4 dimensions"),
    "an int16 activation": ("conv1d", with_tensor("CONV_2D", "out", 0, dtype="INT16"), "is INT16; supported: int8"),
    "a float activation": ("conv1d", with_tensor("CONV_2D", "out", 0, dtype="FLOAT32"), "is FLOAT32, and its input"),
    "two activation scales": ("conv1d", with_tensor("CONV_2D", "out", 0, scales=(0.1, 0.2)), "int8 with 2 scales"),
    "no activation scale": ("conv1d", with_tensor("CONV_2D", "out", 0, scales=()), "int8 with 0 scales; expected 1"),
    "a scale of 0": ("conv1d", with_tensor("CONV_2D", "out", 0, scales=(0.0,)), "has a scale outside"),
    "a scale that is no number": ("conv1d", with_tensor("CONV_2D", "out", 0, scales=(float("nan"),)), "scale outside"),
    "a zero point past int8": ("conv1d", with_tensor("CONV_2D", "out", 0, zero_points=(128,)), "has zero point 128"),
    "an output of another size": (
        "conv1d",
        with_tensor("CONV_2D", "out", 0, shape=(1, 1, 23, 6)),
        r"^x: op \d CONV_2D: output '.*' has shape \[1, 1, 23, 6\]; the op gives \[24, 6\]",
    ),
    "time and channels exchanged": ("conv1d", with_tensor("CONV_2D", "out", 0, shape=(1, 1, 6, 24)), "has 24 channels"),
    "weights computed at run time": ("conv1d", with_tensor("CONV_2D", "in", 1, data=None), "no constant of the file"),
    "weights too short": (
        "conv1d",
        with_tensor("CONV_2D", "in", 1, data=np.zeros(7, np.uint8)),
        r"of shape \[6, 1, 5, 1\] has 7 bytes of data",
    ),
    "weights of int4": ("conv1d", with_tensor("CONV_2D", "in", 1, dtype="INT4"), "is INT4; supported here: INT8"),
    "weights of three dimensions": ("conv1d", with_tensor("CONV_2D", "in", 1, shape=(6, 5, 1)), "have shape .6, 5, 1."),
    "weights with a zero point": ("conv1d", with_tensor("CONV_2D", "in", 1, zero_points=(1,) * 6), "a zero point"),
    "weights scaled along another axis": ("conv1d", with_tensor("CONV_2D", "in", 1, axis=3), "quantized along axis 3"),
    "too few weight scales": ("conv1d", with_tensor("CONV_2D", "in", 1, scales=(0.1,) * 5), "5 scales; expected"),
    "a square kernel": ("conv1d", with_tensor("CONV_2D", "in", 1, shape=(6, 5, 1, 1)), "has a kernel of 5 x 1"),
    "grouped channels": (
        "separable",
        with_tensor("CONV_2D", "in", 1, shape=(12, 1, 1, 2)),
        "weights take 2 channels, the input has 4; supported: ungrouped",
    ),
    "a bias too short": ("conv1d", with_tensor("CONV_2D", "in", 2, shape=(3,), data=numbers(1, 2, 3)), "has 3 values"),
    "a stride of 0": ("conv1d", with_op("CONV_2D", options={"stride_w": 0}), "has stride 0 and dilation 1"),
    "an unknown padding": ("conv1d", with_op("CONV_2D", options={"padding": 2}), "padding 2; supported: SAME, VALID"),
    "a fused tanh": ("conv1d", with_op("CONV_2D", options={"activation": 4}), "fused activation 4; supported: NONE"),
    "a kernel past the signal": (
        "conv1d",
        with_op("CONV_2D", options={"padding": 1, "dilation_w": 20}),
        "reaches over 81 columns, and its input has 48",
    ),
    "an op without inputs": ("conv1d", with_op("CONV_2D", inputs=()), r"op \d CONV_2D: has no input"),
    "an op with two outputs": ("conv1d", with_op("SOFTMAX", outputs=(0, 1)), "SOFTMAX: has 2 outputs; supported: 1"),
    "an op that writes its input": (
        "conv1d",
        lambda m: with_op("SOFTMAX", outputs=m.ops[index_of(m, "SOFTMAX")].inputs)(m),
        "SOFTMAX: tensor '.*' is written twice, or is a constant",
    ),
    "an op that reads its output": (
        "conv1d",
        lambda m: with_op("RESHAPE", inputs=m.ops[index_of(m, "RESHAPE")].outputs)(m),
        "RESHAPE: tensor '.*' is used before any op computes it",
    ),
    "a depth multiplier": (
        "rows",
        with_tensor("DEPTHWISE_CONV_2D", "in", 1, shape=(1, 1, 3, 10)),
        r"has weights \[1, 1, 3, 10\] for 6 channels and depth multiplier 1",
    ),
    "a reshape of another size": ("conv1d", with_tensor("RESHAPE", "out", 0, shape=(1, 1, 47, 1)), "cannot become"),
    "a reshape that rescales": ("conv1d", with_tensor("RESHAPE", "out", 0, scales=(0.5,)), "another type or quant"),
    "a mean over channels": ("conv1d", with_tensor("MEAN", "in", 1, data=numbers(2)), r"reduces axes \[2\] of .*8"),
    "a mean over nothing": (
        "conv1d",
        with_tensor("MEAN", "in", 1, shape=(0,), data=numbers()),
        r"reduces axes \[\] of .*; supported: all of time and nothing else",
    ),
    "a mean over an axis that is not": ("conv1d", with_tensor("MEAN", "in", 1, data=numbers(-9)), "reduces axes"),
    "a pool that rescales": ("columns", with_tensor("MAX_POOL_2D", "out", 0, scales=(0.5,)), "another quantization"),
    "a pool of nothing": ("columns", with_op("MAX_POOL_2D", options={"filter_h": 0}), "has a kernel of 0 x 1"),
    "a sum of two shapes": (
        "residual",
        lambda m: with_op("ADD", inputs=(m.ops[index_of(m, "ADD")].inputs[0], m.inputs[0]))(m),
        r"ADD: takes '.*' \[1, 1, 48, 6\] and '.*' \[1, 48, 1\] for .*; supported: equal shapes, or one value a ch",
    ),
    "a sum too fine": ("residual", with_tensor("ADD", "out", 0, scales=(1e-12,)), "too small for inputs of"),
    "shuffled weights": ("flat", with_op("FULLY_CONNECTED", options={"weights_format": 1}), "has shuffled weights"),
    "a dense on another length": (
        "conv1d",
        with_tensor("FULLY_CONNECTED", "in", 1, shape=(5, 4), data=np.zeros(20, np.uint8)),
        "the weights take 4 values",
    ),
    "a softmax of other units": ("conv1d", with_tensor("SOFTMAX", "out", 0, zero_points=(0,)), "expected scale 1/256"),
    "a softmax of beta 0": ("conv1d", with_op("SOFTMAX", options={"beta": 0.0}), "beta is 0.0"),
    "a softmax that TFLM cannot scale": ("conv1d", with_op("SOFTMAX", options={"beta": 1e-9}), "too small for"),
    "a sigmoid of other units": ("residual", with_tensor("LOGISTIC", "out", 0, scales=(0.5,)), "expected scale 1/256"),
    "a relu6 that rescales": ("loose", with_tensor("RELU6", "out", 0, scales=(0.5,)), "another quantization"),
    "padding of channels": ("causal", with_tensor("PAD", "in", 1, data=numbers(0, 0, 0, 0, 0, 1)), "over time"),
    "padding that is not the shape": ("causal", with_tensor("PAD", "out", 0, shape=(1, 50, 1)), "PAD: gives .1, 50, 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_breaks_a_rule_is_refused_by_name(case: str) -> None:
    name, change, pattern = CASES[case]
    model = raw(name)
    lower(model, name="x")
    with pytest.raises(GraphError, match=pattern) as caught:
        lower(change(model), name="x")
    assert str(caught.value).startswith("x: ")
    assert "\n" not in str(caught.value)


def test_padding_before_a_pool_stays_an_op() -> None:
    model = raw("causal")
    at = index_of(model, "CONV_2D")
    pool = RawOp(
        "MAX_POOL_2D",
        model.ops[at].inputs[:1],
        model.ops[at].outputs,
        {"filter_h": 1, "filter_w": 2, "stride_h": 1, "stride_w": 2, "padding": 1, "activation": 0},
    )
    source, out = (model.tensors[i] for i in (model.ops[at].inputs[0], model.ops[at].outputs[0]))
    tensors = list(model.tensors)
    pooled = replace(out, shape=(1, 1, 25, 1), scales=source.scales, zero_points=source.zero_points)
    tensors[model.ops[at].outputs[0]] = pooled
    ops = (*model.ops[:at], pool)
    pad, after = lower(replace(model, tensors=tuple(tensors), ops=ops, outputs=pool.outputs), name="x").ops
    assert isinstance(pad, ir.Pad)
    assert isinstance(after, ir.MaxPool1D)
    assert (pad.before, pad.after, pad.value) == (3, 0, source.zero_points[0])
    assert after.input == pad.output


def test_a_missing_bias_is_zeros() -> None:
    model = raw("conv1d")
    inputs = model.ops[index_of(model, "CONV_2D")].inputs
    for without in (inputs[:2], (*inputs[:2], -1)):
        op = lower(with_op("CONV_2D", inputs=without)(model), name="x").ops[0]
        assert getattr(op, "bias").tolist() == [0] * 6  # noqa: B009 - ops differ in their fields


def test_tensors_of_one_name_stay_apart() -> None:
    model = raw("conv1d")
    same = replace(model, tensors=tuple(replace(t, name="t") for t in model.tensors))
    graph = lower(same, name="x")
    names = [graph.input.name, *(op.output.name for op in graph.ops)]
    assert len(set(names)) == len(names)
