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
    const ecg_pool_t op = {.steps = {.span = pool, .stride = 1}, .channels = channels, .min = min, .max = max};
    ecg_average_pool_s8(&op, columns, out);
}

// Pushes `count` one-channel columns 0, 1, 2, ... and writes, per push, the slot's index, or -1 where none is wanted.
void shim_slots(uint16_t span, uint16_t stride, size_t count, int16_t *slots, int8_t *columns)
{
    const ecg_steps_t steps = {.span = span, .stride = stride};
    ecg_line_t line;
    ecg_line_reset(&line, columns, 1, 0, 0);
    for (size_t i = 0; i < count; i++) {
        int8_t *slot = ecg_line_slot(&line);
        slots[i] = (int16_t)(slot == NULL ? -1 : slot - columns);
        const int8_t value = (int8_t)i;
        ecg_line_put(&line, &value);
        if (ecg_line_advance(&line, span)) {
            ecg_line_drop(&line, steps);
        }
    }
}
