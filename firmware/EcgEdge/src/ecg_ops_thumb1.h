// Convolutions for Arm cores with the first Thumb alone (Cortex-M0, M0+, M1): no long multiply, eight registers for most.
//
// Four outputs go together. Weights are bytes, 128 too large, so that each comes with one LDRB; 128 times the column's sum,
// which is the same for all outputs, makes up for that.
//
// Requantization is a staircase: an output has 256 values, and as the sum grows each begins at a certain one. The generator
// found numbers for each output that put every step where TensorFlow Lite Micro has it, and tried them all:
//
//     output = min + ((s * high + ((s >> coarse) * low >> fine) + addend) >> scale), s the sum from 0 to top
//
// TFLM rounds ties away from zero, so that the stairs bend where sums turn negative, unless all is clamped there: below that
// `turn` the addend is another one. A layer without such numbers runs ecg_matrix_any_s8.
#ifndef ECG_OPS_THUMB1_H
#define ECG_OPS_THUMB1_H

#include "ecg_ops.h"
#include "ecg_quant.h"

#if !defined(__thumb__) || defined(__thumb2__) || !defined(__GNUC__)
#error "generated for a core with Thumb-1, and GCC or Clang: export again with the core that this is built for"
#endif

typedef int8_t ecg_wide_t;

#if defined(__clang__)
#define ECG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ECG_UNROLL _Pragma("GCC unroll 16")
#endif

// How sums become outputs.
typedef struct {
    uint8_t coarse;
    uint8_t fine;
    uint8_t scale;
    int8_t min;
} ecg_stairs_t;

// Numbers of an output: its flight.
enum {
    ECG_STRAIGHT = 3,    // top, high and low in one word (low in the lower half), addend
    ECG_BENT = 5         // the same, then turn, and addend below it
};

// One column of a convolution. packed, for each four outputs: 4 biases, which begin the stairs at 0; (depth, 4) bytes of
// weights; 4 flights. Of the last outputs, less than four: their biases, rows of (depth) bytes, their flights.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t depth;
    ecg_stairs_t stairs;
} ecg_matrix_t;

// The same for any numbers: out rows of (depth).
typedef struct {
    const int8_t *weights;
    const int32_t *bias;          // (out), the input's zero point folded in
    const int32_t *multipliers;
    const int8_t *shifts;
    uint16_t out;
    uint16_t depth;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_any_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    memcpy(out, in, n);
}

ECG_INLINE int8_t ecg_stair(const ecg_stairs_t *op, int32_t sum, const int32_t *flight, size_t words)
{
    const uint32_t factors = (uint32_t)flight[1];
    const int32_t top = flight[0], addend = words == ECG_BENT && sum < flight[3] ? flight[4] : flight[2];
    sum = sum < 0 ? 0 : sum;
    const uint32_t s = (uint32_t)(sum > top ? top : sum);
    const uint32_t value = s * (factors >> 16) + ((s >> op->coarse) * (factors & 0xFFFFu) >> op->fine) + (uint32_t)addend;
    return (int8_t)((int32_t)(value >> op->scale) + op->min);
}

// The products of the value at end + i, and i moves on; four weights at w + at. Registers above r7 add only.
#define ECG_VALUE4(at) \
    "ldrsb %[x], [%[end], %[i]]\n\tadds %[i], #1\n\t" \
    "ldrb %[t], [%[w], #" #at "]\n\tmuls %[t], %[x], %[t]\n\tadds %[s0], %[t]\n\t" \
    "ldrb %[t], [%[w], #" #at " + 1]\n\tmuls %[t], %[x], %[t]\n\tadds %[s1], %[t]\n\t" \
    "ldrb %[t], [%[w], #" #at " + 2]\n\tmuls %[t], %[x], %[t]\n\tadd r12, %[t]\n\t" \
    "ldrb %[t], [%[w], #" #at " + 3]\n\tmuls %[t], %[x], %[t]\n\tadd lr, %[t]\n\t"

// Adds the dot products of a column, (depth), with four outputs' weights, (depth, 4), to sums: eight values at a time.
ECG_INLINE void ecg_sums4(const uint8_t *w, const int8_t *in, size_t depth, int32_t sums[4])
{
    const int8_t *const end = in + depth;
    int32_t i = -(int32_t)depth, s0, s1, s2, s3;
    __asm__ volatile(
        ".syntax unified\n\t"
        "movs %[s0], #0\n\tmovs %[s1], #0\n\tmov r12, %[s0]\n\tmov lr, %[s0]\n\t"
        "adds %[t], %[i], #7\n\tbpl 2f\n"
        "1:\n\t"
        ECG_VALUE4(0) ECG_VALUE4(4) ECG_VALUE4(8) ECG_VALUE4(12)
        ECG_VALUE4(16) ECG_VALUE4(20) ECG_VALUE4(24) ECG_VALUE4(28)
        "adds %[w], #32\n\tadds %[t], %[i], #7\n\tbmi 1b\n"
        "2:\n\t"
        "cmp %[i], #0\n\tbeq 4f\n"
        "3:\n\t"
        ECG_VALUE4(0)
        "adds %[w], #4\n\tcmp %[i], #0\n\tbne 3b\n"
        "4:\n\t"
        "mov %[x], r12\n\tmov %[t], lr"
        : [w] "+l"(w), [i] "+l"(i), [s0] "=&l"(s0), [s1] "=&l"(s1), [x] "=&l"(s2), [t] "=&l"(s3)
        : [end] "l"(end)
        : "r12", "lr", "cc", "memory");
    sums[0] += s0;
    sums[1] += s1;
    sums[2] += s2;
    sums[3] += s3;
}

// 128 times the sum of a column.
ECG_INLINE int32_t ecg_column_sum(const int8_t *in, size_t depth)
{
    int32_t sum = 0;
    ECG_UNROLL
    for (size_t i = 0; i < depth; i++) {
        sum += in[i];
    }
    return sum * 128;
}

// The last outputs, less than four.
ECG_INLINE void ecg_matrix_rest(const ecg_matrix_t *op, const int32_t *packed, const int8_t *in, int32_t offset, int8_t *out,
                                size_t rows, size_t words)
{
    const uint8_t *w = (const uint8_t *)(packed + rows);
    const int32_t *flight = packed + rows + (rows * op->depth + 3u) / 4u;
    for (size_t row = 0; row < rows; row++) {
        int32_t sum = packed[row] - offset;
        for (size_t i = 0; i < op->depth; i++) {
            sum += *w++ * in[i];
        }
        out[row] = ecg_stair(&op->stairs, sum, flight, words);
        flight += words;
    }
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int8_t *in, void *result, bool wide, size_t words)
{
    const int32_t *packed = op->packed;
    const int32_t offset = ecg_column_sum(in, op->depth);
    int8_t *out = result;
    (void)wide;    // int8_t either way
    for (size_t blocks = op->out / 4u; blocks != 0u; blocks--) {
        int32_t sums[4] = {packed[0] - offset, packed[1] - offset, packed[2] - offset, packed[3] - offset};
        ecg_sums4((const uint8_t *)(packed + 4), in, op->depth, sums);
        packed += 4 + op->depth;
        ECG_UNROLL
        for (size_t row = 0; row < 4u; row++) {
            *out++ = ecg_stair(&op->stairs, sums[row], packed, words);
            packed += words;
        }
    }
    if (op->out % 4u != 0u) {
        ecg_matrix_rest(op, packed, in, offset, out, op->out % 4u, words);
    }
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_any_s8(const ecg_any_t *op, const int8_t *in, void *result, bool wide)
{
    const int8_t *w = op->weights;
    int8_t *out = result;
    (void)wide;
    for (size_t o = 0; o < op->out; o++) {
        int32_t sum = op->bias[o];
        for (size_t i = 0; i < op->depth; i++) {
            sum += *w++ * in[i];
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[o], op->shifts[o]);
        out[o] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

// Output channel c sees input channel c alone. packed, for each channel: its bias, a word for each tap's weight, its
// flight.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t taps;
    uint16_t step;    // values from one tap to the next
    ecg_stairs_t stairs;
} ecg_depthwise1_t;

// columns: the reach, first tap first; out: (out).
ECG_INLINE void ecg_depthwise1_s8(const ecg_depthwise1_t *op, const int8_t *columns, void *result, bool wide, size_t words)
{
    const int32_t *packed = op->packed;
    int8_t *out = result;
    (void)wide;
    for (size_t o = 0; o < op->out; o++) {
        int32_t sum = *packed++;
        const int8_t *x = columns + o;
        ECG_UNROLL
        for (size_t tap = 0; tap < op->taps; tap++) {
            sum += *packed++ * *x;
            x += op->step;
        }
        out[o] = ecg_stair(&op->stairs, sum, packed, words);
        packed += words;
    }
}

#endif
