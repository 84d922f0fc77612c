"""Numbers for ecg_ops_avr.h: weights without a sign, and requantization as a guess that is checked. Layer: codegen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .layer import Layer, folded_bias, plain_depthwise, reach, rows, units
from .portable import in_fours
from .stairs import steps_of

WIDE_BYTES = 1
_SUM_LIMIT = 1 << 23  # sums have 24 bits
_PRODUCT_LIMIT = 1 << 48  # six bytes of a product are looked at
_DROPPED = 1 << 25  # by ecg_scale(): the products of lower bytes
_UNIT = 1 << 24  # of `slack`: a 256th of a level
_SLACK_LIMIT = 32  # a quarter of all sums would be computed twice
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Guess:
    """One output: its level is (sum + offset) * factor >> 32, unless the product is less than `slack` above it."""

    factor: int
    offset: int
    slack: int


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column."""
    guesses = find_guesses(op)
    weights = rows(op)
    out, depth = weights.shape
    if guesses is None:
        return _any(name, op)
    table = ctext.array(
        "uint8_t",
        f"{name}_weights",
        (in_fours(weights) + 128).tolist(),
        comment="(out / 4, depth, 4), (out % 4, depth)",
    )
    begins = folded_bias(op) - 128 * weights.sum(axis=1)
    return _layer("ecg_matrix", name, op, guesses, begins, table, f".out = {out}, .depth = {depth}")


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column."""
    taps, out = op.weights.shape
    guesses = find_guesses(op) if out == op.input.shape[1] else None
    if guesses is None:
        return plain_depthwise(name, op)
    table = ctext.array("int8_t", f"{name}_weights", rows(op).ravel().tolist(), comment="(out, taps)")
    fields = f".out = {out}, .taps = {taps}, .step = {op.dilation * out}"
    return _layer("ecg_channels", name, op, guesses, folded_bias(op), table, fields)


@lru_cache(maxsize=64)  # the search takes a while, and who estimates asks again
def find_guesses(op: Conv1D | DepthwiseConv1D) -> tuple[Guess, ...] | None:
    """Numbers for each output; None where one has none."""
    bias = folded_bias(op)
    furthest = reach(op, bias)
    if op.act_max <= op.act_min or furthest.max() >= _SUM_LIMIT:
        return None
    guesses = [_guess(op, unit, int(furthest[unit])) for unit in range(op.bias.size)]
    found = [guess for guess in guesses if guess is not None]
    return tuple(found) if len(found) == len(guesses) else None


def _guess(op: Conv1D | DepthwiseConv1D, unit: int, furthest: int) -> Guess | None:
    """Numbers for one output, every step of which is tried."""
    steps = steps_of(op, unit)
    factor = _factor(int(op.multipliers[unit]), int(op.shifts[unit]))
    if steps is None or not 0 < factor < 1 << 32:
        return None
    # With sums from 0 on, each step would have to come when the product is at its level. The first sum that gives it
    # may come late by so much: the offset makes up for that. The last sum before it is then early by so much.
    levels = np.arange(1, len(steps) + 1, dtype=np.int64) << 32
    late = int((levels - steps * factor).max()) + _DROPPED
    offset = -(-late // factor)
    early = int(((steps - 1 + offset) * factor - levels).max())
    slack = max(early // _UNIT + 1, 1)
    reached = furthest + abs(offset)
    if slack > _SLACK_LIMIT or reached >= _SUM_LIMIT or reached * factor >= _PRODUCT_LIMIT:
        return None
    return Guess(factor, offset, slack)


def _factor(multiplier: int, shift: int) -> int:
    """Levels a sum, times 2**32, rounded."""
    return multiplier << shift + 1 if shift >= -1 else multiplier + (1 << -shift - 2) >> -shift - 1


def _layer(
    kind: str,
    name: str,
    op: Conv1D | DepthwiseConv1D,
    guesses: tuple[Guess, ...],
    begins: Ints,
    table: str,
    fields: str,
) -> Layer:
    numbers = zip(guesses, begins.tolist(), op.multipliers.tolist(), op.shifts.tolist(), strict=True)
    lines = ctext.lines(
        f"{{{begin + guess.offset}, {guess.factor}u, {guess.offset}, {multiplier}, {shift}}}"
        for guess, begin, multiplier, shift in numbers
    )
    constants = "\n".join(
        [
            table,
            f"{ctext.CONST} ecg_unit_t {name}_units[{len(guesses)}] = {{\n{lines}\n}};",
            f"{ctext.CONST} {kind}_t {name} = {{",
            f"    .weights = {name}_weights, .units = {name}_units, {fields},",
            f"    .levels = {{.slack = {max(guess.slack for guess in guesses)}, .levels = {op.act_max - op.act_min}, "
            f".zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max}}},",
            "};",
        ]
    )
    return Layer(constants, f"{kind}_t", f"{kind}_s8", wide_out=True)


def _any(name: str, op: Conv1D) -> Layer:
    """For numbers without a guess."""
    weights = rows(op)
    out, depth = weights.shape
    table = ctext.array("int8_t", f"{name}_weights", weights.ravel().tolist(), comment="(out, depth)")
    descriptor = (
        f"{ctext.CONST} ecg_any_t {name} = {{\n"
        f"    .weights = {name}_weights, .bias = {name}_bias, .multipliers = {name}_multipliers, "
        f".shifts = {name}_shifts,\n"
        f"    .out = {out}, .depth = {depth}, .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},\n}};"
    )
    return Layer("\n".join([table, units(name, op), descriptor]), "ecg_any_t", "ecg_matrix_any_s8", wide_out=True)
