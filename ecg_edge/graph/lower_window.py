"""Lowering of the operators that slide a window over time: convolutions and pools. Layer: graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from . import ir, quant
from .context import Context, requantization
from .raw import RawOp, RawTensor

_LIMIT = 1 << 16  # of a kernel, stride or dilation: larger than any window here


def lower_conv(ctx: Context, op: RawOp) -> None:
    """CONV_2D with a kernel (1, k) or (k, 1)."""
    source, w = ctx.tensor(op, 0, "input"), ctx.tensor(op, 1, "weights")
    axis = ctx.time_axis(source)
    x, *pads = ctx.take_padded(op)
    weights = ctx.constant(w, dtypes=["INT8" if x.dtype == "int8" else "FLOAT32"])
    if weights.ndim != 4 or min(weights.shape) < 1:
        ctx.fail(f"weights {w.name!r} have shape {list(weights.shape)}; expected (out, height, width, in)")
    out_count, channels = weights.shape[0], weights.shape[3]
    if channels != x.shape[1]:
        ctx.fail(f"weights take {channels} channels, the input has {x.shape[1]}; supported: ungrouped convolutions")
    taps = _taps(ctx, weights.shape[1:3], axis)
    fields, length = _window(ctx, op, axis, taps, x.shape[0], pads)
    out = ctx.give(op, x, (length, out_count))
    _check_channels(ctx, ctx.result(op), out_count)
    weight_quant = ctx.weight_quant(w, axis=0, channels=out_count, ir_axis=0) if x.quant else None
    fields |= _per_channel(requantization(x, out, weight_quant, quant.conv_multiplier), out_count)
    bias = ctx.bias(op, x, out_count)
    fields |= ctx.activation(op, out)
    ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, weights.reshape(out_count, taps, channels), bias, **fields))


def lower_depthwise(ctx: Context, op: RawOp) -> None:
    """DEPTHWISE_CONV_2D of multiplier 1; of any multiplier on one channel, which is an ordinary convolution."""
    source, w = ctx.tensor(op, 0, "input"), ctx.tensor(op, 1, "weights")
    axis = ctx.time_axis(source)
    x, *pads = ctx.take_padded(op)
    weights = ctx.constant(w, dtypes=["INT8" if x.dtype == "int8" else "FLOAT32"])
    if weights.ndim != 4 or min(weights.shape) < 1 or weights.shape[0] != 1:
        ctx.fail(f"weights {w.name!r} have shape {list(weights.shape)}; expected (1, height, width, channels)")
    channels = weights.shape[3]
    if channels != x.shape[1] and x.shape[1] != 1:
        ctx.fail(f"gives {channels} channels from {x.shape[1]}; supported: depth multiplier 1, or one input channel")
    taps = _taps(ctx, weights.shape[1:3], axis)
    fields, length = _window(ctx, op, axis, taps, x.shape[0], pads)
    out = ctx.give(op, x, (length, channels))
    _check_channels(ctx, ctx.result(op), channels)
    as_conv = x.shape[1] == 1 and channels > 1
    weight_quant = ctx.weight_quant(w, axis=3, channels=channels, ir_axis=0 if as_conv else 1) if x.quant else None
    fields |= _per_channel(requantization(x, out, weight_quant, quant.conv_multiplier), channels)
    bias = ctx.bias(op, x, channels)
    fields |= ctx.activation(op, out)
    if as_conv:
        conv_weights = weights.reshape(taps, channels).T.reshape(channels, taps, 1)
        ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, conv_weights, bias, **fields))
        return
    ctx.ops.append(
        ir.DepthwiseConv1D(ctx.op_name("depthwise"), x, out, weights.reshape(taps, channels), bias, **fields)
    )


def lower_pad(ctx: Context, op: RawOp) -> None:
    """PAD over time, as Keras' causal padding and ZeroPadding write it: folded into the convolution that reads it."""
    source = ctx.tensor(op, 0, "input")
    held = ctx.hold(op.inputs[0])
    amounts = ctx.constant(ctx.tensor(op, 1, "paddings"), dtypes=["INT32"])
    rank = len(source.shape)
    padded_axes = [a for a in range(rank) if amounts.shape == (rank, 2) and amounts[a].any()]
    if rank < 3 or len(padded_axes) != 1 or not 1 <= padded_axes[0] <= rank - 2 or amounts.min() < 0:
        ctx.fail(f"pads {source.name!r} by {amounts.tolist()}; supported: columns before and after, over time")
    before, after = (int(n) for n in amounts[padded_axes[0]])
    length, channels = ctx.column_shape(source)
    if ctx.column_shape(ctx.result(op)) != (length + before + after, channels):
        ctx.fail(f"gives {list(ctx.result(op).shape)} from {list(source.shape)}")
    ctx.pad(op, held, before, after)


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
    factor: Callable[[float, float, float], tuple[int, int]],
) -> None:
    """FULLY_CONNECTED at every time step: a convolution of one tap, with the factors of a FULLY_CONNECTED."""
    x = ctx.take(op)
    out_count, channels = weights.shape
    out = ctx.give(op, x, (x.shape[0], out_count))
    _check_channels(ctx, ctx.result(op), out_count)
    fields = _per_channel(requantization(x, out, weight_quant, factor), out_count) | ctx.activation(op, out)
    fields |= {"stride": 1, "dilation": 1, "padding": "VALID", "pad_before": 0, "pad_after": 0}
    ctx.ops.append(ir.Conv1D(ctx.op_name("conv"), x, out, weights.reshape(out_count, 1, channels), bias, **fields))


def _pool(ctx: Context, op: RawOp) -> tuple[ir.Tensor, ir.Tensor, dict[str, Any]]:
    axis = ctx.time_axis(ctx.tensor(op, 0, "input"))
    x = ctx.take(op)
    pool = _taps(ctx, (int(op.options["filter_h"]), int(op.options["filter_w"])), axis)
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
    if max(before, after) >= reach:
        ctx.fail(f"pads {max(before, after)} columns and reaches over {reach}; supported: fewer than it reaches over")
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
