"""Who the subject is: the lasting traits of a heart as one lead sees it. Layer: signal; imports numpy.

Source: McSharry et al. 2003, IEEE TBME 50(3):289-294 (ECGSYN) for waves as Gaussians; the spreads are ours,
wide on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QRS_SHAPES = ("qRs", "Rs", "rS", "QS", "rsR'", "notched", "wide")
QRS_SHARE = (0.34, 0.24, 0.14, 0.05, 0.07, 0.06, 0.10)


@dataclass(frozen=True, slots=True)
class Subjects:
    """The lasting traits of n subjects, one lead each. (n,) or (n, waves); mV and s."""

    qrs_s: Floats  # (n, 4) offsets of Q, R, S, R' from the R time
    qrs_sigma_s: Floats  # (n, 4)
    qrs_mv: Floats  # (n, 4)
    on_s: Floats  # QRS onset before the R time (positive number)
    off_s: Floats  # J point after the R time
    p_mv: Floats
    p_sigma_s: Floats
    p_split_s: Floats  # distance of the two halves of P
    pr_s: Floats  # P peak to R at 60/min
    t_s: Floats  # R to T peak at 60/min
    t_left_s: Floats
    t_right_s: Floats
    t_second: Floats  # height of T's second lobe relative to the first; 0 for most
    u_mv: Floats
    respiration: Floats  # relative modulation of amplitude
    pvc_mv: Floats  # (n, 2) main and second deflection
    pvc_sigma_s: Floats
    pvc_t: Floats  # T of a ventricular beat relative to its main deflection, negative
    fibrillation_mv: Floats


def _qrs(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
    """-> heights, offsets, widths of Q, R, S, R', each (n, 4), by QRS shape."""
    u = rng.uniform
    shape = rng.choice(len(QRS_SHAPES), n, p=QRS_SHARE)
    r = np.exp(rng.normal(np.log(0.9), 0.45, n)).clip(0.25, 2.4)
    q, s, r2 = -u(0.0, 0.15, n) * r, -u(0.05, 0.4, n) * r, np.zeros(n)
    is_ = [shape == i for i in range(len(QRS_SHAPES))]
    q = np.where(is_[1], 0.0, q)
    r = np.where(is_[2], u(0.08, 0.45, n), r)
    s = np.where(is_[2], -u(0.5, 1.9, n), s)
    q = np.where(is_[2], 0.0, q)
    r, s = np.where(is_[3], 0.02, r), np.where(is_[3], -u(0.4, 1.6, n), s)
    r2 = np.where(is_[4], u(0.1, 0.8, n) * r, r2)
    s = np.where(is_[4], -u(0.2, 0.8, n) * r, s)
    r2 = np.where(is_[5], u(0.2, 0.6, n) * r, r2)
    s = np.where(is_[5], -u(0.0, 0.1, n) * r, s)
    wide = np.where(is_[6], u(1.4, 2.1, n), 1.0) * u(0.8, 1.25, n)
    heights = np.stack([q, r, s, r2], axis=1)
    sigma = np.stack([u(0.006, 0.011, n), u(0.007, 0.013, n), u(0.007, 0.014, n), u(0.007, 0.013, n)], axis=1)
    offset = np.stack(
        [
            -u(0.022, 0.034, n),
            np.zeros(n),
            u(0.022, 0.036, n),
            np.where(is_[5], u(0.016, 0.026, n), u(0.045, 0.065, n)),
        ],
        axis=1,
    )
    return heights, offset * wide[:, None], sigma * wide[:, None]


def draw_subjects(rng: np.random.Generator, n: int) -> Subjects:
    """Draw n subjects with a wide spread of every wave: amplitude, width, position, polarity and gain."""
    u = rng.uniform
    heights, offset, sigma = _qrs(rng, n)
    present = np.abs(heights) > 0.03
    on = np.where(present, 2.4 * sigma - offset, 0.0).max(axis=1)
    off = np.where(present, offset + 2.6 * sigma, 0.0).max(axis=1)
    p = np.where(rng.random(n) < 0.06, u(0.02, 0.05, n), u(0.05, 0.22, n))
    flipped = rng.random(n) < 0.14
    sign = np.where(flipped, -1.0, 1.0)
    gain = np.exp(rng.normal(0.0, 0.2, n)).clip(0.6, 1.6) * sign
    p_sign = np.where(rng.random(n) < 0.06, -1.0, 1.0)
    split = np.where(rng.random(n) < 0.3, u(0.02, 0.05, n), 0.0)
    t_s = u(0.24, 0.35, n) + 0.5 * (off - 0.05)
    right = u(0.030, 0.055, n)
    lasting_pvc = u(0.5, 2.2, n) * np.where(rng.random(n) < 0.5, -1.0, 1.0)
    return Subjects(
        qrs_s=offset, qrs_sigma_s=sigma, qrs_mv=heights * gain[:, None], on_s=on, off_s=off,
        p_mv=p * gain * p_sign, p_sigma_s=u(0.014, 0.028, n), p_split_s=split,
        pr_s=on + u(0.085, 0.150, n), t_s=t_s, t_left_s=right * u(1.0, 1.9, n), t_right_s=right,
        t_second=np.zeros(n), u_mv=np.where(rng.random(n) < 0.12, u(0.02, 0.07, n), 0.0),
        respiration=u(0.0, 0.12, n),
        pvc_mv=np.stack([lasting_pvc, -lasting_pvc * u(0.0, 0.7, n)], axis=1),
        pvc_sigma_s=u(0.024, 0.042, n), pvc_t=-u(0.15, 0.5, n), fibrillation_mv=u(0.02, 0.14, n),
    )  # fmt: skip
