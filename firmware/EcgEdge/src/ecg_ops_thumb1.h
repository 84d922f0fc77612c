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

// Numbers of an output, its flight. `factors`: high in the upper 16 bits, low in the lower ones.
enum {
    ECG_STRAIGHT = 4,    // bias, which begins the stairs at 0; top, factors, addend
    ECG_BENT = 6         // bias, turn, addend, what is less below the turn, top, factors
};

// One column of a convolution. packed, for each four outputs: (depth, 4) bytes of weights, 4 flights. Of the last outputs,
// less than four: rows of (depth) bytes, their flights.
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
    sum += flight[0];
    const int32_t top = flight[words == ECG_BENT ? 4 : 1];
    const uint32_t factors = (uint32_t)flight[words == ECG_BENT ? 5 : 2];
    const int32_t addend = words == ECG_BENT ? flight[2] - (sum < flight[1] ? flight[3] : 0) : flight[3];
    sum = sum < 0 ? 0 : sum;
    const uint32_t s = (uint32_t)(sum > top ? top : sum);
    const uint32_t value = s * (factors >> 16) + ((s >> op->coarse) * (uint16_t)factors >> op->fine) + (uint32_t)addend;
    return (int8_t)((int32_t)(value >> op->scale) + op->min);
}

// The products of the value at r3 + r2, and r2 moves on; four weights at r6 + at. Registers above r7 add only.
#define ECG_VALUE4(at) \
    "ldrsb r0, [r3, r2]\n\tadds r2, #1\n\t" \
    "ldrb r1, [r6, #" #at "]\n\tmuls r1, r0, r1\n\tadds r4, r1\n\t" \
    "ldrb r1, [r6, #" #at " + 1]\n\tmuls r1, r0, r1\n\tadds r5, r1\n\t" \
    "ldrb r1, [r6, #" #at " + 2]\n\tmuls r1, r0, r1\n\tadd r12, r1\n\t" \
    "ldrb r1, [r6, #" #at " + 3]\n\tmuls r1, r0, r1\n\tadd lr, r1\n\t"

// ecg_stair of the sum in r4 with the flight at r6, which moves on; the output goes to r7 + at.
#define ECG_STAIR_STRAIGHT(at) \
    "ldm r6!, {r0, r1, r2, r3}\n\tadds r4, r0\n\t" \
    "asrs r0, r4, #31\n\tbics r4, r0\n\tcmp r4, r1\n\tble 9f\n\tmovs r4, r1\n9:\n\t" \
    "lsrs r0, r2, #16\n\tuxth r2, r2\n\t" ECG_STAIR_END(at, r2, r3)
#define ECG_STAIR_BENT(at) \
    "ldm r6!, {r0, r1, r2, r3}\n\tadds r4, r0\n\tcmp r4, r1\n\tbge 8f\n\tsubs r2, r3\n8:\n\tldm r6!, {r0, r1}\n\t" \
    "asrs r3, r4, #31\n\tbics r4, r3\n\tcmp r4, r0\n\tble 9f\n\tmovs r4, r0\n9:\n\t" \
    "lsrs r0, r1, #16\n\tuxth r1, r1\n\t" ECG_STAIR_END(at, r1, r2)
#define ECG_STAIR_END(at, low, addend) \
    "muls r0, r4, r0\n\t.if %c[coarse]\n\tlsrs r4, %[coarse]\n\t.endif\n\tmuls r4, " #low ", r4\n\tlsrs r4, %[fine]\n\t" \
    "adds r0, r4\n\tadds r0, " #addend "\n\tlsrs r0, %[scale]\n\tadds r0, %[least]\n\tstrb r0, [r7, #" #at "]\n\t"
#define ECG_STAIR_OPERANDS \
    [coarse] "i"(op->stairs.coarse), [fine] "i"(op->stairs.fine), [scale] "i"(op->stairs.scale), \
        [least] "i"(op->stairs.min & 0xFF)

// Four outputs of a layer whose numbers are known: the rest of less than eight values first, by a jump into the eight.
#define ECG_BLOCK4(stair) \
    __asm__ volatile( \
        ".syntax unified\n\t" \
        "movs r4, r0\n\tmovs r5, r0\n\tmov r12, r0\n\tmov lr, r0\n\t" \
        ".if %c[skipped]\n\tsubs r6, #4 * %c[skipped]\n\tb 1%c[skipped]f\n\t.endif\n" \
        "10:\n\t" ECG_VALUE4(0) "\n11:\n\t" ECG_VALUE4(4) "\n12:\n\t" ECG_VALUE4(8) "\n13:\n\t" ECG_VALUE4(12) \
        "\n14:\n\t" ECG_VALUE4(16) "\n15:\n\t" ECG_VALUE4(20) "\n16:\n\t" ECG_VALUE4(24) "\n17:\n\t" ECG_VALUE4(28) \
        "adds r6, #32\n\tcmp r2, #0\n\tbne 10b\n\t" \
        stair(0) "movs r4, r5\n\t" stair(1) "mov r4, r12\n\t" stair(2) "mov r4, lr\n\t" stair(3) "adds r7, #4" \
        : "+l"(w), "+l"(at), "+l"(sum), "+l"(i), "+l"(end) \
        : ECG_STAIR_OPERANDS, [skipped] "i"((8u - op->depth % 8u) % 8u) \
        : "r1", "r4", "r5", "r12", "lr", "cc", "memory")

// Returns what follows the block; sum: of each output, to begin with.
ECG_INLINE const int32_t *ecg_block4(const ecg_matrix_t *op, const int32_t *packed, const int8_t *in, int32_t begin, int8_t *out,
                                     size_t words)
{
    register const int32_t *w __asm__("r6") = packed;
    register int8_t *at __asm__("r7") = out;
    register int32_t sum __asm__("r0") = begin;
    register int32_t i __asm__("r2") = -(int32_t)op->depth;
    register const int8_t *end __asm__("r3") = in + op->depth;
    if (words == ECG_BENT) {
        ECG_BLOCK4(ECG_STAIR_BENT);
    } else {
        ECG_BLOCK4(ECG_STAIR_STRAIGHT);
    }
    return w;
}

// The same in a loop, for any numbers.
ECG_INLINE const int32_t *ecg_block4_compact(const ecg_matrix_t *op, const int32_t *packed, const int8_t *in, int32_t begin,
                                             int8_t *out, size_t words)
{
    register const int32_t *w __asm__("r6") = packed;
    register int32_t sum __asm__("r0") = begin;
    register int32_t i __asm__("r2") = -(int32_t)op->depth;
    register const int8_t *end __asm__("r3") = in + op->depth;
    register int32_t s0 __asm__("r4");
    register int32_t s1 __asm__("r5");
    register int32_t s3 __asm__("r1");
    __asm__ volatile(
        ".syntax unified\n\t"
        "movs r4, r0\n\tmovs r5, r0\n\tmov r12, r0\n\tmov lr, r0\n"
        "1:\n\t"
        "adds r1, r2, #3\n\tbpl 3f\n"
        "2:\n\t" ECG_VALUE4(0) ECG_VALUE4(4) ECG_VALUE4(8) ECG_VALUE4(12)
        "adds r6, #16\n\tb 1b\n"
        "3:\n\tcmp r2, #0\n\tbeq 4f\n\t"
        ECG_VALUE4(0)
        "adds r6, #4\n\tb 3b\n"
        "4:\n\tmov r0, r12\n\tmov r1, lr"
        : "+l"(w), "+l"(sum), "+l"(i), "=&l"(s0), "=&l"(s1), "=&l"(s3)
        : "l"(end)
        : "r12", "lr", "cc", "memory");
    const int32_t sums[4] = {s0, s1, sum, s3};
    packed = w;
    for (size_t row = 0; row < 4u; row++) {
        *out++ = ecg_stair(&op->stairs, sums[row], packed, words);
        packed += words;
    }
    return packed;
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
ECG_INLINE void ecg_matrix_rest(const ecg_matrix_t *op, const int32_t *packed, const int8_t *in, int32_t begin, int8_t *out,
                                size_t rows, size_t words)
{
    const uint8_t *w = (const uint8_t *)packed;
    packed += (rows * op->depth + 3u) / 4u;
    for (size_t row = 0; row < rows; row++) {
        int32_t sum = begin;
        for (size_t i = 0; i < op->depth; i++) {
            sum += *w++ * in[i];
        }
        out[row] = ecg_stair(&op->stairs, sum, packed, words);
        packed += words;
    }
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int8_t *in, void *result, bool wide, size_t words)
{
    const int32_t *packed = op->packed;
    const int32_t begin = -ecg_column_sum(in, op->depth);
    int8_t *out = result;
    (void)wide;    // int8_t either way
    for (size_t blocks = op->out / 4u; blocks != 0u; blocks--) {
        if (__builtin_constant_p(op->depth)) {
            packed = ecg_block4(op, packed, in, begin, out, words);
        } else {
            packed = ecg_block4_compact(op, packed, in, begin, out, words);
        }
        out += 4;
    }
    if (op->out % 4u != 0u) {
        ecg_matrix_rest(op, packed, in, begin, out, op->out % 4u, words);
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

// Output channel c sees input channel c alone. packed, for each channel: a word for each tap's weight, its flight.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t taps;
    uint16_t step;    // values from one tap to the next
    ecg_stairs_t stairs;
} ecg_depthwise1_t;

#define ECG_ONE(stair) \
    __asm__ volatile(".syntax unified\n\t" stair(0) \
                     : "+l"(w), "+l"(sum) : "l"(at), ECG_STAIR_OPERANDS : "r0", "r1", "r2", "r3", "cc", "memory")

// One output of a layer whose numbers are known; returns what follows the flight.
ECG_INLINE const int32_t *ecg_channel(const ecg_depthwise1_t *op, const int32_t *packed, const int8_t *column, int8_t *out,
                                      size_t words)
{
    register const int32_t *w __asm__("r6") = packed;
    register int8_t *at __asm__("r7") = out;
    register int32_t sum __asm__("r4") = 0;
    int32_t i = 0, x, weight;
    ECG_UNROLL
    for (size_t tap = 0; tap < op->taps; tap++) {
        __asm__ volatile(
            ".syntax unified\n\t"
            "ldrsb %[x], [%[column], %[i]]\n\tadds %[i], %[step]\n\t"
            "ldm %[w]!, {%[weight]}\n\tmuls %[weight], %[x], %[weight]\n\tadds %[sum], %[weight]"
            : [w] "+l"(w), [sum] "+l"(sum), [i] "+l"(i), [x] "=&l"(x), [weight] "=&l"(weight)
            : [column] "l"(column), [step] "i"(op->step)
            : "cc", "memory");
    }
    if (words == ECG_BENT) {
        ECG_ONE(ECG_STAIR_BENT);
    } else {
        ECG_ONE(ECG_STAIR_STRAIGHT);
    }
    return w;
}

// columns: the reach, first tap first; out: (out).
ECG_INLINE void ecg_depthwise1_s8(const ecg_depthwise1_t *op, const int8_t *columns, void *result, bool wide, size_t words)
{
    const int32_t *packed = op->packed;
    int8_t *out = result;
    (void)wide;
    for (size_t o = 0; o < op->out; o++) {
        if (__builtin_constant_p(op->step) && op->step < 256u) {    // an ADDS takes 255 at most
            packed = ecg_channel(op, packed, columns + o, out + o, words);
        } else {
            int32_t sum = 0;
            const int8_t *x = columns + o;
            for (size_t tap = 0; tap < op->taps; tap++) {
                sum += *packed++ * *x;
                x += op->step;
            }
            out[o] = ecg_stair(&op->stairs, sum, packed, words);
            packed += words;
        }
    }
}

#endif
