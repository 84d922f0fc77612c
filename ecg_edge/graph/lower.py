"""Raw operators -> IR ops, with every integer parameter computed as TensorFlow Lite Micro computes it. Layer: graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..errors import UnsupportedOpError
from . import ir, quant
from .context import Context, clamp, requantization, zero_point
from .lower_window import lower_average_pool, lower_conv, lower_depthwise, lower_max_pool, lower_pad, one_tap_conv
from .raw import RawModel, RawOp

_ADD_LEFT_SHIFT = 20  # TFLM's for int8


def lower(raw: RawModel, *, name: str) -> ir.Graph:
    """Give a raw model its meaning.

    Raises:
        UnsupportedOpError: an operator outside `SUPPORTED_OPS`.
        GraphError: a rule broken; the message names the operator or the tensor.
    """
    ctx = Context(raw, name)
    if len(raw.inputs) != 1 or len(raw.outputs) != 1 or min(*raw.inputs, *raw.outputs) < 0:
        ctx.fail(f"{len(raw.inputs)} inputs and {len(raw.outputs)} outputs; supported: one of each")
    graph_input = ctx.enter_input(raw.inputs[0])
    if raw.ops and raw.ops[0].code == "QUANTIZE":
        ctx.fail(f"tensor {graph_input.name!r} is {graph_input.dtype}: convert with int8 input and output")
    for index, op in enumerate(raw.ops):
        if op.code not in _LOWERINGS:
            raise UnsupportedOpError(op.code, index, supported=SUPPORTED_OPS)
    for index, op in enumerate(raw.ops):
        ctx.enter(index, op)
        _LOWERINGS[op.code](ctx, op)
    ctx.leave()
    return ir.Graph(
        name=name,
        sha256=raw.sha256,
        inputs=(graph_input,),
        output=ctx.hold(raw.outputs[0]),
        ops=tuple(ctx.ops),
        tflite_ops=tuple(dict.fromkeys(op.code for op in raw.ops)),
    )


def _relabel(ctx: Context, op: RawOp) -> None:
    ctx.alias(op)


def _mean(ctx: Context, op: RawOp) -> None:
    _check_time_reduction(ctx, op)
    x = ctx.take(op)
    out = ctx.give(op, x, (x.shape[1],))
    multiplier = shift = 0
    if x.quant and out.quant:
        multiplier, shift = quant.mean_multiplier(x.quant.scale[0], out.quant.scale[0], x.shape[0])
    ctx.ops.append(ir.Mean(ctx.op_name("mean"), x, out, multiplier, shift, zero_point(x), zero_point(out)))


def _reduce_max(ctx: Context, op: RawOp) -> None:
    """Global maximum over time: a pool as long as the signal."""
    _check_time_reduction(ctx, op)
    x = ctx.take(op)
    out = ctx.give(op, x, (1, x.shape[1]))
    ctx.check_same_quant(x, out)
    name = ctx.op_name("maxpool")
    ctx.ops.append(ir.MaxPool1D(name, x, out, x.shape[0], 1, "VALID", 0, 0, **clamp("NONE", out)))


def _check_time_reduction(ctx: Context, op: RawOp) -> None:
    """The reduction must be over time, all of it, and nothing else."""
    source = ctx.tensor(op, 0, "input")
    rank = len(source.shape)
    raw_axes = ctx.constant(ctx.tensor(op, 1, "axes"), dtypes=["INT32"]).reshape(-1)
    axes = {int(a) + rank if a < 0 else int(a) for a in raw_axes}
    spatial = set(range(1, rank - 1))
    time = {a for a in spatial if source.shape[a] > 1}
    if not axes or not time <= axes <= spatial:
        ctx.fail(f"reduces axes {sorted(axes)} of {list(source.shape)}; supported: all of time and nothing else")


def _dense(ctx: Context, op: RawOp) -> None:
    source, w = ctx.tensor(op, 0, "input"), ctx.tensor(op, 1, "weights")
    if int(op.options["weights_format"]) != 0:
        ctx.fail("has shuffled weights; supported: the default format")
    shape = ctx.column_shape(source)
    x = ctx.hold(op.inputs[0])
    weights = ctx.constant(w, dtypes=["INT8" if x.dtype == "int8" else "FLOAT32"])
    if weights.ndim != 2 or min(weights.shape) < 1:
        ctx.fail(f"weights {w.name!r} have shape {list(weights.shape)}; expected (out, in)")
    out_count, in_count = weights.shape
    weight_quant = ctx.weight_quant(w, axis=0, channels=out_count, ir_axis=0) if x.quant else None
    factor = quant.conv_multiplier if weight_quant and len(weight_quant.scale) > 1 else quant.dense_multiplier
    bias = ctx.bias(op, x, out_count)
    if math.prod(shape) != in_count:
        if len(shape) != 2 or shape[1] != in_count:
            ctx.fail(f"input {source.name!r} has shape {list(source.shape)}; the weights take {in_count} values")
        one_tap_conv(ctx, op, weights, bias, weight_quant, factor)
        return
    out = ctx.give(op, x, (out_count,))
    fields = requantization(x, out, weight_quant, factor) | ctx.activation(op, out)
    ctx.ops.append(ir.Dense(ctx.op_name("dense"), x, out, weights, bias, **fields))


def _softmax(ctx: Context, op: RawOp) -> None:
    x = ctx.take(op)
    out = ctx.give(op, x, x.shape)
    beta = op.options["beta"]
    if not 0.0 < beta < 1e3:
        ctx.fail(f"beta is {beta}; limits: above 0, below 1000")
    multiplier = shift = diff_min = 0
    if x.quant and out.quant:
        ctx.check_unit_output(out)
        multiplier, shift, diff_min = quant.softmax_parameters(beta, x.quant.scale[0])
        if beta * x.quant.scale[0] * (1 << 26) <= 1.0:  # TFLM ends the program there
            ctx.fail(f"input {x.name!r} has scale {x.quant.scale[0]}: too small for TFLM's softmax")
    ctx.ops.append(ir.Softmax(ctx.op_name("softmax"), x, out, beta, multiplier, shift, diff_min))


def _logistic(ctx: Context, op: RawOp) -> None:
    x = ctx.take(op)
    out = ctx.give(op, x, x.shape)
    multiplier = shift = radius = 0
    if x.quant and out.quant:
        ctx.check_unit_output(out)
        multiplier, shift, radius = quant.logistic_parameters(x.quant.scale[0])
        if shift < 0:
            ctx.fail(f"input {x.name!r} has scale {x.quant.scale[0]}: too small for TFLM's sigmoid")
    ctx.ops.append(ir.Logistic(ctx.op_name("logistic"), x, out, multiplier, shift, radius, zero_point(x)))


def _relu(ctx: Context, op: RawOp) -> None:
    """RELU rescales; RELU6 clamps without rescaling in TFLM, so both of its sides must have one quantization."""
    x = ctx.take(op)
    out = ctx.give(op, x, x.shape)
    multiplier = shift = 0
    if op.code == "RELU6":
        ctx.check_same_quant(x, out)
    if x.quant and out.quant:
        factor = quant.relu_multiplier(x.quant.scale[0], out.quant.scale[0])
        multiplier, shift = quant.IDENTITY if op.code == "RELU6" else factor
    fields = clamp("RELU6" if op.code == "RELU6" else "RELU", out)
    fields |= {"multiplier": multiplier, "shift": shift, "input_zero": zero_point(x), "output_zero": zero_point(out)}
    ctx.ops.append(ir.Relu(ctx.op_name("relu"), x, out, **fields))


def _add(ctx: Context, op: RawOp) -> None:
    x, other = ctx.take(op, 0), ctx.take(op, 1)
    if x.shape != other.shape or x.dtype != other.dtype:
        ctx.fail(f"adds {x.name!r} {list(x.shape)} and {other.name!r} {list(other.shape)}; supported: equal shapes")
    out = ctx.give(op, x, x.shape)
    pairs = ((0, 0), (0, 0), (0, 0))
    if x.quant and other.quant and out.quant:
        scales = (x.quant.scale[0], other.quant.scale[0], out.quant.scale[0])
        pairs = quant.add_multipliers(*scales, _ADD_LEFT_SHIFT)
        if pairs[2][1] > 0:
            ctx.fail(f"output {out.name!r} has scale {scales[2]}: too small for inputs of {scales[0]} and {scales[1]}")
    ctx.ops.append(
        ir.Add(
            ctx.op_name("add"), x, other, out, **ctx.activation(op, out), left_shift=_ADD_LEFT_SHIFT if x.quant else 0,
            input_multiplier=pairs[0][0], input_shift=pairs[0][1], input_zero=zero_point(x),
            other_multiplier=pairs[1][0], other_shift=pairs[1][1], other_zero=zero_point(other),
            output_multiplier=pairs[2][0], output_shift=pairs[2][1], output_zero=zero_point(out),
        )
    )  # fmt: skip


_LOWERINGS: Mapping[str, Callable[[Context, RawOp], None]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": lower_average_pool,
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "EXPAND_DIMS": _relabel,
    "FULLY_CONNECTED": _dense,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": lower_max_pool,
    "MEAN": _mean,
    "PAD": lower_pad,
    "REDUCE_MAX": _reduce_max,
    "RELU": _relu,
    "RELU6": _relu,
    "RESHAPE": _relabel,
    "SOFTMAX": _softmax,
    "SQUEEZE": _relabel,
}
SUPPORTED_OPS: tuple[str, ...] = tuple(_LOWERINGS)
