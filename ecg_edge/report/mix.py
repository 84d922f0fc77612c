"""What was answered to windows of an annotated record, by what the annotations say is in them. Numbers only.

Layer: report; imports errors, numpy and metrics. Beat and rhythm labels are not class labels of a window (MIT-BIH says
nothing of ST), so this is a table of counts, never an accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_edge.report.metrics import ABSTAINED, Json

# Source: ANSI/AAMI EC57, table of beat classes; Q holds paced and unclassifiable beats.
AAMI = {
    **dict.fromkeys("NLRej", "N"),
    **dict.fromkeys("AaJSn", "S"),
    **dict.fromkeys("VEr", "V"),
    **dict.fromkeys("F", "F"),
    **dict.fromkeys("/fQ?B", "Q"),
}
BEAT_ROWS: tuple[tuple[str, Callable[[frozenset[str]], bool]], ...] = (
    ("only N beats", lambda kinds: kinds == {"N"}),
    ("with S beats", lambda kinds: "S" in kinds),
    ("with V beats", lambda kinds: "V" in kinds),
    ("with F beats", lambda kinds: "F" in kinds),
    ("with paced or unknown beats", lambda kinds: "Q" in kinds),
    ("no beat marked", lambda kinds: not kinds),
)
# Source: PhysioNet, annotation codes of the MIT-BIH Arrhythmia Database (rhythm changes).
RHYTHMS = {
    "N": "sinus rhythm",
    "AB": "atrial bigeminy",
    "AFIB": "atrial fibrillation",
    "AFL": "atrial flutter",
    "B": "ventricular bigeminy",
    "BII": "2nd degree heart block",
    "IVR": "idioventricular rhythm",
    "NOD": "nodal rhythm",
    "P": "paced rhythm",
    "PREX": "pre-excitation",
    "SBR": "sinus bradycardia",
    "SVTA": "supraventricular tachyarrhythmia",
    "T": "ventricular trigeminy",
    "VFL": "ventricular flutter",
    "VT": "ventricular tachycardia",
}
NOTE = "Counts of windows, not an accuracy: beat and rhythm annotations do not label a window. Rows overlap."


def mix_table(
    starts: ArrayLike,
    length: int,
    answers: ArrayLike,
    classes: Sequence[str],
    *,
    beats: tuple[NDArray[np.int64], Sequence[str]],
    rhythms: Sequence[tuple[int, int, str]],
) -> Json:
    """Answers by the beats inside a window (AAMI classes) and by the rhythm that holds for most of it.

    Args:
        starts: (n,) index of each window's first sample.
        length: samples per window.
        answers: (n,) class index or ABSTAINED.
        classes: names, in the model's order.
        beats: (k,) ascending sample index and WFDB symbol of each beat.
        rhythms: (start, stop, name) of each stretch, as in (0, 750, "AFIB").

    Returns:
        the JSON object that render.mix_text() shows; rows without a window are left out.
    """
    first, verdict = np.asarray(starts, dtype=np.int64), np.asarray(answers).astype(np.int64)
    kinds = _beat_kinds(first, length, beats)
    rows = [_row("all windows", np.ones(first.size, dtype=bool), verdict, classes)]
    for name, holds in BEAT_ROWS:
        rows.append(_row(name, np.array([holds(k) for k in kinds], dtype=bool), verdict, classes))
    for name, mine in _rhythm_of(first, length, rhythms).items():
        rows.append(_row(RHYTHMS.get(name, f"rhythm {name}"), mine, verdict, classes))
    return {
        "title": "annotated",
        "columns": [*classes, "abstained"],
        "rows": [row for row in rows if row["windows"]],
        "note": NOTE,
    }


def _row(name: str, mine: NDArray[np.bool_], verdict: NDArray[np.int64], classes: Sequence[str]) -> Json:
    answers = {c: int((verdict[mine] == i).sum()) for i, c in enumerate(classes)}
    return {
        "name": name,
        "windows": int(mine.sum()),
        "answers": answers | {"abstained": int((verdict[mine] == ABSTAINED).sum())},
    }


def _beat_kinds(
    first: NDArray[np.int64], length: int, beats: tuple[NDArray[np.int64], Sequence[str]]
) -> list[frozenset[str]]:
    at, symbols = beats
    aami = [AAMI.get(s, "Q") for s in symbols]
    low, high = np.searchsorted(at, first), np.searchsorted(at, first + length)
    return [frozenset(aami[a:b]) for a, b in zip(low, high, strict=True)]


def _rhythm_of(
    first: NDArray[np.int64], length: int, rhythms: Sequence[tuple[int, int, str]]
) -> dict[str, NDArray[np.bool_]]:
    """Rhythm name -> which windows it holds for more than half of, in order of first appearance."""
    cover: dict[str, NDArray[np.int64]] = {}
    for start, stop, name in rhythms:
        shared = np.clip(np.minimum(first + length, stop) - np.maximum(first, start), 0, None)
        cover[name] = cover.get(name, np.zeros(first.size, dtype=np.int64)) + shared
    return {name: samples * 2 > length for name, samples in cover.items()}
