"""Numbers for ecg_ops_dsp.h: words in the order of their use, requantization fused where it can be. Layer: codegen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .layer import Layer, folded_bias, plain_depthwise, reach, rows

_FUSED_REACH = 1 << 30  # of a scaled sum: SMMLA's result then stays in int32
_FUSED_SHIFT = 21  # of the last shift, for the same reason
_INT16_MAX = (1 << 15) - 1
_PACKED_REACH = 1 << 22  # of a sum, so that 257 times it stays in int32
Ints = NDArray[np.int64]

WIDE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Fused:
    """s of each output, and the shift p that all share."""

    scale_bits: Ints  # (out,)
    shift: int


def fuse(op: Conv1D | DepthwiseConv1D) -> Fused | None:
    """How the layer is fused, or None where its numbers do not allow it (ecg_ops_dsp.h has the formula)."""
    right = -op.shifts.astype(np.int64)
    if right.min() < 1 or right.max() + 1 > _FUSED_SHIFT:
        return None
    shift = int(right.max()) + 1
    bits = shift + 1 - right
    if (reach(op, folded_bias(op)) << bits).max() >= _FUSED_REACH:
        return None
    return Fused(bits, shift)


def fuse16(op: Conv1D | DepthwiseConv1D) -> Fused | None:
    """Fused, with scaled weights that still fit 16 bits."""
    fused = fuse(op)
    if fused is None or (np.abs(rows(op)).max(axis=1) << fused.scale_bits).max() > _INT16_MAX:
        return None
    return fused


def scaled(op: Conv1D | DepthwiseConv1D, fused: Fused | None) -> tuple[Ints, Ints]:
    """Weights, (out, depth), and bias, (out,), 2**s times as large where the layer is fused."""
    if fused is None:
        return rows(op), folded_bias(op)
    return rows(op) << fused.scale_bits[:, None], folded_bias(op) << fused.scale_bits


def addends(op: Conv1D | DepthwiseConv1D, fused: Fused) -> Ints:
    """(out,): what is added to the upper half of the product."""
    shared = (1 << (fused.shift - 1)) + op.output_zero * (1 << fused.shift)
    return np.asarray((np.int64(1) << (fused.scale_bits - 2)) + shared, np.int64)


def corrections(fused: Fused) -> Ints:
    """(out,): what is taken away again where the sum is negative."""
    return np.asarray(np.int64(1) << (fused.scale_bits - 1), np.int64)


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column: 16-bit weights for speed, 8-bit ones for size."""
    if opt == "size" and reach(op, folded_bias(op)).max() < _PACKED_REACH and rows(op).min() > -128:
        return _matrix8(name, op, aligned=aligned)
    fused = fuse16(op)
    weights, bias = scaled(op, fused)
    weights = _even(weights)
    words: list[int] = []
    for block in range(0, len(weights), 4):
        four = slice(block, block + 4)
        words += _four(bias[four]) + _pairs_by_output(weights[four]) + _finish_words(op, fused, block)
    descriptor = _descriptor(
        "ecg_matrix_t", name, op, fused, f".packed = {name}_packed, ", f".depth = {weights.shape[1]},"
    )
    how = _how(op, fused, aligned=aligned)
    return Layer(f"{_words(name, words)}\n{descriptor}", "ecg_matrix_t", "ecg_matrix_s8", True, how)


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column; plain where channels do not come in fours."""
    taps, out = op.weights.shape
    if out % 4 or out != op.input.shape[1]:
        return plain_depthwise(name, op)
    if opt == "size":
        return _depthwise8(name, op)
    fused = fuse16(op)
    weights, bias = scaled(op, fused)
    words: list[int] = []
    for block in range(0, out, 4):
        a, b, c, d = weights[block : block + 4]
        words += _four(bias[block : block + 4])
        words += np.stack([_word(a, c), _word(b, d)], axis=1).ravel().tolist()
        words += _finish_words(op, fused, block)
    fields = f".taps = {taps}, .step = {op.dilation * out},"
    descriptor = _descriptor("ecg_depthwise4_t", name, op, fused, f".packed = {name}_packed, ", fields)
    return Layer(f"{_words(name, words)}\n{descriptor}", "ecg_depthwise4_t", "ecg_depthwise4_s8", True, _how(op, fused))


def _matrix8(name: str, op: Conv1D, *, aligned: bool) -> Layer:
    weights, bias = _padded(_even(rows(op)), 4), _padded(folded_bias(op)[:, None], 4)[:, 0]
    fused = fuse(op)
    words: list[int] = []
    for block in range(0, len(weights), 4):
        words += _packed_by_pair(weights[block : block + 4])
    fields = f"{_units8(name)} .depth = {weights.shape[1]},"
    descriptor = _descriptor("ecg_matrix8_t", name, op, fused, f".packed = {name}_packed, ", fields)
    constants = "\n".join([_words(name, words), _unit_tables(name, op, bias, fused), descriptor])
    return Layer(constants, "ecg_matrix8_t", "ecg_matrix8_s8", True, _how(op, fused, aligned=aligned))


def _depthwise8(name: str, op: DepthwiseConv1D) -> Layer:
    taps, out = op.weights.shape
    fused = fuse(op)
    weights = ctext.array(
        "int8_t", f"{name}_weights", op.weights.ravel().tolist(), size=f"{taps} * {out}", comment="(taps, out)"
    )
    fields = f"{_units8(name)} .taps = {taps}, .step = {op.dilation * out},"
    descriptor = _descriptor("ecg_depthwise8_t", name, op, fused, f".weights = {name}_weights, ", fields)
    constants = "\n".join([weights, _unit_tables(name, op, folded_bias(op), fused), descriptor])
    return Layer(constants, "ecg_depthwise8_t", "ecg_depthwise8_s8", True, _how(op, fused))


def _units8(name: str) -> str:
    return f".units = {name}_units, .shifts = {name}_shifts,\n   "


def _unit_tables(name: str, op: Conv1D | DepthwiseConv1D, bias: Ints, fused: Fused | None) -> str:
    """Bias, multiplier and shift of each output, and of none where bias is longer."""
    shifts = op.shifts.astype(np.int64) if fused is None else -op.shifts.astype(np.int64) - 1
    spare = [0] * (len(bias) - len(shifts))
    pairs = zip(bias.tolist(), [*op.multipliers.tolist(), *spare], strict=True)
    lines = ctext.lines(f"{{{ctext.integer(b)}, {m}}}" for b, m in pairs)
    return "\n".join(
        [
            f"{ctext.CONST} ecg_unit_t {name}_units[{len(bias)}] = {{\n{lines}\n}};",
            ctext.array("int8_t", f"{name}_shifts", [*shifts.tolist(), *spare]),
        ]
    )


def _descriptor(
    kind: str, name: str, op: Conv1D | DepthwiseConv1D, fused: Fused | None, tables: str, fields: str
) -> str:
    return (
        f"{ctext.CONST} {kind} {name} = {{\n    {tables}.out = {op.bias.size}, {fields}\n"
        f"    .finish = {{.twice = {2 * op.output_zero + 1}, .shift = {fused.shift if fused else 0},\n"
        f"        .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max}}},\n}};"
    )


def _how(op: Conv1D | DepthwiseConv1D, fused: Fused | None, *, aligned: bool = False) -> tuple[str, ...]:
    """What is true of a layer, as ecg_ops_dsp.h names it."""
    facts = {
        "ECG_FUSED": fused is not None,
        "ECG_EVEN": fused is not None and op.act_min >= op.output_zero,
        "ECG_ALIGNED": aligned,
        "ECG_BOUNDED": (op.act_min, op.act_max) != (-128, 127),
    }
    return tuple(name for name, true in facts.items() if true) or ("0u",)


def _finish_words(op: Conv1D | DepthwiseConv1D, fused: Fused | None, block: int) -> list[int]:
    """What turns the sums of four outputs into outputs."""
    words: list[int] = []
    for unit in range(block, block + 4):
        if unit >= op.bias.size:
            unit_words = [0, 0, 0]
        elif fused is None:
            unit_words = [int(op.multipliers[unit]), int(op.shifts[unit]), 0]
        else:
            more = int(addends(op, fused)[unit]), int(corrections(fused)[unit])
            unit_words = [int(op.multipliers[unit]), *more]
        words += unit_words[:2] if fused is not None and op.act_min >= op.output_zero else unit_words
    return words


def _pairs_by_output(weights: Ints) -> list[int]:
    """(4 at most, depth) -> words: for each pair of values one word an output."""
    four = _padded(weights, 4)
    return [int(w) for w in _word(four[:, 0::2], four[:, 1::2]).T.ravel()]


def _packed_by_pair(four: Ints) -> list[int]:
    """(4, depth) -> words of two outputs and two values; by eights of values, then by pairs."""
    packed = four[0::2] + 256 * four[1::2]  # (pair of outputs, depth), each in 16 bits
    words = _word(packed[:, 0::2], packed[:, 1::2])  # (pair of outputs, pair of values)
    whole = words.shape[1] // 4 * 4
    eights = words[:, :whole].reshape(2, -1, 4).transpose(1, 0, 2)
    return [int(w) for w in np.concatenate([eights.ravel(), words[:, whole:].T.ravel()])]


def _word(low: Ints, high: Ints) -> Ints:
    """Two int16 in one int32."""
    return np.asarray(((low & 0xFFFF) | (high << 16)), np.int64).astype(np.uint32).view(np.int32).astype(np.int64)


def _even(weights: Ints) -> Ints:
    """A column of zeros more where their number is odd."""
    return np.pad(weights, ((0, 0), (0, weights.shape[1] % 2)))


def _padded(rows: Ints, multiple: int) -> Ints:
    """Rows of zeros more, to a whole multiple."""
    return np.pad(rows, ((0, -len(rows) % multiple), (0, 0)))


def _four(values: Ints) -> list[int]:
    return [*values.tolist(), *[0] * (4 - len(values))]


def _words(name: str, words: Sequence[Any]) -> str:
    return ctext.array("int32_t", f"{name}_packed", [int(word) for word in words])
