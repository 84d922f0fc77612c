"""EC57 tables on hand-made beats, against what bxb printed, and against wfdb's own matching."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from wfdb.processing import compare_annotations

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report import ec57
from ecg_edge.report.ec57 import COLUMNS, LABELS, ROWS, Counted, Labelled, beat_table, figures_json, match_window

FS_HZ = 1000  # a sample is a millisecond
START = 300 * FS_HZ
BXB = json.loads(Path(__file__).with_name("ec57_bxb.json").read_text())


def beats(text: str) -> Labelled:
    """ "N400 V1200" -> beats so many milliseconds after the learning period."""
    words = text.split()
    at = [START + int(word[1:]) for word in words]
    return Labelled(np.array(at, np.int64), np.array([LABELS.index(word[0]) for word in words], np.int64))


def cells(reference: str, answer: str, fibrillation: tuple[tuple[int, int], ...] = ()) -> dict[str, int]:
    """Which cells of the table are filled, by name: {"Nn": 2, "Vo": 1}."""
    spans = [(START + first, START + last) for first, last in fibrillation]
    table = beat_table(beats(reference), beats(answer), fs_hz=FS_HZ, fibrillation=spans)
    return {f"{ROWS[r]}{COLUMNS[c]}": int(table[r, c]) for r, c in zip(*np.nonzero(table), strict=True)}


def table_of(**counts: int) -> NDArray[np.int64]:
    """A table by its cells, as in table_of(Nn=90, Vo=1)."""
    table = np.zeros((6, 6), np.int64)
    for name, count in counts.items():
        table[ROWS.index(name[0]), COLUMNS.index(name[1])] = count
    return table


@pytest.mark.parametrize("shift", [-151, -150, -149, 0, 149, 150, 151])
def test_a_beat_is_found_150_ms_off_and_not_further(shift: int) -> None:
    found = cells("N1000 V2000 N3000", f"N{1000 + shift} V{2000 + shift} N{3000 + shift}")
    assert found == ({"Nn": 2, "Vv": 1} if abs(shift) <= 150 else {"No": 2, "Vo": 1, "On": 2, "Ov": 1})


def test_the_window_is_the_nearest_sample_as_in_bxb() -> None:
    assert [match_window(fs_hz) for fs_hz in (1000, 360, 257, 250, 128)] == [150, 54, 39, 38, 19]


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("N1000 S2000 V3000", "", {"No": 1, "So": 1, "Vo": 1}),
        ("", "N1000 S2000 V3000", {"On": 1, "Os": 1, "Ov": 1}),
        ("N1000 N2000", "N1000 V1500 N2000", {"Nn": 2, "Ov": 1}),
        # found twice: the nearer one is the beat, the other is extra
        ("N1000", "V900 N1020", {"Nn": 1, "Ov": 1}),
        ("N1000", "N980 V1100", {"Nn": 1, "Ov": 1}),
        ("N1000", "V900 N1100", {"Nn": 1, "Ov": 1}),  # a tie: the later one
        ("V900 N1100", "N1000", {"Nn": 1, "Vo": 1}),
        # James Pardey's case of bxb's manual: the nearest neighbour is taken by its own partner
        ("N1096 V1160", "N1128 V1185", {"Nn": 1, "Vv": 1}),
        ("N1128 V1185", "N1096 V1160", {"Nn": 1, "Vv": 1}),
        # abstained: found for QRS, and of no class
        ("V1000 S2000 N3000", "Q1000 Q2000 Q3000", {"Vq": 1, "Sq": 1, "Nq": 1}),
    ],
)
def test_missing_extra_double_and_equally_far_beats(reference: str, answer: str, expected: dict[str, int]) -> None:
    assert cells(reference, answer) == expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("N-2000 V-1000", "N-2000 N-1000", {}),
        ("N-1", "", {}),
        ("N0", "", {"No": 1}),
        ("N-500 V50", "N-500 V-50", {"Vv": 1}),  # judged: its partner came a little early
        ("N-50 V1000", "N50 V1000", {"Vv": 1}),  # not judged: it may belong to the beat before the start
        ("V1000", "N160 V1000", {"Vv": 1, "On": 1}),
        ("V-100 N100", "V-20 N90", {"Nn": 1}),
    ],
)
def test_the_first_five_minutes_are_for_learning(reference: str, answer: str, expected: dict[str, int]) -> None:
    assert cells(reference, answer) == expected


def test_fibrillation_is_judged_on_neither_side() -> None:
    flutter = ((5000, 9000),)
    assert cells("N4000 V6000 N9500", "N4000 N6500 V7000 N9500", flutter) == {"Nn": 2}
    assert cells("N4000 N9500", "N4000 V4500 V9200 N9500", flutter) == {"Nn": 2, "Ov": 2}
    assert cells("N4900", "N5040", flutter) == {"Nn": 1}  # a detection inside may be the last beat's before it


@pytest.mark.parametrize("case", BXB["cases"], ids=lambda case: f"{case['fs_hz']} Hz")
def test_tables_and_figures_are_those_that_bxb_prints(case: dict[str, Any]) -> None:
    reference, answer = (Labelled(*np.array(case[who], np.int64)) for who in ("reference", "answer"))
    spans = [(first, last) for first, last in case["fibrillation"]]
    table = beat_table(reference, answer, fs_hz=case["fs_hz"], fibrillation=spans)
    assert table.tolist() == case["table"]
    figures = figures_json(table)
    for name, printed in case["percent"].items():
        kind, figure = name.split("_")
        value = figures[kind][figure]
        assert printed == ("-" if value is None else f"{100 * value:.2f}"), name


@given(st.integers(0, 2**32 - 1))
def test_wfdb_pairs_the_same_beats_where_no_window_holds_two(seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = START + np.cumsum(random.integers(302, 1500, 40))
    answer = np.sort(reference + random.integers(-200, 201, 40))[random.random(40) > 0.1]
    answer = answer[np.diff(answer, prepend=-10000) > 301]
    answer = answer[answer >= START]
    theirs = compare_annotations(reference, answer, 151)  # closer than 151
    table = beat_table(*(Labelled(at, np.zeros_like(at)) for at in (reference, answer)), fs_hz=FS_HZ)
    assert (table[0, 0], table[0, 5], table[5, 0]) == (theirs.tp, theirs.fn, theirs.fp)


@given(
    st.lists(st.tuples(st.integers(-3000, 20000), st.sampled_from(LABELS)), max_size=60),
    st.lists(st.tuples(st.integers(-3000, 20000), st.sampled_from(LABELS)), max_size=60),
)
def test_every_beat_is_counted_once(reference: list[tuple[int, str]], answer: list[tuple[int, str]]) -> None:
    ours = [beats(" ".join(f"{label}{at}" for at, label in sorted(who))) for who in (reference, answer)]
    table = beat_table(*ours, fs_hz=FS_HZ)
    judged = [np.bincount(who.label[who.at >= START], minlength=5) for who in ours]
    assert table[:5].sum(axis=1).tolist() == judged[0].tolist()
    seam = table[:, :5].sum(axis=0) - judged[1]  # one before the start may be a partner, one behind it go uncounted
    assert np.abs(seam).sum() <= 2


def test_the_figures_of_a_table_counted_by_hand() -> None:
    table = table_of(Nn=90, Ns=2, Nv=3, No=5, Sn=4, Ss=5, Sv=1, Vn=2, Vs=1, Vv=16, Vo=1, Fn=3, Fs=1, Fv=7) + table_of(
        Qn=1, Qs=1, Qv=2, On=6, Os=1, Ov=2, Nq=2, Vq=1
    )
    found = figures_json(table)
    assert found["qrs"] == {"se": 142 / 148, "ppv": 142 / 151, "f1": 284 / 299}
    # false VEBs: Nv Sv Ov = 6, and neither Fv nor Qv; missed: Vn Vs Vq Vo = 5
    assert found["veb"] == {"se": 16 / 21, "ppv": 16 / 22, "f1": 32 / 43, "fpr": 6 / (6 + 116)}
    # false SVEBs: Ns Vs Fs Os = 5, and not Qs; missed: Sn Sv = 5
    assert found["sveb"] == {"se": 5 / 10, "ppv": 5 / 10, "f1": 10 / 20, "fpr": 5 / (5 + 135)}
    assert found["n"]["se"] == 90 / 102
    assert found["n"]["ppv"] == 90 / (90 + 4 + 2 + 3 + 6)


def test_fusion_and_unclassified_beats_are_no_false_vebs() -> None:
    clean = table_of(Nn=100, Vv=10, Ss=10)
    before, after = figures_json(clean), figures_json(clean + table_of(Fv=50, Qv=50))
    assert after["veb"] == before["veb"]
    assert figures_json(clean + table_of(Qs=50))["sveb"] == before["sveb"]
    assert figures_json(clean + table_of(Fs=10))["sveb"]["ppv"] == 0.5


def record(name: str, table: NDArray[np.int64], patient: str = "") -> Counted:
    return Counted(name, patient or name, table)


def test_gross_is_of_the_sum_and_average_of_the_records_that_have_the_figure() -> None:
    report = ec57.summary(
        [
            record("a", table_of(Nn=10, Vv=9, Vn=1)),
            record("b", table_of(Nn=10, Vv=1, Vn=1)),
            record("c", table_of(Nn=10)),  # no VEB: no sensitivity of its own
        ]
    )
    assert report["veb"]["gross"]["se"] == 10 / 12
    assert report["veb"]["average"]["se"] == pytest.approx((0.9 + 0.5) / 2)
    assert report["veb"]["average"]["fpr"] == 0
    assert report["sveb"]["gross"] == report["sveb"]["average"] == {"se": None, "ppv": None, "f1": None, "fpr": 0.0}
    assert report["macro_f1"] == pytest.approx((60 / 62 + 20 / 22) / 2)  # over N and V: there is no S
    assert report["veb"]["counts"] == {"tp": 10, "fn": 2, "fp": 0, "tn": 30}


def test_abstentions_are_shown_beside_the_figures() -> None:
    report = ec57.summary([record("a", table_of(Nn=80, Nq=10, Vq=5, No=5, On=2, Oq=1))])
    assert report["coverage"] == {
        "beats": 100,
        "found": 95,
        "abstained": 15,
        "answered": 80,
        "answered_share": 0.8,
        "extra": 3,
    }
    assert report["veb"]["gross"]["se"] == 0.0


def test_nothing_to_judge_is_said() -> None:
    with pytest.raises(EcgEdgeError, match="no beat to judge in 1 records"):
        ec57.summary([record("short", table_of(On=3))])


def test_an_interval_is_over_patients() -> None:
    hearts = [table_of(Nn=100, Vv=10 * k, Vn=100 - 10 * k) for k in range(10)]
    (narrow, macro), (wide, _) = ec57.intervals(np.array(hearts * 4)), ec57.intervals(np.array(hearts))
    low, high = wide["veb"]["se"]
    assert low < 0.45 < high
    assert 0.4 < (narrow["veb"]["se"][1] - narrow["veb"]["se"][0]) / (high - low) < 0.6  # 4 times the patients: half
    assert macro is not None
    assert wide["sveb"]["se"] is None  # 0/0 in every draw


def test_ten_times_the_beats_of_the_same_hearts_make_no_interval_narrower() -> None:
    hearts = np.array([table_of(Nn=100, Vv=10 * k, Vn=100 - 10 * k) for k in range(10)])
    assert ec57.intervals(10 * hearts) == ec57.intervals(hearts)


def test_two_records_of_one_patient_are_drawn_together() -> None:
    first, second = table_of(Nn=9, Vv=1), table_of(Nn=5, Vn=5)
    report = ec57.summary([record("201", first, "x"), record("202", second, "x")])
    assert report["bootstrap"]["patients"] == 1
    assert report["veb"]["ci95"]["se"] is None  # one patient says nothing of others
    assert report["veb"]["gross"]["se"] == 1 / 6
