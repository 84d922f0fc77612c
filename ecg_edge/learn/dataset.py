"""What a model learns from: prepared int8 columns with labels, split by subject.

Layer: learn; imports errors, signal and numpy. Training sees exactly the columns that a device computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import TrainingError
from ecg_edge.signal.prepare import Prepare, prepare
from ecg_edge.signal.synth import CLASSES, balanced_labels, synthesize

Progress = Callable[[int, int], None]  # done, total

# What the shipped model trains on: share of windows, SNR in dB, severities in mV. Much of it is noisier than the
# figures we promise, and some changes are larger than 0.4 mV, as in patients.
Recipe = tuple[tuple[float, tuple[float, float], tuple[float, float]], ...]
RECIPE: Recipe = (
    (0.50, (4.0, 30.0), (0.1, 0.4)),
    (0.30, (2.0, 12.0), (0.1, 0.4)),
    (0.20, (6.0, 30.0), (0.1, 0.8)),
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """n windows ready for training; one lead or several."""

    columns: NDArray[np.int8]  # (n, window, leads)
    labels: NDArray[np.int64]  # (n,)
    subjects: NDArray[np.int64]  # (n,) whose windows they are
    classes: tuple[str, ...]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Dataset:
        """The rows' windows only."""
        return replace(self, columns=self.columns[rows], labels=self.labels[rows], subjects=self.subjects[rows])


BALANCE_RECIPE: Recipe = ((1.0, (12.0, 30.0), (0.1, 0.4)),)  # the noise of use; see balance.py
BALANCE_WINDOWS = 15_000


def synthetic_dataset(
    count: int,
    *,
    seed: int,
    window: int,
    fs_hz: float,
    p: Prepare,
    progress: Progress,
    recipe: Recipe = RECIPE,
) -> Dataset:
    """Synthesize and prepare about `count` windows by a recipe; every window is another subject.

    Args:
        count: windows, all classes together.
        seed: recipe part i uses seed + i.
        window: samples.
        fs_hz: samples a second.
        p: preparation, the device's.
        progress: told after each batch.
        recipe: share of windows, SNR in dB, severities in mV of each part.
    """
    parts, labels = [], []
    for i, (share, snr_db, severity_mv) in enumerate(recipe):
        wanted = balanced_labels(max(1, round(share * count / len(CLASSES))))
        for batch in synthesize(
            wanted, seed=seed + i, snr_db=snr_db, length=window, fs_hz=fs_hz, severity_mv=severity_mv
        ):
            parts.append(prepare(batch.samples_uv, p))
            labels.append(batch.label)
            progress(sum(map(len, labels)), count)
    columns = np.concatenate(parts)[..., None]
    return Dataset(columns, np.concatenate(labels), np.arange(len(columns)), CLASSES)


def split_by_subject(data: Dataset, *, held_out: float, seed: int) -> tuple[Dataset, Dataset]:
    """Keep some subjects for validation: no subject is on both sides.

    Args:
        data: all windows.
        held_out: share of the subjects, 0 to 1.
        seed: which subjects.

    Returns:
        training, validation.

    Raises:
        TrainingError: fewer than two subjects, or a class would have no training window.
    """
    subjects = np.unique(data.subjects)
    if subjects.size < 2:
        raise TrainingError(f"{subjects.size} subject: a split by subject needs 2 or more")
    kept = np.random.default_rng(seed).permutation(subjects)[: max(1, round(held_out * subjects.size))]
    outside = np.isin(data.subjects, kept)
    training, validation = data.take(~outside), data.take(outside)
    missing = set(range(len(data.classes))) - set(training.labels.tolist())
    if missing:
        raise TrainingError(f"class {data.classes[min(missing)]} has no window among the training subjects")
    return training, validation


def augment(columns: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    """(n, window, leads) -> the same, each window a little different: gain within 4 %, noise of up to 0.7 steps.

    Gentle on purpose: labels are graded in millivolts, and a gain of 20 % would make a label a lie.
    """
    n = columns.shape[0]
    gain = rng.uniform(0.96, 1.04, (n, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(columns.shape, dtype=np.float32) * rng.uniform(0.0, 0.7, (n, 1, 1)).astype(np.float32)
    return np.clip(np.rint(columns * gain + noise), -128, 127).astype(np.int8)
