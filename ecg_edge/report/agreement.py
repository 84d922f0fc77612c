"""How far two answers to the same windows are apart, and what that means. Numbers only.

Layer: report; imports errors, numpy and metrics. Answers are int8 scores as the model gives them, or float shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.metrics import ABSTAINED, Json, Share, finite, share

CLEAR_LSB = 4  # a verdict whose two best scores are farther apart is clear: no rounding may change it


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two answers to the same windows. `same` counts windows whose int8 scores are all equal."""

    windows: int
    identical: int
    flips: NDArray[np.int64]  # (classes, classes): argmax of the reference, argmax of the other
    lsb: dict[int, int]  # signed difference in LSB (other - reference) -> number of scores
    errors: dict[str, float]  # acc, rmse, mae, l2r, mean, std, nse, cos

    @property
    def argmax_flips(self) -> int:
        return int(self.flips.sum() - np.trace(self.flips))

    @property
    def max_abs_lsb(self) -> int:
        return max(abs(d) for d in self.lsb)

    @property
    def identical_share(self) -> Share:
        return share(self.identical, self.windows)

    def to_json(self) -> Json:
        return {
            "windows": self.windows,
            "identical": self.identical,
            "identical_share": self.identical_share.to_json(),
            "argmax_flips": self.argmax_flips,
            "max_abs_lsb": self.max_abs_lsb,
            "lsb_histogram": {str(d): n for d, n in sorted(self.lsb.items())},
            "flips": self.flips.tolist(),
            **{name: finite(value) for name, value in self.errors.items()},
        }


def agreement(
    reference: NDArray[np.generic], other: NDArray[np.generic], *, scale: float, zero_point: int
) -> Agreement:
    """Compare two answers, window by window and score by score.

    A float answer is rounded to the int8 grid for `identical` and the LSB histogram, and compared unrounded for the
    argmax and the errors. Of equal top scores the first class wins, as on the device.

    Args:
        reference, other: (n, classes) int8 scores, or float shares of 1.
        scale, zero_point: the int8 output's quantization: share = (q - zero_point) * scale.

    Raises:
        EcgEdgeError: shapes differ, or there is no window.

    Source: acc, rmse, mae, l2r, mean, std, nse, cos as ST Edge AI Core's `validate` has them ("Evaluation report and
        metrics"): l2r is |ref - other| / |ref| over all scores, nse the Nash-Sutcliffe efficiency.
    """
    if reference.shape != other.shape or reference.ndim != 2:
        raise EcgEdgeError(f"agreement: scores of shape {reference.shape} against {other.shape}")
    if reference.size == 0:
        raise EcgEdgeError("agreement: no window to compare")
    difference = _to_lsb(other, scale, zero_point) - _to_lsb(reference, scale, zero_point)
    steps, counts = np.unique(difference, return_counts=True)
    k = reference.shape[1]
    top_reference, top_other = reference.argmax(axis=1), other.argmax(axis=1)
    flips = np.bincount(top_reference * k + top_other, minlength=k * k).reshape(k, k)
    return Agreement(
        windows=reference.shape[0],
        identical=int((difference == 0).all(axis=1).sum()),
        flips=flips,
        lsb={int(d): int(n) for d, n in zip(steps, counts, strict=True)},
        errors={"acc": float((top_reference == top_other).mean())}
        | _errors(_to_shares(reference, scale, zero_point), _to_shares(other, scale, zero_point)),
    )


def clear_flips(reference: NDArray[np.int8], other: NDArray[np.int8]) -> int:
    """Windows on which another answer's argmax differs although the reference's two best scores are far apart.

    Args:
        reference, other: (n, classes), classes >= 2.
    """
    best = np.sort(reference.astype(np.int64), axis=1)
    clear = best[:, -1] - best[:, -2] > CLEAR_LSB
    return int((clear & (reference.argmax(axis=1) != other.argmax(axis=1))).sum())


def _to_lsb(scores: NDArray[np.generic], scale: float, zero_point: int) -> NDArray[np.int64]:
    if scores.dtype == np.int8:
        return scores.astype(np.int64)
    grid: NDArray[np.float64] = np.rint(np.asarray(scores, dtype=np.float64) / scale) + zero_point
    lsb: NDArray[np.int64] = np.clip(grid, -128, 127).astype(np.int64)
    return lsb


def _to_shares(scores: NDArray[np.generic], scale: float, zero_point: int) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    return (values - zero_point) * scale if scores.dtype == np.int8 else values


def _errors(reference: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    e = other - reference
    norm_reference, norm_other = float(np.linalg.norm(reference)), float(np.linalg.norm(other))
    spread = float(((reference - reference.mean()) ** 2).sum())
    square = float((e**2).sum())
    return {
        "rmse": math.sqrt(square / e.size),
        "mae": float(np.abs(e).mean()),
        "l2r": math.sqrt(square) / norm_reference if norm_reference else math.nan,
        "mean": float(e.mean()),
        "std": float(e.std()),
        "nse": 1 - square / spread if spread else math.nan,
        "cos": float((reference * other).sum()) / (norm_reference * norm_other)
        if norm_reference and norm_other
        else math.nan,
    }


@dataclass(frozen=True, slots=True)
class Change:
    """A proportion under two answers to the same windows, and their difference with its 95 % interval."""

    reference: Share
    other: Share
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.other.value - self.reference.value

    def to_json(self) -> Json:
        return {
            "reference": finite(self.reference.value),
            "other": finite(self.other.value),
            "change": finite(self.value),
            "ci95": [finite(self.low), finite(self.high)],
        }


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What one class gained or lost."""

    name: str
    sensitivity: Change
    precision: Change

    def to_json(self) -> Json:
        return {"sensitivity": self.sensitivity.to_json(), "precision": self.precision.to_json()}


@dataclass(frozen=True, slots=True)
class Changes:
    """What going from one answer to the other does to the results."""

    accuracy: Change
    per_class: tuple[ClassChange, ...]

    def to_json(self) -> Json:
        return {"accuracy": self.accuracy.to_json(), "per_class": {c.name: c.to_json() for c in self.per_class}}


def changes(y_true: ArrayLike, reference: ArrayLike, other: ArrayLike, classes: Sequence[str]) -> Changes:
    """Change in accuracy, and in sensitivity and +P of each class.

    Args:
        y_true: (n,) class index.
        reference, other: (n,) class index answered, or ABSTAINED.

    Raises:
        EcgEdgeError: lengths differ, or there is no window.
    """
    truth, a, b = (np.asarray(v).astype(np.int64) for v in (y_true, reference, other))
    if truth.ndim != 1 or not truth.shape == a.shape == b.shape or truth.size == 0:
        raise EcgEdgeError(f"changes: {truth.size} truths for {a.size} and {b.size} answers")
    everywhere = np.ones(truth.size, dtype=bool)
    per_class = []
    for i, name in enumerate(classes):
        hit_a, hit_b = (a == i) & (truth == i), (b == i) & (truth == i)
        per_class.append(
            ClassChange(
                name,
                sensitivity=_change(hit_a, truth == i, hit_b, truth == i),
                precision=_change(hit_a, a == i, hit_b, b == i),
            )
        )
    return Changes(_change(a == truth, everywhere, b == truth, everywhere), tuple(per_class))


def _change(
    hit_a: NDArray[np.bool_], of_a: NDArray[np.bool_], hit_b: NDArray[np.bool_], of_b: NDArray[np.bool_]
) -> Change:
    """Difference of two correlated proportions, each hit / of over the same windows.

    Wilson intervals combined by squaring and adding, less what the correlation takes away. For sensitivity (one
    denominator) this is Newcombe's method 10; for +P the two denominators differ, so the correlation is that of the
    influence of each window on the two ratios.

    Source: Newcombe 1998, Statistics in Medicine 17:2635-2650; Zou and Donner 2008, ibid. 27:1693-1702 (MOVER).
    """
    a = share(int(hit_a.sum()), int(of_a.sum()))
    b = share(int(hit_b.sum()), int(of_b.sum()))
    if not a.total or not b.total:
        return Change(a, b, math.nan, math.nan)
    same = np.array_equal(hit_a, hit_b) and np.array_equal(of_a, of_b)
    if same:  # one list of answers, not two that happen to score alike: there is no difference to be unsure of
        return Change(a, b, 0.0, 0.0)
    influence_a = of_a * (hit_a - a.value)
    influence_b = of_b * (hit_b - b.value)
    norm = math.sqrt(float((influence_a**2).sum()) * float((influence_b**2).sum()))
    r = float((influence_a * influence_b).sum()) / norm if norm else 0.0
    d = b.value - a.value
    down_b, up_b, down_a, up_a = b.value - b.low, b.high - b.value, a.value - a.low, a.high - a.value
    low = d - math.sqrt(max(0.0, down_b**2 - 2 * r * down_b * up_a + up_a**2))
    high = d + math.sqrt(max(0.0, up_b**2 - 2 * r * up_b * down_a + down_a**2))
    return Change(a, b, max(-1.0, low), min(1.0, high))


def verdict_changes(reference: ArrayLike, other: ArrayLike, classes: Sequence[str]) -> list[Json]:
    """Which verdict became which, most frequent first; 255 is named "abstained"."""
    names = {**dict(enumerate(classes)), ABSTAINED: "abstained"}
    a, b = np.asarray(reference).astype(np.int64), np.asarray(other).astype(np.int64)
    moved = np.flatnonzero(a != b)
    pairs, counts = np.unique(np.stack([a[moved], b[moved]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [{"from": names[int(pairs[i, 0])], "to": names[int(pairs[i, 1])], "windows": int(counts[i])} for i in order]
