#include "ecg_stream.h"

#include <string.h>

#include "ecg_config.h"

// An image without a model of beats need not carry the detector: the linker then finds nobody who calls it.
#ifndef ECG_WITH_BEATS
#define ECG_WITH_BEATS 1
#endif

static bool takes_beats(const ecg_image_model_t *image)
{
    return ECG_WITH_BEATS && image->takes == ECG_TAKES_BEATS;
}

uint8_t ecg_stream_leads(const ecg_image_model_t *image)
{
    return takes_beats(image) ? 1u : image->model->leads;
}

// ---- what fits -------------------------------------------------------------------------------------------------------

static bool is_whole(const ecg_model_t *model)
{
    return model != NULL && model->run != NULL && (model->push == NULL || model->reset != NULL) && model->window != 0u
           && model->hop != 0u && model->leads != 0u && model->classes != 0u && model->classes <= ECG_STREAM_MAX_CLASSES;
}

// Whether it takes what it is given here: leads, or views of beats.
static bool takes_ours(const ecg_image_model_t *image)
{
    const ecg_model_t *const m = image->model;
    if (takes_beats(image)) {
        return m->fs_hz == ECG_BEATS_FS_HZ && m->window == ECG_BEATS_COLUMNS && m->hop == ECG_BEATS_COLUMNS
               && m->leads == ECG_BEATS_CHANNELS;
    }
    return image->takes == ECG_TAKES_WINDOWS && m->leads <= ECG_STREAM_MAX_LEADS;
}

ecg_status_t ecg_stream_check(const ecg_image_model_t *image, const ecg_memory_t *memory)
{
    const ecg_model_t *const m = image->model;
    if (!is_whole(m) || !takes_ours(image)) {
        return ECG_STATUS_BAD_MODEL;
    }
    const size_t window_bytes = m->push == NULL ? (size_t)m->window * m->leads : 0u;
    if (memory->lead_count < ecg_stream_leads(image) || memory->leads == NULL || memory->scratch_bytes < m->scratch_bytes
        || (m->scratch_bytes != 0u && memory->scratch == NULL) || memory->window_bytes < window_bytes
        || (window_bytes != 0u && memory->window == NULL) || (takes_beats(image) && memory->beats == NULL)) {
        return ECG_STATUS_NO_MEMORY;
    }
    if (((uintptr_t)memory->scratch & 15u) != 0u) {
        return ECG_STATUS_BAD_ARGUMENT;
    }
    const ecg_status_t status = ecg_prepare_check(&image->prepare);
    if (status == ECG_OK && takes_beats(image) && ecg_prepare_delay(&image->prepare) < ECG_BEATS_LEAST_DELAY) {
        return ECG_STATUS_BAD_PREPARE;
    }
    return status;
}

void ecg_stream_reset(ecg_stream_t *s, const ecg_image_model_t *image, const ecg_memory_t *memory, ecg_clock_t clock,
                      uint32_t first_index, uint32_t skip)
{
    s->image = image;
    s->model = image->model;
    s->memory = memory;
    s->clock = clock;
    s->first_index = first_index;
    s->column_index = first_index;
    s->skip = skip;
    s->until = s->model->window;
    s->held = 0u;
    s->times_are_over = true;
    s->result.number = 0u;
    s->result.rr = 0u;
    ecg_prepare_reset(&s->prepare, &image->prepare, memory->leads, ecg_stream_leads(image));
    if (takes_beats(image)) {
        ecg_beats_reset(memory->beats);
    }
    if (s->model->reset != NULL) {
        s->model->reset(memory->scratch);
    }
}

static void judge(ecg_stream_t *s, uint8_t state, uint32_t index)
{
    ecg_result_t *const r = &s->result;
    uint8_t best = 0u;
    for (uint8_t c = 1; c < s->model->classes; c++) {
        best = r->scores[c] > r->scores[best] ? c : best;
    }
    r->classes = s->model->classes;
    r->state = state;
    r->verdict = state == ECG_STATE_OK ? best : (uint8_t)ECG_VERDICT_ABSTAIN;
    r->last_index = index;
    s->times_are_over = true;
}

// ---- windows ---------------------------------------------------------------------------------------------------------

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

// Gives the model its next column. *due says whether that was a window's last.
static ecg_status_t give_column(ecg_stream_t *s, const int8_t *column, bool *due)
{
    *due = s->until == 1u;
    if (s->model->push == NULL) {
        const ecg_status_t status = keep_and_run(s, column);
        if (status != ECG_OK) {
            return status;
        }
    } else if (s->model->push(s->memory->scratch, column, s->result.scores) != *due) {
        return ECG_STATUS_ENGINE;       // it counts other columns than we do: its verdict is of another window
    }
    s->until = *due ? s->model->hop : s->until - 1u;
    return ECG_OK;
}

static ecg_status_t take_column(ecg_stream_t *s, const int8_t *column, bool *due)
{
    const uint32_t index = s->column_index++;
    if (s->skip != 0u) {
        s->skip--;
        s->times_are_over = true;
        return ECG_OK;
    }
    const ecg_status_t status = give_column(s, column, due);
    if (status == ECG_OK && *due) {
        judge(s, ecg_prepare_state(&s->prepare, s->model->window), index);
    }
    return status;
}

// ---- beats -----------------------------------------------------------------------------------------------------------

// How often the last sample is held.
static uint16_t held_samples(const ecg_stream_t *s)
{
    const uint16_t delay = ecg_prepare_delay(s->prepare.params);
    return (uint16_t)(takes_beats(s->image) ? delay + ECG_BEATS_TAIL : delay);
}

// All is held that is to be; each hold more gives a beat that still waits.
static bool tail_is_over(const ecg_stream_t *s)
{
    return s->held > held_samples(s);
}

// A sample, or NULL to hold the last one, through detector and prepare. Behind the tail nothing is held any more.
static void advance_beats(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags)
{
    ecg_beats_t *const beats = s->memory->beats;
    int8_t column;
    if (sample_uv == NULL && (!s->prepare.primed || tail_is_over(s))) {
        return;
    }
    ecg_beats_sample(beats, sample_uv != NULL ? *sample_uv : s->memory->leads->last_uv);
    if (sample_uv != NULL ? ecg_prepare_push(&s->prepare, sample_uv, flags, &column) : ecg_prepare_hold(&s->prepare, &column)) {
        const uint16_t span = ecg_beats_column(beats, column);
        if (span != 0u) {
            ecg_beats_see(beats, ecg_prepare_state(&s->prepare, span));
        }
    }
}

// Shows the model a beat's view, column by column.
static ecg_status_t take_beat(ecg_stream_t *s, const ecg_beat_t *beat, bool *due)
{
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        int8_t column[ECG_BEATS_CHANNELS];
        ecg_beats_view(beat, k, column);
        const ecg_status_t status = give_column(s, column, due);
        if (status != ECG_OK) {
            return status;
        }
    }
    s->result.number = beat->number;
    s->result.rr = beat->rr;
    judge(s, beat->state, s->first_index + beat->at);
    return ECG_OK;
}

// ---- steps -----------------------------------------------------------------------------------------------------------

// The beat that falls due with this step, if any.
static const ecg_beat_t *prepare_beats(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags)
{
    advance_beats(s, sample_uv, flags);
    return ecg_beats_next(s->memory->beats, tail_is_over(s));
}

// One step of prepare and model, timed. sample_uv is NULL to hold the last sample.
static ecg_status_t step(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags, bool *due)
{
    int8_t column[ECG_STREAM_MAX_LEADS];
    const ecg_beat_t *beat = NULL;
    bool gave;
    *due = false;
    if (s->times_are_over) {
        s->result.prepare_us = 0u;
        s->result.inference_us = 0u;
        s->times_are_over = false;
    }
    const uint32_t start_us = s->clock.now_us(s->clock.ctx);
    if (takes_beats(s->image)) {
        beat = prepare_beats(s, sample_uv, flags);
        gave = beat != NULL;
    } else {
        gave = sample_uv != NULL ? ecg_prepare_push(&s->prepare, sample_uv, flags, column) : ecg_prepare_hold(&s->prepare, column);
    }
    const uint32_t prepared_us = s->clock.now_us(s->clock.ctx);
    s->result.prepare_us += prepared_us - start_us;
    if (!gave) {
        return ECG_OK;
    }
    const ecg_status_t status = beat != NULL ? take_beat(s, beat, due) : take_column(s, column, due);
    s->result.inference_us += s->clock.now_us(s->clock.ctx) - prepared_us;
    return status;
}

ecg_status_t ecg_stream_push(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags, bool *due)
{
    return step(s, sample_uv, flags, due);
}

uint16_t ecg_stream_holds(const ecg_stream_t *s)
{
    return (uint16_t)(held_samples(s) + (takes_beats(s->image) ? ECG_BEATS_UNKNOWN : 0u));
}

ecg_status_t ecg_stream_hold(ecg_stream_t *s, bool *due)
{
    s->held++;
    return step(s, NULL, 0u, due);
}
