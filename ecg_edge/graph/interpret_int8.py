"""Integer kernels, whole windows at a time: what each op of an int8 graph computes. Layer: graph; mirrors `ecg_ops.c`.

Sums of products go through floating-point matrix products, many times faster than NumPy's integer ones, and exact here:
every partial sum, in whatever order BLAS takes them, is an integer of at most sum|w| * 128. Below 2**24 float32 holds
each of them exactly; a kernel that can pass that bound (1,033 of the largest weights) takes float64 instead, good to
2**53, while the accumulator itself must fit int32. The choice is made from the weights, so it is never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import fixedpoint, ir
from .quant import requantize
from .windows1d import blocks_of, broadcast, padded, taps_of

Int8s = NDArray[np.int8]
_EXACT_FLOAT32 = 1 << 24


def exact_float(weights: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    """The smaller float type in which every partial sum of int8 inputs times these weights, (out, ...), is exact."""
    largest = np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1).max() * 128
    return np.float32 if largest < _EXACT_FLOAT32 else np.float64


def conv1d(op: ir.Conv1D, x: Int8s) -> Int8s:
    """(n, length, in) -> (n, out_length, out)."""
    real = exact_float(op.weights)
    out, taps, channels = op.weights.shape
    weights = op.weights.reshape(out, taps * channels)
    columns = taps_of(padded(x, op, op.input_zero), op, op.output.shape[0])
    result = np.empty((len(x), *op.output.shape), np.int8)
    for block in blocks_of(columns):
        acc = columns[:, block].astype(real).reshape(-1, taps * channels) @ weights.T.astype(real)
        result[:, block] = _finish(op, acc, weights).reshape(len(x), -1, out)
    return result


def depthwise_conv1d(op: ir.DepthwiseConv1D, x: Int8s) -> Int8s:
    """(n, length, in) -> (n, out_length, out)."""
    real = exact_float(op.weights.T)
    source = padded(x, op, op.input_zero).astype(real)
    length = op.output.shape[0]
    reach = (length - 1) * op.stride + 1
    multiplier = op.weights.shape[1] // x.shape[2]
    if multiplier > 1:
        source = source.repeat(multiplier, axis=2)
    acc: NDArray[Any] = np.zeros((len(x), length, op.weights.shape[1]), real)
    for k, row in enumerate(op.weights.astype(real)):
        first = k * op.dilation
        acc += source[:, first : first + reach : op.stride] * row
    return _finish(op, acc, op.weights.T)


def dense(op: ir.Dense, x: Int8s) -> Int8s:
    """(n, ...) -> (n, out)."""
    real = exact_float(op.weights)
    acc = x.reshape(len(x), -1).astype(real) @ op.weights.T.astype(real)
    return _finish(op, acc, op.weights)


def _finish(op: ir.Conv1D | ir.DepthwiseConv1D | ir.Dense, acc: NDArray[Any], weights: NDArray[Any]) -> Int8s:
    """Sums of w * q -> outputs. The input's zero point is taken out here: w * (q - z) = w * q - w * z."""
    offset = op.bias.astype(np.int64) - op.input_zero * weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
    scaled = requantize(acc.astype(np.int64) + offset, op.multipliers, op.shifts)
    scaled += op.output_zero
    return _clamp(op, scaled)


def _clamp(op: Any, values: NDArray[Any]) -> Int8s:
    return np.clip(values, op.act_min, op.act_max, out=values).astype(np.int8)


def max_pool1d(op: ir.MaxPool1D, x: Int8s) -> Int8s:
    """(n, length, ch) -> (n, out_length, ch). Padding with the smallest number changes no maximum."""
    source = padded(x, op, -128)
    reach = (op.output.shape[0] - 1) * op.stride + 1
    out = source[:, : reach : op.stride].copy()
    for k in range(1, op.pool):
        np.maximum(out, source[:, k : k + reach : op.stride], out=out)
    return _clamp(op, out)


def average_pool1d(op: ir.AveragePool1D, x: Int8s) -> Int8s:
    """(n, length, ch) -> (n, out_length, ch). Only columns that exist are counted."""
    source = padded(x, op, 0).astype(np.int32)
    length = op.output.shape[0]
    reach = (length - 1) * op.stride + 1
    total = np.zeros((len(x), length, x.shape[2]), np.int32)
    for k in range(op.pool):
        total += source[:, k : k + reach : op.stride]
    first = np.arange(length) * op.stride - op.pad_before
    count = np.minimum(first + op.pool, x.shape[1]) - np.maximum(first, 0)
    count = count[:, None]
    # C's division truncates; NumPy's floors: divide the magnitude.
    rounded = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return _clamp(op, rounded)


def mean(op: ir.Mean, x: Int8s) -> Int8s:
    """(n, length, ch) -> (n, ch)."""
    total = x.sum(axis=1, dtype=np.int64) - x.shape[1] * op.input_zero
    return np.clip(requantize(total, op.multiplier, op.shift) + op.output_zero, -128, 127).astype(np.int8)


def relu(op: ir.Relu, x: Int8s) -> Int8s:
    """Element by element."""
    scaled = requantize(x.astype(np.int64) - op.input_zero, op.multiplier, op.shift) + op.output_zero
    return _clamp(op, scaled)


def requantize_int8(op: ir.Requantize, x: Int8s) -> Int8s:
    """Element by element."""
    scaled = requantize(x.astype(np.int64) - op.input_zero, op.multiplier, op.shift) + op.output_zero
    return np.clip(scaled, -128, 127).astype(np.int8)


def add(op: ir.Add, x: Int8s, other: Int8s) -> Int8s:
    """Element by element; a side of (n, channels) or (channels,) counts for every column."""
    a, b = _summands(op, x, other)
    return _clamp(op, requantize(a + b, op.output_multiplier, op.output_shift) + op.output_zero)


def sub(op: ir.Sub, x: Int8s, other: Int8s) -> Int8s:
    """As `add`, with the difference."""
    a, b = _summands(op, x, other)
    return _clamp(op, requantize(a - b, op.output_multiplier, op.output_shift) + op.output_zero)


def _summands(op: ir.Add | ir.Sub, x: Int8s, other: Int8s) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b = broadcast(x, other, op.output)
    return (
        requantize((a.astype(np.int64) - op.input_zero) << op.left_shift, op.input_multiplier, op.input_shift),
        requantize((b.astype(np.int64) - op.other_zero) << op.left_shift, op.other_multiplier, op.other_shift),
    )


def mul(op: ir.Mul, x: Int8s, other: Int8s) -> Int8s:
    """Element by element; a side of (n, channels) or (channels,) counts for every column."""
    a, b = broadcast(x, other, op.output)
    product = (a.astype(np.int64) - op.input_zero) * (b.astype(np.int64) - op.other_zero)
    return _clamp(op, requantize(product, op.multiplier, op.shift) + op.output_zero)


def concat(op: ir.Concat, *parts: Int8s) -> Int8s:
    """(n, ..., ch) of each part -> (n, ..., sum of ch)."""
    return np.concatenate(parts, axis=-1)


def pad(op: ir.Pad, x: Int8s) -> Int8s:
    """(n, length, ch) -> (n, before + length + after, ch)."""
    return np.pad(x, ((0, 0), (op.before, op.after), (0, 0)), constant_values=op.value)


def reshape(op: ir.Reshape, x: Int8s) -> Int8s:
    """The same numbers; `interpret.tensors` gives them their shape."""
    return x


def softmax(op: ir.Softmax, x: Int8s) -> Int8s:
    """Over the last axis."""
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    table = _exp_table(op.multiplier, op.shift, op.diff_min)  # indexed by -difference; 0 below diff_min
    exponent = table[-difference]
    total = fixedpoint.rounding_shift_right(exponent, 12).sum(axis=-1, keepdims=True)  # Q12.19
    scale, bits_over_unit = fixedpoint.reciprocal(total, 12)
    product = (scale * exponent + (1 << 30)) >> 31
    shift = bits_over_unit + 31 - 8  # at least 11, since the sum is 1 or more
    rounded = (product + (np.int64(1) << (shift - 1))) >> shift  # no negative numbers here
    out: Int8s = np.clip(rounded - 128, -128, 127).astype(np.int8)
    return out


@lru_cache(maxsize=16)
def _exp_table(multiplier: int, shift: int, diff_min: int) -> NDArray[np.int64]:
    """exp(-d) in Q0.31 for the differences d = 0..255; 0 where they are beyond diff_min."""
    d = -np.arange(256, dtype=np.int64)
    near = np.maximum(d, diff_min)
    exponent = fixedpoint.exp_on_negative_values(requantize(near, multiplier, shift), 5)
    table: NDArray[np.int64] = np.where(d >= diff_min, exponent, 0)
    return table


def logistic(op: ir.Logistic, x: Int8s) -> Int8s:
    """Element by element, through the table of its 256 inputs."""
    return _curve(op, x, fixedpoint.logistic, bits=8, output_zero=-128)


def tanh(op: ir.Tanh, x: Int8s) -> Int8s:
    """Element by element, through the table of its 256 inputs."""
    return _curve(op, x, fixedpoint.tanh, bits=7, output_zero=0)


def _curve(
    op: ir.Logistic | ir.Tanh,
    x: Int8s,
    curve: Callable[[fixedpoint.Raw], fixedpoint.Raw],
    *,
    bits: int,
    output_zero: int,
) -> Int8s:
    """A function from Q4.27 to Q0.31, whose result is kept to `bits` fractional bits."""
    q = np.arange(-128, 128, dtype=np.int64) - op.input_zero
    near = np.clip(q, -op.radius, op.radius)
    value = curve(requantize(near, op.multiplier, op.shift))
    table = np.clip(fixedpoint.rounding_shift_right(value, 31 - bits) + output_zero, -128, 127)
    table = np.where(q <= -op.radius, -128, np.where(q >= op.radius, 127, table)).astype(np.int8)
    out: Int8s = table[x.astype(np.int64) + 128]
    return out


INT8_KERNELS: Mapping[type, Callable[..., Int8s]] = {
    ir.Conv1D: conv1d,
    ir.DepthwiseConv1D: depthwise_conv1d,
    ir.Dense: dense,
    ir.MaxPool1D: max_pool1d,
    ir.AveragePool1D: average_pool1d,
    ir.Mean: mean,
    ir.Softmax: softmax,
    ir.Logistic: logistic,
    ir.Relu: relu,
    ir.Tanh: tanh,
    ir.Requantize: requantize_int8,
    ir.Add: add,
    ir.Sub: sub,
    ir.Mul: mul,
    ir.Concat: concat,
    ir.Pad: pad,
    ir.Reshape: reshape,
}
