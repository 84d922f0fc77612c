#include "ecg_stream.h"

#include <string.h>

ecg_status_t ecg_stream_check(const ecg_model_t *model, const ecg_prepare_params_t *params, const ecg_memory_t *memory)
{
    if (model == NULL || model->run == NULL || (model->push != NULL && model->reset == NULL) || model->window == 0u
        || model->hop == 0u || model->leads == 0u || model->leads > ECG_STREAM_MAX_LEADS || model->classes == 0u
        || model->classes > ECG_STREAM_MAX_CLASSES) {
        return ECG_STATUS_BAD_MODEL;
    }
    const size_t window_bytes = model->push == NULL ? (size_t)model->window * model->leads : 0u;
    if (memory->lead_count < model->leads || memory->leads == NULL || memory->scratch_bytes < model->scratch_bytes
        || (model->scratch_bytes != 0u && memory->scratch == NULL) || memory->window_bytes < window_bytes
        || (window_bytes != 0u && memory->window == NULL)) {
        return ECG_STATUS_NO_MEMORY;
    }
    if (((uintptr_t)memory->scratch & 15u) != 0u) {
        return ECG_STATUS_BAD_ARGUMENT;
    }
    return ecg_prepare_check(params);
}

void ecg_stream_reset(ecg_stream_t *s, const ecg_model_t *model, const ecg_prepare_params_t *params,
                      const ecg_memory_t *memory, ecg_clock_t clock, uint32_t first_index, uint32_t skip)
{
    s->model = model;
    s->memory = memory;
    s->clock = clock;
    s->column_index = first_index;
    s->skip = skip;
    s->until = model->window;
    s->times_are_over = true;
    ecg_prepare_reset(&s->prepare, params, memory->leads, model->leads);
    if (model->reset != NULL) {
        model->reset(memory->scratch);
    }
}

// For an engine that cannot stream: keeps the window's columns, and runs over them when the last one came.
static ecg_status_t keep_and_run(ecg_stream_t *s, const int8_t *column)
{
    const ecg_model_t *const m = s->model;
    if (s->until > m->window) {
        return ECG_OK;                  // between two windows that do not touch
    }
    int8_t *const window = s->memory->window;
    memcpy(window + (m->window - (size_t)s->until) * m->leads, column, m->leads);
    if (s->until != 1u) {
        return ECG_OK;
    }
    const ecg_status_t status = m->run(s->memory->scratch, window, s->result.scores);
    if (m->hop < m->window) {
        memmove(window, window + (size_t)m->hop * m->leads, (size_t)(m->window - m->hop) * m->leads);
    }
    return status;
}

static void judge(ecg_stream_t *s)
{
    ecg_result_t *const r = &s->result;
    uint8_t best = 0u;
    for (uint8_t c = 1; c < s->model->classes; c++) {
        best = r->scores[c] > r->scores[best] ? c : best;
    }
    r->classes = s->model->classes;
    r->state = ecg_prepare_state(&s->prepare, s->model->window);
    r->verdict = r->state == ECG_STATE_OK ? best : (uint8_t)ECG_VERDICT_ABSTAIN;
    r->last_index = s->column_index;
}

static ecg_status_t take_column(ecg_stream_t *s, const int8_t *column, bool *due)
{
    if (s->skip != 0u) {
        s->skip--;
        s->column_index++;
        s->times_are_over = true;
        return ECG_OK;
    }
    *due = s->until == 1u;
    if (s->model->push == NULL) {
        const ecg_status_t status = keep_and_run(s, column);
        if (status != ECG_OK) {
            return status;
        }
    } else if (s->model->push(s->memory->scratch, column, s->result.scores) != *due) {
        return ECG_STATUS_ENGINE;       // it counts other columns than we do: its verdict is of another window
    }
    if (*due) {
        judge(s);
        s->times_are_over = true;
    }
    s->until = *due ? s->model->hop : s->until - 1u;
    s->column_index++;
    return ECG_OK;
}

// One step of prepare and model, timed. sample_uv is NULL to hold the last sample.
static ecg_status_t step(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags, bool *due)
{
    int8_t column[ECG_STREAM_MAX_LEADS];
    *due = false;
    if (s->times_are_over) {
        s->result.prepare_us = 0u;
        s->result.inference_us = 0u;
        s->times_are_over = false;
    }
    const uint32_t start_us = s->clock.now_us(s->clock.ctx);
    const bool gave = sample_uv != NULL ? ecg_prepare_push(&s->prepare, sample_uv, flags, column)
                                        : ecg_prepare_hold(&s->prepare, column);
    const uint32_t prepared_us = s->clock.now_us(s->clock.ctx);
    s->result.prepare_us += prepared_us - start_us;
    if (!gave) {
        return ECG_OK;
    }
    const ecg_status_t status = take_column(s, column, due);
    s->result.inference_us += s->clock.now_us(s->clock.ctx) - prepared_us;
    return status;
}

ecg_status_t ecg_stream_push(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags, bool *due)
{
    return step(s, sample_uv, flags, due);
}

ecg_status_t ecg_stream_hold(ecg_stream_t *s, bool *due)
{
    return step(s, NULL, 0u, due);
}
