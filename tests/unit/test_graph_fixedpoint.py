"""gemmlowp's functions against the real ones; that their bits are right is for the golden vectors to say."""

import numpy as np
import pytest

from ecg_edge.graph import fixedpoint

Q31 = 2.0**31


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_exp_is_near_the_real_one_over_its_whole_range(integer_bits: int) -> None:
    raw = -np.unique(np.geomspace(1, 2**31, 5000).astype(np.int64))
    real = raw / 2.0 ** (31 - integer_bits)
    got = fixedpoint.exp_on_negative_values(raw, integer_bits) / Q31
    # A fourth-order polynomial on [-1/4, 0) and at most seven rounded products: gemmlowp's own tests allow this much.
    assert np.abs(got - np.exp(real)).max() < 2e-6


def test_exp_of_zero_is_the_largest_number() -> None:
    assert fixedpoint.exp_on_negative_values(np.array([0]), 5).tolist() == [2**31 - 1]


def test_one_over_one_plus_is_near_the_real_one() -> None:
    raw = np.linspace(0, 2**31 - 1, 4001).astype(np.int64)
    got = fixedpoint.one_over_one_plus(raw) / Q31
    assert np.abs(got - 1.0 / (1.0 + raw / Q31)).max() < 2e-8  # three Newton steps leave a few units of 2**-31


@pytest.mark.parametrize("x", [1 << 19, (1 << 19) + 1, 5 << 19, (1 << 20) - 1, 255 << 19])
def test_reciprocal_gives_a_number_and_its_scale(x: int) -> None:
    scale, bits = fixedpoint.reciprocal(np.array([x]), 12)
    assert scale[0] / Q31 * 2.0 ** -float(bits[0]) == pytest.approx(1.0 / (x / 2.0**19), rel=1e-7)


def test_logistic_is_near_the_real_one_and_symmetric() -> None:
    raw = np.linspace(-(2**31) + 1, 2**31 - 1, 4001).astype(np.int64)
    got = fixedpoint.logistic(raw) / Q31
    assert np.abs(got - 1.0 / (1.0 + np.exp(-raw / 2.0**27))).max() < 2e-6  # as exp
    assert fixedpoint.logistic(np.array([0])).tolist() == [2**30]


def test_a_right_shift_takes_ties_away_from_zero() -> None:
    assert fixedpoint.rounding_shift_right(np.array([3, -3, 5, -5, 6, -6]), 1).tolist() == [2, -2, 3, -3, 3, -3]
    assert fixedpoint.rounding_shift_right(np.array([-7, 7]), 0).tolist() == [-7, 7]
