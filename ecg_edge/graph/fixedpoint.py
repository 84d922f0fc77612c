"""exp, 1/(1+x), the sigmoid and tanh in 32-bit fixed point, bit for bit as gemmlowp computes them. Layer: graph.

Numbers are int64 arrays that hold int32 raw values; Qi.f has i integer and f = 31 - i fractional bits. A product of
Qa and Qb is Q(a+b), rounded by `_mul`. Softmax, sigmoid and tanh see at most 256 inputs, so speed does not matter here.

Source: gemmlowp `fixedpoint.h`, Jacob and Warden 2015.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.int64]

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_EXP_MINUS_1_8 = 1895147668  # exp(-1/8) in Q0.31
_ONE_THIRD = 715827883  # 1/3 in Q0.31
_48_OVER_17, _MINUS_32_OVER_17 = 1515870810, -1010580540  # in Q2.29: the best linear start for 1/x on 1/2..1
# exp(-2**e) in Q0.31, for e = -2 .. 4.
_EXP_OF_BIT = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))


def _mul(a: Raw, b: Raw | int) -> Raw:
    """High half of the doubled product, rounded; INT32_MIN squared saturates."""
    return np.minimum((a * b + (1 << 30)) >> 31, _INT32_MAX)


def rounding_shift_right(x: Raw, bits: int) -> Raw:
    """Divide by 2**bits, ties away from zero."""
    return x if bits == 0 else (x + (1 << (bits - 1)) + (x >> 63)) >> bits


def _shift_left(x: Raw, bits: int) -> Raw:
    """Multiply by 2**bits, saturating at int32."""
    return np.clip(x << bits, _INT32_MIN, _INT32_MAX)


def exp_on_negative_values(a: Raw, integer_bits: int) -> Raw:
    """exp(a) in Q0.31, for a <= 0 in Q(integer_bits); integer_bits is 4 or 5.

    a is split into a part in [-1/4, 0), for which a polynomial serves, and a sum of powers of two with a constant each.
    """
    fractional_bits = 31 - integer_bits
    quarter = 1 << (fractional_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(_shift_left(low, integer_bits))
    rest = low - a
    for exponent, constant in _EXP_OF_BIT:
        if exponent < integer_bits:
            bit = 1 << (fractional_bits + exponent)
            result = np.where(rest & bit, _mul(result, constant), result)
    return np.where(a == 0, _INT32_MAX, result)


def _exp_near_zero(a: Raw) -> Raw:
    """exp(a) for a in [-1/4, 0), all in Q0.31: Taylor's series to the fourth order around -1/8."""
    x = a + (1 << 28)
    x2 = _mul(x, x)
    x3 = _mul(x2, x)
    x4 = _mul(x2, x2)
    tail = rounding_shift_right(_mul(rounding_shift_right(x4, 2) + x3, _ONE_THIRD) + x2, 1)
    return _EXP_MINUS_1_8 + _mul(x + tail, _EXP_MINUS_1_8)


def one_over_one_plus(a: Raw) -> Raw:
    """1 / (1 + a) in Q0.31, for a in [0, 1] in Q0.31."""
    return _shift_left(_two_over_one_plus(a), 1)  # halved by reading it as Q1.30, then Q0.31


def _two_over_one_plus(a: Raw) -> Raw:
    """2 / (1 + a) in Q2.29, for a in [0, 1] in Q0.31: three Newton steps."""
    half_denominator = (a + _INT32_MAX + 1) >> 1  # rounded half sum of a and one
    x = _48_OVER_17 + _mul(half_denominator, _MINUS_32_OVER_17)  # Q2.29
    for _ in range(3):
        error = (1 << 29) - _mul(half_denominator, x)
        x = x + _shift_left(_mul(x, error), 2)  # Q4.27 back to Q2.29
    return x


def reciprocal(x: Raw, integer_bits: int) -> tuple[Raw, Raw]:
    """1 / x for x > 0 in Q(integer_bits): a Q0.31 number r and a shift s with 1 / x = r * 2**-s."""
    headroom = 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)  # leading zeros of 32; exact below 2**53
    return one_over_one_plus((x << headroom) - (1 << 31)), integer_bits - headroom


def logistic(a: Raw) -> Raw:
    """Sigmoid in Q0.31 of a in Q4.27."""
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(a), 4))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, _INT32_MAX - positive))


def tanh(a: Raw) -> Raw:
    """Hyperbolic tangent in Q0.31 of a in Q4.27: (1 - e) / (1 + e) with e = exp(-2 |a|)."""
    e = exp_on_negative_values(-np.abs(a), 5)  # the same raw number with one integer bit more is twice as much
    size = _shift_left(_two_over_one_plus(e) - (1 << 29), 2)
    return np.where(a == 0, 0, np.where(a > 0, size, -size))
