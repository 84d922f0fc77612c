"""Beat for beat, whether two say the same of a recording. Layer: bench."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.beats import Beats

FIELDS = ("rr", "state", "scores", "verdict")


@dataclass(frozen=True, slots=True)
class BeatAgreement:
    """The beats of a golden answer and of another one; a beat is known by its R peak, to the sample."""

    golden: int  # beats
    other: int
    identical: NDArray[np.bool_]  # (golden,) there, and the same in place, rr, state, scores and verdict
    missing: NDArray[np.bool_]  # (golden,) not there
    extra: NDArray[np.int64]  # R peaks that only the other one has
    differing: dict[str, int]  # field -> beats that are there and differ in it

    @property
    def all_identical(self) -> bool:
        return bool(self.identical.all()) and not self.extra.size


def compare_beats(golden: Beats, other: Beats) -> BeatAgreement:
    """Hold the beats of `other` to those of `golden`.

    Beats are in the order of time, so no R peak is there twice: one that is, counts as extra.
    """
    there, first = np.unique(other.at, return_index=True)
    place = np.searchsorted(there, golden.at)
    known = place < len(there)
    known[known] = there[place[known]] == golden.at[known]
    rows = first[place[known]]
    same = {name: _same(getattr(golden, name)[known], getattr(other, name)[rows]) for name in FIELDS}
    identical = known.copy()
    identical[known] = np.logical_and.reduce(list(same.values()))
    again = np.delete(other.at, first)
    extra = np.sort(np.concatenate([np.setdiff1d(there, golden.at), again]))
    differing = {name: int((~equal).sum()) for name, equal in same.items()}
    return BeatAgreement(len(golden.at), len(other.at), identical, ~known, extra, differing)


def _same(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> NDArray[np.bool_]:
    if ours.shape != theirs.shape:  # another number of classes
        return np.zeros(len(ours), np.bool_)
    same: NDArray[np.bool_] = (ours == theirs).all(axis=tuple(range(1, ours.ndim)))
    return same
