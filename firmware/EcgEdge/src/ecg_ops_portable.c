// The arithmetic of the layers in plain C99, for any core.
#include "ecg_ops.h"

#include "ecg_quant.h"

static int32_t dot(const int8_t *a, const int8_t *b, size_t count)
{
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (int32_t)a[i] * b[i];
    }
    return sum;
}

void ecg_matrix_s8(const ecg_matrix_t *op, const int8_t *in, int8_t *out)
{
    const int8_t *weights = op->weights;
    for (size_t o = 0; o < op->out; o++) {
        int32_t sum = op->bias[o];
        for (size_t r = 0; r < op->runs; r++) {
            sum += dot(weights, in + r * op->step, op->run);
            weights += op->run;
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[o], op->shifts[o]);
        out[o] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

void ecg_depthwise_s8(const ecg_depthwise_t *op, const int8_t *columns, int8_t *out)
{
    const size_t step = (size_t)op->dilation * op->channels;
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = op->bias[c];
        for (size_t tap = 0; tap < op->taps; tap++) {
            sum += (int32_t)op->weights[tap * op->channels + c] * columns[tap * step + c];
        }
        const int32_t value = op->zero + ecg_requantize(sum, op->multipliers[c], op->shifts[c]);
        out[c] = (int8_t)ecg_clamp(value, op->min, op->max);
    }
}

void ecg_max_pool_s8(const ecg_pool_t *op, const int8_t *columns, int8_t *out)
{
    for (size_t c = 0; c < op->channels; c++) {
        int8_t largest = columns[c];
        for (size_t t = 1; t < op->steps.span; t++) {
            const int8_t value = columns[t * op->channels + c];
            largest = value > largest ? value : largest;
        }
        out[c] = (int8_t)ecg_clamp(largest, op->min, op->max);
    }
}

void ecg_average_pool_s8(const ecg_pool_t *op, const int8_t *columns, int8_t *out)
{
    const int32_t count = op->steps.span;
    for (size_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (size_t t = 0; t < op->steps.span; t++) {
            sum += columns[t * op->channels + c];
        }
        sum += sum > 0 ? count / 2 : -(count / 2);   // C division truncates: half rounds away from zero
        out[c] = (int8_t)ecg_clamp(sum / count, op->min, op->max);
    }
}
