// What a test needs to reach: the inline arithmetic of ecg_quant.h, over arrays, and the kernels with their parameters.
#include "ecg_ops.h"
#include "ecg_quant.h"

void shim_requantize(const int32_t *values, const int32_t *multipliers, const int32_t *shifts, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = ecg_requantize(values[i], multipliers[i], shifts[i]);
    }
}

void shim_softmax(int32_t multiplier, int8_t shift, int16_t diff_min, uint16_t count, const int8_t *in, size_t rows,
                  int8_t *out)
{
    const ecg_softmax_t op = {.count = count, .multiplier = multiplier, .shift = shift, .diff_min = diff_min};
    for (size_t row = 0; row < rows; row++) {
        ecg_softmax_s8(&op, in + row * count, out + row * count);
    }
}

void shim_average(uint16_t pool, uint16_t channels, int8_t min, int8_t max, const int8_t *columns, int8_t *out)
{
    const ecg_pool_t op = {.channels = channels, .span = pool, .min = min, .max = max};
    ecg_average_pool_s8(&op, columns, out);
}

// Writes `count` one-channel columns 0, 1, 2, ... to a line with room for `bytes` of them. Each time it is due its `span` columns
// go to windows; returns how often it was.
size_t shim_line(uint16_t span, uint16_t stride, size_t bytes, size_t count, int8_t *columns, int8_t *windows)
{
    const ecg_reach_t reach = {.column = 1, .span = span, .stride = stride, .bytes = bytes};
    size_t times = 0;
    ecg_line_t line;
    ecg_line_reset(&line, columns, &reach, 0);
    for (size_t i = 0; i < count; i++) {
        *line.next = (int8_t)i;
        if (ecg_line_due(&line, &reach)) {
            memcpy(windows + times++ * span, ecg_line_window(&line, &reach), span);
            ecg_line_drop(&line, columns, &reach);
        }
    }
    return times;
}
