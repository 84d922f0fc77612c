"""Known answers for the boot self-test: signals as polylines, and what the golden model answers. Layer: codegen.

A signal is a made-up ECG of few knots, so that it costs some 300 bytes of flash and still drives filter, detector and
model like a real one: a window, or for a model of beats some seconds, of which the last beat counts, since it looks as
it does for all that came before. Of many candidates those are taken whose scores are least saturated: scores near a tie
move with any wrong bit, where a confident 127 hides it. The model's sha256 is the seed, so an export is the same bytes
each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle import Takes
from ..graph.interpret import run
from ..graph.ir import Graph

# (length,) uV of one lead -> (window, leads or channels) that the model is shown; (0, ...) where it is shown nothing.
Preparation = Callable[[NDArray[np.int16]], NDArray[np.int8]]

CANDIDATES = 48
KEPT = 3
BEATS_SAMPLES, BEATS_KEPT = 1000, 2  # of a model of beats: half of them are learnt from, and all take time at boot
MAX_STEP = 32767  # samples between two knots


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One known answer."""

    knots: tuple[tuple[int, int], ...]  # (samples from the knot before, level in uV)
    scores: tuple[int, ...]


def make_selftests(graph: Graph, fs_hz: int, prepare: Preparation, *, takes: Takes = "windows") -> tuple[SelfTest, ...]:
    """The known answers of a model.

    Args:
        graph: int8.
        fs_hz: its rate.
        prepare: what turns a signal into what the model is shown.
        takes: a window, or the last beat of a longer signal.

    Returns:
        KEPT or BEATS_KEPT of them, with different winners where the candidates have any.
    """
    random = np.random.default_rng(np.frombuffer(bytes.fromhex(graph.sha256), np.uint32))
    length, kept = (BEATS_SAMPLES, BEATS_KEPT) if takes == "beats" else (graph.input.shape[0], KEPT)
    drawn = [_pseudo_ecg(random, length, fs_hz) for _ in range(CANDIDATES)]
    shown = [(knots, columns) for knots in drawn if len(columns := prepare(expand(knots)))]
    scores = run(graph, np.stack([columns for _, columns in shown]))
    return tuple(SelfTest(shown[i][0], tuple(scores[i].tolist())) for i in _least_saturated(scores, kept))


def expand(knots: tuple[tuple[int, int], ...]) -> NDArray[np.int16]:
    """(length,) uV: from level 0, each knot is reached linearly; the division truncates towards zero, as C's does."""
    before = 0
    pieces = []
    for samples, level in knots:
        steps = (level - before) * np.arange(1, samples + 1, dtype=np.int64)
        pieces.append(before + np.sign(steps) * (np.abs(steps) // samples))
        before = level
    polyline: NDArray[np.int16] = np.concatenate(pieces).astype(np.int16)
    return polyline


def _least_saturated(scores: NDArray[np.int8], kept: int) -> list[int]:
    """Indices of the `kept` rows to take: small largest scores first, and one of each winner before a second."""
    order = np.argsort(scores.max(axis=1), kind="stable").tolist()
    winners: list[int] = []
    first: list[int] = []
    again: list[int] = []
    for i in order:
        winner = int(scores[i].argmax())
        (again if winner in winners else first).append(i)
        winners.append(winner)
    return (first + again)[:kept]


def _pseudo_ecg(random: np.random.Generator, length: int, fs_hz: int) -> tuple[tuple[int, int], ...]:
    """Beats of nine knots each: P, Q, R, S, J, the ST segment, T and the baseline, all of random size."""
    period_s = random.uniform(0.45, 1.3)
    gain = np.exp(random.normal(-0.3, 0.8))
    p_uv, r_uv, st_uv, t_uv = gain * random.normal((120, 900, 0, 250), (60, 350, 150, 250))
    wander_uv, noise_uv = random.uniform(0, 200), random.uniform(0, 40)
    shape = (  # s from the beat's beginning, uV
        (0.00, 0.0), (0.05, p_uv), (0.10, 0.0), (0.15, -0.1 * r_uv), (0.18, r_uv), (0.21, -0.2 * r_uv), (0.24, st_uv),
        (0.32, st_uv), (0.40, st_uv / 2 + t_uv), (0.48, 0.0),
    )  # fmt: skip
    scale = min(1.0, period_s / 0.6)  # a fast heart has short waves
    times, levels, start = [], [], -random.uniform(0, period_s)
    while start * fs_hz < length:
        times += [start + at * scale for at, _ in shape]
        levels += [level + random.normal(0, noise_uv) + wander_uv * np.sin(start) for _, level in shape]
        start += period_s * random.normal(1.0, 0.08)
    return _knots(
        np.round(np.array(times) * fs_hz).astype(int), np.round(np.clip(levels, -6000, 6000)).astype(int), length
    )


def _knots(at: NDArray[np.int_], level_uv: NDArray[np.int_], length: int) -> tuple[tuple[int, int], ...]:
    """Points of a polyline -> knots that fill exactly `length` samples; points that leave no step are dropped."""
    knots: list[tuple[int, int]] = []
    done = 0
    for end, level in zip([*at.tolist(), length], [*level_uv.tolist(), 0], strict=True):
        end = min(end, length)
        while end - done > MAX_STEP:
            knots.append((MAX_STEP, level))
            done += MAX_STEP
        if end > done:
            knots.append((end - done, level))
            done = end
    return tuple(knots)
