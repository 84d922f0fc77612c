// Convolutions for Arm cores with the DSP extension (Cortex-M4, M7, M33): two products an instruction, int16 columns.
//
// Weights lie in the order of their use, in blocks of four outputs: each value of the input is loaded once for four
// products, and four words come with one LDM, whose registers GCC is told, since it finds no such instruction by itself.
//
// Most layers are fused: their weights, or their sums, are 2**s times too large, so that the upper half of one product
// (SMMLA) is requantized up to a shift, both roundings included:
//
//     ((y + half) >> r) + zero, with y = (sum * multiplier + 2**30) >> 31 and half = 2**(r - 1), is
//     ((sum * 2**s * multiplier >> 32) + 2**(s - 2) + 2**(p - 1) + zero * 2**p) >> p, with p = r + s - 1
//
// for s of 2 or more. A negative sum has its tie rounded down (away from zero): 2**(s - 1) less, unless it is clamped anyway.
#ifndef ECG_OPS_DSP_H
#define ECG_OPS_DSP_H

#if !defined(__ARM_FEATURE_DSP) || !defined(__GNUC__)
#error "generated for a core with Arm's DSP extension, and GCC or Clang: export again with the core that this is built for"
#endif

#include <arm_acle.h>

#include "ecg_ops.h"
#include "ecg_quant.h"

typedef int16_t ecg_wide_t;

#if defined(__clang__)
#define ECG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ECG_UNROLL _Pragma("GCC unroll 64")
#endif

// How sums become outputs. A fused layer shifts by `shift` and saturates at int8.
typedef struct {
    bool fused;
    bool even;          // fused: a negative sum needs no care, since the result is clamped from below
    uint8_t shift;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_finish_t;

// One column of a convolution, 16-bit weights: fused, they are 2**s times those of the model.
// packed, for each four outputs: 4 biases; for each 8 values of the input 4 * 4 words (pair of values, output); for each 2 of
// the rest 4 words (output); 4 * (multiplier, addend, correction), or 4 * (multiplier, shift, 0) if not fused.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t depth;     // values of the input, even
    bool aligned;       // the input begins on a word
    ecg_finish_t finish;
} ecg_matrix_t;

// The same with 8-bit weights, two outputs in 16 bits: the first one's in the low byte, signed, the second one's above.
// packed, for each four outputs and 8 values 8 words (pair of outputs, pair of values); for each 2 of the rest 2 words.
typedef struct {
    const int32_t *packed;
    const int32_t *bias;          // (out, rounded up to four), the input's zero point folded in
    const int32_t *multipliers;
    const int8_t *shifts;         // of requantization; fused: s
    uint16_t out;
    uint16_t depth;
    bool aligned;
    ecg_finish_t finish;
} ecg_matrix8_t;

// Output channel c sees input channel c alone; channels come in fours.
// packed, for each four: 4 biases; for each tap 2 words (channels 0 and 2, channels 1 and 3); then as in ecg_matrix_t.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t taps;
    uint16_t step;                // values from one tap to the next
    ecg_finish_t finish;
} ecg_depthwise4_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = in[i];
    }
}

// Four words from p on, which must be aligned; p moves behind them.
#define ECG_LOAD4(p, a, b, c, d) \
    __asm__("ldmia %0!, {%1, %2, %3, %4}" : "+r"(p), "=r"(a), "=r"(b), "=r"(c), "=r"(d) \
            : "m"(*(const int32_t (*)[4])(const void *)(p)))
#define ECG_X_REGISTERS \
    register int32_t x0 __asm__("r8"); register int32_t x1 __asm__("r9"); \
    register int32_t x2 __asm__("r10"); register int32_t x3 __asm__("r11")
#define ECG_W_REGISTERS \
    register int32_t w0 __asm__("r4"); register int32_t w1 __asm__("r5"); \
    register int32_t w2 __asm__("r6"); register int32_t w3 __asm__("r7")

// Two values, wherever they lie.
ECG_INLINE int32_t ecg_pair(const int16_t *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return pair;
}

// (a * b >> 32) + c.
ECG_INLINE int32_t ecg_high_add(int32_t a, int32_t b, int32_t c)
{
    int32_t sum;
    __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
}

// value >> shift, saturated; one instruction where the shift is known.
ECG_INLINE int32_t ecg_saturate8(int32_t value, unsigned shift)
{
    int32_t saturated;
    if (__builtin_constant_p(shift) && shift != 0u) {
        __asm__("ssat %0, #8, %1, asr %2" : "=r"(saturated) : "r"(value), "I"(shift));
    } else {
        __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(value >> shift));
    }
    return saturated;
}

// Bytes 1 and 3, each in 16 bits.
ECG_INLINE int32_t ecg_odd_bytes(int32_t bytes)
{
    int32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(bytes));
    return pair;
}

ECG_INLINE int32_t ecg_finish(const ecg_finish_t *op, int32_t sum, const int32_t unit[3])
{
    if (op->fused) {
        const int32_t addend = op->even ? unit[1] : unit[1] - ((sum >> 31) & unit[2]);
        const int32_t value = ecg_saturate8(ecg_high_add(sum, unit[0], addend), op->shift);
        return op->min == INT8_MIN && op->max == INT8_MAX ? value : ecg_clamp(value, op->min, op->max);
    }
    return ecg_clamp(op->zero + ecg_requantize(sum, unit[0], unit[1]), op->min, op->max);
}

ECG_INLINE void ecg_store(void *out, size_t at, int32_t value, bool wide)
{
    if (wide) {
        ((int16_t *)out)[at] = (int16_t)value;
    } else {
        ((int8_t *)out)[at] = (int8_t)value;
    }
}

// Finishes up to four outputs from `at` on; returns what follows their units.
ECG_INLINE const int32_t *ecg_finish4(const ecg_finish_t *op, const int32_t sums[4], const int32_t *unit, void *out,
                                      size_t at, size_t count, bool wide)
{
    const size_t words = op->fused && op->even ? 2u : 3u;
    ECG_UNROLL
    for (size_t i = 0; i < 4u; i++) {
        if (count > i) {
            ecg_store(out, at + i, ecg_finish(op, sums[i], unit + i * words), wide);
        }
    }
    return unit + 4u * words;
}

// in: (depth); out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int16_t *in, void *out, bool wide)
{
    const int32_t *w = op->packed;
    for (size_t o = 0; o < op->out; o += 4u) {
        const int16_t *x = in;
        int32_t s0 = w[0], s1 = w[1], s2 = w[2], s3 = w[3];
        w += 4;
        ECG_UNROLL
        for (unsigned chunk = op->depth / 8u; chunk != 0u; chunk--) {
            ECG_X_REGISTERS;
            ECG_W_REGISTERS;
            if (op->aligned) {
                ECG_LOAD4(x, x0, x1, x2, x3);
            } else {
                x0 = ecg_pair(x);
                x1 = ecg_pair(x + 2);
                x2 = ecg_pair(x + 4);
                x3 = ecg_pair(x + 6);
                x += 8;
            }
            ECG_LOAD4(w, w0, w1, w2, w3);
            s0 = __smlad(w0, x0, s0), s1 = __smlad(w1, x0, s1), s2 = __smlad(w2, x0, s2), s3 = __smlad(w3, x0, s3);
            ECG_LOAD4(w, w0, w1, w2, w3);
            s0 = __smlad(w0, x1, s0), s1 = __smlad(w1, x1, s1), s2 = __smlad(w2, x1, s2), s3 = __smlad(w3, x1, s3);
            ECG_LOAD4(w, w0, w1, w2, w3);
            s0 = __smlad(w0, x2, s0), s1 = __smlad(w1, x2, s1), s2 = __smlad(w2, x2, s2), s3 = __smlad(w3, x2, s3);
            ECG_LOAD4(w, w0, w1, w2, w3);
            s0 = __smlad(w0, x3, s0), s1 = __smlad(w1, x3, s1), s2 = __smlad(w2, x3, s2), s3 = __smlad(w3, x3, s3);
        }
        ECG_UNROLL
        for (unsigned pair = op->depth % 8u / 2u; pair != 0u; pair--) {
            ECG_W_REGISTERS;
            const int32_t xs = ecg_pair(x);
            x += 2;
            ECG_LOAD4(w, w0, w1, w2, w3);
            s0 = __smlad(w0, xs, s0), s1 = __smlad(w1, xs, s1), s2 = __smlad(w2, xs, s2), s3 = __smlad(w3, xs, s3);
        }
        const int32_t sums[4] = {s0, s1, s2, s3};
        w = ecg_finish4(&op->finish, sums, w, out, o, op->out - o, wide);
    }
}

// Adds the products of two pairs of outputs in one word of weights: low byte's to s, both bytes' (256 * upper + low) to both.
#define ECG_MAC_PACKED(w, x, s, both) \
    do { \
        (s) = __smlad(__sxtb16(w), (x), (s)); \
        (both) = __smlad((w), (x), (both)); \
    } while (0)

// in: (depth); out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_matrix8_s8(const ecg_matrix8_t *op, const int16_t *in, void *out, bool wide)
{
    const int32_t *w = op->packed;
    for (size_t o = 0; o < op->out; o += 4u) {
        const int16_t *x = in;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (unsigned chunk = op->depth / 8u; chunk != 0u; chunk--) {
            ECG_X_REGISTERS;
            ECG_W_REGISTERS;
            if (op->aligned) {
                ECG_LOAD4(x, x0, x1, x2, x3);
            } else {
                x0 = ecg_pair(x);
                x1 = ecg_pair(x + 2);
                x2 = ecg_pair(x + 4);
                x3 = ecg_pair(x + 6);
                x += 8;
            }
            ECG_LOAD4(w, w0, w1, w2, w3);
            ECG_MAC_PACKED(w0, x0, s0, s1);
            ECG_MAC_PACKED(w1, x1, s0, s1);
            ECG_MAC_PACKED(w2, x2, s0, s1);
            ECG_MAC_PACKED(w3, x3, s0, s1);
            ECG_LOAD4(w, w0, w1, w2, w3);
            ECG_MAC_PACKED(w0, x0, s2, s3);
            ECG_MAC_PACKED(w1, x1, s2, s3);
            ECG_MAC_PACKED(w2, x2, s2, s3);
            ECG_MAC_PACKED(w3, x3, s2, s3);
        }
        for (unsigned pair = op->depth % 8u / 2u; pair != 0u; pair--) {
            const int32_t xs = ecg_pair(x);
            x += 2;
            ECG_MAC_PACKED(w[0], xs, s0, s1);
            ECG_MAC_PACKED(w[1], xs, s2, s3);
            w += 2;
        }
        const int32_t sums[4] = {s0, (s1 - s0) >> 8, s2, (s3 - s2) >> 8};
        for (size_t i = 0; i < 4u && o + i < op->out; i++) {
            const int shift = op->shifts[o + i];
            int32_t sum = sums[i] + op->bias[o + i], unit[3] = {op->multipliers[o + i], shift, 0};
            if (op->finish.fused) {
                unit[1] = (INT32_C(1) << (shift - 2)) + op->finish.zero * (INT32_C(1) << op->finish.shift)
                        + (INT32_C(1) << (op->finish.shift - 1));
                unit[2] = INT32_C(1) << (shift - 1);
                sum = ecg_shift_left(sum, shift);
            }
            ecg_store(out, o + i, ecg_finish(&op->finish, sum, unit), wide);
        }
    }
}

// columns: the reach, first tap first; out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_depthwise4_s8(const ecg_depthwise4_t *op, const int8_t *columns, void *out, bool wide)
{
    const int32_t *w = op->packed;
    for (size_t o = 0; o < op->out; o += 4u) {
        const int8_t *at = columns + o;
        int32_t s0 = w[0], s1 = w[1], s2 = w[2], s3 = w[3];
        w += 4;
        ECG_UNROLL
        for (unsigned tap = op->taps; tap != 0u; tap--) {
            int32_t x;
            memcpy(&x, at, sizeof x);
            at += op->step;
            const int32_t even = __sxtb16(x), odd = ecg_odd_bytes(x);
            s0 = __smlabb(even, w[0], s0);
            s1 = __smlabb(odd, w[1], s1);
            s2 = __smlatt(even, w[0], s2);
            s3 = __smlatt(odd, w[1], s3);
            w += 2;
        }
        const int32_t sums[4] = {s0, s1, s2, s3};
        w = ecg_finish4(&op->finish, sums, w, out, o, op->out - o, wide);
    }
}

#endif
