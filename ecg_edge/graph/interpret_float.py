"""Float kernels, whole windows at a time: what each op of a float graph computes, in float32. Layer: graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ir
from .windows1d import blocks_of, broadcast, padded, taps_of

Floats = NDArray[np.float32]
_BOUNDS = {"NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def _activate(op: Any, x: Floats) -> Floats:
    low, high = _BOUNDS[op.activation]
    if low is None:
        return x
    out: Floats = np.clip(x, low, high)
    return out


def conv1d(op: ir.Conv1D, x: Floats) -> Floats:
    """(n, length, in) -> (n, out_length, out)."""
    out = op.weights.shape[0]
    columns = taps_of(padded(x, op, 0.0), op, op.output.shape[0])
    weights = op.weights.reshape(out, -1)
    result = np.empty((len(x), *op.output.shape), np.float32)
    for block in blocks_of(columns):
        acc = columns[:, block].reshape(-1, weights.shape[1]) @ weights.T
        result[:, block] = acc.reshape(len(x), -1, out) + op.bias
    return _activate(op, result)


def depthwise_conv1d(op: ir.DepthwiseConv1D, x: Floats) -> Floats:
    """(n, length, in) -> (n, out_length, out)."""
    source = padded(x, op, 0.0)
    multiplier = op.weights.shape[1] // x.shape[2]
    if multiplier > 1:
        source = source.repeat(multiplier, axis=2)
    length = op.output.shape[0]
    reach = (length - 1) * op.stride + 1
    acc = np.zeros((len(x), length, op.weights.shape[1]), np.float32)
    for k, row in enumerate(op.weights):
        first = k * op.dilation
        acc += source[:, first : first + reach : op.stride] * row
    return _activate(op, acc + op.bias)


def dense(op: ir.Dense, x: Floats) -> Floats:
    """(n, ...) -> (n, out)."""
    return _activate(op, x.reshape(len(x), -1) @ op.weights.T + op.bias)


def max_pool1d(op: ir.MaxPool1D, x: Floats) -> Floats:
    """(n, length, ch) -> (n, out_length, ch)."""
    source = padded(x, op, -np.inf)
    reach = (op.output.shape[0] - 1) * op.stride + 1
    out = source[:, : reach : op.stride].copy()
    for k in range(1, op.pool):
        np.maximum(out, source[:, k : k + reach : op.stride], out=out)
    return _activate(op, out)


def average_pool1d(op: ir.AveragePool1D, x: Floats) -> Floats:
    """(n, length, ch) -> (n, out_length, ch). Only columns that exist are counted."""
    source = padded(x, op, 0.0)
    length = op.output.shape[0]
    reach = (length - 1) * op.stride + 1
    total = np.zeros((len(x), length, x.shape[2]), np.float32)
    for k in range(op.pool):
        total += source[:, k : k + reach : op.stride]
    first = np.arange(length) * op.stride - op.pad_before
    count = np.minimum(first + op.pool, x.shape[1]) - np.maximum(first, 0)
    return _activate(op, total / count.astype(np.float32)[:, None])


def mean(op: ir.Mean, x: Floats) -> Floats:
    """(n, length, ch) -> (n, ch)."""
    out: Floats = x.mean(axis=1, dtype=np.float32)
    return out


def softmax(op: ir.Softmax, x: Floats) -> Floats:
    """Over the last axis."""
    e = np.exp((x - x.max(axis=-1, keepdims=True)) * np.float32(op.beta))
    out: Floats = e / e.sum(axis=-1, keepdims=True)
    return out


def logistic(op: ir.Logistic, x: Floats) -> Floats:
    """Element by element, from the side that cannot overflow."""
    e = np.exp(-np.abs(x))
    out: Floats = np.where(x >= 0, np.float32(1.0), e) / (np.float32(1.0) + e)
    return out


def relu(op: ir.Relu, x: Floats) -> Floats:
    """Element by element."""
    return _activate(op, x)


def tanh(op: ir.Tanh, x: Floats) -> Floats:
    """Element by element."""
    out: Floats = np.tanh(x)
    return out


def add(op: ir.Add, x: Floats, other: Floats) -> Floats:
    """Element by element; a side of (n, channels) or (channels,) counts for every column."""
    a, b = broadcast(x, other, op.output)
    return _activate(op, a + b)


def sub(op: ir.Sub, x: Floats, other: Floats) -> Floats:
    """As `add`, with the difference."""
    a, b = broadcast(x, other, op.output)
    return _activate(op, a - b)


def mul(op: ir.Mul, x: Floats, other: Floats) -> Floats:
    """As `add`, with the product."""
    a, b = broadcast(x, other, op.output)
    return _activate(op, a * b)


def concat(op: ir.Concat, *parts: Floats) -> Floats:
    """(n, ..., ch) of each part -> (n, ..., sum of ch)."""
    return np.concatenate(parts, axis=-1)


def pad(op: ir.Pad, x: Floats) -> Floats:
    """(n, length, ch) -> (n, before + length + after, ch)."""
    return np.pad(x, ((0, 0), (op.before, op.after), (0, 0)))


def reshape(op: ir.Reshape, x: Floats) -> Floats:
    """The same numbers; `interpret.tensors` gives them their shape."""
    return x


FLOAT_KERNELS: Mapping[type, Callable[..., Floats]] = {
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
    ir.Add: add,
    ir.Sub: sub,
    ir.Mul: mul,
    ir.Concat: concat,
    ir.Pad: pad,
    ir.Reshape: reshape,
}
