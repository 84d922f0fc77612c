"""Levels and fiducials of rendered beats, in the lead as emitted. Layer: signal; imports its neighbours and numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_edge.signal.beats import Beats, conducted, has_p, p_offset, t_offset
from ecg_edge.signal.rhythm import Beat, Rhythm
from ecg_edge.signal.subjects import Subjects
from ecg_edge.signal.waves import Flags, Floats, Grid, Ints

ST_AFTER_J_S = 0.060  # where ST is measured, against the PR segment


def _per_window(values: Floats, b: Beats, usable: Flags, n: int) -> Floats:
    """(m, ...) values of beats -> (n, ...) means over each window's usable beats; NaN where it has none."""
    total = np.zeros((n, *values.shape[1:]))
    np.add.at(total, b.window[usable], values[usable])
    count = np.bincount(b.window[usable].astype(np.intp), minlength=n).astype(float)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count > 0, count, np.nan).reshape(-1, *[1] * (values.ndim - 1)))


@dataclass(frozen=True, slots=True)
class Marks:
    """Where each beat is measured, (m,) samples; `usable`: a conducted, plain beat wholly inside."""

    p: Ints
    on: Ints
    j: Ints
    t: Ints
    usable: Flags


def mark_beats(b: Beats, s: Subjects, grid: Grid) -> Marks:
    """Where the waves of every beat are, by construction."""

    def at(offset: Floats) -> Ints:
        return np.asarray(np.round((b.r_s + offset) * grid.fs_hz), np.int64)

    w = b.window
    on, j, t = at(-s.on_s[w]), at(s.off_s[w]), at(t_offset(b, s))
    plain = (b.kind == Beat.NORMAL) | (b.kind == Beat.FIBRILLATION)
    usable = plain & (on - 5 >= 0) & (t + int(0.08 * grid.fs_hz) < grid.length)
    return Marks(at(p_offset(b, s)), on, j, t, usable)


def measure_levels(x: Floats, b: Beats, m: Marks, grid: Grid) -> Floats:
    """(n, length) -> (n, 2) mean ST level and T-peak level against the PR segment; NaN where no beat is usable."""

    def level(at: Ints) -> Floats:
        return np.asarray(x[b.window, np.clip(at, 0, grid.length - 1)])

    reference = (level(m.on - 1) + level(m.on - 2) + level(m.on - 3)) / 3.0
    st = level(m.j + round(ST_AFTER_J_S * grid.fs_hz)) - reference
    return _per_window(np.stack([st, level(m.t) - reference], axis=1), b, m.usable, grid.n)


def deepest_t(x: Floats, b: Beats, m: Marks, grid: Grid) -> Floats:
    """(n,) mean over beats of the lowest level in the T region against the PR segment."""
    region = m.t[:, None] + np.arange(-int(0.06 * grid.fs_hz), int(0.08 * grid.fs_hz), 2)
    lowest = x[b.window[:, None], np.clip(region, 0, grid.length - 1)].min(axis=1)
    reference = x[b.window, np.clip(m.on - 2, 0, grid.length - 1)]
    return np.asarray(_per_window((lowest - reference)[:, None], b, m.usable, grid.n)[:, 0])


def fiducial_tables(b: Beats, m: Marks, rhythm: Rhythm, grid: Grid) -> tuple[Ints, ...]:
    """P, QRS onset, R, J and T of every beat, (n, beats) each; -1 outside the window or where the wave is missing."""
    r = np.asarray(np.round(b.r_s * grid.fs_hz), np.int64)
    passed, has_qrs = conducted(b), b.kind != Beat.BLOCKED_P
    tables = []
    for at, exists in ((m.p, has_p(b)), (m.on, passed), (r, has_qrs), (m.j, passed), (m.t, passed)):
        table = np.full(rhythm.kind.shape, -1, np.int64)
        table[b.window, b.column] = np.where(exists & (at >= 0) & (at < grid.length), at, -1)
        tables.append(table)
    return tuple(tables)
