"""Lowering of the operators that slide a window over time: convolutions and pools. Layer: graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from . import ir
from .context import Context
from .fileview import requantization
from .raw import RawOp, RawTensor

_LIMIT = 1 << 16  # of a kernel, stride or dilation: larger than any window here


def lower_conv(ctx: Context, op: RawOp) -> None:
    """CONV_2D with a kernel (1, k) or (k, 1)."""
    x, weights, fields, length = _convolution(ctx, op)
    out_count, _, _, channels = weights.shape
    if channels != x.shape[1]:
        ctx.fail(f"weights take {channels} channels, the input has {x.shape[1]}; supported: ungrouped convolutions")
    out = ctx.give(op, x, (length, out_count))
    _check_channels(ctx, ctx.result(op), out_count)
    w = ctx.tensor(op, 1, "weights")
    weight_quant = ctx.weight_quant(w, axis=0, channels=out_count, ir_axis=0) if x.quant else None
    fields |= _per_channel(requantization(x, out, weight_quant), out_count)
    bias = ctx.bias(op, x, out_count)
    fields |= ctx.activation(op, out)
    ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, weights.reshape(out_count, -1, channels), bias, **fields))


def lower_depthwise(ctx: Context, op: RawOp) -> None:
    """DEPTHWISE_CONV_2D of any multiplier; on one channel alone, it is an ordinary convolution."""
    x, weights, fields, length = _convolution(ctx, op)
    ones, _, _, channels = weights.shape
    multiplier = int(op.options["multiplier"])
    if ones != 1 or channels != multiplier * x.shape[1]:
        shape = list(weights.shape)
        ctx.fail(f"has weights {shape} for {x.shape[1]} channels and depth multiplier {multiplier}")
    out = ctx.give(op, x, (length, channels))
    _check_channels(ctx, ctx.result(op), channels)
    as_conv = x.shape[1] == 1 and channels > 1
    w = ctx.tensor(op, 1, "weights")
    weight_quant = ctx.weight_quant(w, axis=3, channels=channels, ir_axis=0 if as_conv else 1) if x.quant else None
    fields |= _per_channel(requantization(x, out, weight_quant), channels)
    bias = ctx.bias(op, x, channels)
    fields |= ctx.activation(op, out)
    rows = weights.reshape(-1, channels)
    if as_conv:
        conv_weights = rows.T.reshape(channels, -1, 1)
        ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, conv_weights, bias, **fields))
        return
    ctx.ops.append(ir.DepthwiseConv1D(ctx.op_name("depthwise"), x, out, rows, bias, **fields))


def _convolution(ctx: Context, op: RawOp) -> tuple[ir.Tensor, NDArray[Any], dict[str, Any], int]:
    """Input, raw weights, fields about time and output length of a convolution, with a PAD before it folded in."""
    source, w = ctx.tensor(op, 0, "input"), ctx.tensor(op, 1, "weights")
    if len(w.shape) != 4 or min(w.shape) < 1:
        ctx.fail(f"weights {w.name!r} have shape {list(w.shape)}; expected 4 dimensions of 1 or more")
    axis = ctx.time_axis(source, w.shape[1:3])
    taps = _taps(ctx, w.shape[1:3], axis)
    x, *pads = ctx.pads_of(op)
    fields, length = _window(ctx, op, axis, taps, x.shape[0], pads)
    if any(pads) and max(fields["pad_before"], fields["pad_after"]) > (taps - 1) * fields["dilation"]:
        x = ctx.take(op)  # whole columns of the output would see padding alone: the PAD stays an op
        fields, length = _window(ctx, op, axis, taps, x.shape[0])
    weights = ctx.constant(w, dtypes=["INT8" if x.dtype == "int8" else "FLOAT32"])
    return x, weights, fields, length


def lower_pad(ctx: Context, op: RawOp) -> None:
    """PAD over time, as Keras' causal padding and ZeroPadding write it."""
    source = ctx.tensor(op, 0, "input")
    if len(op.inputs) != 2:
        ctx.fail(f"has {len(op.inputs)} inputs; supported: 2 (it pads with zero)")
    amounts = ctx.constant(ctx.tensor(op, 1, "paddings"), dtypes=["INT32"])
    rank = len(source.shape)
    padded_axes = [a for a in range(rank) if amounts.shape == (rank, 2) and amounts[a].any()]
    if amounts.shape == (rank, 2) and not padded_axes:
        ctx.alias(op)
        return
    if rank < 3 or len(padded_axes) != 1 or not 1 <= padded_axes[0] <= rank - 2 or amounts.min() < 0:
        ctx.fail(f"pads {source.name!r} by {_short(amounts)}; supported: columns before and after, over time")
    before, after = (int(n) for n in amounts[padded_axes[0]])
    length, channels = ctx.column_shape(source)
    if ctx.column_shape(ctx.result(op)) != (length + before + after, channels):
        ctx.fail(f"gives {list(ctx.result(op).shape)} from {list(source.shape)}")
    ctx.pad(op, before, after)


def _short(amounts: NDArray[Any]) -> str:
    text = str(amounts.reshape(-1)[:12].tolist())
    return text if amounts.size <= 12 else f"{text[:-1]}, ...]"


def lower_max_pool(ctx: Context, op: RawOp) -> None:
    """MAX_POOL_2D with a pool (1, k) or (k, 1)."""
    x, out, fields = _pool(ctx, op)
    ctx.ops.append(ir.MaxPool1D(ctx.op_name("maxpool"), x, out, **fields))


def lower_average_pool(ctx: Context, op: RawOp) -> None:
    """AVERAGE_POOL_2D with a pool (1, k) or (k, 1)."""
    x, out, fields = _pool(ctx, op)
    ctx.ops.append(ir.AveragePool1D(ctx.op_name("avgpool"), x, out, **fields))


def one_tap_conv(
    ctx: Context,
    op: RawOp,
    weights: NDArray[Any],
    bias: NDArray[Any],
    weight_quant: ir.Quant | None,
) -> None:
    """FULLY_CONNECTED at every time step: a convolution of one tap."""
    x = ctx.take(op)
    out_count, channels = weights.shape
    out = ctx.give(op, x, (x.shape[0], out_count))
    _check_channels(ctx, ctx.result(op), out_count)
    fields = _per_channel(requantization(x, out, weight_quant), out_count) | ctx.activation(op, out)
    fields |= {"stride": 1, "dilation": 1, "padding": "VALID", "pad_before": 0, "pad_after": 0}
    ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, weights.reshape(out_count, 1, channels), bias, **fields))


def _pool(ctx: Context, op: RawOp) -> tuple[ir.Tensor, ir.Tensor, dict[str, Any]]:
    kernel = int(op.options["filter_h"]), int(op.options["filter_w"])
    axis = ctx.time_axis(ctx.tensor(op, 0, "input"), kernel)
    x = ctx.take(op)
    pool = _taps(ctx, kernel, axis)
    fields, length = _window(ctx, op, axis, pool, x.shape[0])
    out = ctx.give(op, x, (length, x.shape[1]))
    _check_channels(ctx, ctx.result(op), x.shape[1])
    ctx.check_same_quant(x, out)
    del fields["dilation"]
    return x, out, {"pool": pool} | fields | ctx.activation(op, out)


def _taps(ctx: Context, kernel: tuple[int, ...], axis: int) -> int:
    """Kernel size along time; along the other axis it must be 1."""
    if kernel[2 - axis] != 1 or not 1 <= kernel[axis - 1] < _LIMIT:
        ctx.fail(f"has a kernel of {kernel[0]} x {kernel[1]}; supported: 1 x k where time runs along the k")
    return kernel[axis - 1]


def _window(
    ctx: Context, op: RawOp, axis: int, taps: int, unpadded: int, pads: Sequence[int] = (0, 0)
) -> tuple[dict[str, Any], int]:
    """(stride, dilation, padding, pad_before and pad_after; output length), as TFLM computes them.

    `unpadded` is the input's length before the PAD op of `pads` columns, if there is one.
    """
    length = unpadded + sum(pads)
    along = "w" if axis == 2 else "h"
    stride, dilation = int(op.options[f"stride_{along}"]), int(op.options.get(f"dilation_{along}", 1))
    if not (1 <= stride < _LIMIT and 1 <= dilation < _LIMIT):
        ctx.fail(f"has stride {stride} and dilation {dilation}; both must be 1 or more")
    padding = ctx.padding(op)
    reach = (taps - 1) * dilation + 1
    out_length = -(-length // stride) if padding == "SAME" else (length - reach) // stride + 1
    if out_length < 1:
        ctx.fail(f"reaches over {reach} columns, and its input has {length}")
    pad = max((out_length - 1) * stride + reach - length, 0) if padding == "SAME" else 0
    before, after = pad // 2 + pads[0], pad - pad // 2 + pads[1]
    fields = {
        "stride": stride,
        "dilation": dilation,
        "padding": "EXPLICIT" if any(pads) else padding,
        "pad_before": before,
        "pad_after": after,
    }
    return fields, out_length


def _check_channels(ctx: Context, raw: RawTensor, channels: int) -> None:
    """`give` compares element counts only; this pins the split into time and channels."""
    if raw.shape[-1] != channels:
        ctx.fail(f"output {raw.name!r} has {raw.shape[-1]} channels; the op gives {channels}")


def _per_channel(fields: dict[str, Any], channels: int) -> dict[str, Any]:
    """One multiplier for each output channel, also where the file has a single weight scale."""
    for key in ("multipliers", "shifts"):
        if fields[key].size == 1:
            fields[key] = fields[key].repeat(channels)
            fields[key].setflags(write=False)
    return fields
