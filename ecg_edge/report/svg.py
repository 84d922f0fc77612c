"""Drawings as SVG and HTML text, for pages that carry everything with them. Layer: report; imports numpy.

Written out by hand rather than by matplotlib: a strip takes 6 KB instead of 60, takes its colours from the page's CSS
variables (so one drawing serves light and dark), and a report needs no extra to have plots.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

MM_PER_S = 25.0  # the paper speed and gain every cardiologist reads
MM_PER_MV = 10.0
STRIP_MM_BELOW, STRIP_MM_ABOVE = (8.0, 40.0), (12.0, 50.0)  # least and most room around the baseline


@dataclass(frozen=True, slots=True)
class Path:
    """A curve as the `d` of an SVG path, in a box of width x height units."""

    width: float
    height: float
    d: str


def ecg_path(samples_uv: NDArray[np.int16], fs_hz: int) -> Path:
    """One lead as on ECG paper: units are mm at 25 mm/s and 10 mm/mV, baseline (the median) on a thick line.

    What does not fit 5 mV above and 4 mV below is cut at the edge, as a recorder's pen stops.

    Args:
        samples_uv: (n,).
    """
    if samples_uv.size == 0:
        return Path(0.0, 0.0, "")
    level_mm = (samples_uv.astype(np.float64) - np.median(samples_uv)) / 1000 * MM_PER_MV
    above = _whole_boxes(float(level_mm.max()), *STRIP_MM_ABOVE)
    below = _whole_boxes(-float(level_mm.min()), *STRIP_MM_BELOW)
    y = above - np.clip(level_mm, -below, above)
    x = np.arange(samples_uv.size) / fs_hz * MM_PER_S
    return Path(samples_uv.size / fs_hz * MM_PER_S, above + below, polyline(x, y))


def _whole_boxes(mm: float, least: float, most: float) -> float:
    """Room for `mm` and a little air, in whole 5 mm boxes so that the grid's thick lines meet the edges."""
    return float(np.ceil(min(max(mm + 1.0, least), most) / 5.0) * 5.0)


def polyline(x: ArrayLike, y: ArrayLike) -> str:
    """(n,), (n,) -> the `d` of a path with relative steps in tenths: half as long as absolute points."""
    tenths = np.rint(np.stack([np.asarray(x), np.asarray(y)], axis=1) * 10).astype(np.int64)
    steps = np.diff(tenths, axis=0)
    first = f"M{_tenth(int(tenths[0, 0]))} {_tenth(int(tenths[0, 1]))}"
    return first + "l" + " ".join(f"{_tenth(int(dx))} {_tenth(int(dy))}" for dx, dy in steps) if len(steps) else first


def _tenth(value: int) -> str:
    """12 -> "1.2", 10 -> "1", -3 -> "-.3"."""
    sign = "-" if value < 0 else ""
    whole, part = divmod(abs(value), 10)
    if part == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole or ''}.{part}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram: what it stands for, how many, and its length as a share of the longest."""

    label: str
    count: int
    length: float


def lsb_bars(histogram: dict[str, int]) -> list[Bar]:
    """Scores by how many LSB they are apart, sign dropped; lengths logarithmic, or one LSB in a million is unseen."""
    groups = [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 255)]
    far = max((abs(int(d)) for d in histogram), default=0)
    bars = []
    for low, high in groups:
        if low > max(far, 3):  # always a few empty bars after zero: they are the good news
            break
        count = sum(n for d, n in histogram.items() if low <= abs(int(d)) <= high)
        label = "equal" if low == 0 else f"±{low}" if low == high else f"±{low} to {high}"
        bars.append((label, count))
    longest = max(n for _, n in bars)
    return [Bar(label, n, float(np.log1p(n) / np.log1p(longest)) if longest else 0.0) for label, n in bars]


def time_bars(values_us: ArrayLike, *, bins: int = 32) -> list[Bar]:
    """Histogram of times from the least to p99; what is slower is in the last bar, which says so."""
    v = np.asarray(values_us, dtype=np.float64)
    low, high = float(v.min()), float(np.percentile(v, 99))
    if high <= low:
        return [Bar(f"{low:.0f} us", v.size, 1.0)]
    edges = np.linspace(low, high, bins + 1)
    counts = np.bincount(np.clip(np.digitize(v, edges) - 1, 0, bins - 1), minlength=bins)
    labels = [f"{a:.0f} to {b:.0f} us" for a, b in pairwise(edges[:-1])]
    labels.append(f"{edges[-2]:.0f} us and more")
    return [Bar(label, int(n), float(n / counts.max())) for label, n in zip(labels, counts, strict=True)]


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of a timeline."""

    start: float
    width: float
    kind: int  # index of the class; -1: none
    name: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A long recording at a glance: what was said when, in thousandths of its length."""

    minutes: float
    rows: tuple[tuple[str, tuple[Stretch, ...]], ...]  # who said it, and what
    rhythms: tuple[Stretch, ...]  # as annotated; kind is -1
    ticks: tuple[tuple[str, str], ...]  # kind of beat, and the `d` of a path of ticks 10 high


def verdict_runs(
    starts: NDArray[np.int64], length: int, hop: int, verdicts: NDArray[np.int64], names: dict[int, str], total: int
) -> tuple[Stretch, ...]:
    """Equal verdicts in a row become one stretch; each window stands for the `hop` samples in its middle.

    Args:
        starts: (n,) first sample of each window.
        verdicts: (n,).
        names: verdict -> what to call it.
        total: samples of the recording.
    """
    changes = np.flatnonzero(np.diff(verdicts)) + 1
    first, last = np.concatenate([[0], changes]), np.concatenate([changes, [verdicts.size]]) - 1
    middle = (length - hop) / 2
    runs = []
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        start, stop = float(starts[a]) + middle, float(starts[b]) + middle + hop
        verdict = int(verdicts[a])
        kind = verdict if verdict < len(names) - 1 else -1
        runs.append(Stretch(1000 * start / total, 1000 * (stop - start) / total, kind, names[verdict]))
    return tuple(runs)


def ticks(samples: NDArray[np.int64], total: int) -> str:
    """The `d` of a path with one upright tick, 10 high, at each sample."""
    places = sorted({round(10000 * int(s) / total) for s in samples})
    return "".join(f"M{_tenth(p)} 0v10" for p in places)
