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

// What is true of a layer; each function below takes it as a constant, so that one compiled copy serves the layers that are
// alike, and does no more than they need.
#define ECG_FUSED 1u      // requantized by one product
#define ECG_EVEN 2u       // fused, and a negative sum needs no care, since the result is clamped from below
#define ECG_ALIGNED 4u    // the input begins on a word
#define ECG_BOUNDED 8u    // the result has other bounds than int8

// How sums become outputs. A fused layer shifts by `shift` and saturates at int8.
typedef struct {
    int32_t twice;      // 2 * zero + 1
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
    ecg_finish_t finish;
} ecg_matrix_t;

// For size: 8-bit weights. A sum is not scaled before, so that each output has a shift of its own; fused, `shifts` holds it less
// one, and the product is one SMMLAR:
//
//     (((sum * 2 * multiplier + 2**31) >> 32) + (2 * zero + 1) * 2**(r - 1)) >> r
typedef struct {
    int32_t bias;                 // the input's zero point folded in
    int32_t multiplier;
} ecg_unit_t;

// One column of a convolution, two outputs in 16 bits: the first one's in the low byte, signed, the second one's above.
// packed, for each four outputs and 8 values 8 words (pair of outputs, pair of values); for each 2 of the rest 2 words.
typedef struct {
    const int32_t *packed;
    const ecg_unit_t *units;      // (out, rounded up to four)
    const int8_t *shifts;         // the same
    uint16_t out;
    uint16_t depth;               // even
    ecg_finish_t finish;
} ecg_matrix8_t;

// Output channel c sees input channel c alone; channels come in fours.
typedef struct {
    const int8_t *weights;        // (taps, out)
    const ecg_unit_t *units;      // (out)
    const int8_t *shifts;         // (out)
    uint16_t out;
    uint16_t taps;
    uint16_t step;                // values from one tap to the next
    ecg_finish_t finish;
} ecg_depthwise8_t;

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

// Clang keeps r7 for itself, GCC does without optimization, and for position-independent code it wants a register more: then
// these are plain C. Where GCC keeps a frame pointer all the same (-fno-omit-frame-pointer), pass -DECG_HAS_R7=0.
#if !defined(ECG_HAS_R7)
#if defined(__OPTIMIZE__) && !defined(__clang__) && !defined(__PIC__)
#define ECG_HAS_R7 1
#else
#define ECG_HAS_R7 0
#endif
#endif

// Four words from p on, which must be aligned; p moves behind them.
#if ECG_HAS_R7
#define ECG_LOAD4(p, a, b, c, d) \
    __asm__("ldmia %0!, {%1, %2, %3, %4}" : "+r"(p), "=r"(a), "=r"(b), "=r"(c), "=r"(d) \
            : "m"(*(const int32_t (*)[4])(const void *)(p)))
#define ECG_IN(name) __asm__(name)
#else
#define ECG_LOAD4(p, a, b, c, d) ((a) = (p)[0], (b) = (p)[1], (c) = (p)[2], (d) = (p)[3], (p) += 4)
#define ECG_IN(name)
#endif
#define ECG_W_REGISTERS \
    register int32_t w0 ECG_IN("r4"); register int32_t w1 ECG_IN("r5"); \
    register int32_t w2 ECG_IN("r6"); register int32_t w3 ECG_IN("r7")

// (a * b >> 32) + c.
ECG_INLINE int32_t ecg_high_add(int32_t a, int32_t b, int32_t c)
{
    int32_t sum;
    __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
}

// ((a * b + 2**31) >> 32) + c.
ECG_INLINE int32_t ecg_high_round_add(int32_t a, int32_t b, int32_t c)
{
    int32_t sum;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
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

// Bounds other than int8's own.
ECG_INLINE int32_t ecg_clamp_fused(const ecg_finish_t *op, unsigned how, int32_t value)
{
    return (how & ECG_BOUNDED) == 0u ? value : ecg_clamp(value, op->min, op->max);
}

ECG_INLINE int32_t ecg_finish(const ecg_finish_t *op, unsigned how, int32_t sum, const int32_t unit[3])
{
    if ((how & ECG_FUSED) != 0u) {
        const int32_t addend = (how & ECG_EVEN) != 0u ? unit[1] : unit[1] - ((sum >> 31) & unit[2]);
        return ecg_clamp_fused(op, how, ecg_saturate8(ecg_high_add(sum, unit[0], addend), op->shift));
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

// Four outputs, or the first `count` of them.
ECG_INLINE void ecg_store4(void *out, const int32_t values[4], size_t count, bool wide)
{
    if (wide && count >= 4u) {
        int32_t low, high;
        __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(low) : "r"(values[0]), "r"(values[1]));
        __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(high) : "r"(values[2]), "r"(values[3]));
        memcpy(out, &low, sizeof low);
        memcpy((int16_t *)out + 2, &high, sizeof high);
        return;
    }
    ECG_UNROLL
    for (size_t i = 0; i < 4u; i++) {
        if (count > i) {
            ecg_store(out, i, values[i], wide);
        }
    }
}

// Finishes four sums, with the words of their units; returns what follows those.
ECG_INLINE const int32_t *ecg_finish4(const ecg_finish_t *op, unsigned how, const int32_t sums[4], const int32_t *unit,
                                      int32_t values[4])
{
    if ((how & ECG_EVEN) != 0u) {
        ECG_UNROLL
        for (size_t i = 0; i < 4u; i += 2u) {
            ECG_W_REGISTERS;
            ECG_LOAD4(unit, w0, w1, w2, w3);
            values[i] = ecg_clamp_fused(op, how, ecg_saturate8(ecg_high_add(sums[i], w0, w1), op->shift));
            values[i + 1u] = ecg_clamp_fused(op, how, ecg_saturate8(ecg_high_add(sums[i + 1u], w2, w3), op->shift));
        }
        return unit;
    }
    ECG_UNROLL
    for (size_t i = 0; i < 4u; i++, unit += 3) {
        values[i] = ecg_finish(op, how, sums[i], unit);
    }
    return unit;
}

// The same for size.
ECG_INLINE void ecg_finish8(const ecg_finish_t *op, unsigned how, const int32_t sums[4], const ecg_unit_t units[4],
                            const int8_t shifts[4], int32_t values[4])
{
    ECG_UNROLL
    for (size_t i = 0; i < 4u; i++) {
        const int32_t sum = sums[i] + units[i].bias;
        if ((how & ECG_FUSED) != 0u) {
            int32_t addend = ecg_shift_left(op->twice, shifts[i]);
            addend += (how & ECG_EVEN) != 0u ? 0 : sum >> 31;
            const int32_t value = ecg_high_round_add(ecg_shift_left(sum, 1), units[i].multiplier, addend) >> shifts[i];
            values[i] = ecg_clamp_fused(op, how, ecg_saturate8(value, 1u));
        } else {
            values[i] = ecg_clamp(op->zero + ecg_requantize(sum, units[i].multiplier, shifts[i]), op->min, op->max);
        }
    }
}

// Eight values of the input times four outputs: 21 instructions for 32 products. x and w move on, s0 to s3 grow. ECG_PACKED
// takes weights of two outputs in one word: their products go to the second sum, whose upper part is wanted in the end, and
// those of the low bytes, signed, to the first one.
#if ECG_HAS_R7
#define ECG_FOUR(x) \
    "ldmia %[w]!, {r4, r5, r6, r7}\n\t" \
    "smlad %[s0], r4, " x ", %[s0]\n\tsmlad %[s1], r5, " x ", %[s1]\n\t" \
    "smlad %[s2], r6, " x ", %[s2]\n\tsmlad %[s3], r7, " x ", %[s3]\n\t"
#define ECG_PACKED(w, x, low, both) \
    "smlad %[" both "], " w ", " x ", %[" both "]\n\tsxtb16 " w ", " w "\n\tsmlad %[" low "], " w ", " x ", %[" low "]\n\t"
#define ECG_PACKED_FOUR(low, both) \
    "ldmia %[w]!, {r4, r5, r6, r7}\n\t" ECG_PACKED("r4", "r8", low, both) ECG_PACKED("r5", "r9", low, both) \
    ECG_PACKED("r6", "r10", low, both) ECG_PACKED("r7", "r11", low, both)
#define ECG_LOAD_X "ldmia %[x]!, {r8, r9, r10, r11}\n\t"
#define ECG_LOAD_X_UNALIGNED \
    "ldr r8, [%[x]], #4\n\tldr r9, [%[x]], #4\n\tldr r10, [%[x]], #4\n\tldr r11, [%[x]], #4\n\t"
#define ECG_BLOCK(code) \
    __asm__ volatile(code \
                     : [x] "+&r"(x), [w] "+&r"(w), [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3) \
                     : \
                     : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "memory")
#define ECG_EIGHT(load_x) ECG_BLOCK(load_x ECG_FOUR("r8") ECG_FOUR("r9") ECG_FOUR("r10") ECG_FOUR("r11"))
#define ECG_TWO() ECG_BLOCK("ldr r8, [%[x]], #4\n\t" ECG_FOUR("r8"))
#define ECG_PACKED_EIGHT(load_x) ECG_BLOCK(load_x ECG_PACKED_FOUR("s0", "s1") ECG_PACKED_FOUR("s2", "s3"))
#define ECG_PACKED_TWO() \
    ECG_BLOCK("ldr r8, [%[x]], #4\n\tldmia %[w]!, {r4, r5}\n\t" ECG_PACKED("r4", "r8", "s0", "s1") \
              ECG_PACKED("r5", "r8", "s2", "s3"))
#else
ECG_INLINE int32_t ecg_next_pair(const int16_t **x)
{
    int32_t pair;
    memcpy(&pair, *x, sizeof pair);
    *x += 2;
    return pair;
}

#define ECG_TWO() \
    do { \
        const int32_t xs = ecg_next_pair(&x); \
        s0 = __smlad(w[0], xs, s0), s1 = __smlad(w[1], xs, s1); \
        s2 = __smlad(w[2], xs, s2), s3 = __smlad(w[3], xs, s3); \
        w += 4; \
    } while (0)
#define ECG_EIGHT(load_x) \
    do { \
        ECG_TWO(); \
        ECG_TWO(); \
        ECG_TWO(); \
        ECG_TWO(); \
    } while (0)
#define ECG_PACKED_PAIR(first, second) \
    do { \
        const int32_t xs = ecg_next_pair(&x); \
        s0 = __smlad(__sxtb16(w[first]), xs, s0), s1 = __smlad(w[first], xs, s1); \
        s2 = __smlad(__sxtb16(w[second]), xs, s2), s3 = __smlad(w[second], xs, s3); \
    } while (0)
#define ECG_PACKED_EIGHT(load_x) \
    do { \
        ECG_PACKED_PAIR(0, 4); \
        ECG_PACKED_PAIR(1, 5); \
        ECG_PACKED_PAIR(2, 6); \
        ECG_PACKED_PAIR(3, 7); \
        w += 8; \
    } while (0)
#define ECG_PACKED_TWO() \
    do { \
        ECG_PACKED_PAIR(0, 1); \
        w += 2; \
    } while (0)
#endif

// Four outputs of a convolution, of which `count` are wanted; w moves behind their words.
ECG_INLINE const int32_t *ecg_matrix_block(const ecg_matrix_t *op, const int32_t *w, const int16_t *x, void *out,
                                           size_t count, bool wide, unsigned how)
{
    register int32_t s0 ECG_IN("r0");
    register int32_t s1 ECG_IN("r1");
    register int32_t s2 ECG_IN("r2");
    register int32_t s3 ECG_IN("r3");
    ECG_LOAD4(w, s0, s1, s2, s3);
    ECG_UNROLL
    for (unsigned chunk = op->depth / 8u; chunk != 0u; chunk--) {
        if ((how & ECG_ALIGNED) != 0u) {
            ECG_EIGHT(ECG_LOAD_X);
        } else {
            ECG_EIGHT(ECG_LOAD_X_UNALIGNED);
        }
    }
    ECG_UNROLL
    for (unsigned pair = op->depth % 8u / 2u; pair != 0u; pair--) {
        ECG_TWO();
    }
    const int32_t sums[4] = {s0, s1, s2, s3};
    int32_t values[4];
    w = ecg_finish4(&op->finish, how, sums, w, values);
    ecg_store4(out, values, count, wide);
    return w;
}

// in: (depth); out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int16_t *in, void *out, bool wide, unsigned how)
{
    const size_t bytes = wide ? sizeof(int16_t) : sizeof(int8_t);
    const size_t words = 4u + op->depth * 2u + ((how & ECG_EVEN) != 0u ? 8u : 12u);    // of four outputs
    const int32_t *const end = op->packed + op->out / 4u * words;
    const int32_t *w = op->packed;
    while (w != end) {
        w = ecg_matrix_block(op, w, in, out, 4u, wide, how);
        out = (char *)out + 4u * bytes;
    }
    if (op->out % 4u != 0u) {
        (void)ecg_matrix_block(op, w, in, out, op->out % 4u, wide, how);
    }
}

// in: (depth); out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_matrix8_s8(const ecg_matrix8_t *op, const int16_t *in, void *out, bool wide, unsigned how)
{
    const int32_t *w = op->packed;
    for (size_t o = 0; o < op->out; o += 4u) {
        const int16_t *x = in;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (unsigned chunk = op->depth / 8u; chunk != 0u; chunk--) {
            if ((how & ECG_ALIGNED) != 0u) {
                ECG_PACKED_EIGHT(ECG_LOAD_X);
            } else {
                ECG_PACKED_EIGHT(ECG_LOAD_X_UNALIGNED);
            }
        }
        for (unsigned pair = op->depth % 8u / 2u; pair != 0u; pair--) {
            ECG_PACKED_TWO();
        }
        const int32_t sums[4] = {s0, (s1 - s0) >> 8, s2, (s3 - s2) >> 8};
        int32_t values[4];
        ecg_finish8(&op->finish, how, sums, op->units + o, op->shifts + o, values);
        ecg_store4(out, values, op->out - o, wide);
        out = (char *)out + 4u * (wide ? sizeof(int16_t) : sizeof(int8_t));
    }
}

// columns: the reach, first tap first; out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_depthwise8_s8(const ecg_depthwise8_t *op, const int8_t *columns, void *out, bool wide, unsigned how)
{
    for (size_t o = 0; o < op->out; o += 4u) {
        const int8_t *x = columns + o, *w = op->weights + o;
        int32_t sums[4] = {0, 0, 0, 0}, values[4];
        for (unsigned tap = op->taps; tap != 0u; tap--) {
            int32_t xs, ws;
            memcpy(&xs, x, sizeof xs);
            memcpy(&ws, w, sizeof ws);
            x += op->step;
            w += op->out;
            const int32_t even = __sxtb16(xs), odd = ecg_odd_bytes(xs);
            const int32_t even_w = __sxtb16(ws), odd_w = ecg_odd_bytes(ws);
            sums[0] = __smlabb(even, even_w, sums[0]);
            sums[1] = __smlabb(odd, odd_w, sums[1]);
            sums[2] = __smlatt(even, even_w, sums[2]);
            sums[3] = __smlatt(odd, odd_w, sums[3]);
        }
        ecg_finish8(&op->finish, how, sums, op->units + o, op->shifts + o, values);
        ecg_store4(out, values, 4u, wide);
        out = (char *)out + 4u * (wide ? sizeof(int16_t) : sizeof(int8_t));
    }
}

// columns: the reach, first tap first; out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_depthwise4_s8(const ecg_depthwise4_t *op, const int8_t *columns, void *out, bool wide, unsigned how)
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
        int32_t values[4];
        w = ecg_finish4(&op->finish, how, sums, w, values);
        ecg_store4(out, values, 4u, wide);
        out = (char *)out + 4u * (wide ? sizeof(int16_t) : sizeof(int8_t));
    }
}

#endif
