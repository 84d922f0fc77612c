"""Scale -> (multiplier, shift), and the one rounding rule of every integer op. Layer: graph; mirrors `ecg_quant.h`.

The rule is TensorFlow Lite Micro's *double* rounding: first to 31 fractional bits (ties up), then by the remaining
right shift (ties away from zero). LiteRT's kernels round once instead, and so differ in about one row of a thousand.

Source: gemmlowp `fixedpoint.h` (Jacob and Warden 2015), and Jacob et al. 2018, CVPR, section 2.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ir import Activation

INT8_MIN, INT8_MAX = -128, 127
INT32_MAX = (1 << 31) - 1
# The identity: (2 * x * 2**30 + 2**30) >> 31 = x.
IDENTITY = (1 << 30, 1)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Write a real factor as multiplier * 2**(shift - 31).

    Args:
        real: the factor, finite, 0 or more.

    Returns:
        The multiplier in 2**30 .. 2**31 - 1 (0 when `real` is below about 2**-32) and the shift; positive is left.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    fixed = _round_half_away(fraction * (1 << 31))
    if fixed == 1 << 31:  # the fraction rounded up to one
        fixed //= 2
        shift += 1
    if shift < -31:  # every bit would be shifted out
        return 0, 0
    return fixed, shift


def requantize(acc: NDArray[Any], multiplier: Any, shift: Any) -> NDArray[np.int64]:
    """Scale accumulators by multiplier * 2**(shift - 31) with double rounding.

    Both roundings are written as one floor shift each: gemmlowp's truncating division with a sign-dependent nudge
    equals floor((ab + 2**30) / 2**31) for either sign, and its division by a power of two takes ties away from zero.

    Args:
        acc: integers that fit int32 even after `<< max(shift, 0)` (`check.py` proves it for every op).
        multiplier: int, or an array that broadcasts against `acc`.
        shift: int, or an array of the same shape as `multiplier`; -31..30.

    Returns:
        int64 of the broadcast shape.
    """
    left = np.asarray(np.maximum(shift, 0), np.int64)
    right = np.asarray(np.maximum(np.negative(shift), 0), np.int64)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    y = acc * (np.asarray(multiplier, np.int64) << left)
    y += 1 << 30
    y >>= 31
    if not np.any(right):
        return np.asarray(y, np.int64)
    sign = y >> 63  # -1 for negative numbers: a tie then goes down, away from zero
    if not np.all(right):
        sign = np.where(right > 0, sign, 0)
    y += sign
    y += half
    y >>= right
    return np.asarray(y, np.int64)


# Every factor below comes from float32 scales, multiplied and divided in double precision, as the golden wheel does.
# The sources of August 2026 write some of these in single precision (FULLY_CONNECTED with one weight scale, RELU, SUB):
# a copy compiled so differs by one where the exact result is all but a tie, once in 100,000 values.


def product_multiplier(input_scale: float, other_scale: float, output_scale: float) -> tuple[int, int]:
    """Factor of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and MUL."""
    return quantize_multiplier(input_scale * other_scale / output_scale)


def rescale_multiplier(input_scale: float, output_scale: float) -> tuple[int, int]:
    """Factor of RELU and of QUANTIZE from int8 to int8."""
    return quantize_multiplier(input_scale / output_scale)


def mean_multiplier(input_scale: float, output_scale: float, count: int) -> tuple[int, int]:
    """Factor of MEAN with the division by `count` folded in: shifted left first, so that few bits are lost."""
    multiplier, shift = quantize_multiplier(input_scale / output_scale)
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def add_multipliers(
    input_scale: float, other_scale: float, output_scale: float, left_shift: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Factors of ADD and SUB: each input against twice the larger scale, then that against the output's."""
    twice = 2.0 * max(input_scale, other_scale)
    return (
        quantize_multiplier(input_scale / twice),
        quantize_multiplier(other_scale / twice),
        quantize_multiplier(twice / ((1 << left_shift) * output_scale)),
    )


def softmax_parameters(beta: float, input_scale: float) -> tuple[int, int, int]:
    """(multiplier, shift, diff_min) of SOFTMAX: differences become Q5.26, and those below diff_min give 0."""
    integer_bits = 5
    multiplier, shift = quantize_multiplier(min(beta * input_scale * (1 << (31 - integer_bits)), (1 << 31) - 1.0))
    return multiplier, shift, -input_radius(integer_bits, shift)


def logistic_parameters(input_scale: float) -> tuple[int, int, int]:
    """(multiplier, shift, radius) of LOGISTIC and TANH: inputs become Q4.27; at the radius they saturate."""
    integer_bits = 4
    multiplier, shift = quantize_multiplier(input_scale * (1 << (31 - integer_bits)))
    radius = input_radius(integer_bits, shift)
    return (multiplier, shift, radius) if radius else (0, 0, 0)  # every input is past the radius: no factor is needed


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest input that still fits `integer_bits` once shifted left."""
    return math.floor(((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) / 2.0**left_shift)


def activation_bounds(activation: Activation, scale: float, zero_point: int) -> tuple[int, int]:
    """Output range of a fused activation, in quantized units."""
    low, high = {
        "NONE": (None, None),
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }[activation]
    return (
        INT8_MIN if low is None else max(INT8_MIN, quantize(low, scale, zero_point)),
        INT8_MAX if high is None else min(INT8_MAX, quantize(high, scale, zero_point)),
    )


def quantize(real: float, scale: float, zero_point: int) -> int:
    """One real number to quantized units, unclamped; the division is in single precision, as in TFLM."""
    return zero_point + _round_half_away(float(np.float32(real) / np.float32(scale)))


def _round_half_away(x: float) -> int:
    """C's round(): Python's and NumPy's would take ties to even."""
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)
