"""Lowering of the operators that work element by element, one operand or two, and of those that join. Layer: graph."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from . import ir, quant
from .context import Context
from .fileview import as_vector, zero_point
from .raw import RawOp, RawTensor

_LEFT_SHIFT = 20  # TFLM's for int8 sums: 255 << 20 and the sum of two such halves stay inside int32
_MAX_CONCATENATED = 10  # TFLM's kernel has room for no more


def lower_softmax(ctx: Context, op: RawOp) -> None:
    """SOFTMAX over the last axis."""
    x = ctx.take_elements(op)
    out = ctx.give(op, x, x.shape)
    beta = op.options["beta"]
    if not 0.0 < beta < 1e3:
        ctx.fail(f"beta is {beta}; limits: above 0, below 1000")
    multiplier = shift = diff_min = 0
    if x.quant and out.quant:
        ctx.check_output_quant(out, 256, -128)
        multiplier, shift, diff_min = quant.softmax_parameters(beta, x.quant.scale[0])
        if beta * x.quant.scale[0] * (1 << 26) <= 1.0:  # TFLM ends the program there
            ctx.fail(f"input {x.name!r} has scale {x.quant.scale[0]}: too small for TFLM's softmax")
    ctx.ops.append(ir.Softmax(ctx.op_name("softmax"), x, out, beta, multiplier, shift, diff_min))


def lower_logistic(ctx: Context, op: RawOp) -> None:
    """LOGISTIC."""
    x, out, parameters = _curve(ctx, op, steps=256, output_zero=-128)
    ctx.ops.append(ir.Logistic(ctx.op_name("logistic"), x, out, *parameters, zero_point(x)))


def lower_tanh(ctx: Context, op: RawOp) -> None:
    """TANH."""
    x, out, parameters = _curve(ctx, op, steps=128, output_zero=0)
    ctx.ops.append(ir.Tanh(ctx.op_name("tanh"), x, out, *parameters, zero_point(x)))


def _curve(
    ctx: Context, op: RawOp, *, steps: int, output_zero: int
) -> tuple[ir.Tensor, ir.Tensor, tuple[int, int, int]]:
    """Input, output, and (multiplier, shift, radius)."""
    x = ctx.take_elements(op)
    out = ctx.give(op, x, x.shape)
    if not (x.quant and out.quant):
        return x, out, (0, 0, 0)
    ctx.check_output_quant(out, steps, output_zero)
    multiplier, shift, radius = quant.logistic_parameters(x.quant.scale[0])
    if shift < 0:
        ctx.fail(f"input {x.name!r} has scale {x.quant.scale[0]}: too small for TFLM's {op.code.lower()}")
    return x, out, (multiplier, shift, radius)


def lower_relu(ctx: Context, op: RawOp) -> None:
    """RELU rescales; RELU6 clamps without rescaling in TFLM, so both of its sides must have one quantization."""
    x = ctx.take_elements(op)
    out = ctx.give(op, x, x.shape)
    multiplier = shift = 0
    if op.code == "RELU6":
        ctx.check_same_quant(x, out)
    if x.quant and out.quant:
        factor = quant.rescale_multiplier(x.quant.scale[0], out.quant.scale[0])
        multiplier, shift = quant.IDENTITY if op.code == "RELU6" else factor
    fields = ctx.clamp("RELU6" if op.code == "RELU6" else "RELU", out)
    fields |= {"multiplier": multiplier, "shift": shift, "input_zero": zero_point(x), "output_zero": zero_point(out)}
    ctx.ops.append(ir.Relu(ctx.op_name("relu"), x, out, **fields))


def lower_quantize(ctx: Context, op: RawOp) -> None:
    """QUANTIZE from int8 to int8: another scale."""
    raw, given = ctx.tensor(op, 0, "input"), ctx.result(op)
    if raw.dtype != "INT8" or given.dtype != "INT8":
        ctx.fail(f"turns {raw.dtype} into {given.dtype}; supported: INT8 into INT8")
    x = ctx.take_elements(op)
    out = ctx.give(op, x, x.shape)
    assert x.quant
    assert out.quant
    pair = quant.rescale_multiplier(x.quant.scale[0], out.quant.scale[0])
    ctx.ops.append(ir.Requantize(ctx.op_name("requantize"), x, out, *pair, zero_point(x), zero_point(out)))


def lower_sum(ctx: Context, op: RawOp) -> None:
    """ADD and SUB."""
    x, other, out = _binary(ctx, op)
    add = op.code == "ADD"
    pairs = ((0, 0), (0, 0), (0, 0))
    if x.quant and other.quant and out.quant:
        scales = (x.quant.scale[0], other.quant.scale[0], out.quant.scale[0])
        pairs = quant.add_multipliers(*scales, _LEFT_SHIFT)
        if pairs[2][1] > 0:
            ctx.fail(f"output {out.name!r} has scale {scales[2]}: too small for inputs of {scales[0]} and {scales[1]}")
    kind = ir.Add if add else ir.Sub
    ctx.ops.append(
        kind(
            ctx.op_name("add" if add else "sub"), x, other, out, **ctx.activation(op, out),
            left_shift=_LEFT_SHIFT if x.quant else 0,
            input_multiplier=pairs[0][0], input_shift=pairs[0][1], input_zero=zero_point(x),
            other_multiplier=pairs[1][0], other_shift=pairs[1][1], other_zero=zero_point(other),
            output_multiplier=pairs[2][0], output_shift=pairs[2][1], output_zero=zero_point(out),
        )
    )  # fmt: skip


def lower_mul(ctx: Context, op: RawOp) -> None:
    """MUL."""
    x, other, out = _binary(ctx, op)
    multiplier = shift = 0
    if x.quant and other.quant and out.quant:
        multiplier, shift = quant.product_multiplier(x.quant.scale[0], other.quant.scale[0], out.quant.scale[0])
    fields = ctx.activation(op, out) | {"multiplier": multiplier, "shift": shift}
    fields |= {"input_zero": zero_point(x), "other_zero": zero_point(other), "output_zero": zero_point(out)}
    ctx.ops.append(ir.Mul(ctx.op_name("mul"), x, other, out, **fields))


def _binary(ctx: Context, op: RawOp) -> tuple[ir.Operand, ir.Operand, ir.Tensor]:
    """Both operands, each of the output's shape or (channels,), and the output.

    Which is which is told by the file's own shapes, before layouts are forgotten: (1, 1, 1, C) meets (1, 1, L, C).
    """
    raw = ctx.result(op)
    shape = ctx.column_shape(raw)
    sides = (ctx.tensor(op, 0, "input"), ctx.tensor(op, 1, "second input"))
    held = [ctx.hold(op.inputs[i]) for i in (0, 1) if sides[i].data is None]
    if not held:
        ctx.fail("has constants only")
    if any(len(tensor.shape) == 1 for tensor in held):
        shape = as_vector(shape)
    x, other = (_operand(ctx, op, i, shape, held[0].dtype) for i in (0, 1))
    if shape not in (x.shape, other.shape):
        _fail_broadcast(ctx, op)
    out = ctx.give(op, held[0], shape)
    return x, other, out


def _operand(ctx: Context, op: RawOp, position: int, shape: tuple[int, ...], dtype: ir.DType) -> ir.Operand:
    raw, given = ctx.tensor(op, position, "input"), ctx.result(op).shape
    own = (1,) * (len(given) - len(raw.shape)) + raw.shape
    if len(own) != len(given) or any(a not in (1, b) for a, b in zip(own, given, strict=True)):
        _fail_broadcast(ctx, op)
    if raw.data is not None:
        return _constant(ctx, raw, own, given, shape, dtype)
    if own == given:
        return ctx.take(op, position, shape)
    if own != (*(1,) * (len(given) - 1), given[-1]):
        _fail_broadcast(ctx, op)
    return ctx.take(op, position, shape[-1:])


def _constant(
    ctx: Context, raw: RawTensor, own: tuple[int, ...], given: tuple[int, ...], shape: tuple[int, ...], dtype: ir.DType
) -> ir.Constant:
    """Repeated to (channels,) where every column is alike, else to the whole output's shape."""
    values = ctx.constant(raw, dtypes=["INT8" if dtype == "int8" else "FLOAT32"]).reshape(own)
    if all(d == 1 for d in own[:-1]):
        return ctx.constant_operand(raw, np.broadcast_to(values.reshape(-1), shape[-1:]).copy())
    return ctx.constant_operand(raw, np.broadcast_to(values, given).reshape(shape).copy())


def _fail_broadcast(ctx: Context, op: RawOp) -> NoReturn:
    (a, b), out = (ctx.tensor(op, i, "input") for i in (0, 1)), ctx.result(op)
    given = f"{a.name!r} {list(a.shape)} and {b.name!r} {list(b.shape)} for {list(out.shape)}"
    ctx.fail(f"takes {given}; supported: equal shapes, or one value a channel")


def lower_concatenation(ctx: Context, op: RawOp) -> None:
    """CONCATENATION of channels, or of vectors."""
    raw = ctx.result(op)
    shape = ctx.column_shape(raw)
    axis, rank = int(op.options["axis"]), len(raw.shape)
    if int(op.options["activation"]) != 0:
        ctx.fail("has a fused activation; supported: none")
    if not 1 <= len(op.inputs) <= _MAX_CONCATENATED:
        ctx.fail(f"joins {len(op.inputs)} tensors; limits: 1..{_MAX_CONCATENATED}")
    if axis not in (-1, rank - 1):
        ctx.fail(f"joins along axis {axis} of {list(raw.shape)}; supported: the last one, channels")
    sides = [ctx.tensor(op, i, "input") for i in range(len(op.inputs))]
    if any(side.shape[:-1] != raw.shape[:-1] for side in sides):
        shapes = ", ".join(str(list(side.shape)) for side in sides)
        ctx.fail(f"joins {shapes} to {list(raw.shape)}; supported: shapes that differ in channels only")
    if all(len(ctx.hold(index).shape) == 1 for index in op.inputs):
        shape = as_vector(shape)
    x = tuple(ctx.take(op, i, (*shape[:-1], side.shape[-1])) for i, side in enumerate(sides))
    out = ctx.give(op, x[0], (*shape[:-1], sum(tensor.shape[-1] for tensor in x)))
    for tensor in x:
        if tensor.dtype != out.dtype:
            ctx.fail(f"joins {tensor.name!r}, which is {tensor.dtype}, to {out.dtype}")
        ctx.check_same_quant(tensor, out)
    ctx.ops.append(ir.Concat(ctx.op_name("concat"), x, out))
