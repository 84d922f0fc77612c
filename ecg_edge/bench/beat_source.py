"""What a bench run of a model of beats streams: one recording. Layer: bench; composes signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.source import Progress, cited
from ecg_edge.bundle import Manifest
from ecg_edge.errors import SignalError
from ecg_edge.recipes.ec57 import known_states
from ecg_edge.recipes.evaluation import evaluation_seed
from ecg_edge.signal.prepare import Prepare
from ecg_edge.signal.record import Annotations, Record, read_record
from ecg_edge.signal.synth import balanced_labels, synthesize

SYNTHETIC_S = 12  # of one person: as long as synthesis makes them
PEOPLE = 25  # five minutes


@dataclass(frozen=True, slots=True)
class Recording:
    """One lead, at the model's rate."""

    kind: str  # synthetic or record
    text: str  # one line for people
    fs_hz: int
    samples_uv: NDArray[np.int16]  # (n,)
    states: NDArray[np.uint8]  # (n,) State of each sample
    annotations: Annotations | None = None
    citation: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples_uv) / self.fs_hz


MakeRecording = Callable[[Progress], Recording]


def synthetic_recording(
    manifest: Manifest, people: int, *, seed: int, snr_db: tuple[float, float], progress: Progress
) -> Recording:
    """Synthetic ECG of so many people, 12 s each, one behind the other in one stream.

    Raises:
        SignalError: nobody is wanted, or a negative seed.
    """
    if people < 1:
        raise SignalError(f"{people} synthetic people are too few to compare; 1 is the least")
    if seed < 0:
        raise SignalError(f"seed {seed} of the synthetic people is negative")
    length = SYNTHETIC_S * manifest.fs_hz
    labels = balanced_labels(people)[:people]
    parts = []
    for part in synthesize(labels, seed=evaluation_seed(seed), snr_db=snr_db, length=length, fs_hz=manifest.fs_hz):
        parts.append(part.samples_uv.reshape(-1))
        progress(sum(map(len, parts)) // length, people)
    record = Record("synthetic", manifest.fs_hz, "I", np.concatenate(parts))
    who = "1 person" if people == 1 else f"{people:,} people"
    text = (
        f"synthetic ECG of {who}, {SYNTHETIC_S} s each in one stream, seed {seed}, "
        f"SNR {snr_db[0]:g} to {snr_db[1]:g} dB"
    )
    return _recording("synthetic", text, manifest, record)


def read_recording(manifest: Manifest, path: Path, *, lead: str | None, raw_uv: bool) -> Recording:
    """One lead of a recording, whole; what is missing in it is a gap.

    Raises:
        SignalError: it cannot be read.
    """
    record = read_record(path, lead=lead, fs_hz=manifest.fs_hz, raw_uv=raw_uv, gaps=True)
    minutes = record.samples_uv.size / record.fs_hz / 60
    text = f"record {record.name}, lead {record.lead}, {minutes:.1f} min in one stream"
    return _recording("record", text, manifest, record, cited(path))


def _recording(kind: str, text: str, manifest: Manifest, record: Record, citation: str = "") -> Recording:
    states = known_states(record, Prepare.from_manifest(manifest.prepare))
    return Recording(kind, text, record.fs_hz, record.samples_uv, states, record.annotations, citation)
