"""Synthetic ECG to disk: arrays, WFDB records or CSV, and a plot. Layer: recipes; composes signal and report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecg_edge.files import replacing_folder
from ecg_edge.report.html import Strip
from ecg_edge.signal.record import Annotations, Record, write_csv_record, write_wfdb
from ecg_edge.signal.rhythm import BEAT_SYMBOLS, RHYTHMS, Beat
from ecg_edge.signal.synth import CLASSES, Synthetic
from ecg_edge.signal.windows import Windows, write_windows

LABEL_FILE = "labels.csv"
Progress = Callable[[int, int], None]
TRUTH = ("subject", "severity_mv", "st_mv", "t_mv", "snr_db", "event", "kind", "p", "qrs_on", "r", "j", "t")


def write_arrays(path: Path, made: Synthetic) -> None:
    """One .npz: samples_uv, fs_hz, label (class names) as evaluate reads them, and the whole truth beside."""
    names = np.array(CLASSES)[made.label]
    windows = Windows(made.samples_uv, int(made.fs_hz), names)
    truth = {name: getattr(made, name) for name in TRUTH}
    write_windows(path, windows, extra={**truth, "rhythms": np.array(RHYTHMS)})


def write_records(folder: Path, made: Synthetic, *, csv: bool, progress: Progress, force: bool = False) -> None:
    """One WFDB record (beats in .atr, truth in the header) or CSV file a window; labels.csv names the classes."""
    lines = ["record,label,severity_mv,st_mv,t_mv,snr_db,rhythm"]
    with replacing_folder(folder, force=force, marker=LABEL_FILE) as temporary:
        for i in range(len(made.label)):
            record = _record(made, i)
            facts = [
                f"{made.severity_mv[i]:.3f}",
                f"{made.st_mv[i]:.3f}",
                f"{made.t_mv[i]:.3f}",
                f"{made.snr_db[i]:.1f}",
            ]
            label, rhythm = CLASSES[made.label[i]], RHYTHMS[made.event[i]]
            if csv:
                write_csv_record(temporary / f"{record.name}.csv", [record])
            else:
                comment = f"synthetic: {label}, {rhythm}, severity {facts[0]} mV, SNR {facts[3]} dB. Not clinical."
                write_wfdb(temporary, [record], comments=[comment])
            lines.append(",".join([f"{record.name}.csv" if csv else record.name, label, *facts, rhythm]))
            progress(i + 1, len(made.label))
        (temporary / LABEL_FILE).write_text("\n".join(lines) + "\n")


def _record(made: Synthetic, i: int) -> Record:
    present = (made.r[i] >= 0) & (made.kind[i] != Beat.BLOCKED_P)
    beats = made.r[i][present]
    order = np.argsort(beats)
    symbols = tuple(BEAT_SYMBOLS[Beat(k)] for k in made.kind[i][present][order])
    notes = Annotations(beats[order], symbols, ("",) * len(symbols))
    return Record(f"synth{i:05d}", int(made.fs_hz), "synthetic", made.samples_uv[i], annotations=notes)


def examples(made: Synthetic, *, per_class: int = 2) -> list[Strip]:
    """The first windows of each class, to look at."""
    chosen = []
    for label, name in enumerate(CLASSES):
        for i in np.flatnonzero(made.label == label)[:per_class]:
            facts = [RHYTHMS[made.event[i]], f"SNR {made.snr_db[i]:.0f} dB"]
            if made.severity_mv[i]:
                facts.append(f"{made.severity_mv[i]:+.2f} mV")
            chosen.append(Strip(f"{name} (synthetic)", ", ".join(facts), made.samples_uv[i], int(made.fs_hz)))
    return chosen
