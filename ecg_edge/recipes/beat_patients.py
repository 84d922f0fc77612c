"""The patients that a model of beats learns from: MIT-BIH's DS1, and synthetic ones made of their beats.

Layer: recipes; composes signal, learn and report. Each synthetic patient has a donor and ventricular beats of the
donor's own fold, so that whoever is held out is held out with all that was made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.learn.beatdata import UNUSED, BeatSet
from ecg_edge.recipes.ec57 import Judged, known_states, read_judged
from ecg_edge.report import ec57
from ecg_edge.signal.beatview import CHANNELS, COLUMNS, FEATURES, BeatView, beat_views
from ecg_edge.signal.ectopy import KINDS
from ecg_edge.signal.patients import sinus_beats, synthetic_patient, ventricular_beats
from ecg_edge.signal.prepare import Prepare, prepare, sample_states
from ecg_edge.signal.record import read_record

Progress = Callable[[int, int], None]  # done, total
Floats = NDArray[np.float64]

# DS1 in six parts of three or four patients. Those with many S, many V, or fibrillation are spread over the parts.
FOLDS = (
    ("209", "106", "115", "112"),
    ("201", "119", "122", "108"),
    ("207", "208", "101", "116"),
    ("118", "203", "109"),
    ("220", "215", "124", "205"),
    ("223", "114", "230"),
)
FS_HZ = 250
PREPARE = Prepare()
NOISES = ("em", "ma", "bw")  # of the noise stress test
_NOISE_STEPS = 60  # rms, in int8 steps, at which noise is prepared: the filter is linear, and rounding then is small


@dataclass(frozen=True, slots=True)
class Answerable:
    """A recording with known beats, and the views of what was found there."""

    name: str
    beats: BeatSet
    at: NDArray[np.int64]  # (n,) R peaks found
    state: NDArray[np.uint8]  # (n,)
    reference: ec57.Labelled
    fibrillation: tuple[tuple[int, int], ...] = ()

    def table(self, verdict: NDArray[np.int64]) -> ec57.Table:
        """EC57's table of a verdict, (n,) index into ec57.LABELS for each beat found."""
        found = ec57.Labelled(self.at, verdict)
        return ec57.beat_table(self.reference, found, fs_hz=FS_HZ, fibrillation=self.fibrillation)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything there is to learn from."""

    patients: tuple[Answerable, ...]  # real ones
    synthetic: tuple[Answerable, ...]  # named after their donor
    noise: NDArray[np.float32]  # (m,) prepared, about unit rms

    def without(self, fold: Sequence[str]) -> list[BeatSet]:
        """The beats of all but some patients, and of what was not made of theirs."""
        return [a.beats for a in (*self.patients, *self.synthetic) if a.name not in fold]


def load_corpus(folder: Path, *, seed: int, progress: Progress, folds: Sequence[Sequence[str]] = FOLDS) -> Corpus:
    """Read the patients of `folds`, make synthetic ones of them, and view every beat as a device does.

    Args:
        folder: of the MIT-BIH Arrhythmia Database; the noise stress test lies beside it, as `nstdb`.
        seed: of the synthetic patients.
        progress: told of each patient.
        folds: names of records.

    Raises:
        SignalError: a recording is missing or cannot be used.
    """
    raw = {name: _standard_noise(folder.parent / "nstdb" / name) for name in NOISES}
    names = [name for fold in folds for name in fold]
    total = len(names) * (1 + len(KINDS))
    judged, patients = dict[str, Judged](), dict[str, Answerable]()
    for done, name in enumerate(names):
        progress(done, total)
        judged[name] = read_judged(folder / name, name, FS_HZ, lead=None, annotator="atr")
        patients[name] = _seen(judged[name])
    synthetic = list[Answerable]()
    for fold in folds:
        ventricular = np.concatenate([_ventricular(judged[name], patients[name]) for name in fold])
        for name in fold:
            sinus = _sinus(judged[name], patients[name])
            for number, kind in enumerate(KINDS):
                progress(len(names) + names.index(name) * len(KINDS) + number, total)
                if sinus is not None and ventricular.size:
                    rng = np.random.default_rng([seed, names.index(name), number])
                    synthetic.append(_drawn(name, kind, sinus, ventricular, raw, rng))
    return Corpus(tuple(patients.values()), tuple(synthetic), _prepared_noise(raw))


def _seen(judged: Judged) -> Answerable:
    """View the beats of a recording as a device does."""
    record = judged.record
    views = beat_views(record.samples_uv, PREPARE, known_states(record, PREPARE))
    return _answerable(judged.name, "", views, judged.reference, judged.fibrillation)


def _drawn(
    name: str, kind: str, sinus: Floats, ventricular: Floats, noise: dict[str, Floats], rng: np.random.Generator
) -> Answerable:
    drawn = synthetic_patient(kind, sinus, ventricular, noise, rng)
    views = beat_views(drawn.samples_uv, PREPARE, sample_states(drawn.samples_uv, PREPARE))
    return _answerable(name, kind, views, ec57.Labelled(drawn.at, drawn.label))


def _answerable(
    name: str,
    kind: str,
    views: list[BeatView],
    reference: ec57.Labelled,
    fibrillation: tuple[tuple[int, int], ...] = (),
) -> Answerable:
    at = np.array([view.at for view in views], np.int64)
    state = np.array([view.state for view in views], np.uint8)
    labels = np.full(at.size, UNUSED)
    for r, a in ec57.match_beats(reference.at, at, window=ec57.match_window(FS_HZ), start=0):
        if r is not None and a is not None and reference.label[r] <= ec57.LABELS.index("V"):
            labels[a] = reference.label[r]
    labels[ec57.within(at, fibrillation) | (state != 0)] = UNUSED
    tensors = np.array([view.tensor for view in views], np.int8).reshape(-1, COLUMNS, CHANNELS)
    return Answerable(name, BeatSet(tensors, labels, kind), at, state, reference, fibrillation)


def _feature(patient: Answerable, name: str) -> NDArray[np.int64]:
    channel = CHANNELS - len(FEATURES) + FEATURES.index(name)
    return patient.beats.tensors[:, 0, channel].astype(np.int64)


def _sinus(judged: Judged, patient: Answerable) -> Floats | None:
    """Usual beats with a P wave, from among usual beats; None where there are too few."""
    normal = patient.beats.labels == 0
    r0 = _feature(patient, "r0")
    usual = (np.abs(r0) < 16) & (np.abs(r0 - _feature(patient, "recent")) < 12) & (_feature(patient, "shape") < -70)
    usual &= normal & np.roll(normal, 1) & np.roll(normal, -1) & (_feature(patient, "usual_p") > 70)
    usual[:20] = usual[-2:] = False
    return sinus_beats(judged.record.samples_uv, patient.at[usual])


def _ventricular(judged: Judged, patient: Answerable) -> Floats:
    unlike = (patient.beats.labels == 2) & (_feature(patient, "shape") > -60)
    return ventricular_beats(judged.record.samples_uv, patient.at[unlike])


def _standard_noise(path: Path) -> Floats:
    """(n,) at 250 Hz, unit rms; raw units, since the headers give no gain."""
    raw = read_record(path, raw_uv=True, annotator=None, fs_hz=FS_HZ).samples_uv.astype(np.float64)
    noise = raw - raw.mean()
    if not noise.any():
        raise SignalError(f"{path}: a noise of nothing")
    return np.asarray(noise / noise.std())


def _prepared_noise(raw: dict[str, Floats]) -> NDArray[np.float32]:
    """(m,) as it passes the preparation and the mean of three columns that a view is cut from."""
    uv = [np.clip(noise * 16 * _NOISE_STEPS, -32768, 32767).astype(np.int16) for noise in raw.values()]
    steps = np.concatenate([prepare(samples, PREPARE) for samples in uv]).astype(np.float32)
    return np.asarray((steps[2:] + steps[1:-1] + steps[:-2]) / (3 * _NOISE_STEPS), np.float32)
