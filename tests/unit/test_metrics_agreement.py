"""report/agreement.py: what is identical, what flipped, and what it means."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.agreement import agreement, changes, verdict_changes
from ecg_edge.report.metrics import ABSTAINED

AB = ("a", "b")
SCALE, ZERO = 1 / 256, -128


def scores(*rows: tuple[int, int]) -> NDArray[np.int8]:
    return np.array(rows, dtype=np.int8)


def test_one_lsb_in_one_window_is_counted_and_flips_nothing() -> None:
    golden = scores((127, -128), (10, -11), (-128, 127))
    device = scores((127, -128), (10, -10), (-128, 127))
    got = agreement(golden, device, scale=SCALE, zero_point=ZERO)
    assert (got.windows, got.identical, got.argmax_flips, got.max_abs_lsb) == (3, 2, 0, 1)
    assert got.lsb == {0: 5, 1: 1}
    assert got.errors["mae"] == pytest.approx(1 / 256 / 6)
    assert got.errors["acc"] == 1.0


def test_a_flip_is_named_by_the_classes_it_joins() -> None:
    got = agreement(scores((1, -2), (5, 4)), scores((1, -2), (4, 5)), scale=SCALE, zero_point=ZERO)
    assert got.flips.tolist() == [[1, 1], [0, 0]]
    assert got.errors["acc"] == 0.5


def test_a_float_answer_is_rounded_to_the_grid_before_it_is_called_identical() -> None:
    share = np.array([[0.7512, 0.2488]], dtype=np.float32)  # 192.3 and 63.7 LSB
    same = agreement(share, scores((64, -64)), scale=SCALE, zero_point=ZERO)
    off = agreement(share, scores((65, -65)), scale=SCALE, zero_point=ZERO)
    assert (same.identical, off.identical) == (1, 0)
    assert same.errors["rmse"] > 0  # compared unrounded


def test_the_errors_equal_their_definitions() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((50, 3)), rng.random((50, 3))
    got = agreement(a, b, scale=SCALE, zero_point=ZERO).errors
    assert got["rmse"] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    assert got["l2r"] == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a))
    assert got["cos"] == pytest.approx((a.ravel() @ b.ravel()) / np.linalg.norm(a) / np.linalg.norm(b))
    assert got["nse"] == pytest.approx(1 - np.sum((a - b) ** 2) / np.sum((a - a.mean()) ** 2))


def test_answers_of_other_shapes_are_refused() -> None:
    with pytest.raises(EcgEdgeError, match=r"\(1, 2\) against \(2, 2\)"):
        agreement(scores((0, 1)), scores((0, 1), (1, 0)), scale=SCALE, zero_point=ZERO)
    with pytest.raises(EcgEdgeError, match="no window"):
        agreement(np.zeros((0, 2), np.int8), np.zeros((0, 2), np.int8), scale=SCALE, zero_point=ZERO)


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(-128, 127)), min_size=1, max_size=40))
def test_an_answer_agrees_with_itself_entirely(rows: list[tuple[int, int]]) -> None:
    q = scores(*rows)
    got = agreement(q, q, scale=SCALE, zero_point=ZERO)
    assert got.identical == got.windows == len(rows)
    assert (got.argmax_flips, got.max_abs_lsb, got.errors["rmse"]) == (0, 0, 0.0)
    json.dumps(got.to_json(), allow_nan=False)


def test_the_change_in_sensitivity_is_newcombes_method_10() -> None:
    # The worked values follow from his formula with phi = (ad - bc) / sqrt(efgh), done by hand here for
    # a = 36 both right, b = 12 only the first, c = 2 only the second, d = 0 neither.
    first = np.array([1] * 48 + [0] * 2)
    second = np.array([1] * 36 + [0] * 12 + [1] * 2)
    truth = np.ones(50, dtype=int)
    got = changes(truth, second, first, AB).per_class[1].sensitivity
    assert got.value == pytest.approx(0.2)
    # Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, table II: (36, 12, 2, 0) gives 0.0569 to 0.3404
    # with the continuity-corrected phi; here phi = -24 / 302.9 is negative, where no correction applies.
    assert (round(got.low, 4), round(got.high, 4)) == (0.0569, 0.3404)


def test_the_same_answers_change_nothing_and_have_no_uncertainty() -> None:
    truth = np.array([0, 0, 1, 1])
    got = changes(truth, [0, 1, 1, ABSTAINED], [0, 1, 1, ABSTAINED], AB)
    assert (got.accuracy.value, got.accuracy.low, got.accuracy.high) == (0.0, 0.0, 0.0)


def test_the_interval_of_a_change_in_precision_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    runs, n = 300, 200
    for _ in range(runs):
        truth = rng.integers(0, 2, n)
        wrong_a, wrong_b = rng.random(n) < 0.15, rng.random(n) < 0.15  # one law for both: the true change is 0
        shared = rng.random(n) < 0.5
        wrong_b = np.where(shared, wrong_a, wrong_b)
        got = changes(truth, truth ^ wrong_a, truth ^ wrong_b, AB).per_class[1].precision
        hits += got.low <= 0 <= got.high
    # 300 runs of a 95 % interval: 4 standard errors are 5 points.
    assert 0.90 <= hits / runs <= 1.0


def test_a_class_never_predicted_has_no_change_in_precision() -> None:
    got = changes([0, 0], [0, 0], [0, 0], AB).per_class[1].precision.to_json()
    assert got["change"] is None
    assert got["ci95"] == [None, None]


def test_verdict_changes_name_abstentions_and_come_most_frequent_first() -> None:
    got = verdict_changes([0, 0, 1, 1], [ABSTAINED, ABSTAINED, 0, 1], AB)
    assert got == [
        {"from": "a", "to": "abstained", "windows": 2},
        {"from": "b", "to": "a", "windows": 1},
    ]
    assert verdict_changes([0], [0], AB) == []
