"""What a bench run streams: windows or one long record, with whatever truth is known. Layer: bench; composes signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.errors import BundleError, SignalError
from ecg_edge.recipes.evaluation import evaluation_seed
from ecg_edge.signal.physionet import SETS
from ecg_edge.signal.record import Annotations, read_record
from ecg_edge.signal.synth import CLASSES, balanced_labels, synthesize
from ecg_edge.signal.windows import read_windows

Progress = Callable[[int, int], None]  # done, total

# Printed with every figure from these sets. A set is known by the name of a folder that its recordings lie in.
CITATIONS = {
    **{known.name: f"{known.title} ({known.cite}), PhysioNet, {known.licence}" for known in SETS.values()},
    "mitdb": "MIT-BIH Arrhythmia Database (Moody and Mark 2001, IEEE EMB Mag 20(3):45-50), PhysioNet, ODC-By 1.0",
    "nstdb": "MIT-BIH Noise Stress Test Database (Moody et al. 1984), PhysioNet, ODC-By 1.0",
    "ludb": "Lobachevsky University Database (Kalyakulina et al. 2020, IEEE Access 8:186181), PhysioNet, ODC-By 1.0",
    "ptbxl": "PTB-XL (Wagner et al. 2020, Sci Data 7:154), PhysioNet, CC-BY 4.0",
    "cinc": "PhysioNet/CinC Challenge 2020 (Perez Alday et al. 2020, Physiol Meas 41:124003), CC-BY 4.0",
}


@dataclass(frozen=True, slots=True)
class Source:
    """n windows to answer: isolated ones, or those of one stream."""

    kind: str  # synthetic, npz or record
    text: str  # one line for people
    fs_hz: int
    length: int  # samples per window
    stream: bool
    signal_uv: NDArray[np.int16]  # isolated: (n, length); stream: (samples,)
    starts: NDArray[np.int64]  # (n,) first sample of each window: in its stream; isolated: 0
    clipped: NDArray[np.bool_]  # stream: (samples,) did not fit int16 on the way here; isolated: empty
    truth: NDArray[np.int64] | None = None  # (n,) index of the class
    snr_db: NDArray[np.float64] | None = None  # (n,)
    severity_mv: NDArray[np.float64] | None = None  # (n,) 0: no graded change
    annotations: Annotations | None = None
    citation: str = ""

    @property
    def windows_uv(self) -> NDArray[np.int16]:
        """(n, length)."""
        return sliding_window_view(self.signal_uv, self.length)[self.starts] if self.stream else self.signal_uv

    def title(self, index: int) -> str:
        """Where window `index` is, for people."""
        if not self.stream:
            return f"Window {index}"
        seconds = int(self.starts[index]) / self.fs_hz
        return f"{int(seconds // 60)}:{seconds % 60:04.1f}"

    def facts(self, index: int, classes: tuple[str, ...]) -> str:
        """What is known of window `index`, for people."""
        known = []
        if self.truth is not None:
            known.append(f"truth {classes[self.truth[index]]}")
        if self.severity_mv is not None and self.severity_mv[index]:
            known.append(f"{self.severity_mv[index]:+.2f} mV")
        if self.snr_db is not None:
            known.append(f"SNR {self.snr_db[index]:.0f} dB")
        if self.annotations is not None:
            known.append(self._marks(index))
        return ", ".join(known)

    def _marks(self, index: int) -> str:
        assert self.annotations is not None
        at, symbols = self.annotations.beats()
        first = int(self.starts[index])
        low, high = np.searchsorted(at, [first, first + self.length])
        return "beats " + (" ".join(symbols[low:high]) or "none")


def synthetic_source(
    manifest: Manifest, count: int, *, seed: int, snr_db: tuple[float, float], progress: Progress
) -> Source:
    """`count` synthetic windows, the classes taking turns, each of a subject of its own.

    A model of other classes gets the same windows without truth.

    Raises:
        SignalError: no window is wanted, or the model's window is outside what can be synthesized.
    """
    if count < 1:
        raise SignalError(f"{count} synthetic windows are too few to compare; 1 is the least")
    if seed < 0:
        raise SignalError(f"seed {seed} of the synthetic windows is negative")
    labels = balanced_labels(-(-count // len(CLASSES)))[:count]
    parts = []
    subjects = evaluation_seed(seed)
    for part in synthesize(labels, seed=subjects, snr_db=snr_db, length=manifest.window, fs_hz=manifest.fs_hz):
        parts.append(part)
        progress(sum(p.label.size for p in parts), count)
    known = manifest.classes == CLASSES
    return _isolated(
        "synthetic",
        f"{count:,} synthetic windows of {count:,} subjects, seed {seed}, SNR {snr_db[0]:g} to {snr_db[1]:g} dB",
        manifest,
        np.concatenate([p.samples_uv for p in parts]),
        labels if known else None,
        np.concatenate([p.snr_db for p in parts]),
        np.concatenate([p.severity_mv for p in parts]),
    )


def npz_source(manifest: Manifest, path: Path) -> Source:
    """Windows from a file, with labels where the model has such classes.

    Raises:
        SignalError: the file is not what read_windows() takes.
    """
    windows = read_windows(path, fs_hz=manifest.fs_hz, length=manifest.window, classes=manifest.classes)
    truth = np.array([manifest.classes.index(str(name)) for name in windows.labels], dtype=np.int64)
    return _isolated("npz", f"{truth.size:,} windows of {path.name}", manifest, windows.samples_uv, truth, None, None)


def record_source(manifest: Manifest, path: Path, *, lead: str | None, raw_uv: bool) -> Source:
    """One lead of a recording, streamed whole, at the model's rate.

    Raises:
        SignalError: the record cannot be read, or is shorter than one window.
    """
    record = read_record(path, lead=lead, fs_hz=manifest.fs_hz, raw_uv=raw_uv)
    size = record.samples_uv.size
    if size < manifest.window:
        seconds = manifest.window / manifest.fs_hz
        raise SignalError(f"{path}: {size / manifest.fs_hz:.1f} s; one window needs {seconds:.1f} s")
    clipped = np.zeros(size, dtype=bool)
    clipped[record.clipped] = True
    starts = np.arange(0, size - manifest.window + 1, manifest.hop, dtype=np.int64)
    return Source(
        "record",
        f"record {record.name}, lead {record.lead}, {size / manifest.fs_hz / 60:.1f} min in one stream: "
        f"{starts.size:,} windows, {manifest.hop} samples apart",
        manifest.fs_hz,
        manifest.window,
        stream=True,
        signal_uv=record.samples_uv,
        starts=starts,
        clipped=clipped,
        annotations=record.annotations,
        citation=cited(path),
    )


def cited(path: Path) -> str:
    """What to print with figures from a recording: of a known set its source, else nothing."""
    return next((text for folder, text in CITATIONS.items() if folder in path.resolve().parts), "")


def check_one_lead(manifest: Manifest) -> None:
    """Every source here is one lead.

    Raises:
        BundleError: the model takes more.
    """
    if manifest.leads != 1:
        raise BundleError(f"bundle {manifest.name} takes {manifest.leads} leads; bench streams one")


def _isolated(
    kind: str,
    text: str,
    manifest: Manifest,
    samples_uv: NDArray[np.int16],
    truth: NDArray[np.int64] | None,
    snr_db: NDArray[np.float64] | None,
    severity_mv: NDArray[np.float64] | None,
) -> Source:
    return Source(
        kind,
        text,
        manifest.fs_hz,
        manifest.window,
        stream=False,
        signal_uv=samples_uv,
        starts=np.zeros(len(samples_uv), dtype=np.int64),
        clipped=np.empty(0, dtype=bool),
        truth=truth,
        snr_db=snr_db,
        severity_mv=severity_mv,
    )
