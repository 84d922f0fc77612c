"""Requantization as a staircase: 16-bit numbers that give the same outputs for every sum. Layer: codegen.

An int8 output has at most 256 values, and it never falls while the sum grows: a layer is known by the sums at which its
output takes one step up. A cheaper function that takes every step at the same sum is the same function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from ...graph.quant import requantize
from .layer import folded_bias, reach

_UINT16 = (1 << 16) - 1
_FURTHEST_SUM = 1 << 29  # of a step, so that sum and step stay in int32 together
_SCALES = range(24, 11, -1)  # 2**24 * 256 outputs: 32 bits
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flight:
    """One output: act_min + ((s * high + ((s >> coarse) * low >> fine) + addend) >> scale), where s is the sum
    less `base`, from 0 to `top`."""

    base: int
    top: int
    high: int
    low: int
    addend: int
    bend: int  # less is added to where the sum is negative


@dataclass(frozen=True, slots=True)
class Stairs:
    """All outputs of a layer."""

    coarse: int
    fine: int
    scale: int
    bent: bool
    flights: tuple[Flight, ...]


@lru_cache(maxsize=64)  # the search takes a while, and every Thumb-1 core asks for the same
def find_stairs(op: Conv1D | DepthwiseConv1D) -> Stairs | None:
    """Numbers that take every step where the layer's requantization takes it; None where there are none."""
    if op.act_max <= op.act_min or reach(op, folded_bias(op)).max() >= _FURTHEST_SUM:
        return None
    every = [steps_of(op, unit) for unit in range(op.bias.size)]
    steps = [found for found in every if found is not None]
    if len(steps) != len(every):
        return None
    slopes = [int(m) * 2.0 ** (int(shift) - 31) for m, shift in zip(op.multipliers, op.shifts, strict=True)]
    widest = max(int(s[-1] - s[0] + 2 / slope + 4) for s, slope in zip(steps, slopes, strict=True))
    coarse = max(0, widest.bit_length() - 16)
    bent = op.act_min < op.output_zero
    for scale in _SCALES if coarse < 16 else ():
        bends = [1 << max(scale + min(int(shift), 0), 0) if bent else 0 for shift in op.shifts]
        flights = [
            _flight(found, slope, coarse, scale, bend) for found, slope, bend in zip(steps, slopes, bends, strict=True)
        ]
        if all(flights):
            return Stairs(coarse, 16 - coarse, scale, bent, tuple(flight for flight in flights if flight is not None))
    return None


def steps_of(op: Conv1D | DepthwiseConv1D, unit: int) -> Ints | None:
    """(act_max - act_min,): the least sum that gives act_min + 1, + 2, ...; None if one lies too far away."""
    multiplier, shift = int(op.multipliers[unit]), int(op.shifts[unit])
    furthest = _FURTHEST_SUM >> max(shift, 0)
    wanted = np.arange(op.act_min + 1, op.act_max + 1, dtype=np.int64) - op.output_zero
    low, high = np.full_like(wanted, -furthest), np.full_like(wanted, furthest)
    ends = requantize(np.array([-furthest, furthest]), multiplier, shift)
    if ends[0] >= wanted[0] or ends[1] < wanted[-1]:
        return None
    while (high - low > 1).any():  # low gives less, high does not
        middle = (low + high) // 2
        less = requantize(middle, multiplier, shift) < wanted
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return high


def _flight(steps: Ints, slope: float, coarse: int, scale: int, bend: int) -> Flight | None:
    """Numbers for one output, every step of which is tried."""
    exact = slope * 2.0**scale
    if exact > _UINT16:
        return None
    for base in range(int(steps[0]) - int(1 / slope) - 2, int(steps[0])):
        for high, low in _factors(exact):
            flight = _fit(steps, base, (high, low), coarse, scale, bend)
            if flight is not None:
                return flight
        if base > steps[0] - int(1 / slope) + 1:
            break
    return None


def _factors(exact: float) -> Iterator[tuple[int, int]]:
    """`exact`, and what lies about it, in 16 bits before and 16 after the point."""
    middle = round(exact * 65536)
    for distance in (0, 1, -1, 2, -2):
        if 0 < middle + distance < 1 << 32:
            yield divmod(middle + distance, 65536)


def _fit(steps: Ints, base: int, factors: tuple[int, int], coarse: int, scale: int, bend: int) -> Flight | None:
    """With an addend that makes every step right: at it, and one sum before it."""
    high, low = factors

    def rise(sums: Ints) -> Ints:
        fine = (sums - base >> coarse) * low >> (16 - coarse)
        return np.asarray((sums - base) * high + fine - np.where(sums < 0, bend, 0), np.int64)

    levels = np.arange(1, len(steps) + 1, dtype=np.int64) << scale
    least = max(bend, int((levels - rise(steps)).max()))
    most = int((levels - 1 - rise(steps - 1)).min())
    most = min(most, (len(steps) + 1 << scale) - 1 - int(rise(steps[-1:])[0]))  # nor one step too many at the top
    top = int(steps[-1]) - base
    if least > most or (top >> coarse) * low >= 1 << 32:
        return None
    addend = (least + most) // 2
    if top * high + ((top >> coarse) * low >> (16 - coarse)) + addend >= 1 << 32:
        return None
    return Flight(base, top, high, low, addend, bend)
