// Convolutions in plain C99, for any core: int8 weights, int8 columns.
//
// Four outputs go together, so that a value of the input is loaded once for four products.
#ifndef ECG_OPS_PORTABLE_H
#define ECG_OPS_PORTABLE_H

#include "ecg_ops.h"
#include "ecg_quant.h"

#if defined(__AVR__) && defined(__GNUC__)
#pragma GCC optimize ("O2")    // Arduino compiles for size, which takes an AVR twice the time
#endif

typedef int8_t ecg_wide_t;

// out = clamp(zero + requantize(bias + weights . in)): one column of a convolution.
typedef struct {
    const ECG_FLASH int8_t *weights;          // out / 4 blocks of (depth, 4), then out % 4 rows of (depth)
    const ECG_FLASH int32_t *bias;            // (out), the input's zero point folded in
    const ECG_FLASH int32_t *multipliers;     // (out)
    const ECG_FLASH int8_t *shifts;           // (out)
    uint16_t out;
    uint16_t depth;                           // taps * channels
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_matrix_t;

ECG_INLINE void ecg_put_wide(ecg_wide_t *out, const int8_t *in, size_t n)
{
    memcpy(out, in, n);
}

// in: (depth); out: (out).
ECG_INLINE void ecg_matrix_s8(const ECG_FLASH ecg_matrix_t *op, const int8_t *in, void *result, bool wide)
{
    int8_t *out = result;
    (void)wide;    // int8_t either way
    const ECG_FLASH int8_t *w = op->weights;
    const size_t whole = op->out & ~(size_t)3;
    for (size_t o = 0; o < op->out; o++) {
        int32_t sums[4] = {op->bias[o], 0, 0, 0};
        size_t rows = 1u;
        if (o < whole) {
            rows = 4u;
            int32_t s0 = sums[0], s1 = op->bias[o + 1u], s2 = op->bias[o + 2u], s3 = op->bias[o + 3u];
            for (size_t i = 0; i < op->depth; i++, w += 4) {
                const int x = in[i];    // 16 bits hold the product: no core needs more
                s0 += w[0] * x;
                s1 += w[1] * x;
                s2 += w[2] * x;
                s3 += w[3] * x;
            }
            sums[0] = s0;
            sums[1] = s1;
            sums[2] = s2;
            sums[3] = s3;
        } else {
            for (size_t i = 0; i < op->depth; i++) {
                sums[0] += *w++ * in[i];
            }
        }
        for (size_t r = 0; r < rows; r++) {
            const int32_t value = op->zero + ecg_requantize(sums[r], op->multipliers[o + r], op->shifts[o + r]);
            out[o + r] = (int8_t)ecg_clamp(value, op->min, op->max);
        }
        o += rows - 1u;
    }
}

#endif
