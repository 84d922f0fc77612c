"""Raw operators -> IR ops, with every integer parameter computed as TensorFlow Lite Micro computes it. Layer: graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..errors import UnsupportedOpError
from . import ir, quant
from .context import Context
from .fileview import MAX_VALUES, requantization, zero_point
from .lower_elementwise import (
    lower_concatenation,
    lower_logistic,
    lower_mul,
    lower_quantize,
    lower_relu,
    lower_softmax,
    lower_sum,
    lower_tanh,
)
from .lower_window import lower_average_pool, lower_conv, lower_depthwise, lower_max_pool, lower_pad, one_tap_conv
from .raw import RawModel, RawOp

MAX_WORK = 1 << 31  # multiplications a window, roughly: far more than a microcontroller does in a second
_MAX_INPUTS = 64
_TAP_WORK = 1 << 10  # what one tap of a window costs beside its multiplications


def lower(raw: RawModel, *, name: str) -> ir.Graph:
    """Give a raw model its meaning.

    Raises:
        UnsupportedOpError: an operator outside `SUPPORTED_OPS`.
        GraphError: a rule broken; the message names the operator or the tensor.
    """
    ctx = Context(raw, name)
    if not 1 <= len(raw.inputs) <= _MAX_INPUTS or len(raw.outputs) != 1 or min(*raw.inputs, *raw.outputs) < 0:
        wanted = f"1..{_MAX_INPUTS} inputs, the signal first, and one output"
        ctx.fail(f"{len(raw.inputs)} inputs and {len(raw.outputs)} outputs; supported: {wanted}")
    inputs = tuple(ctx.enter_input(index, signal=i == 0) for i, index in enumerate(raw.inputs))
    for op in raw.ops:
        if op.code == "QUANTIZE" and op.inputs[:1] == raw.inputs[:1] and inputs[0].dtype != "int8":
            ctx.fail(f"tensor {inputs[0].name!r} is {inputs[0].dtype}: convert with int8 input and output")
    for index, op in enumerate(raw.ops):
        if op.code not in _LOWERINGS:
            raise UnsupportedOpError(op.code, index, supported=SUPPORTED_OPS)
    for index, op in enumerate(raw.ops):
        ctx.enter(index, op)
        _LOWERINGS[op.code](ctx, op)
    ctx.leave()
    output = ctx.hold(raw.outputs[0])
    _check_size(ctx, inputs)
    return ir.Graph(
        name=name,
        sha256=raw.sha256,
        inputs=inputs,
        output=output,
        ops=tuple(ctx.ops),
        tflite_ops=tuple(dict.fromkeys(op.code for op in raw.ops)),
    )


def _check_size(ctx: Context, inputs: tuple[ir.Tensor, ...]) -> None:
    """Refuse what would take gigabytes or minutes to run, whatever the file claims to be."""
    values = sum(math.prod(tensor.shape) for tensor in (*inputs, *(op.output for op in ctx.ops)))
    if values > MAX_VALUES:
        ctx.fail(f"its activations hold {values} values; limit: {MAX_VALUES}")
    work = sum(_work(op) for op in ctx.ops)
    if work > MAX_WORK:
        ctx.fail(f"a window costs about {work} multiplications; limit: {MAX_WORK}")


def _work(op: ir.Op) -> int:
    """Multiplications of one window, and what each tap costs beside them."""
    size = math.prod(op.output.shape)
    if isinstance(op, ir.Conv1D):
        return size * int(op.weights[0].size) + op.weights.shape[1] * _TAP_WORK
    if isinstance(op, ir.DepthwiseConv1D):
        return len(op.weights) * (size + _TAP_WORK)
    if isinstance(op, ir.MaxPool1D | ir.AveragePool1D):
        return op.pool * (size + _TAP_WORK)
    if isinstance(op, ir.Dense):
        return int(op.weights.size)
    return size


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
    ctx.ops.append(ir.MaxPool1D(name, x, out, x.shape[0], 1, "VALID", 0, 0, **ctx.clamp("NONE", out)))


def _check_time_reduction(ctx: Context, op: RawOp) -> None:
    """The reduction must be over time, all of it, and nothing else."""
    source = ctx.tensor(op, 0, "input")
    rank = len(source.shape)
    raw_axes = ctx.constant(ctx.tensor(op, 1, "axes"), dtypes=["INT32"]).reshape(-1)
    if raw_axes.size > rank:
        ctx.fail(f"reduces {raw_axes.size} axes of {list(source.shape)}")
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
    bias = ctx.bias(op, x, out_count)
    if math.prod(shape) != in_count:
        if len(shape) != 2 or shape[1] != in_count:
            ctx.fail(f"input {source.name!r} has shape {list(source.shape)}; the weights take {in_count} values")
        one_tap_conv(ctx, op, weights, bias, weight_quant)
        return
    out = ctx.give(op, x, (out_count,))
    if ctx.result(op).shape[-1] != out_count:
        ctx.fail(f"gives {list(ctx.result(op).shape)}; the weights give {out_count} values")
    fields = requantization(x, out, weight_quant) | ctx.activation(op, out)
    ctx.ops.append(ir.Dense(ctx.op_name("dense"), x, out, weights, bias, **fields))


_LOWERINGS: Mapping[str, Callable[[Context, RawOp], None]] = {
    "ADD": lower_sum,
    "AVERAGE_POOL_2D": lower_average_pool,
    "CONCATENATION": lower_concatenation,
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "EXPAND_DIMS": _relabel,
    "FULLY_CONNECTED": _dense,
    "LOGISTIC": lower_logistic,
    "MAX_POOL_2D": lower_max_pool,
    "MEAN": _mean,
    "MUL": lower_mul,
    "PAD": lower_pad,
    "QUANTIZE": lower_quantize,
    "REDUCE_MAX": _reduce_max,
    "RELU": lower_relu,
    "RELU6": lower_relu,
    "RESHAPE": _relabel,
    "SOFTMAX": lower_softmax,
    "SQUEEZE": _relabel,
    "SUB": lower_sum,
    "TANH": lower_tanh,
}
SUPPORTED_OPS: tuple[str, ...] = tuple(_LOWERINGS)
