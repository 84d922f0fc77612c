"""When beats come, and of which kind: sinus rhythm with LF/HF variability, ectopy, fibrillation, pauses.

Layer: signal; imports numpy. Source: McSharry et al. 2003, IEEE TBME 50(3):289-294 for the LF/HF variability of RR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kinds = NDArray[np.int8]

BEATS = 30  # per window, the ones outside it included: 4.1 s at 160/min on both sides of the anchor
ANCHOR = 14  # the beat that is placed inside the window; an event happens here


class Beat(IntEnum):
    """What a beat is; WFDB symbols in `BEAT_SYMBOLS`."""

    NORMAL = 0
    ATRIAL = 1
    VENTRICULAR = 2
    FIBRILLATION = 3  # conducted in atrial fibrillation: no P wave
    BLOCKED_P = 4  # a P wave without a QRS
    ABSENT = 5


BEAT_SYMBOLS = {Beat.NORMAL: "N", Beat.ATRIAL: "A", Beat.VENTRICULAR: "V", Beat.FIBRILLATION: "N"}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The beats of n windows; times in seconds from the window's first sample."""

    r_s: Floats  # (n, BEATS)
    rr_s: Floats  # (n, BEATS) interval before each beat
    kind: Kinds  # (n, BEATS) Beat
    base_rr_s: Floats  # (n,) the sinus rhythm underneath
    event: NDArray[np.int8]  # (n,) index into RHYTHMS


def _variability(rng: np.random.Generator, base: Floats) -> Floats:
    """(n,) base RR -> (n, BEATS) factors around 1: a slow (LF) and a respiratory (HF) wave, and a little white."""
    n = base.size
    t = base[:, None] * np.arange(BEATS)
    low = rng.uniform(0.0, 0.04, n)[:, None] * np.sin(
        2 * np.pi * rng.uniform(0.05, 0.15, n)[:, None] * t + rng.uniform(0, 2 * np.pi, n)[:, None]
    )
    high = rng.uniform(0.0, 0.06, n)[:, None] * np.sin(
        2 * np.pi * rng.uniform(0.15, 0.4, n)[:, None] * t + rng.uniform(0, 2 * np.pi, n)[:, None]
    )
    white = rng.normal(0.0, 1.0, (n, BEATS)) * rng.uniform(0.002, 0.015, n)[:, None]
    return np.asarray(1.0 + low + high + white)


@dataclass(frozen=True, slots=True)
class Span:
    """What must be visible around the anchor for the label to be fair, (n,) s each."""

    before: Floats
    after: Floats


def _premature(rng: np.random.Generator, rr: Floats, at: NDArray[np.bool_], *, full_pause: bool) -> None:
    """Bring the beats `at` forward, in place; the pause after is compensatory (ventricular) or shorter (atrial)."""
    rows, cols = np.nonzero(at)
    coupling = rng.uniform(0.50, 0.78, rows.size)
    plain = rr[rows, cols].copy()
    rr[rows, cols] = plain * coupling
    if full_pause:
        interpolated = rng.random(rows.size) < 0.06
        pause = np.where(interpolated, 1.0 - coupling, 2.0 - coupling) * rng.uniform(0.95, 1.05, rows.size)
        pause = np.maximum(pause, np.where(coupling > 0.6, 0.6, 0.45))
    else:
        pause = rng.uniform(0.98, 1.30, rows.size)
    rr[rows, cols + 1] = plain * pause


def _single(rng: np.random.Generator, rr: Floats, kind: Kinds, *, beat: Beat) -> Span:
    """One ectopic beat at the anchor, and in a third of the windows another one some beats later."""
    n = rr.shape[0]
    at = np.zeros(rr.shape, np.bool_)
    at[:, ANCHOR] = True
    again = rng.random(n) < 0.3
    at[np.arange(n)[again], ANCHOR + rng.integers(3, 7, n)[again]] = True
    _premature(rng, rr, at, full_pause=beat is Beat.VENTRICULAR)
    kind[at] = beat
    if beat is Beat.VENTRICULAR:  # it shows by its shape alone
        return Span(rr[:, ANCHOR], np.full(n, 0.25))
    return Span(rr[:, ANCHOR] + rr[:, ANCHOR - 1], rr[:, ANCHOR + 1])


def _bigeminy(rng: np.random.Generator, rr: Floats, kind: Kinds) -> Span:
    """Every second or third beat ventricular, or (a quarter) atrial."""
    n = rr.shape[0]
    period = rng.choice([2, 2, 3], n)[:, None]
    at = (np.arange(BEATS)[None, :] - ANCHOR) % period == 0
    at[:, -1] = False
    atrial = (rng.random(n) < 0.25)[:, None]
    _premature(rng, rr, at & ~atrial, full_pause=True)
    _premature(rng, rr, at & atrial, full_pause=False)
    kind[at & ~atrial] = Beat.VENTRICULAR
    kind[at & atrial] = Beat.ATRIAL
    return Span(rr[:, ANCHOR] + rr[:, ANCHOR - 1], np.where(atrial[:, 0], rr[:, ANCHOR + 1], 0.25))


def _run(rng: np.random.Generator, rr: Floats, kind: Kinds, *, beat: Beat) -> Span:
    """Three to eight ectopic beats in a row, the anchor first, fast and nearly regular."""
    n = rr.shape[0]
    last = ANCHOR + rng.integers(3, 9, n)[:, None]
    index = np.arange(BEATS)[None, :]
    at = (index >= ANCHOR) & (index < last)
    pace = np.minimum(60.0 / rng.uniform(110, 210, n), 0.72 * rr.mean(axis=1))[:, None]
    rr[:] = np.where(at, pace * rng.normal(1.0, 0.02, rr.shape), rr)
    rr[:] = np.where(index == last, rr * rng.uniform(1.0, 1.5, n)[:, None], rr)
    kind[at] = beat
    return Span(rr[:, ANCHOR] + rr[:, ANCHOR - 1], 2.0 * pace[:, 0])


def _fibrillation(rng: np.random.Generator, rr: Floats, kind: Kinds) -> Span:
    """Irregularly irregular: gamma-distributed RR with a coefficient of variation of 15 to 35 %."""
    n = rr.shape[0]
    spread = rng.uniform(0.15, 0.35, n)[:, None]
    shape = 1.0 / spread**2
    draws = rng.gamma(np.broadcast_to(shape, rr.shape)) / shape
    # Five intervals in a row can be alike by chance: the ones around the anchor differ by 25 % or more.
    low = rng.uniform(0.72, 0.88, n)
    draws[:, ANCHOR], draws[:, ANCHOR + 1] = low, low * rng.uniform(1.28, 1.7, n)
    flip = rng.random(n) < 0.5
    draws[flip, ANCHOR : ANCHOR + 2] = draws[flip, ANCHOR : ANCHOR + 2][:, ::-1]
    rr[:] = np.clip(rr.mean(axis=1)[:, None] * draws, 0.28, 2.0)
    kind[:] = Beat.FIBRILLATION
    return Span(rr[:, ANCHOR], rr[:, ANCHOR + 1])


def _pause(rng: np.random.Generator, rr: Floats, kind: Kinds) -> Span:
    """A pause of 1.9 to 3.2 s that ends at the anchor; in half of them the P waves go on (AV block)."""
    n = rr.shape[0]
    base = rr.mean(axis=1)
    pause = rng.uniform(np.maximum(1.9, 1.7 * base), 3.2)
    blocked = rng.random(n) < 0.5
    dropped = np.clip(np.round(pause / base).astype(np.int64) - 1, 1, 6)
    pace = np.where(blocked, pause / (dropped + 1), base)
    index = np.arange(BEATS)[None, :]
    missing = (index < ANCHOR) & (index >= (ANCHOR - dropped)[:, None]) & blocked[:, None]
    rr[:] = np.where(missing, pace[:, None], rr)
    rr[:, ANCHOR] = np.where(blocked, pace, pause)
    kind[missing] = Beat.BLOCKED_P
    return Span(pause, np.zeros(n))


Maker = Callable[[np.random.Generator, Floats, Kinds], Span]


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of arrhythmia; `rates`: the sinus rates per minute at which a window still shows the evidence."""

    name: str
    share: float  # among Arrhythmia windows
    rates: tuple[float, float]
    make: Maker


EVENTS = (
    Event("pac", 0.20, (50, 120), partial(_single, beat=Beat.ATRIAL)),
    Event("pvc", 0.20, (45, 125), partial(_single, beat=Beat.VENTRICULAR)),
    Event("bigeminy", 0.13, (50, 115), _bigeminy),
    Event("ventricular run", 0.11, (45, 115), partial(_run, beat=Beat.VENTRICULAR)),
    Event("atrial run", 0.08, (50, 110), partial(_run, beat=Beat.ATRIAL)),
    Event("fibrillation", 0.18, (50, 160), _fibrillation),
    Event("pause", 0.10, (46, 110), _pause),
)
RHYTHMS = ("sinus", *(event.name for event in EVENTS))
EDGE_S = 0.15  # a QRS this close to the window's edge is not counted on


def draw_rhythm(rng: np.random.Generator, arrhythmia: NDArray[np.bool_], *, span_s: float) -> Rhythm:
    """Draw the beats of one window each.

    Args:
        rng: the source of chance.
        arrhythmia: (n,) whether a window's rhythm is not sinus.
        span_s: length of a window in s, 3 or more.

    Returns:
        n rhythms; sinus at 40 to 160/min, events at rates that leave their evidence inside the window.
    """
    n = arrhythmia.size
    which = rng.choice(np.arange(1, len(RHYTHMS)), n, p=[event.share for event in EVENTS])
    event = np.where(arrhythmia, which, 0).astype(np.int8)
    rate = np.where(rng.random(n) < 0.5, rng.uniform(40, 160, n), np.clip(rng.normal(76, 16, n), 40, 160))
    limits = np.array([(40.0, 160.0), *(known.rates for known in EVENTS)])[event]
    outside = (rate < limits[:, 0]) | (rate > limits[:, 1])
    base = 60.0 / np.where(outside, rng.uniform(limits[:, 0], limits[:, 1]), rate)
    rr = base[:, None] * _variability(rng, base)
    kind = np.zeros((n, BEATS), np.int8)
    before, after = np.full(n, -EDGE_S), np.full(n, -EDGE_S)  # sinus: the anchor may lie anywhere
    for number, made in enumerate(EVENTS, start=1):
        rows = np.flatnonzero(event == number)
        if rows.size:
            rr_rows, kind_rows = rr[rows], kind[rows]
            shown = made.make(rng, rr_rows, kind_rows)
            before[rows], after[rows] = shown.before, shown.after
            rr[rows], kind[rows] = rr_rows, kind_rows
    earliest, latest = EDGE_S + before, span_s - EDGE_S - after
    middle = 0.5 * (earliest + latest)  # where both cannot be had
    anchor = rng.uniform(np.minimum(earliest, middle), np.maximum(latest, middle))
    r = np.cumsum(rr, axis=1)
    return Rhythm(r + (anchor - r[:, ANCHOR])[:, None], rr, kind, base, event)
