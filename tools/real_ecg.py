"""What a bundle says of real ECG: LUDB by measured ST and T levels, PTB-XL by diagnosis. Prints tables, writes JSON.

    python tools/real_ecg.py [BUNDLE] [--out FILE] [--card]

The recordings come from ECG_EDGE_DATA (default ../shared/data) and are not part of this project: LUDB (ODC-By 1.0),
PTB-XL (CC-BY 4.0). The model has seen none of them in training. Research use; not a medical device.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError, SignalError
from ecg_edge.recipes.evaluation import answer
from ecg_edge.recipes.shipping import with_metrics
from ecg_edge.report import metrics
from ecg_edge.report.render import DISCLAIMER, classification_text, confusion_text, text_table
from ecg_edge.signal.record import Record, read_record
from ecg_edge.signal.synth import CLASSES
from ecg_edge.signal.windows import cut_windows

LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
CHANGE_MV, GREY_MV = 0.1, 0.05  # DESIGN.md 1
SINUS = ("sinus rhythm", "sinus bradycardia", "sinus tachycardia")
LUDB_SOURCE = "LUDB, odd ids (ODC-By 1.0): windows of single leads, labelled by measured ST and T levels"
PTBXL_GROUPS = ("NORM", "STD_", "INVT", "AFIB")


def data_folder() -> Path:
    return Path(os.environ.get("ECG_EDGE_DATA", "../shared/data"))


def windows_of(record: Record, bundle: Bundle) -> NDArray[np.int16]:
    """(k, window) whole windows, side by side."""
    windows, _ = cut_windows(record, length=bundle.manifest.window, hop=bundle.manifest.window)
    return windows.samples_uv


def graded_label(rhythms: str, extrasystoles: str, st_mv: float, t_mv: float) -> str | None:
    """The class of one lead by measured levels; None in the grey zone, or where the rhythm's evidence may be elsewhere.

    LUDB's level is at QRS offset + 40 ms, ours at J + 60 ms.
    """
    rhythm = rhythms.strip().lower()
    if not rhythm.startswith(SINUS):
        return "Arrhythmia" if "fibrillation" in rhythm or "flutter" in rhythm else None
    if extrasystoles.strip():
        return None
    if abs(st_mv) >= CHANGE_MV:
        return "ST Elevation" if st_mv > 0 else "ST Depression"
    if abs(st_mv) >= GREY_MV:
        return None
    if t_mv <= -CHANGE_MV:
        return "T Wave Inversion"
    return "Normal" if t_mv > -GREY_MV else None


def ludb_windows(folder: Path, bundle: Bundle) -> Iterator[tuple[str, str, NDArray[np.int16]]]:
    """(label, lead, windows) of each gradable lead of LUDB."""
    facts = {row["ID"].strip(): row for row in csv.DictReader((folder / "ludb.csv").open(encoding="utf-8"))}
    for row in csv.DictReader((folder / "st_levels.csv").open(encoding="utf-8")):
        about = facts[row["record"]]
        for lead in LEADS:
            if not (row[f"ST40_{lead}"] and row[f"T_{lead}"]):
                continue
            levels = float(row[f"ST40_{lead}"]), float(row[f"T_{lead}"])
            label = graded_label(about["Rhythms"], about["Extrasystolies"], *levels)
            if label is not None:
                path = folder / "data" / row["record"]  # gains in the headers are wrong: 1 LSB is 1 uV
                record = read_record(path, lead=lead, fs_hz=bundle.manifest.fs_hz, raw_uv=True)
                yield label, lead, windows_of(record, bundle)


def ludb(folder: Path, bundle: Bundle) -> dict[str, Any]:
    """Classification of LUDB's leads against measured levels, and accuracy by lead."""
    found = list(ludb_windows(folder, bundle))
    samples = np.concatenate([windows for _, _, windows in found])
    truth = np.concatenate([np.full(len(w), CLASSES.index(label)) for label, _, w in found])
    leads = [lead for _, lead, w in found for _ in w]
    verdicts = answer(bundle, samples).verdicts
    result = metrics.classification(truth, verdicts, CLASSES)
    groups = metrics.by_group(truth, verdicts, leads)
    print(f"{LUDB_SOURCE}\n")
    print(classification_text(result), confusion_text(result), sep="\n\n")
    rows = [[g.name, g.accuracy.total, f"{100 * g.accuracy.value:.1f} %"] for g in groups]
    print("\n" + text_table(["lead", "windows", "accuracy"], rows))
    return {**result.to_json(), "by_lead": [g.to_json() for g in groups]}


def ptbxl_group(codes: str) -> str | None:
    """The first of our groups that a record's SCP codes name; None where there is none."""
    names = ast.literal_eval(codes)
    if "AFIB" in names:
        return "AFIB"
    return next((group for group in ("STD_", "INVT", "NORM") if group in names), None)


def ptbxl(folder: Path, bundle: Bundle) -> dict[str, Any]:
    """What is said of every lead of PTB-XL's records. Diagnoses name no lead, so this is a mix and no score."""
    mix = {group: np.zeros(len(CLASSES) + 1, np.int64) for group in PTBXL_GROUPS}
    records = dict.fromkeys(PTBXL_GROUPS, 0)
    for row in csv.DictReader((folder / "ptbxl_database.csv").open(encoding="utf-8")):
        group = ptbxl_group(row["scp_codes"])
        path = folder / row["filename_lr"]
        if group is None or not path.with_suffix(".hea").is_file():
            continue
        records[group] += 1
        leads = [read_record(path, lead=lead, fs_hz=bundle.manifest.fs_hz) for lead in LEADS]
        verdicts = answer(bundle, np.concatenate([windows_of(lead, bundle) for lead in leads])).verdicts
        mix[group] += np.bincount(np.where(verdicts == metrics.ABSTAINED, len(CLASSES), verdicts), minlength=6)
    print("\nPTB-XL excerpt, 100 Hz (CC-BY 4.0): share of verdicts over all 12 leads, by diagnosis of the record\n")
    rows = [
        [group, records[group], int(counts.sum()), *(f"{100 * c / max(1, counts.sum()):.1f} %" for c in counts)]
        for group, counts in mix.items()
    ]
    print(text_table(["diagnosis", "records", "windows", *CLASSES, "abstained"], rows))
    return {group: {"records": records[group], "verdicts": counts.tolist()} for group, counts in mix.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", default="ecg5")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument(
        "--card", action="store_true", help="put the figures of LUDB into the bundle's manifest and card"
    )
    wanted = parser.parse_args()
    try:
        folder = data_folder()
        if not folder.is_dir():
            raise SignalError(f"{folder} is not a folder: set ECG_EDGE_DATA to where ludb/ and ptbxl/ are")
        bundle = Bundle.load(wanted.bundle)
        figures = {"ludb": ludb(folder / "ludb", bundle), "ptbxl": ptbxl(folder / "ptbxl", bundle)}
    except EcgEdgeError as error:
        sys.exit(f"real_ecg: {error}")
    print("\n" + DISCLAIMER)
    if wanted.card:
        with_metrics(bundle, {"source": LUDB_SOURCE, **figures["ludb"]}, name="ludb")
    if wanted.out is not None:
        facts = {"model": bundle.manifest.name, "sha256": bundle.model_sha256, "classes": list(CLASSES), **figures}
        wanted.out.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
