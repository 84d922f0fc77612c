"""The beats of a rhythm, drawn: P, QRS, ventricular beats, T, ST, f-waves.

Layer: signal; imports its neighbours and numpy.

T and ST are drawn with unit height, so that synth.py can solve for the heights that give the wanted levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.signal.noise import coloured, spectrum_hz
from ecg_edge.signal.rhythm import Beat, Rhythm
from ecg_edge.signal.subjects import Subjects
from ecg_edge.signal.waves import Atoms, Flags, Floats, Grid, Ints, rate_scale, render_gaussians, scatter, st_plateau


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats near the windows as flat arrays, (m,): times in s, traits looked up per beat."""

    window: Ints
    column: Ints
    kind: NDArray[np.int8]
    r_s: Floats
    scale: Floats  # rate_scale
    breath: Floats  # amplitude factor


def place_beats(rng: np.random.Generator, rhythm: Rhythm, subjects: Subjects, span_s: float) -> Beats:
    """The beats that reach into windows of `span_s` seconds."""
    near = (rhythm.r_s > -0.9) & (rhythm.r_s < span_s + 0.5) & (rhythm.kind != Beat.ABSENT)
    window, column = np.nonzero(near)
    r = rhythm.r_s[near]
    # QT follows the rate with a lag: mostly the underlying rhythm, a little the last interval.
    rr = 0.75 * rhythm.base_rr_s[window] + 0.25 * rhythm.rr_s[near]
    phase, rate = rng.uniform(0, 2 * np.pi, rhythm.base_rr_s.size), rng.uniform(0.15, 0.4, rhythm.base_rr_s.size)
    breath = 1.0 + subjects.respiration[window] * np.sin(2 * np.pi * rate[window] * r + phase[window])
    return Beats(window, column, rhythm.kind[near], r, rate_scale(rr), breath)


def conducted(b: Beats) -> Flags:
    """(m,) beats that came through the AV node: narrow QRS, with ST and T as the subject has them."""
    return np.asarray((b.kind != Beat.VENTRICULAR) & (b.kind != Beat.BLOCKED_P))


def has_p(b: Beats) -> Flags:
    """(m,) beats with a P wave, a P without a QRS included."""
    return np.asarray((b.kind == Beat.NORMAL) | (b.kind == Beat.ATRIAL) | (b.kind == Beat.BLOCKED_P))


def p_offset(b: Beats, s: Subjects) -> Floats:
    """R to P peak, (m,) s, negative."""
    premature = np.where(b.kind == Beat.ATRIAL, 0.9, 1.0)
    on = s.on_s[b.window]
    return np.asarray(-(on + (s.pr_s[b.window] - on) * (0.45 + 0.55 * b.scale) * premature))


def t_offset(b: Beats, s: Subjects) -> Floats:
    """R to T peak, (m,) s: never closer to J than an ST segment needs."""
    w = b.window
    return np.asarray(np.maximum(s.t_s[w] * b.scale, s.off_s[w] + 0.13))


def _wave(b: Beats, keep: Flags, offset: Floats, sigma: Floats, height: Floats, right: Floats | None = None) -> Atoms:
    """One wave of the beats in `keep`; arguments per beat, (m,); `right`: its right half-width where it differs."""
    right = sigma if right is None else right
    return Atoms(b.window[keep], (b.r_s + offset)[keep], sigma[keep], right[keep], (height * b.breath)[keep])


def render_base(rng: np.random.Generator, b: Beats, s: Subjects, grid: Grid) -> Floats:
    """P, QRS, U and whole ventricular beats: everything but T and ST, (n, length) mV."""
    w, passed = b.window, conducted(b)
    x = np.zeros((grid.n, grid.length))
    aberrant = np.where((b.kind == Beat.ATRIAL) & (rng.random(grid.n)[w] < 0.15), 1.5, 1.0)
    for i in range(s.qrs_mv.shape[1]):
        keep = passed & (np.abs(s.qrs_mv[w, i]) > 0.01)
        x += render_gaussians(
            _wave(b, keep, s.qrs_s[w, i] * aberrant, s.qrs_sigma_s[w, i] * aberrant, s.qrs_mv[w, i]), grid
        )
    ectopic = np.where(b.kind == Beat.ATRIAL, rng.uniform(-1.2, 1.3, grid.n)[w], 1.0)
    sigma = s.p_sigma_s[w] * (0.6 + 0.4 * b.scale)
    for side in (-0.5, 0.5):
        offset = p_offset(b, s) + side * s.p_split_s[w]
        x += render_gaussians(_wave(b, has_p(b), offset, sigma, 0.55 * s.p_mv[w] * ectopic), grid)
    u_sigma = np.full(w.size, 0.032)
    x += render_gaussians(_wave(b, passed & (s.u_mv[w] > 0), t_offset(b, s) + 0.17, u_sigma, s.u_mv[w]), grid)
    return np.asarray(x + _render_ventricular(rng, b, s, grid))


def _render_ventricular(rng: np.random.Generator, b: Beats, s: Subjects, grid: Grid) -> Floats:
    """Ventricular beats: two wide deflections and a T the other way."""
    w, keep = b.window, b.kind == Beat.VENTRICULAR
    wide, varied = s.pvc_sigma_s[w], rng.normal(1.0, 0.06, w.size)
    x = render_gaussians(_wave(b, keep, np.full(w.size, 0.01), wide, s.pvc_mv[w, 0] * varied), grid)
    x += render_gaussians(_wave(b, keep, 0.01 + 2.2 * wide, wide, s.pvc_mv[w, 1] * varied), grid)
    late = np.minimum(0.29 + wide, 0.36 * (0.4 + b.scale))
    t = _wave(b, keep, late, np.full(w.size, 0.06), s.pvc_mv[w, 0] * s.pvc_t[w], np.full(w.size, 0.05))
    return np.asarray(x + render_gaussians(t, grid))


def render_t(b: Beats, s: Subjects, grid: Grid) -> Floats:
    """T of unit height, its second lobe included, (n, length)."""
    w, keep = b.window, conducted(b)
    squeeze = 0.35 + 0.65 * b.scale
    left, right = s.t_left_s[w] * squeeze, s.t_right_s[w] * squeeze
    offset = t_offset(b, s)
    x = render_gaussians(_wave(b, keep, offset, left, np.ones(w.size), right), grid)
    lobe = s.t_second[w]  # its sign says on which side: positive before, negative after
    beside = offset + np.where(lobe > 0, -2.3 * left, 2.3 * right)
    x += render_gaussians(_wave(b, keep & (lobe != 0.0), beside, 0.8 * left, -np.abs(lobe), 0.8 * right), grid)
    return x


def render_st(b: Beats, s: Subjects, slope: Floats, bend: Floats, grid: Grid) -> Floats:
    """A unit ST shift in every conducted beat, (n, length); slope and bend (n,) as in st_plateau."""
    j_s = b.r_s + s.off_s[b.window]
    keep = conducted(b) & (j_s < grid.length / grid.fs_hz + 0.1)  # later ones do not reach into the window
    w, j = b.window[keep], j_s[keep]
    peak = (t_offset(b, s) - s.off_s[b.window])[keep]
    end = peak + 2.2 * (s.t_right_s[b.window] * (0.35 + 0.65 * b.scale))[keep]
    first, last = int(0.04 * grid.fs_hz), int(np.ceil(end.max(initial=0.1) * grid.fs_hz)) + 1
    index = np.round(j * grid.fs_hz).astype(np.int64)[:, None] + np.arange(-first, last)
    t = index / grid.fs_hz - j[:, None]
    fade = np.maximum(0.75 * peak, 0.085)
    value = st_plateau(t, slope=slope[w, None], bend=bend[w, None], t_peak_s=fade[:, None], t_end_s=end[:, None])
    return scatter(w, index, value * b.breath[keep, None].astype(np.float32), grid)


def fibrillatory_waves(rng: np.random.Generator, rhythm: Rhythm, s: Subjects, grid: Grid) -> Floats:
    """(n, length) mV of f-waves, 4-9 Hz, where the atria fibrillate."""
    x = np.zeros((grid.n, grid.length))
    rows = np.flatnonzero(rhythm.kind[:, 0] == Beat.FIBRILLATION)
    if rows.size:
        f = spectrum_hz(grid.length, grid.fs_hz)
        centre, width = rng.uniform(4.5, 8.5, rows.size)[:, None], rng.uniform(0.3, 1.2, rows.size)[:, None]
        weight = np.exp(-0.5 * ((f - centre) / width) ** 2)
        x[rows] = 0.7 * s.fibrillation_mv[rows, None] * coloured(rng, rows.size, grid.length, grid.fs_hz, weight)
    return x
