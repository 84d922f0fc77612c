"""Waves on a grid of windows: Gaussians with two half-widths, and ST plateaus. Layer: signal; imports numpy.

Source: McSharry et al. 2003, IEEE TBME 50(3):289-294 (ECGSYN: the sum of Gaussians and its scaling with rate).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

CUT_SIGMA = 4.0  # a Gaussian ends here: 0.03 % of its height


@dataclass(frozen=True, slots=True)
class Grid:
    """n windows of `length` samples at `fs_hz`."""

    n: int
    length: int
    fs_hz: float


@dataclass(frozen=True, slots=True)
class Atoms:
    """m Gaussians with two half-widths, each in one window; times in s from the window's first sample."""

    window: Ints  # (m,)
    centre_s: Floats
    left_s: Floats
    right_s: Floats
    height_mv: Floats


def render_gaussians(atoms: Atoms, grid: Grid) -> Floats:
    """Sum the atoms into (n, length) mV. Only samples within four half-widths of an atom are computed."""
    half = int(np.ceil(CUT_SIGMA * max(atoms.left_s.max(initial=0.0), atoms.right_s.max(initial=0.0)) * grid.fs_hz)) + 1
    nearest = np.round(atoms.centre_s * grid.fs_hz).astype(np.int64)
    seen = (nearest + half >= 0) & (nearest - half < grid.length)
    index = nearest[seen, None] + np.arange(-half, half + 1)
    t = (index / grid.fs_hz - atoms.centre_s[seen, None]).astype(np.float32)
    sides = (side[seen, None].astype(np.float32) for side in (atoms.left_s, atoms.right_s))
    value = atoms.height_mv[seen, None].astype(np.float32) * np.exp(-0.5 * (t / np.where(t < 0, *sides)) ** 2)
    return scatter(atoms.window[seen], index, value, grid)


def scatter(window: Ints, index: Ints, value: NDArray[np.float32], grid: Grid) -> Floats:
    """Add (m, k) values at sample `index` (m, k) of `window` (m,) into (n, length); what falls outside is dropped.

    What is outside lands in a column before or behind, which is cut off: cheaper than choosing what is inside.
    """
    row = grid.length + 2
    flat = np.clip(index, -1, grid.length) + (window * row + 1)[:, None]
    flat = flat.astype(np.intp, copy=False)  # on 32 bits NumPy counts nothing else
    total = np.bincount(flat.reshape(-1), weights=value.reshape(-1), minlength=grid.n * row)
    return np.asarray(total, np.float64).reshape(grid.n, row)[:, 1:-1]


def rate_scale(rr_s: Floats) -> Floats:
    """How P and T move and narrow with rate: the square root of RR in seconds (Bazett; as ECGSYN scales them)."""
    return np.asarray(np.sqrt(np.clip(rr_s, 0.36, 1.5)))


def st_plateau(t_s: Floats, *, slope: Floats, bend: Floats, t_peak_s: Floats, t_end_s: Floats) -> NDArray[np.float32]:
    """A unit ST shift after J: 1.0 at J+60 ms, sloped and bent per 100 ms, gone by the end of T.

    Args:
        t_s: (m, k) time after J.
        slope, bend: (m, 1) relative change per 100 ms and per (100 ms) squared.
        t_peak_s, t_end_s: (m, 1) when the shift begins to fade and when it is gone, after J.
    """
    t = t_s.astype(np.float32)
    rise = 1.0 / (1.0 + np.exp(-np.clip((t + 0.008) / 0.005, -30, 30)))
    x = np.clip((t - 0.06) / 0.1, -0.8, 1.6)
    fade = np.clip((t - t_peak_s) / np.maximum(t_end_s - t_peak_s, 0.02), 0.0, 1.0)
    shape = rise * (1.0 + slope * x + bend * x * x) * 0.5 * (1.0 + np.cos(np.pi * fade))
    return np.asarray(shape, np.float32)
