// Convolutions for AVR with a multiplier (ATmega): eight bits, weights in flash.
//
// Sums are of numbers without a sign, w + 128 times x + 128, in 24 bits: three additions a product and no sign to extend.
// What that adds, 128 times the sums of weights and of the column, is taken off before. A value of -128, as most are that a
// RELU gives, is 0 then: its products are skipped. 9.2 cycles a product, 2.4 where it is skipped, of which LPM takes 3.
//
// Requantization is a guess that knows when it may be wrong. An output has 256 values, so that
//
//     level = (sum + offset) * factor >> 32
//
// is right but where the product is close to the next level, by the upper bytes alone. How close, `slack`, the generator
// found by trying every step of every output. There, once in some hundred sums, TensorFlow Lite Micro's rule is computed.
// A layer for which no such numbers are there runs ecg_matrix_any_s8.
#ifndef ECG_OPS_AVR_H
#define ECG_OPS_AVR_H

#include "ecg_ops.h"
#include "ecg_quant.h"

#if !defined(__AVR_HAVE_MUL__) || !defined(__AVR_HAVE_LPMX__) || !defined(__FLASH) || defined(__STRICT_ANSI__)
#error "generated for an AVR with a multiplier, in gnu99 or gnu11: export again with the core that this is built for"
#endif

typedef int8_t ecg_wide_t;

// Of one output.
typedef struct {
    int32_t begin;         // bias, zero points, offset: what a sum begins with
    uint32_t factor;
    int32_t offset;
    int32_t multiplier;    // of TFLM's rule
    int8_t shift;
} ecg_unit_t;

// How a layer's levels become outputs.
typedef struct {
    uint8_t slack;         // 256ths of a level
    uint8_t levels;        // max - min
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_levels_t;

// One column of a convolution.
typedef struct {
    const ECG_FLASH uint8_t *weights;      // 128 too large; out / 4 blocks of (depth, 4), then out % 4 rows of (depth)
    const ECG_FLASH ecg_unit_t *units;     // (out)
    uint16_t out;
    uint16_t depth;                        // taps * channels
    ecg_levels_t levels;
} ecg_matrix_t;

// The same for any numbers: out rows of (depth).
typedef struct {
    const ECG_FLASH int8_t *weights;
    const ECG_FLASH int32_t *bias;         // (out), the input's zero point folded in
    const ECG_FLASH int32_t *multipliers;
    const ECG_FLASH int8_t *shifts;
    uint16_t out;
    uint16_t depth;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_any_t;

// Output channel c sees input channel c alone.
typedef struct {
    const ECG_FLASH int8_t *weights;       // (out, taps)
    const ECG_FLASH ecg_unit_t *units;     // (out)
    uint16_t out;
    uint16_t taps;
    uint16_t step;                         // values from one tap to the next
    ecg_levels_t levels;
} ecg_channels_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    memcpy(out, in, n);
}

// --- requantization --------------------------------------------------------------------------------------------------

static ECG_NOINLINE int8_t ecg_exact(const ECG_FLASH ecg_unit_t *unit, __int24 sum, const ecg_levels_t *levels)
{
    const int32_t value = levels->zero + ecg_requantize(sum - unit->offset, unit->multiplier, unit->shift);
    return (int8_t)ecg_clamp(value, levels->min, levels->max);
}

// sum * factor >> 16, by the products that reach the upper bytes: up to 2^25 / 2^16 too small. sum is not negative.
ECG_INLINE uint32_t ecg_scale(__uint24 sum, const ECG_FLASH uint32_t *factor)
{
    uint32_t product, by;
    uint8_t zero;
    __asm__(
        "lpm %A[by], Z+\n\tlpm %B[by], Z+\n\tlpm %C[by], Z+\n\tlpm %D[by], Z\n\t"
        "clr %[zero]\n\tclr %C[p]\n\tclr %D[p]\n\t"
        "mul %A[s], %C[by]\n\tmov %A[p], r0\n\tmov %B[p], r1\n\t"
        "mul %B[s], %B[by]\n\tadd %A[p], r0\n\tadc %B[p], r1\n\tadc %C[p], %[zero]\n\t"
        "mul %C[s], %A[by]\n\tadd %A[p], r0\n\tadc %B[p], r1\n\tadc %C[p], %[zero]\n\t"
        "mul %A[s], %D[by]\n\tadd %B[p], r0\n\tadc %C[p], r1\n\tadc %D[p], %[zero]\n\t"
        "mul %B[s], %C[by]\n\tadd %B[p], r0\n\tadc %C[p], r1\n\tadc %D[p], %[zero]\n\t"
        "mul %C[s], %B[by]\n\tadd %B[p], r0\n\tadc %C[p], r1\n\tadc %D[p], %[zero]\n\t"
        "mul %B[s], %D[by]\n\tadd %C[p], r0\n\tadc %D[p], r1\n\t"
        "mul %C[s], %C[by]\n\tadd %C[p], r0\n\tadc %D[p], r1\n\t"
        "mul %C[s], %D[by]\n\tadd %D[p], r0\n\t"
        "clr __zero_reg__"
        : [p] "=&r"(product), [by] "=&r"(by), [zero] "=&r"(zero), "+z"(factor)
        : [s] "r"(sum));
    return product;
}

// The output of a sum that began with the unit's.
ECG_INLINE int8_t ecg_output(const ECG_FLASH ecg_unit_t *unit, __uint24 sum, const ecg_levels_t *levels)
{
    if ((__int24)sum < 0) {
        return levels->min;
    }
    const uint32_t product = ecg_scale(sum, &unit->factor);
    const uint8_t slack = levels->slack, most = levels->levels, rest = (uint8_t)(product >> 8);
    if ((uint8_t)(rest + slack) < (uint8_t)(2u * slack)) {
        return ecg_exact(unit, (__int24)sum, levels);
    }
    const uint8_t level = (product >> 24) != 0u ? 255u : (uint8_t)(product >> 16);
    return (int8_t)((level > most ? most : level) + (uint8_t)levels->min);
}

// --- convolutions ----------------------------------------------------------------------------------------------------

// The products of a value with four weights. Where it is 0, label `none`.
#define ECG_PRODUCT(sum) \
    "lpm %[w], Z+\n\tmul %[w], %[x]\n\tadd %A[" sum "], r0\n\tadc %B[" sum "], r1\n\tadc %C[" sum "], %[zero]\n\t"
#define ECG_VALUE4(none) \
    "ld %[x], X+\n\tsubi %[x], 0x80\n\tbreq " none "\n\t" \
    ECG_PRODUCT("s0") ECG_PRODUCT("s1") ECG_PRODUCT("s2") ECG_PRODUCT("s3")

// Four outputs' sums. Returns the weights that follow.
ECG_INLINE const ECG_FLASH uint8_t *ecg_block4(const ECG_FLASH uint8_t *weights, const int8_t *in, uint16_t depth,
                                               __uint24 *sums)
{
    uint16_t fours = depth / 4u;
    uint8_t ones = (uint8_t)(depth % 4u), x, w, zero = 0u;
    __uint24 s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    __asm__ volatile(
        "tst %[ones]\n\tbreq 3f\n"
        "1:\n\t" ECG_VALUE4("2f") "dec %[ones]\n\tbrne 1b\n\trjmp 3f\n"
        "2:\n\tadiw r30, 4\n\tdec %[ones]\n\tbrne 1b\n"
        "3:\n\tsbiw %[fours], 0\n\tbrne 4f\n\trjmp 9f\n"
        "15:\n\tadiw r30, 4\n\trjmp 5f\n"
        "16:\n\tadiw r30, 4\n\trjmp 6f\n"
        "4:\n\t" ECG_VALUE4("15b") "5:\n\t" ECG_VALUE4("16b") "6:\n\t" ECG_VALUE4("17f") "7:\n\t" ECG_VALUE4("18f")
        "8:\n\tsbiw %[fours], 1\n\tbreq 9f\n\trjmp 4b\n"
        "17:\n\tadiw r30, 4\n\trjmp 7b\n"
        "18:\n\tadiw r30, 4\n\trjmp 8b\n"
        "9:\n\tclr __zero_reg__"
        : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [fours] "+w"(fours), [ones] "+r"(ones),
          [x] "=&d"(x), [w] "=&r"(w), "+x"(in), "+z"(weights)
        : [zero] "r"(zero)
        : "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
    return weights;
}

// 128 times the sum of x + 128.
ECG_INLINE __uint24 ecg_column_sum(const int8_t *in, size_t depth)
{
    const uint8_t *x = (const uint8_t *)in;
    __uint24 sum = 0u;
    for (; depth >= 4u; depth -= 4u, x += 4) {
        sum += (uint16_t)((uint16_t)(x[0] ^ 0x80u) + (x[1] ^ 0x80u) + (x[2] ^ 0x80u) + (x[3] ^ 0x80u));
    }
    for (; depth != 0u; depth--) {
        sum += *x++ ^ 0x80u;
    }
    return sum << 7;
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_s8(const ECG_FLASH ecg_matrix_t *op, const int8_t *in, void *result, bool wide)
{
    const ECG_FLASH uint8_t *weights = op->weights;
    const ECG_FLASH ecg_unit_t *unit = op->units;
    const uint16_t depth = op->depth;
    const __uint24 column = ecg_column_sum(in, depth);
    int8_t *out = result;
    const ecg_levels_t levels = op->levels;    // out of flash, once
    (void)wide;                                // int8_t either way
    for (uint16_t blocks = op->out / 4u; blocks != 0u; blocks--) {
        __uint24 sums[4];
        for (uint8_t i = 0; i < 4u; i++) {
            sums[i] = (__uint24)unit[i].begin - column;
        }
        weights = ecg_block4(weights, in, depth, sums);
        for (uint8_t i = 0; i < 4u; i++) {
            *out++ = ecg_output(unit++, sums[i], &levels);
        }
    }
    for (uint8_t rest = (uint8_t)(op->out % 4u); rest != 0u; rest--) {
        __uint24 sum = (__uint24)unit->begin - column;
        for (uint16_t i = 0; i < depth; i++) {
            sum += (uint16_t)*weights++ * (uint8_t)((uint8_t)in[i] ^ 0x80u);
        }
        *out++ = ecg_output(unit++, sum, &levels);
    }
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_any_s8(const ECG_FLASH ecg_any_t *op, const int8_t *in, void *result, bool wide)
{
    const ECG_FLASH int8_t *w = op->weights;
    int8_t *out = result;
    (void)wide;
    for (uint16_t o = 0; o < op->out; o++) {
        int32_t sum = op->bias[o];
        for (uint16_t i = 0; i < op->depth; i++) {
            sum += *w++ * in[i];
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[o], op->shifts[o]);
        out[o] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

// columns: the reach, first tap first; out: (out).
ECG_INLINE void ecg_channels_s8(const ECG_FLASH ecg_channels_t *op, const int8_t *columns, void *result, bool wide)
{
    const ECG_FLASH int8_t *weights = op->weights;
    const ECG_FLASH ecg_unit_t *unit = op->units;
    const ecg_levels_t levels = op->levels;
    const uint16_t step = op->step;
    int8_t *out = result;
    (void)wide;
    for (uint16_t left = op->out; left != 0u; left--, unit++) {
        const int8_t *at = columns++;
        uint16_t taps = op->taps;
        int8_t x, w;
        uint8_t sign;
        __uint24 sum = (__uint24)unit->begin;
        __asm__ volatile(
            "1:\n\tld %[x], X\n\tadd r26, %A[step]\n\tadc r27, %B[step]\n\tlpm %[w], Z+\n\t"
            "muls %[w], %[x]\n\tsbc %[sign], %[sign]\n\t"    // muls carries the product's sign
            "add %A[sum], r0\n\tadc %B[sum], r1\n\tadc %C[sum], %[sign]\n\tsbiw %[taps], 1\n\tbrne 1b\n\t"
            "clr __zero_reg__"
            : [sum] "+r"(sum), [taps] "+w"(taps), [x] "=&d"(x), [w] "=&d"(w), [sign] "=&r"(sign), "+x"(at), "+z"(weights)
            : [step] "r"(step)
            : "memory");
        *out++ = ecg_output(unit, sum, &levels);
    }
}

#endif
