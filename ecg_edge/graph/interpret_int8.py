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
from .windows1d import padded, taps_of

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
    columns = taps_of(padded(x, op, op.input_zero), op, op.output.shape[0]).astype(real)
    acc = columns.reshape(-1, taps * channels) @ weights.T.astype(real)
    return _finish(op, acc, weights)


def depthwise_conv1d(op: ir.DepthwiseConv1D, x: Int8s) -> Int8s:
    """(n, length, ch) -> (n, out_length, ch)."""
    real = exact_float(op.weights.T)
    source = padded(x, op, op.input_zero).astype(real)
    length = op.output.shape[0]
    reach = (length - 1) * op.stride + 1
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


def add(op: ir.Add, x: Int8s, other: Int8s) -> Int8s:
    """Element by element."""
    a = (x.astype(np.int64) - op.input_zero) << op.left_shift
    b = (other.astype(np.int64) - op.other_zero) << op.left_shift
    total = requantize(a, op.input_multiplier, op.input_shift)
    total += requantize(b, op.other_multiplier, op.other_shift)
    return _clamp(op, requantize(total, op.output_multiplier, op.output_shift) + op.output_zero)


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
    q = np.arange(-128, 128, dtype=np.int64) - op.input_zero
    near = np.clip(q, 1 - op.radius, op.radius - 1)
    value = fixedpoint.logistic(requantize(near, op.multiplier, op.shift))
    table = np.clip(fixedpoint.rounding_shift_right(value, 31 - 8) - 128, -128, 127)
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
    ir.Add: add,
    ir.Reshape: reshape,
}
