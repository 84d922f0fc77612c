// Integer arithmetic of int8 models: requantize, saturate.
//
// The rounding is TensorFlow Lite Micro's, bit for bit: a high multiply that rounds half up, then a right shift that rounds
// half away from zero (its "double rounding"). The same rule in Python: ecg_edge/graph/quant.py.
#ifndef ECG_QUANT_H
#define ECG_QUANT_H

#include <stdint.h>

#include "ecg_status.h"

ECG_STATIC_ASSERT((-1 >> 1) == -1, quant_right_shift_is_arithmetic);

static inline int32_t ecg_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : (value > high ? high : value);
}

// value * 2**shift for shift >= 0, wrapping as the hardware does; the generator proves that nothing wraps.
static inline int32_t ecg_shift_left(int32_t value, int shift)
{
    return (int32_t)((uint32_t)value << shift);
}

// a * b / 2**31, rounded half up. Not both INT32_MIN.
static inline int32_t ecg_multiply_high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

// value / 2**shift, rounded half away from zero; shift 0 to 31.
static inline int32_t ecg_shift_right_round(int32_t value, int shift)
{
    const int32_t mask = (int32_t)((UINT32_C(1) << shift) - 1u);
    const int32_t half = (mask >> 1) + (value < 0 ? 1 : 0);
    return (value >> shift) + ((value & mask) > half ? 1 : 0);
}

// value * multiplier * 2**(shift - 31): an accumulator to the scale of the output; shift -31 to 30.
static inline int32_t ecg_requantize(int32_t value, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0;
    const int right = shift > 0 ? 0 : -shift;
    return ecg_shift_right_round(ecg_multiply_high(ecg_shift_left(value, left), multiplier), right);
}

#endif
