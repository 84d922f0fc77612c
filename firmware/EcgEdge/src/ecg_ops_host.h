// Convolutions for 64-bit hosts: int16 columns, sixteen outputs side by side, so that sums never go across a vector.
//
// With AVX2 and beyond a pair of values times a pair of weights is one lane of PMADDWD; elsewhere there are loops over
// outputs, which compilers vectorise. The same numbers serve all. Requantization is fused as in ecg_ops_dsp.h.
#ifndef ECG_OPS_HOST_H
#define ECG_OPS_HOST_H

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "ecg_ops.h"
#include "ecg_quant.h"

typedef int16_t ecg_wide_t;

#if defined(__clang__)
#define ECG_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define ECG_UNROLL _Pragma("GCC unroll 8")
#else
#define ECG_UNROLL
#endif
#if defined(__GNUC__)
#define ECG_CACHE_LINE __attribute__((aligned(64)))    // of tables: a vector then never lies in two lines
#else
#define ECG_CACHE_LINE
#endif
#define ECG_BLOCK 16u     // outputs
#define ECG_CHAINS 4u     // sums of each output that grow side by side: one alone would wait for itself

// How sums become outputs; all arrays are as long as whole blocks.
typedef struct {
    const int32_t *bias;          // the input's zero point folded in; fused: times 2**s
    const int32_t *multipliers;
    const int32_t *addends;       // fused; else the shifts
    const int32_t *corrections;   // fused: what is taken away where a sum is negative; NULL: nothing
    uint16_t out;
    bool fused;
    uint8_t shift;                // fused
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_scale_t;

// One column of a convolution.
typedef struct {
    const int16_t *weights;       // (out / 16, depth / 2, 16, 2); fused: times 2**s
    uint16_t depth;               // even
    ecg_scale_t scale;
} ecg_matrix_t;

// Output channel c sees input channel c alone.
typedef struct {
    const int16_t *weights;       // (taps / 2, out in sixteens, 2), a last tap of 0 where their number is odd; as above
    uint16_t taps;
    uint16_t step;                // values from one tap to the next
    ecg_scale_t scale;
} ecg_lanes_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = in[i];
    }
}

ECG_INLINE void ecg_store(void *out, size_t at, int32_t value, bool wide)
{
    if (wide) {
        ((int16_t *)out)[at] = (int16_t)value;
    } else {
        ((int8_t *)out)[at] = (int8_t)value;
    }
}

// One sum, to the output `at`.
ECG_INLINE void ecg_finish(const ecg_scale_t *op, size_t at, int32_t sum, void *out, bool wide)
{
    int32_t value;
    if (op->fused) {
        const int32_t correction = op->corrections == NULL || sum >= 0 ? 0 : op->corrections[at];
        const int32_t high = (int32_t)(((int64_t)sum * op->multipliers[at]) >> 32);
        value = (high + op->addends[at] - correction) >> op->shift;
    } else {
        value = op->zero + ecg_requantize(sum, op->multipliers[at], op->addends[at]);
    }
    ecg_store(out, at, ecg_clamp(value, op->min, op->max), wide);
}

// A vector of sums, and what is done with it.
#if defined(__AVX512BW__)
#define ECG_LANES 16u
typedef __m512i ecg_vector_t;
#define ECG_LOAD(p) _mm512_loadu_si512(p)
#define ECG_STORE(p, v) _mm512_storeu_si512(p, v)
#define ECG_SPREAD(x) _mm512_set1_epi32(x)
#if defined(__AVX512VNNI__)
#define ECG_PAIRS(sum, x, w) _mm512_dpwssd_epi32(sum, x, w)
#if defined(__GNUC__)
// The pair at p spread by the product itself, which GCC 12 has no pattern for.
typedef int32_t __attribute__((may_alias, aligned(2))) ecg_pair_t;
#define ECG_PAIRS_OF(sum, w, p) \
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const ecg_pair_t *)(const void *)(p)))
#endif
#else
#define ECG_PAIRS(sum, x, w) _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
#endif
#define ECG_WIDEN_BYTES(v) _mm512_cvtepi8_epi16(v)
#define ECG_ADD(a, b) _mm512_add_epi32(a, b)
#define ECG_SUBTRACT_IF_NEGATIVE(a, b, sign) _mm512_sub_epi32(a, _mm512_and_si512(b, _mm512_srai_epi32(sign, 31)))
#define ECG_MULTIPLY_EVEN(a, b) _mm512_mul_epi32(a, b)
#define ECG_UPPER(v) _mm512_srli_epi64(v, 32)
#define ECG_MIX(even, odd) _mm512_mask_blend_epi32(0xAAAA, even, odd)
#define ECG_SHIFT(v, by) _mm512_sra_epi32(v, _mm_cvtsi32_si128(by))
#define ECG_BOUND(v, low, high) _mm512_min_epi32(_mm512_max_epi32(v, low), high)
#define ECG_STORE_WIDE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), _mm512_cvtepi32_epi16(v))
#define ECG_STORE_BYTES(p, v) _mm_storeu_si128((__m128i *)(void *)(p), _mm512_cvtsepi32_epi8(v))
#define ECG_INTERLEAVE(a, b) \
    _mm256_set_m128i(_mm_unpackhi_epi8(ECG_BYTES(a), ECG_BYTES(b)), _mm_unpacklo_epi8(ECG_BYTES(a), ECG_BYTES(b)))
#define ECG_BYTES(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#elif defined(__AVX2__)
#define ECG_LANES 8u
typedef __m256i ecg_vector_t;
#define ECG_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ECG_STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ECG_SPREAD(x) _mm256_set1_epi32(x)
#define ECG_PAIRS(sum, x, w) _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
#define ECG_WIDEN_BYTES(v) _mm256_cvtepi8_epi16(v)
#define ECG_ADD(a, b) _mm256_add_epi32(a, b)
#define ECG_SUBTRACT_IF_NEGATIVE(a, b, sign) _mm256_sub_epi32(a, _mm256_and_si256(b, _mm256_srai_epi32(sign, 31)))
#define ECG_MULTIPLY_EVEN(a, b) _mm256_mul_epi32(a, b)
#define ECG_UPPER(v) _mm256_srli_epi64(v, 32)
#define ECG_MIX(even, odd) _mm256_blend_epi32(even, odd, 0xAA)
#define ECG_SHIFT(v, by) _mm256_sra_epi32(v, _mm_cvtsi32_si128(by))
#define ECG_BOUND(v, low, high) _mm256_min_epi32(_mm256_max_epi32(v, low), high)
#define ECG_HALVES(v) _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))
#define ECG_STORE_WIDE(p, v) _mm_storeu_si128((__m128i *)(void *)(p), ECG_HALVES(v))
#define ECG_STORE_BYTES(p, v) _mm_storel_epi64((__m128i *)(void *)(p), _mm_packs_epi16(ECG_HALVES(v), ECG_HALVES(v)))
#define ECG_INTERLEAVE(a, b) _mm_unpacklo_epi8(ECG_BYTES(a), ECG_BYTES(b))
#define ECG_BYTES(p) _mm_loadl_epi64((const __m128i *)(const void *)(p))
#endif

// Two values, wherever they lie.
ECG_INLINE int32_t ecg_pair(const int16_t *in)
{
    int32_t pair;
    memcpy(&pair, in, sizeof pair);
    return pair;
}

#if defined(ECG_LANES)
// The sums of as many outputs as a vector has lanes, from `at` on, to `count` of them.
ECG_INLINE void ecg_finish_vector(const ecg_scale_t *op, size_t at, size_t count, ecg_vector_t sum, void *out, bool wide)
{
    if (!op->fused) {
        int32_t sums[ECG_LANES];
        ECG_STORE(sums, sum);
        for (size_t i = 0; i < count; i++) {
            ecg_finish(op, at + i, sums[i], out, wide);
        }
        return;
    }
    const ecg_vector_t m = ECG_LOAD(op->multipliers + at);
    const ecg_vector_t even = ECG_MULTIPLY_EVEN(sum, m), odd = ECG_MULTIPLY_EVEN(ECG_UPPER(sum), ECG_UPPER(m));
    ecg_vector_t value = ECG_ADD(ECG_MIX(ECG_UPPER(even), odd), ECG_LOAD(op->addends + at));
    if (op->corrections != NULL) {
        value = ECG_SUBTRACT_IF_NEGATIVE(value, ECG_LOAD(op->corrections + at), sum);
    }
    value = ECG_SHIFT(value, op->shift);
    if (count < ECG_LANES || wide || op->min != INT8_MIN || op->max != INT8_MAX) {    // else the narrowing saturates
        value = ECG_BOUND(value, ECG_SPREAD(op->min), ECG_SPREAD(op->max));
    }
    if (count < ECG_LANES) {
        int32_t values[ECG_LANES];
        ECG_STORE(values, value);
        for (size_t i = 0; i < count; i++) {
            ecg_store(out, at + i, values[i], wide);
        }
    } else if (wide) {
        ECG_STORE_WIDE((int16_t *)out + at, value);
    } else {
        ECG_STORE_BYTES((int8_t *)out + at, value);
    }
}

// `vectors` of outputs from `at` on, of which `left` exist.
ECG_INLINE void ecg_matrix_block(const ecg_matrix_t *op, const int16_t *w, const int16_t *in, size_t at, size_t left,
                                 size_t vectors, void *out, bool wide)
{
    ecg_vector_t s[ECG_CHAINS][ECG_BLOCK / ECG_LANES];
    size_t i = 0;
    ECG_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        s[0][v] = ECG_LOAD(op->scale.bias + at + v * ECG_LANES);
        ECG_UNROLL
        for (size_t c = 1; c < ECG_CHAINS; c++) {
            s[c][v] = ECG_SPREAD(0);
        }
    }
    for (; i + 2u * ECG_CHAINS <= op->depth; i += 2u * ECG_CHAINS) {
        ECG_UNROLL
        for (size_t c = 0; c < ECG_CHAINS; c++) {
            const ecg_vector_t x = ECG_SPREAD(ecg_pair(in + i + 2u * c));
            ECG_UNROLL
            for (size_t v = 0; v < vectors; v++) {
                s[c][v] = ECG_PAIRS(s[c][v], x, ECG_LOAD(w + (i + 2u * c) * ECG_BLOCK + v * 2u * ECG_LANES));
            }
        }
    }
    for (size_t c = 0; i < op->depth; i += 2u, c++) {
        const ecg_vector_t x = ECG_SPREAD(ecg_pair(in + i));
        ECG_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            s[0][v] = ECG_PAIRS(s[0][v], x, ECG_LOAD(w + i * ECG_BLOCK + v * 2u * ECG_LANES));
        }
    }
    ECG_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const ecg_vector_t sum = ECG_ADD(ECG_ADD(s[0][v], s[1][v]), ECG_ADD(s[2][v], s[3][v]));
        const size_t rest = left - v * ECG_LANES;
        ecg_finish_vector(&op->scale, at + v * ECG_LANES, rest < ECG_LANES ? rest : ECG_LANES, sum, out, wide);
    }
}
#endif

// in: (depth); out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_matrix_s8(const ecg_matrix_t *op, const int16_t *in, void *out, bool wide)
{
    const int16_t *w = op->weights;
    for (size_t at = 0; at < op->scale.out; at += ECG_BLOCK, w += (size_t)op->depth * ECG_BLOCK) {
        const size_t left = op->scale.out - at;
#if defined(ECG_LANES)
        if (left >= ECG_BLOCK) {
            ecg_matrix_block(op, w, in, at, ECG_BLOCK, ECG_BLOCK / ECG_LANES, out, wide);
        } else if (left > ECG_LANES) {
            ecg_matrix_block(op, w, in, at, left, ECG_BLOCK / ECG_LANES, out, wide);
        } else {
            ecg_matrix_block(op, w, in, at, left, 1u, out, wide);
        }
#else
        int32_t sums[ECG_BLOCK];
        memcpy(sums, op->scale.bias + at, sizeof sums);
        for (size_t i = 0; i < op->depth; i += 2u) {
            for (size_t o = 0; o < ECG_BLOCK; o++) {
                const int16_t *const pair = w + i * ECG_BLOCK + 2u * o;
                sums[o] += (int32_t)pair[0] * in[i] + (int32_t)pair[1] * in[i + 1u];
            }
        }
        for (size_t o = 0; o < ECG_BLOCK && o < left; o++) {
            ecg_finish(&op->scale, at + o, sums[o], out, wide);
        }
#endif
    }
}

#if defined(ECG_LANES)
#if !defined(ECG_PAIRS_OF)
#define ECG_PAIRS_OF(sum, w, p) (sum) = ECG_PAIRS(sum, w, ECG_SPREAD(ecg_pair(p)))
#endif

#if defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__) && defined(__GNUC__)
#define ECG_HAS_HALVES 1
// The same of the last eight outputs, fused: half a vector each, and two columns share one when they are finished.
ECG_INLINE void ecg_matrix_half(const ecg_matrix_t *op, const int16_t *in, size_t step, size_t at, char *out, bool wide)
{
    const ecg_scale_t *const scale = &op->scale;
    const size_t bytes = scale->out * (wide ? sizeof(int16_t) : sizeof(int8_t));
    const int16_t *w = op->weights + at / ECG_BLOCK * op->depth * ECG_BLOCK + at % ECG_BLOCK * 2u;
    const __m512i m = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)(scale->multipliers + at)));
    const __m512i add = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)(scale->addends + at)));
    __m256i s[8];
    ECG_UNROLL
    for (size_t t = 0; t < 8u; t++) {
        s[t] = _mm256_loadu_si256((const __m256i *)(const void *)(scale->bias + at));
    }
    for (size_t i = 0; i < op->depth; i += 2u, w += 2u * ECG_BLOCK) {
        const __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)w);
        ECG_UNROLL
        for (size_t t = 0; t < 8u; t++) {
            __asm__("vpdpwssd %2%{1to8%}, %1, %0"
                    : "+v"(s[t]) : "v"(pairs), "m"(*(const ecg_pair_t *)(const void *)(in + t * step + i)));
        }
    }
    ECG_UNROLL
    for (size_t t = 0; t < 8u; t += 2u, out += 2u * bytes) {
        const __m512i sum = _mm512_inserti64x4(_mm512_castsi256_si512(s[t]), s[t + 1u], 1);
        const __m512i even = _mm512_mul_epi32(sum, m), odd = _mm512_mul_epi32(ECG_UPPER(sum), ECG_UPPER(m));
        __m512i value = _mm512_add_epi32(ECG_MIX(ECG_UPPER(even), odd), add);
        if (scale->corrections != NULL) {
            const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(scale->corrections + at));
            value = ECG_SUBTRACT_IF_NEGATIVE(value, _mm512_broadcast_i64x4(half), sum);
        }
        value = ECG_BOUND(ECG_SHIFT(value, scale->shift), ECG_SPREAD(scale->min), ECG_SPREAD(scale->max));
        if (wide) {
            const __m256i narrow = _mm512_cvtepi32_epi16(value);
            _mm_storeu_si128((__m128i *)(void *)(out + 2u * at), _mm256_castsi256_si128(narrow));
            _mm_storeu_si128((__m128i *)(void *)(out + 2u * at + bytes), _mm256_extracti128_si256(narrow, 1));
        } else {
            const __m128i narrow = _mm512_cvtepi32_epi8(value);
            _mm_storel_epi64((__m128i *)(void *)(out + at), narrow);
            _mm_storel_epi64((__m128i *)(void *)(out + at + bytes), _mm_unpackhi_epi64(narrow, narrow));
        }
    }
}
#endif

// Eight columns, `step` values apart: each weight that is loaded serves them all.
ECG_INLINE void ecg_matrix_together(const ecg_matrix_t *op, const int16_t *in, size_t step, void *out, bool wide)
{
    const size_t bytes = op->scale.out * (wide ? sizeof(int16_t) : sizeof(int8_t));
    for (size_t at = 0; at < op->scale.out; at += ECG_LANES) {
        const size_t left = op->scale.out - at, count = left < ECG_LANES ? left : ECG_LANES;
#if defined(ECG_HAS_HALVES)
        if (left == 8u && op->scale.fused) {
            ecg_matrix_half(op, in, step, at, (char *)out, wide);
            return;
        }
#endif
        const int16_t *w = op->weights + at / ECG_BLOCK * op->depth * ECG_BLOCK + at % ECG_BLOCK * 2u;
        ecg_vector_t s[8];
        ECG_UNROLL
        for (size_t t = 0; t < 8u; t++) {
            s[t] = ECG_LOAD(op->scale.bias + at);
        }
        for (size_t i = 0; i < op->depth; i += 2u, w += 2u * ECG_BLOCK) {
            const ecg_vector_t pairs = ECG_LOAD(w);
            ECG_UNROLL
            for (size_t t = 0; t < 8u; t++) {
                ECG_PAIRS_OF(s[t], pairs, in + t * step + i);
            }
        }
        ECG_UNROLL
        for (size_t t = 0; t < 8u; t++) {
            ecg_finish_vector(&op->scale, at, count, s[t], (char *)out + t * bytes, wide);
        }
    }
}
#endif

// A whole window of a convolution, layer by layer as a host has the memory for. in: columns `step` values apart; out: (columns,
// out).
ECG_INLINE void ecg_matrix_columns(const ecg_matrix_t *op, const int16_t *in, size_t step, void *out, size_t columns, bool wide)
{
    const size_t bytes = op->scale.out * (wide ? sizeof(int16_t) : sizeof(int8_t));
#if defined(ECG_LANES)
    if (columns >= 8u) {
        for (size_t t = 0; t < columns; t += 8u) {    // the last eight may repeat some: cheaper than one at a time
            const size_t first = columns - t < 8u ? columns - 8u : t;
            ecg_matrix_together(op, in + first * step, step, (char *)out + first * bytes, wide);
        }
        return;
    }
#endif
    for (; columns != 0u; columns--, in += step, out = (char *)out + bytes) {
        ecg_matrix_s8(op, in, out, wide);
    }
}

#if defined(ECG_LANES)
#define ECG_LANE_STEP ECG_LANES
#else
#define ECG_LANE_STEP ECG_BLOCK
#endif

// As many outputs as there are lanes, from `at` on, of which `count` exist.
ECG_INLINE void ecg_lanes_block(const ecg_lanes_t *op, const int8_t *columns, size_t at, size_t count, void *out, bool wide)
{
    const size_t row = (op->scale.out + ECG_BLOCK - 1u) / ECG_BLOCK * ECG_BLOCK;
#if defined(ECG_LANES)
    ecg_vector_t sum = ECG_LOAD(op->scale.bias + at);
#else
    int32_t sums[ECG_BLOCK];
    memcpy(sums, op->scale.bias + at, sizeof sums);
#endif
    for (size_t tap = 0; tap < op->taps; tap += 2u) {
        const int8_t *a = columns + tap * op->step + at, *b = tap + 1u < op->taps ? a + op->step : a;
        const int16_t *const w = op->weights + tap * row + 2u * at;
        int8_t few[2][ECG_BLOCK] = {{0}};
        if (count < ECG_LANE_STEP) {    // the column ends before the lanes do
            memcpy(few[0], a, count);
            memcpy(few[1], b, count);
            a = few[0];
            b = few[1];
        }
#if defined(ECG_LANES)
        sum = ECG_PAIRS(sum, ECG_WIDEN_BYTES(ECG_INTERLEAVE(a, b)), ECG_LOAD(w));
#else
        for (size_t o = 0; o < ECG_BLOCK; o++) {
            sums[o] += (int32_t)w[2u * o] * a[o] + (int32_t)w[2u * o + 1u] * b[o];
        }
#endif
    }
#if defined(ECG_LANES)
    ecg_finish_vector(&op->scale, at, count, sum, out, wide);
#else
    for (size_t o = 0; o < count; o++) {
        ecg_finish(&op->scale, at + o, sums[o], out, wide);
    }
#endif
}

// columns: the reach, first tap first; out: (out) of int16_t if wide, else int8_t.
ECG_INLINE void ecg_lanes_s8(const ecg_lanes_t *op, const int8_t *columns, void *out, bool wide)
{
    size_t at = 0;
    for (; at + ECG_LANE_STEP <= op->scale.out; at += ECG_LANE_STEP) {
        ecg_lanes_block(op, columns, at, ECG_LANE_STEP, out, wide);
    }
    if (at < op->scale.out) {
        ecg_lanes_block(op, columns, at, op->scale.out - at, out, wide);
    }
}

// A whole window of a depthwise convolution. in: columns `step` values apart; out: (columns, out).
ECG_INLINE void ecg_lanes_columns(const ecg_lanes_t *op, const int8_t *in, size_t step, void *out, size_t columns, bool wide)
{
    const size_t bytes = op->scale.out * (wide ? sizeof(int16_t) : sizeof(int8_t));
    for (; columns != 0u; columns--, in += step, out = (char *)out + bytes) {
        ecg_lanes_s8(op, in, out, wide);
    }
}

#endif
