#include "straight.h"

#include <string.h>

#define ABSTAIN 255u
#define WINDOW_MOST 256u                 // columns by leads, of any model of windows
#define MOST_HELD 512u                   // samples at the end of a stream
#define TAIL 140u                        // of PROTOCOL.md, END
#define WAITING 2u                       // beats that wait for others to follow, at most

uint32_t straight_step_us;

static uint8_t model;
static uint32_t first, skip;
static int16_t samples[STRAIGHT_MOST][ECG_MAX_LEADS];
static uint8_t marks[STRAIGHT_MOST];    // their flags
static uint32_t count;                  // samples
static uint32_t steps;                  // samples and held ones
static uint32_t prepare_us, inference_us;
static bool times_are_over;

static int32_t means[ECG_MAX_LEADS][STRAIGHT_MOST + MOST_HELD];
static int64_t means_known[ECG_MAX_LEADS];      // how many
static ecg_beats_t beats;

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));

static bool takes_beats(uint8_t m)
{
    return m == IMAGE_BEATS;
}

static uint32_t lead_count(void)
{
    return takes_beats(model) ? 1u : image_models[model].model->leads;
}

static const ecg_prepare_params_t *params(void)
{
    return &image_models[model].prepare;
}

uint32_t straight_delay(uint8_t m)
{
    const ecg_prepare_params_t *const p = &image_models[m].prepare;
    return (1u << p->average_log2) - 1u + (p->taps - 1u) / 2u;
}

uint32_t straight_holds(uint8_t m)
{
    return straight_delay(m) + (takes_beats(m) ? TAIL + WAITING : 0u);
}

uint32_t straight_room(void)
{
    return STRAIGHT_MOST - count;
}

void straight_begin(uint8_t m, uint32_t first_index, uint32_t skipped)
{
    model = m;
    first = first_index;
    skip = skipped;
    count = steps = 0u;
    prepare_us = inference_us = 0u;
    times_are_over = true;
    memset(means_known, 0, sizeof means_known);
    ecg_beats_reset(&beats);
}

// ---- columns: ecg_prepare.h, word for word -------------------------------------------------------------------------

// Before its first sample a stream held it, and after its last it holds that.
static int64_t sample(uint32_t lead, int64_t n)
{
    return samples[n < 0 ? 0 : n >= (int64_t)count ? (int64_t)count - 1 : n][lead];
}

static int64_t floored(int64_t value, unsigned log2)
{
    const int64_t divisor = INT64_C(1) << log2;
    return value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor);
}

static int64_t clamped(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static int64_t mean_anew(uint32_t lead, int64_t n)
{
    const int64_t length = INT64_C(1) << params()->average_log2;
    int64_t sum = length / 2;
    for (int64_t k = n - length + 1; k <= n; k++) {
        sum += sample(lead, k);
    }
    return floored(sum, params()->average_log2);
}

// Each is computed once: nothing that comes later changes it. Before the first sample it is that sample.
static int64_t mean(uint32_t lead, int64_t n)
{
    if (n < 0) {
        return sample(lead, 0);
    }
    for (; means_known[lead] <= n; means_known[lead]++) {
        means[lead][means_known[lead]] = (int32_t)mean_anew(lead, means_known[lead]);
    }
    return means[lead][n];
}

static int64_t without_baseline(uint32_t lead, int64_t n)
{
    const int64_t length = INT64_C(1) << params()->average_log2;
    int64_t sum = length / 2;
    for (int64_t k = n - length + 1; k <= n; k++) {
        sum += mean(lead, k);
    }
    return clamped(sample(lead, n - (length - 1)) - floored(sum, params()->average_log2), INT16_MIN, INT16_MAX);
}

static int8_t column(uint32_t lead, int64_t c)
{
    const ecg_prepare_params_t *const p = params();
    const int64_t n = c + (int64_t)straight_delay(model);
    int64_t sum = 0;
    for (int64_t j = 0; j < p->taps; j++) {
        sum += p->fir[j] * without_baseline(lead, n - j);
    }
    const int64_t half = INT64_C(1) << (p->shift - 1u);
    return (int8_t)clamped(p->zero_point + floored(sum * p->multiplier + half, p->shift), INT8_MIN, INT8_MAX);
}

// ---- states --------------------------------------------------------------------------------------------------------

static bool is_flat(uint32_t lead, uint32_t n)
{
    const uint32_t length = params()->flat_samples;
    if (n < length) {
        return false;
    }
    for (uint32_t k = n - length + 1u; k <= n; k++) {
        const int32_t difference = samples[k][lead] - samples[k - 1u][lead];
        if (difference > params()->flat_uv || difference < -params()->flat_uv) {
            return false;
        }
    }
    return true;
}

static uint8_t state_of(uint32_t n)
{
    uint8_t state = ECG_STATE_OK;
    for (uint32_t l = 0; l < lead_count(); l++) {
        if (samples[n][l] == INT16_MIN || samples[n][l] == INT16_MAX) {
            state = ECG_STATE_CLIPPED;
        } else if (state == ECG_STATE_OK && is_flat(l, n)) {
            state = ECG_STATE_FLAT;
        }
    }
    state = (marks[n] & ECG_SAMPLE_CLIPPED) != 0 ? (uint8_t)ECG_STATE_CLIPPED : state;
    state = (marks[n] & ECG_SAMPLE_LEAD_OFF) != 0 ? (uint8_t)ECG_STATE_LEAD_OFF : state;
    return (marks[n] & ECG_SAMPLE_GAP) != 0 ? (uint8_t)ECG_STATE_GAP : state;
}

// Of the columns from..to, each of which saw `delay` samples on both sides.
static uint8_t worst_state(uint32_t from, uint32_t to)
{
    const uint32_t delay = straight_delay(model);
    uint8_t worst = ECG_STATE_OK;
    for (uint32_t n = from < delay ? 0u : from - delay; n <= to + delay && n < count; n++) {
        const uint8_t state = state_of(n);
        worst = state > worst ? state : worst;
    }
    return worst;
}

// ---- verdicts ------------------------------------------------------------------------------------------------------

static void say(ecg_result_t *r, uint8_t state, uint32_t index)
{
    const uint8_t classes = image_models[model].model->classes;
    uint8_t best = 0u;
    for (uint8_t k = 1; k < classes; k++) {
        best = r->scores[k] > r->scores[best] ? k : best;
    }
    r->classes = classes;
    r->state = state;
    r->verdict = state == ECG_STATE_OK ? best : (uint8_t)ABSTAIN;
    r->last_index = index;
    r->prepare_us = prepare_us;
    r->inference_us = inference_us;
}

static ecg_status_t judge(uint32_t c, ecg_result_t *r)
{
    const ecg_model_t *const m = image_models[model].model;
    int8_t window[WINDOW_MOST];
    const uint32_t from = c + 1u - m->window;
    for (uint32_t k = 0; k < m->window; k++) {
        for (uint32_t l = 0; l < m->leads; l++) {
            window[k * m->leads + l] = column(l, (int64_t)from + k);
        }
    }
    const ecg_status_t status = image_run(model, scratch, window, r->scores);
    say(r, worst_state(from, c), first + c);
    return status;
}

static ecg_status_t judge_beat(const ecg_beat_t *beat, ecg_result_t *r)
{
    int8_t view[ECG_BEATS_COLUMNS * ECG_BEATS_CHANNELS];
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        ecg_beats_view(beat, k, view + k * ECG_BEATS_CHANNELS);
    }
    inference_us += straight_step_us;
    times_are_over = true;
    if (image_run(model, scratch, view, r->scores) != ECG_OK) {
        return ECG_STATUS_ENGINE;       // it miscounts its columns
    }
    r->number = beat->number;
    r->rr = beat->rr;
    say(r, beat->state, first + beat->at);
    return ECG_OK;
}

// A sample of a stream of beats, or of those that are held behind it; the last holds only ask who waits.
static ecg_status_t step_beats(ecg_result_t *r, bool *due)
{
    const uint32_t delay = straight_delay(model), n = steps - 1u;
    const bool over = n >= count + delay + TAIL;
    if (!over) {
        ecg_beats_sample(&beats, (int16_t)sample(0u, n));
    }
    if (!over && n >= delay) {
        const uint32_t c = n - delay, span = ecg_beats_column(&beats, column(0u, c));
        if (span != 0u) {
            ecg_beats_see(&beats, worst_state(span > c ? 0u : c + 1u - span, c));
        }
    }
    const ecg_beat_t *const beat = ecg_beats_next(&beats, over);
    *due = beat != NULL;
    return beat != NULL ? judge_beat(beat, r) : ECG_OK;
}

// The column that this step gave, if any.
static ecg_status_t step(ecg_result_t *r, bool *due)
{
    const ecg_model_t *const m = image_models[model].model;
    const uint32_t delay = straight_delay(model);
    *due = false;
    steps++;
    prepare_us = times_are_over ? straight_step_us : prepare_us + straight_step_us;
    inference_us = times_are_over ? 0u : inference_us;
    times_are_over = false;
    if (takes_beats(model)) {
        return step_beats(r, due);
    }
    if (steps <= delay) {
        return ECG_OK;
    }
    const uint32_t c = steps - delay - 1u;
    inference_us += straight_step_us;
    if (c < skip) {
        times_are_over = true;
        return ECG_OK;
    }
    const uint32_t had = c - skip + 1u;
    const bool full = had >= m->window && (had - m->window) % m->hop == 0u;
    if (image_engine != ECG_OK && m->push != NULL) {
        return ECG_STATUS_ENGINE;
    }
    if (!full) {
        return ECG_OK;
    }
    if (image_engine != ECG_OK) {
        return image_engine;
    }
    *due = true;
    times_are_over = true;
    return judge(c, r);
}

ecg_status_t straight_push(const int16_t *sample_uv, uint8_t flags, ecg_result_t *result, bool *due)
{
    memcpy(samples[count], sample_uv, lead_count() * sizeof sample_uv[0]);
    marks[count] = flags;
    count++;
    return step(result, due);
}

ecg_status_t straight_hold(ecg_result_t *result, bool *due)
{
    *due = false;
    return count != 0u ? step(result, due) : ECG_OK;
}
