// Column steps: lines, sums, softmax. The arithmetic that is worth a core's own code is in ecg_ops_<core>.c.
#include "ecg_ops.h"

#include <string.h>

#include "ecg_quant.h"

void ecg_line_reset(ecg_line_t *line, int8_t *columns, uint16_t channels, uint16_t pad, int8_t zero)
{
    line->columns = columns;
    line->channels = channels;
    line->fill = (int16_t)pad;
    memset(columns, zero, (size_t)pad * channels);
}

void ecg_line_put(ecg_line_t *line, const int8_t *in)
{
    int8_t *slot = ecg_line_slot(line);
    if (slot != NULL) {
        memcpy(slot, in, line->channels);
    }
}

void ecg_line_pad(ecg_line_t *line, int8_t zero)
{
    int8_t *slot = ecg_line_slot(line);
    if (slot != NULL) {
        memset(slot, zero, line->channels);
    }
}

bool ecg_line_advance(ecg_line_t *line, uint16_t span)
{
    line->fill++;
    return line->fill == (int16_t)span;
}

void ecg_line_drop(ecg_line_t *line, ecg_steps_t steps)
{
    line->fill = (int16_t)(steps.span - steps.stride);
    if (line->fill > 0) {
        memmove(line->columns, line->columns + (size_t)steps.stride * line->channels,
                (size_t)line->fill * line->channels);
    }
}

bool ecg_conv_push_s8(const ecg_conv_t *op, ecg_line_t *line, int8_t *out)
{
    if (!ecg_line_advance(line, op->steps.span)) {
        return false;
    }
    if (out != NULL) {
        ecg_matrix_s8(&op->matrix, line->columns, out);
    }
    ecg_line_drop(line, op->steps);
    return true;
}

bool ecg_depthwise_push_s8(const ecg_depthwise_t *op, ecg_line_t *line, int8_t *out)
{
    if (!ecg_line_advance(line, op->steps.span)) {
        return false;
    }
    if (out != NULL) {
        ecg_depthwise_s8(op, line->columns, out);
    }
    ecg_line_drop(line, op->steps);
    return true;
}

bool ecg_max_pool_push_s8(const ecg_pool_t *op, ecg_line_t *line, int8_t *out)
{
    if (!ecg_line_advance(line, op->steps.span)) {
        return false;
    }
    if (out != NULL) {
        ecg_max_pool_s8(op, line->columns, out);
    }
    ecg_line_drop(line, op->steps);
    return true;
}

bool ecg_average_pool_push_s8(const ecg_pool_t *op, ecg_line_t *line, int8_t *out)
{
    if (!ecg_line_advance(line, op->steps.span)) {
        return false;
    }
    if (out != NULL) {
        ecg_average_pool_s8(op, line->columns, out);
    }
    ecg_line_drop(line, op->steps);
    return true;
}

void ecg_mean_reset(const ecg_mean_t *op, ecg_sums_t *state, int32_t *sums)
{
    state->sums = sums;
    state->block = 0u;
    state->count = 0u;
    memset(sums, 0, (size_t)op->blocks * op->channels * sizeof *sums);
}

void ecg_mean_push_s8(const ecg_mean_t *op, ecg_sums_t *state, const int8_t *column)
{
    if (state->count == op->block_columns) {   // the oldest block has left every window to come: it becomes the newest
        state->block = (uint16_t)(state->block + 1u == op->blocks ? 0u : state->block + 1u);
        state->count = 0u;
        memset(state->sums + (size_t)state->block * op->channels, 0, op->channels * sizeof *state->sums);
    }
    int32_t *sums = state->sums + (size_t)state->block * op->channels;
    for (size_t c = 0; c < op->channels; c++) {
        sums[c] += column[c];
    }
    state->count++;
}

void ecg_mean_s8(const ecg_mean_t *op, const ecg_sums_t *state, int8_t *out)
{
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = op->offset;
        for (size_t block = 0; block < op->blocks; block++) {
            sum += state->sums[block * op->channels + c];
        }
        const int32_t mean = op->zero + ecg_requantize(sum, op->multiplier, op->shift);
        out[c] = (int8_t)ecg_clamp(mean, INT8_MIN, INT8_MAX);
    }
}

void ecg_dense_s8(const ecg_matrix_t *op, const int8_t *in, int8_t *out)
{
    ecg_matrix_s8(op, in, out);
}

void ecg_lookup_s8(const int8_t table[256], int8_t *values, size_t count)
{
    if (values == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = table[values[i] + 128];
    }
}

// exp(x) for -1/4 <= x < 0, both Q0.31: Taylor's series about -1/8, to the fourth order.
static int32_t exp_near_zero(int32_t x_q31)
{
    const int32_t exp_minus_eighth = 1895147668;
    const int32_t third = 715827883;
    const int32_t x = x_q31 + (INT32_C(1) << 28);
    const int32_t x2 = ecg_multiply_high(x, x);
    const int32_t x3 = ecg_multiply_high(x2, x);
    const int32_t x4_4 = ecg_shift_right_round(ecg_multiply_high(x2, x2), 2);
    const int32_t rest = ecg_shift_right_round(ecg_multiply_high(x4_4 + x3, third) + x2, 1);
    return exp_minus_eighth + ecg_multiply_high(exp_minus_eighth, x + rest);
}

// exp(x) for x <= 0 in Q5.26, as Q0.31: the remainder modulo 1/4 by the series, the rest bit by bit.
static int32_t exp_negative(int32_t x_q26)
{
    static const int32_t exp_minus_power[7] = {   // exp(-2**(i - 2))
        1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242,
    };
    if (x_q26 == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = INT32_C(1) << 24;
    const int32_t near = (x_q26 & (quarter - 1)) - quarter;
    const int32_t far = near - x_q26;
    int32_t result = exp_near_zero(ecg_shift_left(near, 5));
    for (int i = 0; i < 7; i++) {
        if ((far >> (24 + i)) & 1) {
            result = ecg_multiply_high(result, exp_minus_power[i]);
        }
    }
    return result;
}

// 1 / (1 + x) for 0 <= x < 1, both Q0.31: three steps of Newton's method on the halved denominator, in Q2.29.
static int32_t reciprocal_of_one_plus(int32_t x_q31)
{
    const int32_t one = INT32_C(1) << 29;
    const int32_t half_denominator = (int32_t)(((int64_t)x_q31 + INT32_MAX + 1) / 2);
    int32_t x = 1515870810 + ecg_multiply_high(half_denominator, -1010580540);   // 48/17 - 32/17 d
    for (int i = 0; i < 3; i++) {
        const int32_t error = one - ecg_multiply_high(half_denominator, x);
        x += ecg_shift_left(ecg_multiply_high(x, error), 2);
    }
    return x >= INT32_C(1) << 30 ? INT32_MAX : ecg_shift_left(x, 1);
}

static int leading_zeros(uint32_t value)
{
    int zeros = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0u && (value & bit) == 0u; bit >>= 1) {
        zeros++;
    }
    return zeros;
}

static int32_t softmax_exp(const ecg_softmax_t *op, int32_t difference)
{
    return exp_negative(ecg_multiply_high(ecg_shift_left(difference, op->shift), op->multiplier));
}

void ecg_softmax_s8(const ecg_softmax_t *op, const int8_t *in, int8_t *out)
{
    int32_t largest = INT8_MIN;
    for (size_t i = 0; i < op->count; i++) {
        largest = in[i] > largest ? in[i] : largest;
    }
    int32_t sum = 0;   // Q12.19
    for (size_t i = 0; i < op->count; i++) {
        if (in[i] - largest >= op->diff_min) {
            sum += ecg_shift_right_round(softmax_exp(op, in[i] - largest), 12);
        }
    }
    const int zeros = leading_zeros((uint32_t)sum);   // sum >= 1: the largest input counts exp(0)
    const int32_t scale = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << zeros) - (UINT32_C(1) << 31)));
    for (size_t i = 0; i < op->count; i++) {
        int32_t score = INT8_MIN;
        if (in[i] - largest >= op->diff_min) {
            score += ecg_shift_right_round(ecg_multiply_high(scale, softmax_exp(op, in[i] - largest)), 35 - zeros);
        }
        out[i] = (int8_t)ecg_clamp(score, INT8_MIN, INT8_MAX);
    }
}
