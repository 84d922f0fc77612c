"""How good one list of answers is: confusion, per class, by group, latency. Numbers only.

Layer: report; imports errors and numpy. An abstention (verdict 255) is counted apart *and* as wrong: a device that
refuses every hard window must not look better than one that tries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_edge.errors import EcgEdgeError

ABSTAINED = 255
Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution

Json = dict[str, Any]  # a JSON object


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`, with its Wilson 95 % interval; an empty total has the value nan and says nothing: 0 to 1."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else math.nan

    def to_json(self) -> Json:
        return {
            "value": finite(self.value),
            "count": self.count,
            "total": self.total,
            "ci95": [self.low, self.high],
        }


def share(count: int, total: int) -> Share:
    """Proportion with its Wilson score interval.

    Wilson, not Wald: at 100 % of 500 the Wald interval has no width, and 100 % is what we mostly print.

    Source: Wilson 1927, JASA 22(158):209-212.
    """
    assert 0 <= count <= total, (count, total)
    if total == 0:
        return Share(0, 0, 0.0, 1.0)
    p = count / total
    z2 = Z95 * Z95
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total))
    # The ends are exact at 0 and 1; rounding must not leave 0.9999999 there.
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Share(count, total, low, high)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class against the rest. precision is +P, recall is sensitivity."""

    name: str
    precision: Share
    recall: Share
    f1: float
    support: int

    def to_json(self) -> Json:
        return {
            "precision": finite(self.precision.value),
            "recall": finite(self.recall.value),
            "f1": finite(self.f1),
            "support": self.support,
            "predicted": self.precision.total,
            "precision_ci95": [self.precision.low, self.precision.high],
            "recall_ci95": [self.recall.low, self.recall.high],
        }


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classifier answered against the truth."""

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]  # (classes, classes + 1): true, predicted; the last column is abstained
    per_class: tuple[ClassScore, ...]
    accuracy: Share  # an abstention is wrong
    answered_accuracy: Share  # over the windows that were answered
    abstained: int

    @property
    def windows(self) -> int:
        return self.accuracy.total

    @property
    def macro_f1(self) -> float:
        scores = [c.f1 for c in self.per_class if c.support]
        return float(np.mean(scores)) if scores else math.nan

    def to_json(self) -> Json:
        return {
            "windows": self.windows,
            "accuracy": finite(self.accuracy.value),
            "accuracy_ci95": [self.accuracy.low, self.accuracy.high],
            "answered_accuracy": finite(self.answered_accuracy.value),
            "abstained": self.abstained,
            "macro_f1": finite(self.macro_f1),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": {c.name: c.to_json() for c in self.per_class},
        }


def classification(y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[str]) -> Classification:
    """Confusion matrix, per-class scores and accuracy.

    Args:
        y_true: (n,) class index of each window.
        y_pred: (n,) class index answered, or ABSTAINED (255).
        classes: names, in the model's order.

    Raises:
        EcgEdgeError: lengths differ, there is no window, or an index is not a class.
    """
    truth, answer = _labels(y_true, y_pred, len(classes))
    k = len(classes)
    column = np.where(answer == ABSTAINED, k, answer)
    confusion = np.bincount(truth * (k + 1) + column, minlength=k * (k + 1)).reshape(k, k + 1)
    right = int(np.trace(confusion[:, :k]))
    abstained = int(confusion[:, k].sum())
    return Classification(
        classes=tuple(classes),
        confusion=confusion,
        per_class=tuple(_class_score(confusion, i, name) for i, name in enumerate(classes)),
        accuracy=share(right, truth.size),
        answered_accuracy=share(right, truth.size - abstained),
        abstained=abstained,
    )


def _class_score(confusion: NDArray[np.int64], index: int, name: str) -> ClassScore:
    hit = int(confusion[index, index])
    support = int(confusion[index].sum())
    predicted = int(confusion[:, index].sum())
    # F1 in counts: defined (0) when precision or recall alone is 0/0, as scikit-learn has it.
    f1 = 2 * hit / (support + predicted) if support + predicted else math.nan
    return ClassScore(name, share(hit, predicted), share(hit, support), f1, support)


@dataclass(frozen=True, slots=True)
class Group:
    """Accuracy of the windows that share a property."""

    name: str
    accuracy: Share
    abstained: int

    def to_json(self) -> Json:
        return {"name": self.name, "abstained": self.abstained, "accuracy": self.accuracy.to_json()}


def by_group(y_true: ArrayLike, y_pred: ArrayLike, names: Sequence[str]) -> tuple[Group, ...]:
    """Accuracy for each distinct name, in order of first appearance.

    Args:
        y_true, y_pred: (n,) as for classification().
        names: (n,) the group of each window; "" = in none.
    """
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    key = np.asarray(names)
    if not truth.shape == answer.shape == key.shape:
        raise EcgEdgeError(f"groups: {truth.size} truths, {answer.size} answers, {key.size} names")
    groups = []
    for name in dict.fromkeys(names):
        if name:
            mine = key == name
            right = int((answer[mine] == truth[mine]).sum())
            lost = int((answer[mine] == ABSTAINED).sum())
            groups.append(Group(name, share(right, int(mine.sum())), lost))
    return tuple(groups)


def by_bin(
    y_true: ArrayLike, y_pred: ArrayLike, values: ArrayLike, edges: Sequence[float], *, unit: str
) -> tuple[Group, ...]:
    """Accuracy by bins of a number (SNR in dB, severity in mV), ascending; the last bin is closed, nan is in none.

    Empty bins are left out: "no data" is not 0 %.
    """
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    number = np.asarray(values, dtype=np.float64)
    assert len(edges) >= 2, edges
    assert list(edges) == sorted(edges), edges
    if not truth.shape == answer.shape == number.shape:
        raise EcgEdgeError(f"bins: {truth.size} truths, {answer.size} answers, {number.size} values")
    groups: list[Group] = []
    for i, (low, high) in enumerate(pairwise(edges)):
        below = number <= high if i == len(edges) - 2 else number < high
        mine = (number >= low) & below
        if mine.any():
            name = f"{low:g} to {high:g} {unit}"
            groups += by_group(truth[mine], answer[mine], [name] * int(mine.sum()))
    return tuple(groups)


def percentiles(values_us: ArrayLike) -> dict[str, float | int]:
    """p50, p95, p99, max, mean, min and count of times in microseconds.

    Each percentile is a time that was measured (nearest rank), never an average of two.

    Raises:
        EcgEdgeError: no value.
    """
    v = np.asarray(values_us, dtype=np.float64).ravel()
    if v.size == 0:
        raise EcgEdgeError("latency: no verdict was timed")
    p50, p95, p99 = np.percentile(v, [50, 95, 99], method="inverted_cdf")
    out = {"p50": p50, "p95": p95, "p99": p99, "max": v.max(), "min": v.min()}
    whole: dict[str, float | int] = {k: int(x) if float(x).is_integer() else float(x) for k, x in out.items()}
    return whole | {"mean": float(v.mean()), "count": int(v.size)}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Claimed against observed accuracy, by how sure the answer was."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    claimed: tuple[float, ...]  # mean top score of the bin, nan when empty
    observed: tuple[float, ...]  # share that was right
    ece: float  # expected calibration error

    def to_json(self) -> Json:
        return {
            "edges": list(self.edges),
            "counts": list(self.counts),
            "claimed": [finite(v) for v in self.claimed],
            "observed": [finite(v) for v in self.observed],
            "ece": self.ece,
        }


def calibration(y_true: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> Calibration:
    """Reliability of the top score.

    Args:
        y_true: (n,) class index.
        probabilities: (n, classes) scores as shares (0 to 1).

    Source: Guo et al. 2017, ICML, "On calibration of modern neural networks".
    """
    p = np.asarray(probabilities, dtype=np.float64)
    truth = np.asarray(y_true)
    if p.ndim != 2 or p.shape[0] != truth.size or truth.size == 0:
        raise EcgEdgeError(f"calibration: {truth.size} truths for scores of shape {p.shape}")
    top = p.max(axis=1)
    right = p.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.digitize(top, edges[1:-1]), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        claimed = np.bincount(place, weights=top, minlength=bins) / counts
        observed = np.bincount(place, weights=right, minlength=bins) / counts
    ece = float(np.nansum(np.abs(claimed - observed) * counts) / truth.size)
    return Calibration(tuple(edges), tuple(counts.tolist()), tuple(claimed), tuple(observed), ece)


def finite(value: float) -> float | None:
    """JSON has no nan: null instead."""
    return float(value) if math.isfinite(value) else None


def _labels(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth = np.asarray(y_true).astype(np.int64)
    answer = np.asarray(y_pred).astype(np.int64)
    if truth.ndim != 1 or truth.shape != answer.shape:
        raise EcgEdgeError(f"classification: {truth.shape} truths against {answer.shape} answers")
    if truth.size == 0:
        raise EcgEdgeError("classification: no window to count")
    if truth.min() < 0 or truth.max() >= classes:
        bad = int(truth[(truth < 0) | (truth >= classes)][0])
        raise EcgEdgeError(f"classification: true label {bad} is not one of {classes} classes")
    odd = (answer != ABSTAINED) & ((answer < 0) | (answer >= classes))
    if odd.any():
        raise EcgEdgeError(f"classification: answer {int(answer[odd][0])} is not one of {classes} classes")
    return truth, answer
