// Convolutions for Arm cores with Helium, the M-profile vector extension (Cortex-M55, M85): 16 products an instruction.
//
// A dot product takes 16 values of the column at a time (VMLADAVA), for four outputs, which then are requantized side by
// side. Of a rest of fewer values the column's are masked, so that they count as zeros; the weights' are not, and what
// follows the last of them is the requantization's numbers: nothing is read beyond a table. Those of four outputs, a unit:
// four biases, four multipliers, four shifts, 36 bytes.
//
// VQRDMULH is TensorFlow Lite Micro's high multiply, bit for bit. VRSHL rounds a half up, and TFLM away from zero: one less
// before the shift makes that of a negative value, unless that is clamped anyway.
#ifndef ECG_OPS_MVE_H
#define ECG_OPS_MVE_H

#if !defined(__ARM_FEATURE_MVE) || !defined(__GNUC__)
#error "generated for a core with Helium, and GCC or Clang: export again with the core that this is built for"
#endif

#include <arm_mve.h>

#include "ecg_ops.h"

typedef int8_t ecg_wide_t;

#if defined(__clang__)
#define ECG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ECG_UNROLL _Pragma("GCC unroll 64")
#endif

#define ECG_UNIT_BYTES 36

// What a layer's numbers allow.
enum {
    ECG_EVEN,     // no sum is shifted left, and negative ones need no care: their outputs are clamped from below
    ECG_RIGHT,    // every sum is shifted right
    ECG_MIXED     // anything
};

// How sums become outputs.
typedef struct {
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_finish_t;

// One column of a convolution. packed, for each four outputs: for each 16 values of the input, and for the rest, four rows of
// weights; a unit. Of eight outputs the even ones come first, then the odd ones. Of less than four, each row is whole.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t depth;    // values of the input
    ecg_finish_t finish;
} ecg_matrix_t;

// Output channel c sees input channel c alone. packed, for each eight channels (less in the end): weights, (taps, channels);
// a unit of the even channels, one of the odd ones.
typedef struct {
    const int32_t *packed;
    uint16_t out;
    uint16_t taps;
    uint16_t step;     // values from one tap to the next
    uint16_t burst;    // taps whose sum fits 16 bits
    ecg_finish_t finish;
} ecg_depthwise8_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    memcpy(out, in, n);
}

ECG_INLINE int32x4_t ecg_vector(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t v;
    __asm__("vmov %q0[2], %q0[0], %1, %3\n\tvmov %q0[3], %q0[1], %2, %4" : "=&w"(v) : "r"(a), "r"(b), "r"(c), "r"(d));
    return v;
}

ECG_INLINE int32x4_t ecg_biases(const int8_t *unit)
{
    return vldrwq_s32((const int32_t *)(const void *)unit);
}

// sums: with their biases.
ECG_INLINE int32x4_t ecg_requantize4(int32x4_t sums, const int8_t *unit, int how)
{
    int32x4_t shift = vldrbq_s32(unit + 32);
    if (how == ECG_MIXED) {
        sums = vshlq_s32(sums, vmaxq_s32(shift, vdupq_n_s32(0)));
        shift = vminq_s32(shift, vdupq_n_s32(0));
    }
    sums = vqrdmulhq_s32(sums, vldrwq_s32((const int32_t *)(const void *)(unit + 16)));
    if (how != ECG_EVEN) {
        const int32x4_t negative = how == ECG_RIGHT ? sums : vandq_s32(sums, shift);
        sums = vaddq_s32(sums, vshrq_n_s32(negative, 31));
    }
    return vrshlq_s32(sums, shift);
}

// Up to four outputs.
ECG_INLINE void ecg_put4(const ecg_finish_t *op, int32x4_t values, int8_t *out, size_t n)
{
    values = vaddq_n_s32(values, op->zero);
    values = vmaxq_s32(values, vdupq_n_s32(op->min));
    values = vminq_s32(values, vdupq_n_s32(op->max));
    if (__builtin_constant_p(n) && n == 4u) {
        vstrbq_s32(out, values);
    } else {
        vstrbq_p_s32(out, values, vctp32q((uint32_t)n));
    }
}

// Up to eight outputs, of even and odd index.
ECG_INLINE void ecg_put8(const ecg_finish_t *op, int32x4_t even, int32x4_t odd, int8_t *out, size_t n)
{
    int16x8_t values = vreinterpretq_s16_s32(even);    // VQMOVN keeps half of what it writes to: in place it costs no copy
    __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnt.s32 %q0, %q1" : "+w"(values) : "w"(odd));
    values = vqaddq_n_s16(values, op->zero);
    if (op->min == INT8_MIN && op->max == INT8_MAX) {
        __asm__("vqmovnb.s16 %q0, %q0" : "+w"(values));
    } else {
        values = vmaxq_s16(values, vdupq_n_s16(op->min));
        values = vminq_s16(values, vdupq_n_s16(op->max));
    }
    if (__builtin_constant_p(n) && n == 8u) {
        vstrbq_s16(out, values);
    } else {
        vstrbq_p_s16(out, values, vctp16q((uint32_t)n));
    }
}

// The last values of a column, less than 16, then zeros.
ECG_INLINE int8x16_t ecg_rest(const int8_t *in, size_t n)
{
#if defined(__clang__)
    return vldrbq_z_s8(in, vctp8q((uint32_t)n));
#else
    int8x16_t values;    // GCC's intrinsics carry the predicate through a register
    // volatile: what `in` points to is no operand, and a loop over columns would keep the first one's values
    __asm__ volatile("vctp.8 %1\n\tvpst\n\tvldrbt.8 %q0, [%2]" : "=w"(values) : "r"(n), "r"(in) : "p0", "memory");
    return values;
#endif
}

// Values of a column that serve several outputs: the first 32 stay in registers.
typedef struct {
    const int8_t *in;
    int8x16_t first;
    int8x16_t second;
} ecg_column_t;

ECG_INLINE int8x16_t ecg_values(const int8_t *in, size_t i, size_t depth)
{
    return depth - i < 16u ? ecg_rest(in + i, depth - i) : vldrbq_s8(in + i);
}

ECG_INLINE ecg_column_t ecg_column(const int8_t *in, size_t depth)
{
    ecg_column_t column = {in, vdupq_n_s8(0), vdupq_n_s8(0)};
    if (depth <= 32u) {
        column.first = ecg_values(in, 0u, depth);
        column.second = depth > 16u ? ecg_values(in, 16u, depth) : column.first;
    }
    return column;
}

// Products of 16 values x, or of less and zeros, with four rows of weights, n bytes each; w moves behind them.
#define ECG_ANY_ROWS(n) \
    do { \
        s0 = vmladavaq_s8(s0, vldrbq_s8(w), x); \
        w += (n); \
        s1 = vmladavaq_s8(s1, vldrbq_s8(w), x); \
        w += (n); \
        s2 = vmladavaq_s8(s2, vldrbq_s8(w), x); \
        w += (n); \
        s3 = vmladavaq_s8(s3, vldrbq_s8(w), x); \
        w += (n); \
    } while (0)
#if defined(__OPTIMIZE__) && !defined(__clang__)
// The same for a known n. A load and what takes it stand together: beats of both overlap. That asm reads what w points to
// needs no telling: constants do not change.
#define ECG_ROW(mac, s) "vldrb.8 %q5, [%4], %7\n\t" mac " %" #s ", %q5, %q6\n\t"
#define ECG_ROWS(mac, tie, n) \
    do { \
        int8x16_t row_; \
        __asm__(ECG_ROW(mac, 0) ECG_ROW(mac, 1) ECG_ROW(mac, 2) ECG_ROW(mac, 3) \
                : tie(s0), tie(s1), tie(s2), tie(s3), "+r"(w), "=&w"(row_) \
                : "w"(x), "i"(n)); \
    } while (0)
#define ECG_FIRST_ROWS(n) ECG_ROWS("vmladav.s8", "=&Te", n)
#define ECG_NEXT_ROWS(n) ECG_ROWS("vmladava.s8", "+Te", n)
#else
#define ECG_FIRST_ROWS(n) ECG_ANY_ROWS(n)
#define ECG_NEXT_ROWS(n) ECG_ANY_ROWS(n)
#endif

// Four dot products and their biases; the weights' pointer moves to the unit.
ECG_INLINE int32x4_t ecg_sums4(const int8_t **weights, const ecg_column_t *column, size_t depth)
{
    const int8_t *w = *weights;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ECG_UNROLL
    for (size_t i = 0; i < depth / 16u * 16u; i += 16u) {
        const int8x16_t x = depth > 32u ? vldrbq_s8(column->in + i) : i == 0u ? column->first : column->second;
        if (i == 0u) {
            ECG_FIRST_ROWS(16);
        } else {
            ECG_NEXT_ROWS(16);
        }
    }
    if (depth % 16u != 0u) {
        const size_t i = depth / 16u * 16u;
        const int8x16_t x = depth > 32u ? ecg_rest(column->in + i, depth - i) : i == 0u ? column->first : column->second;
        if (i == 0u) {
            ECG_FIRST_ROWS(depth % 16u);
        } else {
            ECG_NEXT_ROWS(depth % 16u);
        }
    }
    *weights = w;
    return vaddq_s32(ecg_vector(s0, s1, s2, s3), ecg_biases(w));
}

// The same in a loop, for any depth.
ECG_INLINE int32x4_t ecg_sums4_compact(const int8_t **weights, const int8_t *in, size_t depth)
{
    const int8_t *w = *weights;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (; depth >= 16u; depth -= 16u) {
        const int8x16_t x = vldrbq_s8(in);
        ECG_NEXT_ROWS(16);
        in += 16;
    }
    const int8x16_t x = ecg_rest(in, depth);
    ECG_ANY_ROWS(depth);
    *weights = w;
    return vaddq_s32(ecg_vector(s0, s1, s2, s3), ecg_biases(w));
}

// The last outputs, less than four, one after another.
ECG_INLINE void ecg_matrix_rest(const ecg_matrix_t *op, const int8_t *w, const int8_t *in, int8_t *out, size_t rows,
                                int how)
{
    int32_t sums[4] = {0, 0, 0, 0};
    for (size_t row = 0; row < rows; row++) {
        int32_t sum = 0;
        for (size_t i = 0; i < op->depth; i += 16u) {
            const size_t n = op->depth - i < 16u ? op->depth - i : 16u;
            sum = vmladavaq_s8(sum, vldrbq_s8(w), ecg_rest(in + i, n));
            w += n;
        }
        sums[row] = sum;
    }
    w += (0u - rows * op->depth) % 4u;
    ecg_put4(&op->finish, ecg_requantize4(vaddq_s32(vldrwq_s32(sums), ecg_biases(w)), w, how), out, rows);
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int8_t *in, void *result, bool wide, int how)
{
    const int8_t *w = (const int8_t *)op->packed;
    int8_t *out = result;
    (void)wide;    // int8_t either way
    const ecg_column_t column = ecg_column(in, op->depth);
    for (size_t blocks = op->out / 8u; blocks != 0u; blocks--) {
        const int32x4_t even = ecg_requantize4(ecg_sums4(&w, &column, op->depth), w, how);
        w += ECG_UNIT_BYTES;
        const int32x4_t odd = ecg_requantize4(ecg_sums4(&w, &column, op->depth), w, how);
        w += ECG_UNIT_BYTES;
        ecg_put8(&op->finish, even, odd, out, 8u);
        out += 8;
    }
    if (op->out % 8u >= 4u) {
        const int32x4_t sums = ecg_sums4(&w, &column, op->depth);
        ecg_put4(&op->finish, ecg_requantize4(sums, w, how), out, 4u);
        w += ECG_UNIT_BYTES;
        out += 4;
    }
    if (op->out % 4u != 0u) {
        ecg_matrix_rest(op, w, in, out, op->out % 4u, how);
    }
}

// The same, small: one copy for all layers. No eights.
ECG_INLINE void ecg_matrix_compact_s8(const ecg_matrix_t *op, const int8_t *in, void *result, bool wide, int how)
{
    const int8_t *w = (const int8_t *)op->packed;
    int8_t *out = result;
    (void)wide;
    for (size_t blocks = op->out / 4u; blocks != 0u; blocks--) {
        const int32x4_t sums = ecg_sums4_compact(&w, in, op->depth);
        ecg_put4(&op->finish, ecg_requantize4(sums, w, how), out, 4u);
        w += ECG_UNIT_BYTES;
        out += 4;
    }
    if (op->out % 4u != 0u) {
        ecg_matrix_rest(op, w, in, out, op->out % 4u, how);
    }
}

// Eight values or weights, or the first n of them; p moves by n.
ECG_INLINE int16x8_t ecg_load8(const int8_t *p, size_t n)
{
    return __builtin_constant_p(n) && n == 8u ? vldrbq_s16(p) : vldrbq_z_s16(p, vctp16q((uint32_t)n));
}

// Up to eight channels: sums of even and odd ones with their biases; the weights' pointer moves to the units.
typedef struct {
    int32x4_t even;
    int32x4_t odd;
} ecg_sums8_t;

ECG_INLINE int16x8_t ecg_products8(const int8_t *w, const int8_t *x, size_t n)
{
    return vmulq_s16(ecg_load8(x, n), ecg_load8(w, n));
}

ECG_INLINE ecg_sums8_t ecg_sums8(const ecg_depthwise8_t *op, const int8_t **weights, const int8_t *x, size_t n)
{
    const int8_t *const w = *weights, *const units = w + (n * op->taps + 3u) / 4u * 4u;
    ecg_sums8_t sums = {ecg_biases(units), ecg_biases(units + ECG_UNIT_BYTES)};
    ECG_UNROLL
    for (size_t first = 0; first < op->taps; first += op->burst) {
        int16x8_t sum = ecg_products8(w + first * n, x + first * op->step, n);
        const size_t end = first + (op->taps - first < op->burst ? op->taps - first : op->burst);
        ECG_UNROLL
        for (size_t tap = first + 1u; tap < end; tap++) {
            sum = vaddq_s16(sum, ecg_products8(w + tap * n, x + tap * op->step, n));
        }
        sums.even = vaddq_s32(sums.even, vmovlbq_s16(sum));
        sums.odd = vaddq_s32(sums.odd, vmovltq_s16(sum));
    }
    *weights = units;
    return sums;
}

// The same in a loop, for any number of taps.
ECG_INLINE ecg_sums8_t ecg_sums8_compact(const ecg_depthwise8_t *op, const int8_t **weights, const int8_t *x, size_t n)
{
    const int8_t *w = *weights, *const units = w + (n * op->taps + 3u) / 4u * 4u;
    ecg_sums8_t sums = {ecg_biases(units), ecg_biases(units + ECG_UNIT_BYTES)};
    for (size_t tap = 0; tap < op->taps; tap++) {
        const int16x8_t products = ecg_products8(w, x, n);
        w += n;
        x += op->step;
        sums.even = vaddq_s32(sums.even, vmovlbq_s16(products));
        sums.odd = vaddq_s32(sums.odd, vmovltq_s16(products));
    }
    *weights = units;
    return sums;
}

// Up to eight channels; returns what follows their numbers.
ECG_INLINE const int8_t *ecg_finish8(const ecg_finish_t *op, ecg_sums8_t sums, const int8_t *w, int8_t *out, size_t n,
                                      int how)
{
    sums.even = ecg_requantize4(sums.even, w, how);
    sums.odd = ecg_requantize4(sums.odd, w + ECG_UNIT_BYTES, how);
    ecg_put8(op, sums.even, sums.odd, out, n);
    return w + 2 * ECG_UNIT_BYTES;
}

// columns: the reach, first tap first; out: (out).
ECG_INLINE void ecg_depthwise8_s8(const ecg_depthwise8_t *op, const int8_t *columns, void *result, bool wide, int how)
{
    const int8_t *w = (const int8_t *)op->packed;
    int8_t *out = result;
    (void)wide;
    for (size_t blocks = op->out / 8u; blocks != 0u; blocks--) {
        const ecg_sums8_t sums = ecg_sums8(op, &w, columns, 8u);
        w = ecg_finish8(&op->finish, sums, w, out, 8u, how);
        columns += 8;
        out += 8;
    }
    if (op->out % 8u != 0u) {
        const size_t n = op->out % 8u;
        const ecg_sums8_t sums = ecg_sums8(op, &w, columns, n);
        (void)ecg_finish8(&op->finish, sums, w, out, n, how);
    }
}

// The same, small: one copy for all layers.
ECG_INLINE void ecg_depthwise8_compact_s8(const ecg_depthwise8_t *op, const int8_t *columns, void *result, bool wide, int how)
{
    const int8_t *w = (const int8_t *)op->packed;
    int8_t *out = result;
    (void)wide;
    for (size_t left = op->out; left != 0u;) {
        const size_t n = left < 8u ? left : 8u;
        const ecg_sums8_t sums = ecg_sums8_compact(op, &w, columns, n);
        w = ecg_finish8(&op->finish, sums, w, out, n, how);
        columns += n;
        out += n;
        left -= n;
    }
}

#endif
