"""report/metrics.py against scikit-learn and against counts done by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.metrics import (
    ABSTAINED,
    by_bin,
    by_group,
    calibration,
    classification,
    percentiles,
    share,
)

CLASSES = ("Normal", "Arrhythmia", "ST Depression", "ST Elevation", "T Wave Inversion")


def made_up(n: int, seed: int, *, abstain: float = 0.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, n)
    answer = np.where(rng.random(n) < 0.8, truth, rng.integers(0, 5, n))
    return truth, np.where(rng.random(n) < abstain, ABSTAINED, answer)


@pytest.mark.parametrize("abstain", [0.0, 0.1])
def test_per_class_scores_equal_scikit_learn(abstain: float) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn checks the per-class scores")
    truth, answer = made_up(700, 3, abstain=abstain)
    ours = classification(truth, answer, CLASSES)
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(
        truth, answer, labels=range(5), zero_division=0
    )
    np.testing.assert_allclose([c.precision.value for c in ours.per_class], precision)
    np.testing.assert_allclose([c.recall.value for c in ours.per_class], recall)
    np.testing.assert_allclose([c.f1 for c in ours.per_class], f1)
    assert [c.support for c in ours.per_class] == support.tolist()
    assert ours.accuracy.value == pytest.approx(sklearn.accuracy_score(truth, answer))
    wanted = sklearn.confusion_matrix(truth, answer, labels=[*range(5), ABSTAINED])
    assert ours.confusion.tolist() == wanted[:5].tolist()


def test_an_abstention_is_counted_apart_and_as_wrong() -> None:
    result = classification([0, 0, 1, 1], [0, ABSTAINED, 1, 1], ["a", "b"])
    assert (result.accuracy.count, result.accuracy.total) == (3, 4)
    assert (result.answered_accuracy.count, result.answered_accuracy.total) == (3, 3)
    assert result.abstained == 1
    assert result.confusion.tolist() == [[1, 0, 1], [0, 2, 0]]


def test_a_class_without_windows_is_null_in_json_and_left_out_of_macro_f1() -> None:
    result = classification([0, 0], [0, 0], ["a", "b"])
    assert result.macro_f1 == 1.0
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["per_class"]["b"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
        "predicted": 0,
        "precision_ci95": [0.0, 1.0],
        "recall_ci95": [0.0, 1.0],
    }


@pytest.mark.parametrize(
    ("truth", "answer", "said"),
    [
        ([0, 1], [0], "(2,) truths against (1,) answers"),
        ([], [], "no window"),
        ([0, 7], [0, 1], "true label 7"),
        ([0, 1], [0, 9], "answer 9"),
    ],
)
def test_labels_that_do_not_match_are_refused_in_one_line(truth: list[int], answer: list[int], said: str) -> None:
    with pytest.raises(EcgEdgeError) as caught:
        classification(truth, answer, CLASSES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_wilson_interval_equals_published_values() -> None:
    # Source: Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3 (Wilson without correction).
    for count, total, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        got = share(count, total)
        assert (round(got.low, 4), round(got.high, 4)) == (low, high)


@given(total=st.integers(1, 10_000), data=st.data())
def test_the_wilson_interval_holds_its_share_and_stays_in_0_to_1(total: int, data: st.DataObject) -> None:
    got = share(data.draw(st.integers(0, total)), total)
    assert 0.0 <= got.low <= got.value <= got.high <= 1.0
    assert got.high - got.low > 0


def test_the_share_of_nothing_is_unknown() -> None:
    got = share(0, 0)
    assert math.isnan(got.value)
    assert got.to_json()["value"] is None


def test_groups_keep_their_order_and_count_abstentions() -> None:
    got = by_group([0, 0, 1, 1], [0, 1, 1, ABSTAINED], ["x", "w", "x", "w"])
    assert [(g.name, g.accuracy.count, g.accuracy.total, g.abstained) for g in got] == [("x", 2, 2, 0), ("w", 0, 2, 1)]


def test_bins_are_closed_at_the_top_end_only_and_empty_ones_are_left_out() -> None:
    got = by_bin([0, 0, 0, 0], [0, 1, 0, 0], [0.0, 6.0, 30.0, math.nan], [0, 6, 12, 30], unit="dB")
    assert [(g.name, g.accuracy.count, g.accuracy.total) for g in got] == [("0 to 6 dB", 1, 1), ("6 to 12 dB", 0, 1), (
        "12 to 30 dB", 1, 1)]  # fmt: skip


def test_percentiles_are_times_that_were_measured() -> None:
    got = percentiles([10, 20, 30, 1000])
    assert (got["p50"], got["p95"], got["max"], got["count"]) == (20, 1000, 1000, 4)
    with pytest.raises(EcgEdgeError, match="no verdict was timed"):
        percentiles([])


def test_a_perfectly_honest_score_has_no_calibration_error_and_a_boastful_one_has() -> None:
    honest = np.tile([0.75, 0.25], (4, 1))
    assert calibration([0, 0, 0, 1], honest).ece == pytest.approx(0.0)
    assert calibration([1, 1, 0, 0], np.tile([0.95, 0.05], (4, 1))).ece == pytest.approx(0.45)
