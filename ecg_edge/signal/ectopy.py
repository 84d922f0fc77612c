"""Rhythms of patients whose beats do not all come from the sinus node, drawn at random. Layer: signal; imports numpy.

Each kind of patient is a generator of beats without end: the interval before a beat, and where it arose. Every patient
draws its own rates, couplings and pauses first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHORTEST_S, LONGEST_S = 0.3, 4.0


class Origin(IntEnum):
    """Where a beat arose."""

    SINUS = 0
    ATRIAL = 1  # early, from another place in the atria
    FIBRILLATING = 2  # conducted from fibrillating atria: no P wave
    VENTRICULAR = 3


Beat = tuple[float, Origin]  # seconds since the beat before
Kind = Callable[[np.random.Generator], Iterator[Beat]]


class _Sinus:
    """A sinus node: it breathes, and drifts slowly."""

    def __init__(self, rng: np.random.Generator, period_s: float | None = None, breathing: float | None = None) -> None:
        self._rng = rng
        self._period_s = rng.uniform(0.72, 1.15) if period_s is None else period_s
        self._breathing = rng.uniform(0.01, 0.05) if breathing is None else breathing
        self._phase, self._drift = rng.uniform(0, 2 * np.pi), 1.0

    @property
    def now_s(self) -> float:
        return float(self._period_s * self._drift)

    def beat(self, factor: float = 1.0) -> Beat:
        rng = self._rng
        self._phase += 2 * np.pi * self._period_s / rng.uniform(3, 5)
        self._drift = min(max(self._drift + rng.normal(0, 0.004) + 0.002 * (1 - self._drift), 0.8), 1.2)
        return self.now_s * (1 + self._breathing * np.sin(self._phase) + rng.normal(0, 0.012)) * factor, Origin.SINUS

    def atrial(self, factor: float) -> Beat:
        return self.now_s * factor, Origin.ATRIAL

    def ventricular(self, factor: float) -> Beat:
        return self.now_s * factor, Origin.VENTRICULAR


def _sinus(rng: np.random.Generator) -> Iterator[Beat]:
    """Sinus arrhythmia, exercise, now and then a dropped beat: irregular, and all of it N."""
    node = _Sinus(rng, breathing=rng.uniform(0.05, 0.16))
    exercise, dropped = rng.choice([0.0, 0.0, rng.uniform(0.1, 0.3)]), rng.uniform(0, 0.01)
    number = 0
    while True:
        yield node.beat(1 - exercise * max(0.0, np.sin(number / 120)))
        number += 1
        if rng.random() < dropped:
            yield node.beat(rng.uniform(1.3, 1.9))


def _isolated(rng: np.random.Generator) -> Iterator[Beat]:
    """Single atrial premature beats."""
    node, rate = _Sinus(rng), rng.uniform(0.01, 0.15)
    while True:
        yield node.beat()
        if rng.random() < rate:
            yield node.atrial(rng.uniform(0.5, 0.86))
            yield node.beat(rng.uniform(1.0, 1.3))


def _bigeminy(rng: np.random.Generator) -> Iterator[Beat]:
    """Stretches in which every second or third beat is atrial, in couplets too."""
    node, rate = _Sinus(rng), rng.uniform(0.02, 0.3)
    while True:
        yield node.beat(rng.uniform(0.98, 1.05))
        if rng.random() < rate:
            for _ in range(rng.integers(1, 8)):
                for _ in range(rng.choice([1, 1, 2])):
                    yield node.atrial(rng.uniform(0.55, 0.82))
                yield node.beat(rng.uniform(1.0, 1.25))
                if rng.random() < 0.5:
                    yield node.beat()


def _runs(rng: np.random.Generator) -> Iterator[Beat]:
    """Runs of supraventricular tachycardia, a third of them long ones."""
    node, rate, usual = _Sinus(rng), rng.uniform(0.004, 0.06), rng.uniform(0.5, 0.78)
    while True:
        yield node.beat()
        if rng.random() < rate:
            coupling = usual * rng.uniform(0.92, 1.08)
            for _ in range(rng.integers(3, 20) if rng.random() < 0.67 else rng.integers(20, 90)):
                yield node.atrial(coupling * rng.uniform(0.97, 1.04))
            yield node.beat(rng.uniform(1.0, 1.5))


def _sick(rng: np.random.Generator) -> Iterator[Beat]:
    """A sick sinus: slow, with pauses, and atrial beats that outnumber those of the sinus."""
    node = _Sinus(rng, period_s=rng.uniform(1.0, 1.5))
    coupling, pause, longest = rng.uniform(0.55, 0.75), rng.uniform(1.0, 1.7), int(rng.integers(2, 7))
    rests = rng.random() < 0.54
    while True:
        yield node.beat(rng.uniform(0.95, pause) if rng.random() < 0.85 else rng.uniform(pause, 1.8 * pause))
        while rests and rng.random() < 0.25:
            yield node.beat()
        now = coupling * rng.uniform(0.92, 1.1)
        for number in range(rng.integers(1, longest + 1)):
            yield node.atrial(now * rng.uniform(0.94, 1.06) * (1.05 if number == 0 else 1.0))


def _premature_ventricular(rng: np.random.Generator) -> Iterator[Beat]:
    """Ventricular premature beats: single, in bigeminy, in runs, with a compensatory pause or between two beats."""
    yield from _ventricular(rng, atrial=0.0)


def _mixed(rng: np.random.Generator) -> Iterator[Beat]:
    """Ventricular and atrial premature beats in one patient."""
    yield from _ventricular(rng, atrial=rng.uniform(0.01, 0.15))


def _ventricular(rng: np.random.Generator, *, atrial: float) -> Iterator[Beat]:
    node, rate = _Sinus(rng), rng.choice([0.02, 0.06, 0.15, 0.3])
    coupling, bigeminy = rng.uniform(0.5, 0.85), rng.random() < 0.25
    while True:
        yield node.beat()
        chance = rng.random()
        if chance < rate:
            for _ in range(rng.integers(1, 12) if bigeminy else 1):
                yield from _ventricular_group(rng, node, coupling)
        elif chance > 1 - atrial:
            for _ in range(rng.choice([1, 1, 1, 4])):
                yield node.atrial(rng.uniform(0.52, 0.85))
            yield node.beat(rng.uniform(1.0, 1.3))
        elif chance > 0.998:
            yield node.ventricular(rng.uniform(1.1, 1.6))  # an escape beat


def _ventricular_group(rng: np.random.Generator, node: _Sinus, coupling: float) -> Iterator[Beat]:
    """One to four ventricular beats and the sinus beat behind them."""
    factor = coupling * rng.uniform(0.92, 1.08)
    yield node.ventricular(factor)
    if rng.random() < 0.1:
        for _ in range(rng.integers(1, 4)):
            yield node.ventricular(coupling * rng.uniform(0.8, 1.1))
    if rng.random() < 0.08:
        yield max(node.now_s * (1.05 - factor), 0.35), Origin.SINUS  # interpolated: the sinus goes on as if it were not
    else:
        yield node.beat(2 - factor if factor < 1 and rng.random() < 0.8 else 1.1)


def _fibrillation(rng: np.random.Generator) -> Iterator[Beat]:
    """Atrial fibrillation: irregular without end, and all of it N."""
    mean_s, spread = rng.uniform(0.5, 0.95), rng.uniform(0.15, 0.28)
    while True:
        yield _irregular(rng, mean_s, spread)


def _fibrillation_ventricular(rng: np.random.Generator) -> Iterator[Beat]:
    """Ventricular beats within atrial fibrillation."""
    mean_s, spread = rng.uniform(0.5, 0.95), rng.uniform(0.15, 0.28)
    rate, coupling = 0.6 * rng.choice([0.02, 0.06, 0.15, 0.3]), rng.uniform(0.5, 0.85)
    while True:
        if rng.random() < rate:
            yield max(0.34, mean_s * coupling * rng.uniform(0.85, 1.15)), Origin.VENTRICULAR
            yield _irregular(rng, mean_s * 1.22, spread)
        yield _irregular(rng, mean_s, spread)


def _paroxysms(rng: np.random.Generator) -> Iterator[Beat]:
    """Sinus rhythm and atrial fibrillation by turns."""
    node, mean_s, spread = _Sinus(rng), rng.uniform(0.5, 0.95), rng.uniform(0.15, 0.28)
    while True:
        for _ in range(rng.integers(30, 200)):
            yield node.beat()
        now_s = mean_s * rng.uniform(0.75, 1.15)
        for _ in range(rng.integers(30, 250)):
            yield _irregular(rng, now_s, spread)


def _irregular(rng: np.random.Generator, mean_s: float, spread: float) -> Beat:
    return mean_s * float(np.exp(rng.normal(0, spread))), Origin.FIBRILLATING


KINDS: Final[dict[str, Kind]] = {
    "isolated": _isolated,
    "bigeminy": _bigeminy,
    "runs": _runs,
    "sick": _sick,
    "sinus": _sinus,
    "fibrillation": _fibrillation,
    "paroxysms": _paroxysms,
    "ventricular": _premature_ventricular,
    "mixed": _mixed,
    "fibrillation_ventricular": _fibrillation_ventricular,
}


def draw_rhythm(kind: str, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(count,) seconds before each beat, and (count,) Origin of each, of a new patient of one of KINDS."""
    beats = list(islice(KINDS[kind](rng), count))
    intervals_s = np.clip([interval_s for interval_s, _ in beats], SHORTEST_S, LONGEST_S)
    return intervals_s, np.array([origin for _, origin in beats], np.int64)
