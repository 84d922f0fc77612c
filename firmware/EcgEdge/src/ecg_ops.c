// Layers that every core runs alike: pools, elementwise ops, sums, dense, softmax. Convolutions: ecg_ops_<kernels>.h.
#include "ecg_ops.h"

#include "ecg_quant.h"

void ecg_depthwise_s8(const ECG_FLASH ecg_depthwise_t *op, const int8_t *columns, int8_t *out)
{
    for (size_t o = 0, phase = 0; o < op->out; o++) {
        int32_t sum = op->bias[o];
        const ECG_FLASH int8_t *w = op->weights + o;
        const int8_t *x = columns;
        for (size_t tap = 0; tap < op->taps; tap++, w += op->out, x += op->step) {
            sum += *w * *x;
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[o], op->shifts[o]);
        out[o] = (int8_t)ecg_clamp(value, op->min, op->max);
        if (++phase == op->multiplier) {
            phase = 0u;
            columns++;
        }
    }
}

void ecg_max_pool_s8(const ECG_FLASH ecg_pool_t *op, const int8_t *columns, int8_t *out)
{
    for (size_t c = 0; c < op->channels; c++) {
        int8_t largest = columns[c];
        for (size_t t = 1; t < op->span; t++) {
            const int8_t value = columns[t * op->channels + c];
            largest = value > largest ? value : largest;
        }
        out[c] = (int8_t)ecg_clamp(largest, op->min, op->max);
    }
}

// Mean of the columns from first to before end. C division truncates: half rounds away from zero.
static void average(const ECG_FLASH ecg_pool_t *op, const int8_t *columns, int32_t first, int32_t end, int8_t *out)
{
    const int32_t count = end - first;
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (int32_t t = first; t < end; t++) {
            sum += columns[(size_t)t * op->channels + c];
        }
        sum += sum > 0 ? count / 2 : -(count / 2);
        out[c] = (int8_t)ecg_clamp(sum / count, op->min, op->max);
    }
}

void ecg_average_pool_s8(const ECG_FLASH ecg_pool_t *op, const int8_t *columns, int8_t *out)
{
    average(op, columns, 0, op->span, out);
}

void ecg_edge_pool_s8(const ECG_FLASH ecg_edge_pool_t *op, uint16_t given, const int8_t *columns, int8_t *out)
{
    const int32_t begin = (int32_t)given * op->stride - op->pad;    // of the reach, in the window
    const int32_t missing = op->length - begin;
    average(&op->pool, columns, begin < 0 ? -begin : 0, missing < op->pool.span ? missing : op->pool.span, out);
}

void ecg_add_s8(const ECG_FLASH ecg_add_t *op, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (size_t i = 0; i < op->count; i++) {
        const int32_t left = ecg_shift_left(a[i] - op->zero, op->left_shift);
        const int32_t right = ecg_shift_left(b[i] - op->other_zero, op->left_shift);
        const int32_t scaled = ecg_requantize(right, op->other_multiplier, op->other_shift);
        const int32_t sum = ecg_requantize(left, op->multiplier, op->shift) + (op->sign < 0 ? -scaled : scaled);
        const int32_t value = op->out_zero + ecg_requantize(sum, op->out_multiplier, op->out_shift);
        out[i] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

void ecg_mul_s8(const ECG_FLASH ecg_mul_t *op, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (size_t i = 0; i < op->count; i++) {
        const int32_t product = ((int32_t)a[i] - op->zero) * ((int32_t)b[i] - op->other_zero);
        const int32_t value = op->out_zero + ecg_requantize(product, op->multiplier, op->shift);
        out[i] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

void ecg_lookup_s8(const ECG_FLASH int8_t *table, const int8_t *in, int8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = table[in[i] + 128];
    }
}

// Where the sums of the block begin that a column belongs to: the next block when this one is full. The oldest has then left
// every window to come, and becomes the newest.
static size_t block_of(const ECG_FLASH ecg_mean_t *op, ecg_sums_t *state, void *sums, size_t bytes)
{
    if (state->count == op->block_columns) {
        state->block = (uint16_t)(state->block + 1u == op->blocks ? 0u : state->block + 1u);
        state->count = 0u;
        memset((int8_t *)sums + (size_t)state->block * op->channels * bytes, 0, op->channels * bytes);
    }
    state->count++;
    return (size_t)state->block * op->channels;
}

void ecg_mean_push_s8(const ECG_FLASH ecg_mean_t *op, ecg_sums_t *state, int16_t *sums, const int8_t *column)
{
    sums += block_of(op, state, sums, sizeof *sums);
    size_t c = op->channels;
    for (; c >= 4u; c -= 4u, sums += 4, column += 4) {
        sums[0] = (int16_t)(sums[0] + column[0]);
        sums[1] = (int16_t)(sums[1] + column[1]);
        sums[2] = (int16_t)(sums[2] + column[2]);
        sums[3] = (int16_t)(sums[3] + column[3]);
    }
    for (; c != 0u; c--, sums++, column++) {
        *sums = (int16_t)(*sums + *column);
    }
}

void ecg_mean_push_wide_s8(const ECG_FLASH ecg_mean_t *op, ecg_sums_t *state, int32_t *sums, const int8_t *column)
{
    sums += block_of(op, state, sums, sizeof *sums);
    for (size_t c = op->channels; c != 0u; c--, sums++) {
        *sums += *column++;
    }
}

static int8_t mean_of(const ECG_FLASH ecg_mean_t *op, int32_t sum)
{
    const int32_t mean = op->zero + ecg_requantize(op->offset + sum, op->multiplier, op->shift);
    return (int8_t)ecg_clamp(mean, INT8_MIN, INT8_MAX);
}

void ecg_mean_s8(const ECG_FLASH ecg_mean_t *op, const int16_t *sums, int8_t *out)
{
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (size_t block = 0; block < op->blocks; block++) {
            sum += sums[block * op->channels + c];
        }
        out[c] = mean_of(op, sum);
    }
}

void ecg_mean_wide_s8(const ECG_FLASH ecg_mean_t *op, const int32_t *sums, int8_t *out)
{
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (size_t block = 0; block < op->blocks; block++) {
            sum += sums[block * op->channels + c];
        }
        out[c] = mean_of(op, sum);
    }
}

void ecg_mean_columns_s8(const ECG_FLASH ecg_mean_t *op, const int8_t *columns, size_t length, int8_t *out)
{
    enum { TOGETHER = 8 };    // channels whose sums grow at once: memory is read in its order
    for (size_t c = 0; c < op->channels; c += TOGETHER) {
        const size_t left = op->channels - c, count = left < TOGETHER ? left : TOGETHER;
        int32_t sums[TOGETHER] = {0};
        const int8_t *at = columns + c;
        for (size_t t = 0; t < length; t++, at += op->channels) {
            if (count == TOGETHER) {
                for (size_t i = 0; i < TOGETHER; i++) {
                    sums[i] += at[i];
                }
            } else {
                for (size_t i = 0; i < count; i++) {
                    sums[i] += at[i];
                }
            }
        }
        for (size_t i = 0; i < count; i++) {
            out[c + i] = mean_of(op, sums[i]);
        }
    }
}

void ecg_dense_s8(const ECG_FLASH ecg_dense_t *op, const int8_t *in, int8_t *out)
{
    const ECG_FLASH int8_t *weights = op->weights;
    for (size_t o = 0; o < op->out; o++) {
        const size_t scale = op->one_scale ? 0u : o;
        int32_t sum = op->bias[o];
        for (size_t i = 0; i < op->in; i++) {
            sum += *weights++ * in[i];
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[scale], op->shifts[scale]);
        out[o] = (int8_t)ecg_clamp(value, op->min, op->max);
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
    static const ECG_FLASH int32_t exp_minus_power[7] = {   // exp(-2**(i - 2))
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

static int32_t softmax_exp(const ECG_FLASH ecg_softmax_t *op, int32_t difference)
{
    return exp_negative(ecg_multiply_high(ecg_shift_left(difference, op->shift), op->multiplier));
}

void ecg_softmax_s8(const ECG_FLASH ecg_softmax_t *op, const int8_t *in, int8_t *out)
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
