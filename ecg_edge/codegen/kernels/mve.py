"""Numbers for ecg_ops_mve.h: int8 weights and requantization in the order of their use. Layer: codegen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .layer import Layer, folded_bias, plain_depthwise, rows

WIDE_BYTES = 1

_VALUES = 16  # of a vector
_INT16_WEIGHTS = 255  # sum of weights' magnitudes whose products with int8 values fit 16 bits: 128 * 255 < 2**15


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column: unrolled for speed, one loop for size."""
    weights = rows(op)
    out, depth = weights.shape
    packed = bytearray()
    for group in _groups(out, opt):
        packed += _by_vectors(weights[group]) if len(group) == 4 else _words(weights[group])
        packed += _unit(op, group)
    function = "ecg_matrix_s8" if opt == "speed" else "ecg_matrix_compact_s8"
    text = _constants("ecg_matrix_t", name, op, packed, f".depth = {depth},")
    return Layer(text, "ecg_matrix_t", function, wide_out=True, how=_how(op))


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column; plain where an output channel is not its input channel's only one."""
    taps, out = op.weights.shape
    if out != op.input.shape[1]:
        return plain_depthwise(name, op)
    packed = bytearray()
    for first in range(0, out, 8):
        channels = list(range(first, min(first + 8, out)))
        packed += _words(op.weights[:, channels].astype(np.int64))
        packed += _unit(op, channels[0::2]) + _unit(op, channels[1::2])
    fields = f".taps = {taps}, .step = {op.dilation * out}, .burst = {_burst(op)},"
    text = _constants("ecg_depthwise8_t", name, op, packed, fields)
    function = "ecg_depthwise8_s8" if opt == "speed" else "ecg_depthwise8_compact_s8"
    return Layer(text, "ecg_depthwise8_t", function, wide_out=True, how=_how(op))


def _groups(out: int, opt: Opt) -> list[list[int]]:
    """Outputs that are computed together, in order: of eight the even ones, then the odd ones, if for speed."""
    eights = out // 8 * 8 if opt == "speed" else 0
    groups = [list(range(first + odd, first + 8, 2)) for first in range(0, eights, 8) for odd in (0, 1)]
    return groups + [list(range(first, min(first + 4, out))) for first in range(eights, out, 4)]


def _by_vectors(four: NDArray[np.int64]) -> bytes:
    """(4, depth): for each 16 values, and for the rest, four rows."""
    parts = [four[:, i : i + _VALUES].ravel() for i in range(0, four.shape[1], _VALUES)]
    return bytes(np.concatenate(parts).astype(np.int8))


def _words(weights: NDArray[np.int64]) -> bytes:
    """Row by row, and zeros up to a whole word."""
    flat = weights.ravel().astype(np.int8)
    return np.pad(flat, (0, -flat.size % 4)).tobytes()


def _unit(op: Conv1D | DepthwiseConv1D, outputs: Sequence[int]) -> bytes:
    """Biases, multipliers and shifts of up to four outputs."""
    four = [
        np.pad(values[list(outputs)].astype(dtype), (0, 4 - len(outputs)))
        for values, dtype in ((folded_bias(op), "<i4"), (op.multipliers, "<i4"), (op.shifts, np.int8))
    ]
    return b"".join(part.tobytes() for part in four)


def _burst(op: DepthwiseConv1D) -> int:
    """Taps whose products add up in 16 bits, whatever the input: the most at a time."""
    magnitudes = np.abs(op.weights.astype(np.int64))
    taps = len(magnitudes)
    for burst in range(taps, 1, -1):
        starts = range(0, taps, burst)
        if max(int(magnitudes[start : start + burst].sum(axis=0).max()) for start in starts) <= _INT16_WEIGHTS:
            return burst
    return 1


def _constants(kind: str, name: str, op: Conv1D | DepthwiseConv1D, packed: bytes | bytearray, fields: str) -> str:
    words = np.frombuffer(bytes(packed), "<i4").tolist()
    finish = f".zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max}"
    descriptor = (
        f"{ctext.CONST} {kind} {name} = {{\n    .packed = {name}_packed, .out = {op.bias.size}, {fields}\n"
        f"    .finish = {{{finish}}},\n}};"
    )
    return f"{ctext.array('int32_t', f'{name}_packed', words)}\n{descriptor}"


def _how(op: Conv1D | DepthwiseConv1D) -> tuple[str]:
    """What its numbers allow."""
    if op.act_min >= op.output_zero and op.shifts.max() <= 0:
        return ("ECG_EVEN",)
    return ("ECG_RIGHT" if op.shifts.max() < 0 else "ECG_MIXED",)
