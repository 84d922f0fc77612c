"""What a model of beats learns from: views of beats with labels, by patient; and how batches are drawn from them.

Layer: learn; imports signal and numpy. Classes are N, S, V. Few patients have most ectopic beats, and nine in ten beats
are N: so every batch has fixed shares of the classes and of synthetic patients, and a patient with a hundred times as
many beats as another counts ten times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import TrainingError
from ecg_edge.signal.beatview import CHANNELS, COLUMNS, FEATURES

CLASSES = ("N", "S", "V")
UNUSED = -1  # label of what is not learnt: fusion beats, false detections
SIGNALS = CHANNELS - len(FEATURES)  # channels that are signal; the rest is the same in every column
SHAPE = SIGNALS + FEATURES.index("shape")

SHARES = (0.68, 0.16, 0.16)  # of N, S, V in a batch
SYNTHETIC = 0.35  # of each class
WEIGHTS = {"sick": 2.0}  # of synthetic kinds; 1 else

_SETTLING = 8  # first beats of a recording, of which little is known
_ABERRANT_SHAPE = -60  # lg; an S that looks so different is conducted aberrantly: by its shape a V
_ADOPTED_SHAPE = -90  # a V that looks so usual has become the usual beat: it says nothing of others
_JITTER = 2.0  # samples that an R peak may be off
_STEP = 3.0  # samples between columns


@dataclass(frozen=True, slots=True)
class BeatSet:
    """The beats of one patient, real or synthetic, in the order of time."""

    tensors: NDArray[np.int8]  # (n, COLUMNS, CHANNELS)
    labels: NDArray[np.int64]  # (n,) index into CLASSES, or UNUSED
    kind: str = ""  # of a synthetic patient

    @property
    def learnable(self) -> NDArray[np.int64]:
        """Rows that training may draw: known, settled, and of a shape that says its class."""
        shape = self.tensors[:, 0, SHAPE]
        misleading = (self.labels == 1) & (shape > _ABERRANT_SHAPE) | (self.labels == 2) & (shape < _ADOPTED_SHAPE)
        known = (self.labels != UNUSED) & ~misleading
        known[:_SETTLING] = False
        return np.flatnonzero(known)


class Sampler:
    """Draws batches, from the seed alone."""

    def __init__(self, sets: Sequence[BeatSet], noise: NDArray[np.float32], *, seed: int) -> None:
        """
        Args:
            sets: the training patients.
            noise: (m,) prepared noise of about unit rms, at the rate of samples.
            seed: of everything drawn.

        Raises:
            TrainingError: a class has no beat.
        """
        self._rng, self._noise = np.random.default_rng(seed), noise
        rows = [s.learnable for s in sets]
        self._signal = np.concatenate([s.tensors[r, :, :SIGNALS] for s, r in zip(sets, rows, strict=True)])
        self._features = np.concatenate([s.tensors[r, 0, SIGNALS:] for s, r in zip(sets, rows, strict=True)])
        self._labels = np.concatenate([s.labels[r] for s, r in zip(sets, rows, strict=True)])
        for c, name in enumerate(CLASSES):
            if not (self._labels == c).any():
                raise TrainingError(f"class {name} has no beat among {len(sets)} training patients")
        weights = np.concatenate([_weights(s, r) for s, r in zip(sets, rows, strict=True)])
        synthetic = np.repeat([bool(s.kind) for s in sets], [len(r) for r in rows])
        self._cumulative = np.cumsum(_in_shares(weights, self._labels, synthetic))

    def batch(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(count, COLUMNS, CHANNELS) in steps of int8, each a little different, and (count,) labels."""
        rows = np.searchsorted(self._cumulative, self._rng.random(count) * self._cumulative[-1])
        signal = vary_signal(self._signal[rows].astype(np.float32), self._noise, self._rng)
        features = self._features[rows] + self._rng.normal(0, 3.0, (count, len(FEATURES)))
        everywhere = np.repeat(features[:, None, :], COLUMNS, axis=1)
        tensors = np.concatenate([signal, everywhere], axis=2, dtype=np.float32)
        return np.clip(np.rint(tensors), -127, 127), self._labels[rows]


def vary_signal(
    signal: NDArray[np.float32], noise: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Views of beats as they might have been: (n, COLUMNS, 2), beat and twice its difference from the usual beat.

    The R peak is found up to 2 samples off, half of them are noisy, and all are larger or smaller.
    """
    n = len(signal)
    beat = signal[..., 0]
    off = rng.uniform(-_JITTER, _JITTER, (n, 1)) / _STEP
    neighbour = np.where(off > 0, np.roll(beat, -1, axis=1), np.roll(beat, 1, axis=1))
    change = np.abs(off) * (neighbour - beat)
    change[:, [0, -1]] = 0.0  # what would come from outside
    level = rng.exponential(6.0, (n, 1)) * (rng.random((n, 1)) < 0.5)
    start = rng.integers(0, noise.size - int(_STEP) * COLUMNS, (n, 1))
    change = change + level * noise[start + int(_STEP) * np.arange(COLUMNS)]
    gain = np.exp(rng.normal(0, 0.175, (n, 1, 1)))
    return np.asarray((signal + change[..., None] * np.array([1.0, 2.0])) * gain, np.float32)


def _weights(s: BeatSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k,) what a row counts within its class: a patient's together the root of how many they are."""
    labels = s.labels[rows]
    counts = np.bincount(labels, minlength=len(CLASSES))
    return np.asarray(WEIGHTS.get(s.kind, 1.0) / np.sqrt(counts[labels]), np.float64)


def _in_shares(
    weights: NDArray[np.float64], labels: NDArray[np.int64], synthetic: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Scale (n,) weights so that classes, and synthetic patients within each, have their shares."""
    scaled = weights.copy()
    for c, share in enumerate(SHARES):
        parts = [(labels == c) & synthetic, (labels == c) & ~synthetic]
        for part, portion in zip(parts, (SYNTHETIC, 1 - SYNTHETIC), strict=True):
            if part.any():
                scaled[part] *= share * (portion if all(p.any() for p in parts) else 1.0) / scaled[part].sum()
    return scaled


def calibration(sets: Sequence[BeatSet], *, seed: int, per_class: int = 25) -> NDArray[np.int8]:
    """(n, COLUMNS, CHANNELS) beats to quantize with: up to so many of each class of each real patient."""
    rng = np.random.default_rng(seed)
    parts = []
    for s in sets:
        for c in range(len(CLASSES)):
            rows = np.flatnonzero(s.labels == c)
            if not s.kind and rows.size:
                parts.append(s.tensors[rng.choice(rows, min(per_class, rows.size), replace=False)])
    return np.concatenate(parts)
