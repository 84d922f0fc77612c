"""Synthetic ECG with known beats, five classes, and ST and T changes graded in millivolts.

Layer: signal; imports errors, its neighbours and numpy. Everything is vectorised over windows. The level of ST and
the peak of T are not hoped for but solved for: each part is rendered once, measured in the lead as emitted, and scaled.
Synthetic results are never clinical ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.beats import Beats, fibrillatory_waves, place_beats, render_base, render_st, render_t
from ecg_edge.signal.measure import Marks, deepest_t, fiducial_tables, mark_beats, measure_levels
from ecg_edge.signal.noise import at_snr, draw_noise
from ecg_edge.signal.rhythm import draw_rhythm
from ecg_edge.signal.subjects import Subjects, draw_subjects
from ecg_edge.signal.waves import Flags, Floats, Grid, Ints

CLASSES = ("Normal", "Arrhythmia", "ST Depression", "ST Elevation", "T Wave Inversion")
NORMAL, ARRHYTHMIA, ST_DEPRESSION, ST_ELEVATION, T_INVERSION = range(5)

SEVERITY_MV = (0.10, 0.40)  # uniform, of ST and T changes
GREY_MV = 0.05  # below: not a change; from here to 0.1 mV: a grey zone that no window is left in
CHUNK = 512


@dataclass(frozen=True, slots=True)
class Synthetic:
    """n windows with their truth. Times are sample indices, -1 where a beat or wave is not inside the window."""

    fs_hz: float
    samples_uv: NDArray[np.int16]  # (n, length)
    label: Ints  # (n,) index into CLASSES
    subject: Ints  # (n,)
    severity_mv: Floats  # (n,) the graded change: signed ST level, T peak, or 0
    st_mv: Floats  # (n,) ST level at J+60 ms against the PR segment, as emitted
    t_mv: Floats  # (n,) T peak against the PR segment, as emitted
    snr_db: Floats  # (n,)
    event: NDArray[np.int8]  # (n,) index into rhythm.RHYTHMS
    kind: NDArray[np.int8]  # (n, beats) rhythm.Beat
    p: Ints  # (n, beats) P peak
    qrs_on: Ints
    r: Ints
    j: Ints
    t: Ints


def _targets(rng: np.random.Generator, label: Ints, severity: Floats) -> tuple[Floats, Floats]:
    """Wanted ST level and T peak per window, (n,) mV each."""
    n = label.size
    st = np.clip(rng.normal(0.0, 0.022, n), -0.045, 0.045)
    upright = 0.07 + np.minimum(rng.gamma(2.0, 0.12, n), 0.9)
    low = rng.uniform(-0.035, 0.08, n)
    t = np.where(rng.random(n) < 0.10, low, upright)
    inverted = -rng.uniform(*SEVERITY_MV, n)
    kind = rng.random(n)
    down, up, twi, ectopic = (label == c for c in (ST_DEPRESSION, ST_ELEVATION, T_INVERSION, ARRHYTHMIA))
    st = np.where(down, -severity, np.where(up, severity, st))
    t = np.where(down & (kind < 0.15), inverted, np.where(down & (kind < 0.3), low, t))
    t = np.where(up, np.where(kind < 0.1, inverted, np.maximum(severity * rng.uniform(0.8, 1.0, n), 0.05) + 0.6 * t), t)
    t = np.where(twi, -severity, t)
    # An arrhythmia may come with ST and T changes, as in life: the label stays.
    st = np.where(ectopic & (kind < 0.08), rng.uniform(-0.25, 0.25, n), st)
    t = np.where(ectopic & (kind > 0.92), inverted, t)
    return st, t


def _st_form(rng: np.random.Generator, label: Ints) -> tuple[Floats, Floats]:
    """Slope and bend of the ST segment, (n,) each, relative to its level per 100 ms (squared)."""
    n = label.size
    # Horizontal, downsloping, upsloping; of elevation: plain, convex, concave.
    form = rng.integers(0, 3, n).astype(np.intp)
    slope = np.choose(form, [rng.uniform(-0.12, 0.12, n), rng.uniform(0.15, 0.7, n), -rng.uniform(0.15, 0.7, n)])
    bend = rng.uniform(-0.1, 0.1, n)
    up = label == ST_ELEVATION
    slope = np.where(up, rng.uniform(-0.2, 0.6, n), slope)
    bend = np.where(up, np.choose(form, [bend, -rng.uniform(0.15, 0.5, n), rng.uniform(0.15, 0.6, n)]), bend)
    return slope, bend


def _draw_lead(rng: np.random.Generator, label: Ints) -> Subjects:
    """Subjects whose T may have two lobes where the class is T inversion."""
    n = label.size
    s = draw_subjects(rng, n)
    two = (label == T_INVERSION) & (rng.random(n) < 0.35)
    s.t_second[two] = rng.uniform(0.2, 0.8, two.sum()) * np.where(rng.random(two.sum()) < 0.7, 1.0, -1.0)
    symmetric = (label == T_INVERSION) & (rng.random(n) < 0.6)
    s.t_left_s[symmetric] = s.t_right_s[symmetric] * 1.05
    return s


def _chunk(
    rng: np.random.Generator, label: Ints, snr_db: Floats, severity: Floats, grid: Grid
) -> tuple[Synthetic, Flags]:
    """One batch of windows and which of them are legal: truth where the class wants it, grey zone empty."""
    s = _draw_lead(rng, label)
    rhythm = draw_rhythm(rng, label == ARRHYTHMIA, span_s=grid.length / grid.fs_hz)
    b = place_beats(rng, rhythm, s, grid.length / grid.fs_hz)
    m = mark_beats(b, s, grid)
    target = np.stack(_targets(rng, label, severity), axis=1)
    clean, gains = _graded(rng, label, target, s, b, m, grid)
    levels, deepest = measure_levels(clean, b, m, grid), deepest_t(clean, b, m, grid)
    legal = _legal(label, levels, deepest, target, gains)
    clean += fibrillatory_waves(rng, rhythm, s, grid)
    samples = _recorded(rng, clean, snr_db, grid)
    st_mv, t_mv = np.nan_to_num(levels[:, 0]), np.nan_to_num(levels[:, 1])
    graded = np.select([np.isin(label, (ST_DEPRESSION, ST_ELEVATION)), label == T_INVERSION], [st_mv, t_mv], 0.0)
    truth = (label, np.arange(grid.n), graded, st_mv, t_mv, snr_db, rhythm.event, rhythm.kind)
    return Synthetic(grid.fs_hz, samples, *truth, *fiducial_tables(b, m, rhythm, grid)), legal


def _graded(
    rng: np.random.Generator, label: Ints, target: Floats, s: Subjects, b: Beats, m: Marks, grid: Grid
) -> tuple[Floats, Floats]:
    """Clean windows, (n, length) mV, whose ST level and T peak are `target` (n, 2); and the heights it took, (n, 2).

    ST and T overlap, so their heights come from two linear equations: each component measured at both places.
    """
    base, t_unit = render_base(rng, b, s, grid), render_t(b, s, grid)
    st_unit = render_st(b, s, *_st_form(rng, label), grid)
    levels = np.stack([measure_levels(x, b, m, grid) for x in (base, st_unit, t_unit)], axis=-1)  # (n, 2, 3)
    unknown = ~np.isfinite(levels).all(axis=(1, 2))  # no beat to measure on: as if the waves did not overlap
    levels[unknown] = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    gains = np.linalg.solve(levels[:, :, 1:], (target - levels[:, :, 0])[..., None])[..., 0]
    return base + gains[:, :1] * st_unit + gains[:, 1:] * t_unit, gains


def _recorded(rng: np.random.Generator, clean: Floats, snr_db: Floats, grid: Grid) -> NDArray[np.int16]:
    """(n, length) mV -> uV with noise, in the steps of an ADC."""
    noise = draw_noise(rng, grid.n, grid.length, grid.fs_hz)
    noisy_uv = 1000.0 * (clean + at_snr(clean, noise, snr_db, grid.fs_hz))
    step_uv = rng.choice([1.0, 2.5, 5.0], grid.n)[:, None]
    return np.asarray(np.clip(np.round(noisy_uv / step_uv) * step_uv, -32768, 32767), np.int16)


def _legal(label: Ints, levels: Floats, deepest: Floats, target: Floats, gains: Floats) -> Flags:
    """(n,) whether the window shows what its label says and nothing else, in the lead as emitted."""
    upright = (deepest > -GREY_MV) | (target[:, 1] < -GREY_MV)
    st_quiet = np.abs(levels[:, 0]) < GREY_MV
    sane = np.isfinite(levels).all(axis=1) & (np.abs(gains) < 1.6).all(axis=1)
    plain = sane & np.where(np.isin(label, (NORMAL, T_INVERSION)), st_quiet, True)
    legal = plain & np.where(np.isin(label, (NORMAL, ST_ELEVATION)), upright, True)
    return np.asarray(legal | (label == ARRHYTHMIA))


def _join(parts: list[Synthetic]) -> Synthetic:
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Synthetic)[1:]}
    return Synthetic(parts[0].fs_hz, **joined)


def _take(whole: Synthetic, rows: Ints) -> Synthetic:
    return Synthetic(whole.fs_hz, **{f.name: getattr(whole, f.name)[rows] for f in fields(Synthetic)[1:]})


def _complete_chunk(
    rng: np.random.Generator, label: Ints, snr_db: Floats, severity: Floats, length: int, fs_hz: float
) -> Synthetic:
    """Draw until every window is legal.

    A redrawn window keeps its label, SNR and severity, so that their spread stays as asked.
    """
    waiting = np.arange(label.size)
    parts: list[Synthetic] = []
    places: list[Ints] = []
    while waiting.size:
        grid = Grid(waiting.size, length, fs_hz)
        drawn, legal = _chunk(rng, label[waiting], snr_db[waiting], severity[waiting], grid)
        parts.append(_take(drawn, np.flatnonzero(legal)))
        places.append(waiting[legal])
        waiting = waiting[~legal]
    return _take(_join(parts), np.argsort(np.concatenate(places)))


def synthesize(
    labels: Ints,
    *,
    seed: int,
    snr_db: tuple[float, float] = (12.0, 30.0),
    length: int = 1024,
    fs_hz: float = 250.0,
    severity_mv: tuple[float, float] = SEVERITY_MV,
) -> Iterator[Synthetic]:
    """Make one window a label, each of a subject of its own, in batches.

    Args:
        labels: (n,) index into CLASSES.
        seed: same seed, same windows; other seeds are other subjects.
        snr_db: SNR, uniform between these, in dB.
        length: samples a window; 3 s at least, 12 s at most.
        fs_hz: samples a second, 100 to 1000.
        severity_mv: ST and T changes, uniform between these, in mV.

    Yields:
        Synthetic batches, in the labels' order; subjects are numbered by position.

    Raises:
        SignalError: an argument outside its limits.
    """
    if not 100 <= fs_hz <= 1000:
        raise SignalError(f"synth: {fs_hz:g} Hz is outside 100 .. 1000 Hz")
    if not 3.0 <= length / fs_hz <= 12.0:
        raise SignalError(f"synth: a window of {length / fs_hz:.2f} s is outside 3 .. 12 s")
    if labels.size and not (labels.min() >= 0 and labels.max() < len(CLASSES)):
        raise SignalError(
            f"synth: labels run from {labels.min()} to {labels.max()}, not within 0 .. {len(CLASSES) - 1}"
        )
    for at in range(0, labels.size, CHUNK):
        rng = np.random.default_rng([seed, at // CHUNK])
        chunk = np.asarray(labels[at : at + CHUNK], np.int64)
        snr, severity = rng.uniform(*snr_db, chunk.size), rng.uniform(*severity_mv, chunk.size)
        made = _complete_chunk(rng, chunk, snr, severity, length, fs_hz)
        yield replace(made, subject=np.arange(at, at + chunk.size))


def balanced_labels(per_class: int) -> Ints:
    """(5 * per_class,) labels, the classes taking turns, so that any cut of the list is balanced."""
    return np.tile(np.arange(len(CLASSES)), per_class)


def collect(batches: Iterator[Synthetic]) -> Synthetic:
    """Every batch in one Synthetic. Raises SignalError where there is none."""
    parts = list(batches)
    if not parts:
        raise SignalError("synth: no windows were asked for")
    return _join(parts)
