"""The rounding rule against gemmlowp's text, taken literally, one number at a time."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecg_edge.graph import quant
from ecg_edge.graph.ir import Activation

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.integers(2**30, 2**31 - 1)


def truncated(a: int, b: int) -> int:
    """C's integer division."""
    return abs(a) // b * (1 if a >= 0 else -1)


def by_the_book(x: int, multiplier: int, shift: int) -> int:
    """SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT, as gemmlowp writes them."""
    ab = (x << max(shift, 0)) * multiplier
    high = truncated(ab + (2**30 if ab >= 0 else 1 - 2**30), 2**31)
    right = max(-shift, 0)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> right) + (1 if (high & mask) > threshold else 0)


@given(INT32, MULTIPLIER, st.integers(-31, 0))
@example(-(2**31), 2**31 - 1, 0)
@example(-1, 2**30, -1)
@example(-3, 2**30, 0)  # -1.5: the first rounding takes ties up
@example(-6, 2**30, -1)  # -3 after it, then -1.5: the second takes ties away from zero
@example(2**31 - 1, 2**31 - 1, -31)
def test_requantize_equals_gemmlowp_for_right_shifts(x: int, multiplier: int, shift: int) -> None:
    assert quant.requantize(np.array([x]), multiplier, shift).tolist() == [by_the_book(x, multiplier, shift)]


@given(st.integers(1, 30), st.data(), MULTIPLIER)
def test_requantize_equals_gemmlowp_for_left_shifts(shift: int, data: st.DataObject, multiplier: int) -> None:
    limit = (2**31 - 1) >> shift
    x = data.draw(st.integers(-limit, limit))
    assert quant.requantize(np.array([x]), multiplier, shift).tolist() == [by_the_book(x, multiplier, shift)]


def test_requantize_takes_a_multiplier_and_a_shift_of_either_sign_for_each_channel() -> None:
    rng = np.random.default_rng(3)
    acc = rng.integers(-(2**20), 2**20, (50, 7))
    multipliers = rng.integers(2**30, 2**31, 7)
    shifts = np.array([-9, -1, 0, 1, 4, -31, 10])
    wanted = [
        [by_the_book(int(x), int(m), int(s)) for x, m, s in zip(row, multipliers, shifts, strict=True)] for row in acc
    ]
    assert quant.requantize(acc, multipliers, shifts).tolist() == wanted


def test_requantize_leaves_its_argument_alone() -> None:
    acc = np.arange(-5, 5)
    quant.requantize(acc, 2**30, -3)
    assert acc.tolist() == list(range(-5, 5))


@given(st.floats(2.0**-30, 2.0**20))
def test_a_multiplier_is_within_half_a_unit_of_its_real_factor(real: float) -> None:
    multiplier, shift = quant.quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert abs(math.ldexp(multiplier, shift - 31) - real) <= math.ldexp(0.5, shift - 31)


@pytest.mark.parametrize(
    ("real", "wanted"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (math.nextafter(1.0, 0.0), (2**30, 1)),  # rounds up to one, and must not become 2**31
        (2.0**-31, (2**30, -30)),
        (2.0**-33, (0, 0)),  # below what a shift of 31 can show
    ],
)
def test_multipliers_at_the_edges(real: float, wanted: tuple[int, int]) -> None:
    assert quant.quantize_multiplier(real) == wanted


def test_scales_are_multiplied_and_divided_in_double_precision() -> None:
    a, b, out = (float(np.float32(s)) for s in (0.06422777, 0.0057568, 0.28735533))
    assert quant.product_multiplier(a, b, out) == quant.quantize_multiplier(a * b / out)
    assert quant.product_multiplier(a, b, out) != quant.quantize_multiplier(float(np.float32(a) * np.float32(b)) / out)
    assert quant.rescale_multiplier(a, b) == quant.quantize_multiplier(a / b)
    assert quant.rescale_multiplier(a, b) != quant.quantize_multiplier(float(np.float32(a) / np.float32(b)))


@pytest.mark.parametrize("count", [1, 2, 7, 43, 1024])
def test_a_mean_folds_the_division_into_its_multiplier(count: int) -> None:
    multiplier, shift = quant.mean_multiplier(0.7, 0.06, count)
    assert math.ldexp(multiplier, shift - 31) == pytest.approx(0.7 / 0.06 / count, rel=2e-9)
    assert 0 < multiplier < 2**31


@pytest.mark.parametrize(
    ("activation", "bounds"),
    [("NONE", (-128, 127)), ("RELU", (-20, 127)), ("RELU6", (-20, 40)), ("RELU_N1_TO_1", (-30, -10))],
)
def test_activation_bounds_are_in_output_units(activation: Activation, bounds: tuple[int, int]) -> None:
    assert quant.activation_bounds(activation, 0.1, -20) == bounds


def test_activation_bounds_round_halves_away_from_zero() -> None:
    assert quant.activation_bounds("RELU_N1_TO_1", 0.4, 0) == (-3, 3)  # 2.5 in single precision


def test_activation_bounds_stay_in_int8() -> None:
    assert quant.activation_bounds("RELU6", 0.001, 100) == (100, 127)
