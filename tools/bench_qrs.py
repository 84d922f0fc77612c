"""How good and how fast our QRS detector is beside wfdb's XQRS and neurokit2's default, by EC57, in one run.

    python tools/bench_qrs.py [../shared/data/mitdb] [--out build/bench/qrs.json]

Each sees the same lead of the same records, the others at the rate it was recorded at, ours at its 250 Hz. Time is
processor time of the calls alone, reading and resampling apart: seconds for an hour of ECG. All three run in Python.
neurokit2 is in no lock, since it brings pandas and more: `pip install neurokit2` beside the dev packages.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.machine import machine, versions
from ecg_edge.errors import SignalError
from ecg_edge.files import write_json
from ecg_edge.recipes.ec57 import Judged, read_judged
from ecg_edge.report import ec57
from ecg_edge.report.metrics import Json
from ecg_edge.report.render import number, percent, text_table
from ecg_edge.signal.qrs import FS_HZ, find_beats
from ecg_edge.signal.recordset import find_records

Detect = Callable[[NDArray[np.int16], int], NDArray[np.int64]]  # (n,) uV, Hz -> sample indices of R peaks


def ours(samples_uv: NDArray[np.int16], fs_hz: int) -> NDArray[np.int64]:
    assert fs_hz == FS_HZ, fs_hz
    return find_beats(samples_uv)


def xqrs(samples_uv: NDArray[np.int16], fs_hz: int) -> NDArray[np.int64]:
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(samples_uv / 1000.0, fs_hz, verbose=False), np.int64)


def neurokit(samples_uv: NDArray[np.int16], fs_hz: int) -> NDArray[np.int64]:
    import neurokit2

    clean = neurokit2.ecg_clean(samples_uv / 1000.0, sampling_rate=fs_hz)
    return np.asarray(neurokit2.ecg_peaks(clean, sampling_rate=fs_hz)[1]["ECG_R_Peaks"], np.int64)


def ten_beats(fs_hz: int) -> NDArray[np.int16]:
    """Ten seconds of spikes, a second apart."""
    phase = np.arange(10 * fs_hz) % fs_hz
    return np.asarray(np.clip(1000 - np.abs(phase - fs_hz // 2) * 100, 0, None), np.int16)


DETECTORS: dict[str, tuple[Detect, str]] = {  # name -> detector, and the package it comes with
    "ecg-edge": (ours, "ecg-edge"),
    "XQRS": (xqrs, "wfdb"),
    "neurokit2": (neurokit, "neurokit2"),
}


def measure(folder: Path) -> Json:
    """Every detector that is here, on every record of a folder that can be judged."""
    here = {name: detect for name, (detect, package) in DETECTORS.items() if find_spec(package.replace("-", "_"))}
    for name, detect in here.items():  # once beforehand: what is imported and compiled then is not timed
        detect(ten_beats(FS_HZ), FS_HZ)
        print(f"{name} is ready", file=sys.stderr)
    tables: dict[str, list[ec57.Counted]] = {name: [] for name in here}
    took_s = dict.fromkeys(here, 0.0)
    hours = 0.0
    for path in find_records(folder):
        try:
            resampled = read_judged(path, path.stem, FS_HZ, lead=None, annotator="atr")
            recorded = read_judged(path, path.stem, resampled.fs_hz, lead=None, annotator="atr")
        except SignalError as reason:
            print(f"left out {path.stem}: {reason}", file=sys.stderr)
            continue
        hours += resampled.record.samples_uv.size / FS_HZ / 3600
        for name, detect in here.items():
            judged = resampled if detect is ours else recorded
            table, seconds = _count(judged, detect)
            tables[name].append(ec57.Counted(judged.name, judged.patient, table))
            took_s[name] += seconds
        print(f"{path.stem}: {', '.join(f'{name} {took_s[name]:.1f} s' for name in here)}", file=sys.stderr)
    rows = {name: {**ec57.summary(tables[name])["qrs"], "s_per_hour": took_s[name] / hours} for name in here}
    return {
        "records": len(tables["ecg-edge"]),
        "hours": hours,
        "detectors": rows,
        "versions": versions(package for _, package in DETECTORS.values()),
        "machine": machine(),
    }


def _count(judged: Judged, detect: Detect) -> tuple[ec57.Table, float]:
    """The table of one record, and the processor time it took."""
    began = time.process_time()
    at = detect(judged.record.samples_uv, judged.record.fs_hz)
    took_s = time.process_time() - began
    found = ec57.Labelled(np.sort(at), np.zeros(at.size, np.int64))
    fs_hz = judged.record.fs_hz
    return ec57.beat_table(judged.reference, found, fs_hz=fs_hz, fibrillation=judged.fibrillation), took_s


def report_text(report: Json) -> str:
    """The table of all detectors."""
    rows = [
        [
            f"{name} ({report['versions'][DETECTORS[name][1]]})",
            percent(r["gross"]["se"]),
            percent(r["gross"]["ppv"]),
            percent(r["average"]["se"]),
            percent(r["average"]["ppv"]),
            number(r["counts"]["fn"]),
            number(r["counts"]["fp"]),
            f"{r['s_per_hour']:.2f}",
        ]
        for name, r in report["detectors"].items()
    ]
    header = ["detector", "gross Se", "gross +P", "average Se", "average +P", "missed", "extra", "s per hour of ECG"]
    away = [name for name in DETECTORS if name not in report["detectors"]]
    lines = [f"{name} is not installed: pip install {DETECTORS[name][1]}" for name in away]
    return "\n".join([text_table(header, rows), f"{report['records']} records, {report['hours']:.1f} h, EC57", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/mitdb"))
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    report = measure(wanted.folder)
    if wanted.out is not None:
        write_json(wanted.out, report)
    print(report_text(report))


if __name__ == "__main__":
    main()
