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
// by the upper bytes alone is right but where the product has only just reached a level. How close, `slack`, the generator
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
    __int24 begin;         // bias, zero points, offset: what its sum begins with
    uint32_t factor;
    __int24 offset;
    int32_t multiplier;    // of TFLM's rule
    int8_t shift;
} ecg_unit_t;

ECG_STATIC_ASSERT(sizeof(ecg_unit_t) == 15, a_unit_has_15_bytes);    // ecg_finish() counts on it

// How a layer's levels become outputs.
typedef struct {
    uint8_t slack;         // 256ths of a level; less than that above one asks TFLM's rule
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

static ECG_NOINLINE int8_t ecg_exact(const ECG_FLASH ecg_unit_t *unit, __int24 sum, const ECG_FLASH ecg_levels_t *levels)
{
    const int32_t value = levels->zero + ecg_requantize(sum - unit->offset, unit->multiplier, unit->shift);
    return (int8_t)ecg_clamp(value, levels->min, levels->max);
}

// The functions of assembly have their registers by name: GCC does not always find enough of them by itself.

// r12..r15 = r20..r22 * factor >> 16, by the products that reach the upper bytes, so 2^25 / 2^16 too small at most.
#define ECG_SCALE \
    "lpm r16, Z+\n\tlpm r17, Z+\n\tlpm r18, Z+\n\tlpm r19, Z+\n\tclr r14\n\tclr r15\n\t" \
    "mul r20, r18\n\tmovw r12, r0\n\t" \
    "mul r21, r17\n\tadd r12, r0\n\tadc r13, r1\n\tadc r14, r11\n\t" \
    "mul r22, r16\n\tadd r12, r0\n\tadc r13, r1\n\tadc r14, r11\n\t" \
    "mul r20, r19\n\tadd r13, r0\n\tadc r14, r1\n\tadc r15, r11\n\t" \
    "mul r21, r18\n\tadd r13, r0\n\tadc r14, r1\n\tadc r15, r11\n\t" \
    "mul r22, r17\n\tadd r13, r0\n\tadc r14, r1\n\tadc r15, r11\n\t" \
    "mul r21, r19\n\tadd r14, r0\n\tadc r15, r1\n\t" \
    "mul r22, r18\n\tadd r14, r0\n\tadc r15, r1\n\t" \
    "mul r22, r19\n\tadd r15, r0\n\t"

// n sums become outputs.
static ECG_NOINLINE void ecg_finish(const ECG_FLASH ecg_unit_t *units, const __uint24 *sums,
                                    const ECG_FLASH ecg_levels_t *levels, int8_t *out, uint8_t n)
{
    const uint8_t rest = levels->slack, highest = levels->levels;    // out of flash, which takes Z, before Z is taken
    const int8_t lowest = levels->min;
    for (;;) {
        register uint8_t slack __asm__("r10") = rest;
        register uint8_t most __asm__("r9") = highest;
        register int8_t min __asm__("r8") = lowest;
        register uint8_t left __asm__("r23") = n;
        register int8_t *to __asm__("r24") = out;
        register const __uint24 *from __asm__("r26") = sums;
        register const ECG_FLASH ecg_unit_t *unit __asm__("r30") = units;
        register __uint24 sum __asm__("r20");
        __asm__ volatile(
            "clr r11\n"
            "1:\n\tld r20, X+\n\tld r21, X+\n\tld r22, X+\n\t"
            "lpm r0, Z+\n\tadd r20, r0\n\tlpm r0, Z+\n\tadc r21, r0\n\tlpm r0, Z+\n\tadc r22, r0\n\tbrmi 4f\n\t"
            ECG_SCALE
            "cp r13, %[slack]\n\tbrlo 7f\n\t"    // too close to call
            "cpse r15, r11\n\trjmp 2f\n\tcp %[most], r14\n\tbrsh 3f\n"
            "2:\n\tmov r14, %[most]\n"
            "3:\n\tadd r14, %[min]\n\tadiw r30, 8\n\trjmp 5f\n"
            "4:\n\tmov r14, %[min]\n\tadiw r30, 12\n"
            "5:\n\tmovw r12, r26\n\tmovw r26, %[to]\n\tst X+, r14\n\tmovw %[to], r26\n\tmovw r26, r12\n\t"
            "dec %[left]\n\tbreq 8f\n\trjmp 1b\n"
            "7:\n\tsbiw r30, 7\n"
            "8:\n\tclr __zero_reg__"
            : [sum] "=&r"(sum), "+r"(from), "+r"(unit), [to] "+r"(to), [left] "+r"(left)
            : [slack] "r"(slack), [most] "r"(most), [min] "r"(min)
            : "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "memory");
        units = unit;
        sums = from;
        out = to;
        n = left;
        if (n == 0u) {
            return;
        }
        *out++ = ecg_exact(units++, (__int24)sum, levels);
        if (--n == 0u) {
            return;
        }
    }
}

// --- convolutions ----------------------------------------------------------------------------------------------------

// The products of a value with four weights. Where it is 0, label `none`.
#define ECG_PRODUCT(low, middle, high) \
    "lpm r15, Z+\n\tmul r15, r16\n\tadd " low ", r0\n\tadc " middle ", r1\n\tadc " high ", r14\n\t"
#define ECG_VALUE4(none) \
    "ld r16, X+\n\tsubi r16, 0x80\n\tbreq " none "\n\t" \
    ECG_PRODUCT("r2", "r3", "r4") ECG_PRODUCT("r5", "r6", "r7") ECG_PRODUCT("r8", "r9", "r10") ECG_PRODUCT("r11", "r12", "r13")
#define ECG_BEGIN(low, middle, high) "mov " low ", r20\n\tmov " middle ", r21\n\tmov " high ", r22\n\t"

// sums, (4), of a column with a block of weights, each from `begin` on. Returns the weights that follow.
static ECG_NOINLINE const ECG_FLASH uint8_t *ecg_block4(const ECG_FLASH uint8_t *weights, const int8_t *in, uint16_t depth,
                                                        __uint24 begin, __uint24 *sums)
{
    register const ECG_FLASH uint8_t *w __asm__("r30") = weights;
    register const int8_t *x __asm__("r26") = in;
    register uint16_t fours __asm__("r24") = depth / 4u;
    register __uint24 first __asm__("r20") = begin;
    register __uint24 *to __asm__("r18") = sums;
    register uint8_t ones __asm__("r17") = (uint8_t)(depth % 4u);
    __asm__ volatile(
        "clr r14\n\t"
        ECG_BEGIN("r2", "r3", "r4") ECG_BEGIN("r5", "r6", "r7") ECG_BEGIN("r8", "r9", "r10") ECG_BEGIN("r11", "r12", "r13")
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
        "9:\n\tmovw r26, %[to]\n\tst X+, r2\n\tst X+, r3\n\tst X+, r4\n\tst X+, r5\n\tst X+, r6\n\tst X+, r7\n\t"
        "st X+, r8\n\tst X+, r9\n\tst X+, r10\n\tst X+, r11\n\tst X+, r12\n\tst X+, r13\n\tclr __zero_reg__"
        : "+r"(w), "+r"(x), [fours] "+r"(fours), [ones] "+r"(ones)
        : "r"(first), [to] "r"(to)
        : "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "memory");
    return w;
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
    const __uint24 begin = (__uint24)0u - ecg_column_sum(in, depth);
    int8_t *out = result;
    __uint24 sums[4];
    (void)wide;    // int8_t either way
    for (uint16_t blocks = op->out / 4u; blocks != 0u; blocks--) {
        weights = ecg_block4(weights, in, depth, begin, sums);
        ecg_finish(unit, sums, &op->levels, out, 4u);
        unit += 4;
        out += 4;
    }
    for (uint8_t rest = (uint8_t)(op->out % 4u); rest != 0u; rest--) {
        sums[0] = begin;
        for (uint16_t i = 0; i < depth; i++) {
            sums[0] += (uint16_t)*weights++ * (uint8_t)((uint8_t)in[i] ^ 0x80u);
        }
        ecg_finish(unit++, sums, &op->levels, out++, 1u);
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

// n sums of channels, each of `taps` values that lie `step` apart. Returns the weights that follow.
static ECG_NOINLINE const ECG_FLASH int8_t *ecg_taps(const ECG_FLASH int8_t *weights, const int8_t *columns, uint16_t taps,
                                                     uint16_t step, __uint24 *sums, uint8_t n)
{
    for (; n != 0u; n--) {
        register const ECG_FLASH int8_t *w __asm__("r30") = weights;
        register const int8_t *x __asm__("r26") = columns++;
        register uint16_t left __asm__("r24") = taps;
        register uint16_t apart __asm__("r22") = step;
        register __uint24 sum __asm__("r18") = 0u;
        __asm__ volatile(
            "1:\n\tld r16, X\n\tadd r26, %A[apart]\n\tadc r27, %B[apart]\n\tlpm r17, Z+\n\t"
            "muls r17, r16\n\tsbc r16, r16\n\t"    // muls carries the product's sign
            "add %A[sum], r0\n\tadc %B[sum], r1\n\tadc %C[sum], r16\n\tsbiw %[left], 1\n\tbrne 1b\n\t"
            "clr __zero_reg__"
            : [sum] "+r"(sum), [left] "+r"(left), "+r"(x), "+r"(w)
            : [apart] "r"(apart)
            : "r16", "r17", "memory");
        weights = w;
        *sums++ = sum;
    }
    return weights;
}

// columns: the reach, first tap first; out: (out).
ECG_INLINE void ecg_channels_s8(const ECG_FLASH ecg_channels_t *op, const int8_t *columns, void *result, bool wide)
{
    enum { TOGETHER = 8 };
    const ECG_FLASH int8_t *weights = op->weights;
    const ECG_FLASH ecg_unit_t *unit = op->units;
    int8_t *out = result;
    __uint24 sums[TOGETHER];
    (void)wide;
    for (uint16_t left = op->out; left != 0u;) {
        const uint8_t n = (uint8_t)(left < TOGETHER ? left : TOGETHER);
        weights = ecg_taps(weights, columns, op->taps, op->step, sums, n);
        ecg_finish(unit, sums, &op->levels, out, n);
        unit += n;
        columns += n;
        out += n;
        left -= n;
    }
}

#endif
