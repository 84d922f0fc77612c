"""Padding and unrolled columns of a convolution, operands side by side, of any number type. Layer: graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from . import ir

BLOCK_VALUES = 8 << 20  # of unrolled columns that are copied at once


def padded(
    x: NDArray[Any], op: ir.Conv1D | ir.DepthwiseConv1D | ir.MaxPool1D | ir.AveragePool1D, value: float
) -> NDArray[Any]:
    """(n, length, ch) with the op's padding columns of `value` around; `x` itself where there are none."""
    if op.pad_before == 0 and op.pad_after == 0:
        return x
    n, length, channels = x.shape
    out = np.full((n, op.pad_before + length + op.pad_after, channels), value, x.dtype)
    out[:, op.pad_before : op.pad_before + length] = x
    return out


def taps_of(x: NDArray[Any], op: ir.Conv1D, length: int) -> NDArray[Any]:
    """Every input column that each output column sees.

    Args:
        x: (n, padded length, in).
        op: gives taps, stride and dilation.
        length: output columns.

    Returns:
        (n, length, taps, in): a view, to be read only.
    """
    x = np.ascontiguousarray(x)
    n, _, channels = x.shape
    per_window, per_column, per_channel = x.strides
    return as_strided(
        x,
        shape=(n, length, op.weights.shape[1], channels),
        strides=(per_window, op.stride * per_column, op.dilation * per_column, per_channel),
        writeable=False,
    )


def blocks_of(columns: NDArray[Any]) -> Iterator[slice]:
    """Slices of output columns whose unrolled inputs, (n, length, taps, in), fit memory; nearly always one slice."""
    n, length, taps, channels = columns.shape
    step = max(1, BLOCK_VALUES // max(1, n * taps * channels))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def broadcast(a: NDArray[Any], b: NDArray[Any], out: ir.Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Operands, each with n (a constant: 1) in front, side by side: (n, channels) becomes (n, 1, channels)."""
    if len(out.shape) == 2:
        a, b = (x[:, None] if x.ndim == 2 else x for x in (a, b))
    return a, b
