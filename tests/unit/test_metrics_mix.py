"""report/mix.py on annotations made by hand."""

from __future__ import annotations

import numpy as np

from ecg_edge.report.metrics import ABSTAINED
from ecg_edge.report.mix import mix_table
from ecg_edge.report.render import mix_text

CLASSES = ("Normal", "Arrhythmia")


def test_windows_are_counted_under_every_kind_of_beat_they_hold_and_their_main_rhythm() -> None:
    # Windows [0, 100), [50, 150), [100, 200), [150, 250)
    table = mix_table(
        [0, 50, 100, 150],
        100,
        [0, 0, 1, ABSTAINED],
        CLASSES,
        beats=(np.array([10, 40, 99, 100, 130]), ["N", "L", "A", "V", "N"]),
        rhythms=[(0, 140, "N"), (140, 250, "AFIB")],
    )
    got = {row["name"]: (row["windows"], *row["answers"].values()) for row in table["rows"]}
    assert got == {
        "all windows": (4, 2, 1, 1),
        "with S beats": (2, 2, 0, 0),  # 99 is inside the first two
        "with V beats": (2, 1, 1, 0),  # 100 is outside the first
        "no beat marked": (1, 0, 0, 1),
        "sinus rhythm": (2, 2, 0, 0),
        "atrial fibrillation": (2, 0, 1, 1),
    }
    text = mix_text(table)
    assert text.splitlines()[2].split() == ["all", "windows", "4", "2", "1", "1"]
    assert text.endswith("Rows overlap.")


def test_a_window_is_of_no_rhythm_when_none_holds_for_more_than_half() -> None:
    table = mix_table([0], 100, [0], CLASSES, beats=(np.array([5]), ["N"]), rhythms=[(0, 50, "N"), (50, 100, "AFIB")])
    assert [row["name"] for row in table["rows"]] == ["all windows", "only N beats"]
