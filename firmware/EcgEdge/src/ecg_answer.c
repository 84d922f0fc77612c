#include "ecg_answer.h"

#include <string.h>

// Lengths of PROTOCOL.md.
#define HELLO_BYTES 152u
#define RESULT_HEADER 16u
#define BEAT_HEADER 24u
#define CREDIT_BYTES 8u
#define SELFTEST_HEADER 4u
#define STATS_BYTES 48u
#define ERROR_BYTES 8u
#define TEXT_BYTES 24u

ECG_STATIC_ASSERT(BEAT_HEADER + ECG_STREAM_MAX_CLASSES <= ECG_FRAME_PAYLOAD_MAX, beats_and_results_fit_a_frame);
ECG_STATIC_ASSERT(SELFTEST_HEADER + 2 * ECG_STREAM_MAX_CLASSES <= ECG_FRAME_PAYLOAD_MAX, selftest_fits_a_frame);
ECG_STATIC_ASSERT(sizeof(float) == sizeof(uint32_t), float_has_32_bits);

static uint8_t *payload_of(ecg_edge_t *e)
{
    return e->wire + ECG_FRAME_PAYLOAD_AT;
}

static void send_flagged(ecg_edge_t *e, uint8_t type, uint8_t flags, size_t length)
{
    const ecg_frame_t frame = {ECG_FRAME_VERSION, type, flags, e->boot, e->seq, (uint16_t)length};
    const size_t n = ecg_frame_encode(&frame, e->wire);
    e->seq++;
    e->frames_out++;
    e->bytes_out += (uint32_t)n;
    e->config->write(e->config->ctx, e->wire, n);
}

static void send(ecg_edge_t *e, uint8_t type, size_t length)
{
    send_flagged(e, type, 0u, length);
}

void ecg_answer_error(ecg_edge_t *e, uint8_t code, const ecg_frame_t *cause, uint32_t detail)
{
    uint8_t *at = payload_of(e);
    *at++ = code;
    *at++ = cause != NULL ? cause->type : 0u;
    at = ecg_put_u16(at, cause != NULL ? cause->seq : 0u);
    (void)ecg_put_u32(at, detail);
    send(e, ECG_TYPE_ERROR, ERROR_BYTES);
}

bool ecg_answer_takes_beats(const ecg_edge_t *e, uint8_t model)
{
    return e->config->models[model].takes == ECG_TAKES_BEATS;
}

// The room of the receive path in samples of a model.
static uint16_t credit_of(const ecg_edge_t *e, const ecg_image_model_t *image)
{
    const uint16_t credit = (uint16_t)(e->config->credit_samples / ecg_stream_leads(image));
    return credit != 0u ? credit : 1u;
}

uint32_t ecg_answer_wanting(const ecg_edge_t *e)
{
    return e->stream.model->window - (e->expected - e->first_index);
}

void ecg_answer_credit(ecg_edge_t *e)
{
    uint16_t credit = 0u;
    if (e->state == ECG_EDGE_RUNNING) {
        credit = credit_of(e, e->stream.image);
        if (e->mode == ECG_MODE_WINDOW && ecg_answer_wanting(e) < credit) {
            credit = (uint16_t)ecg_answer_wanting(e);
        }
    }
    uint8_t *at = ecg_put_u32(payload_of(e), e->expected);
    at = ecg_put_u16(at, credit);
    (void)ecg_put_u16(at, (uint16_t)(ecg_answer_takes_beats(e, e->model) ? e->given : 0u));
    send(e, ECG_TYPE_CREDIT, CREDIT_BYTES);
}

void ecg_answer_result(ecg_edge_t *e, const ecg_kept_result_t *kept)
{
    const ecg_result_t *const r = &kept->result;
    const bool beat = ecg_answer_takes_beats(e, kept->model);
    uint8_t *at = payload_of(e);
    *at++ = kept->model;
    *at++ = r->classes;
    *at++ = r->verdict;
    *at++ = r->state;
    if (beat) {
        at = ecg_put_u32(at, r->number);
    }
    at = ecg_put_u32(at, r->last_index);
    if (beat) {
        at = ecg_put_u16(at, r->rr);
        at = ecg_put_u16(at, 0u);
    }
    at = ecg_put_u32(at, r->prepare_us);
    at = ecg_put_u32(at, r->inference_us);
    memcpy(at, r->scores, r->classes);
    send(e, beat ? ECG_TYPE_BEAT : ECG_TYPE_RESULT, (beat ? BEAT_HEADER : RESULT_HEADER) + (size_t)r->classes);
}

void ecg_answer_own(ecg_edge_t *e)
{
    if (e->own_count == 0u) {
        return;
    }
    const uint32_t waiting = (uint32_t)e->own_count / ecg_stream_leads(e->stream.image);
    uint8_t *at = ecg_put_u32(payload_of(e), e->expected - waiting);
    for (uint8_t i = 0; i < e->own_count; i++) {
        at = ecg_put_u16(at, (uint16_t)e->own_uv[i]);
    }
    send_flagged(e, ECG_TYPE_SAMPLES, e->own_flags, (size_t)(at - payload_of(e)));
    e->own_count = 0u;
}

static uint8_t *put_float(uint8_t *at, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ecg_put_u32(at, bits);
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t i = 0u;
    for (; text != NULL && i < TEXT_BYTES && text[i] != '\0'; i++) {
        at[i] = (uint8_t)text[i];
    }
    memset(at + i, 0, TEXT_BYTES - i);
    return at + TEXT_BYTES;
}

static uint8_t selftest_of(const ecg_edge_t *e, uint8_t m)
{
    if (e->config->models[m].selftest_count == 0u) {
        return 0u;
    }
    return (uint8_t)(((e->selftest.models_failed >> m) & 1u) != 0u ? 2u : 1u);
}

static void send_hello(ecg_edge_t *e, uint8_t m)
{
    const ecg_edge_config_t *const config = e->config;
    const ecg_image_model_t *const image = &config->models[m];
    const ecg_model_t *const model = image->model;
    const uint16_t delay = ecg_prepare_delay(&image->prepare);
    const uint8_t head[8] = {ECG_FRAME_VERSION, m, config->model_count, config->engine, ECG_EDGE_VERSION_MAJOR,
                             ECG_EDGE_VERSION_MINOR, ECG_EDGE_VERSION_PATCH, selftest_of(e, m)};
    uint8_t *at = payload_of(e);
    memcpy(at, head, sizeof head);
    at = ecg_put_u16(at + sizeof head, credit_of(e, image));
    at = ecg_put_u16(at, model->fs_hz);
    at = ecg_put_u16(at, model->window);
    at = ecg_put_u16(at, model->hop);
    at = ecg_put_u16(at, delay);
    at = ecg_put_u16(at, (uint16_t)(delay + image->prepare.flat_samples));
    *at++ = ecg_stream_leads(image);
    *at++ = model->classes;
    *at++ = model->push != NULL ? 1u : 0u;
    *at++ = image->takes;
    at = put_float(at, image->input_scale);
    at = ecg_put_u32(at, (uint32_t)image->input_zero);
    at = put_float(at, image->output_scale);
    at = ecg_put_u32(at, (uint32_t)image->output_zero);
    at = ecg_put_u32(at, (uint32_t)model->scratch_bytes);
    at = ecg_put_u32(at, e->arena_used[m]);
    memcpy(at, model->sha256, sizeof model->sha256);
    at = put_text(at + sizeof model->sha256, config->board);
    at = put_text(at, model->name);
    (void)put_text(at, config->engine_version);
    send(e, ECG_TYPE_HELLO, HELLO_BYTES);
}

void ecg_answer_hello(ecg_edge_t *e)
{
    for (uint8_t m = 0; m < e->config->model_count; m++) {
        send_hello(e, m);
    }
}

void ecg_answer_stats(ecg_edge_t *e)
{
    const ecg_frame_counts_t *const in = &e->reader.counts;
    const uint32_t stats[STATS_BYTES / 4u] = {
        in->frames, e->frames_out, in->crc_errors, in->cobs_errors, in->length_errors, e->gaps,
        e->duplicates, e->overruns, e->results, e->bytes_in, e->bytes_out, e->uptime_ms,
    };
    uint8_t *at = payload_of(e);
    for (size_t i = 0; i < STATS_BYTES / 4u; i++) {
        at = ecg_put_u32(at, stats[i]);
    }
    send(e, ECG_TYPE_STATS, STATS_BYTES);
}

void ecg_answer_note_scores(ecg_edge_t *e, const int8_t *expected, const int8_t *got, size_t classes)
{
    memcpy(payload_of(e) + SELFTEST_HEADER, expected, classes);
    memcpy(payload_of(e) + SELFTEST_HEADER + classes, got, classes);
}

void ecg_answer_selftest(ecg_edge_t *e)
{
    const ecg_selftest_report_t *const report = &e->selftest;
    uint8_t *const at = payload_of(e);
    const size_t classes = report->failed != 0u ? e->config->models[report->model].model->classes : 0u;
    at[0] = report->failed == 0u ? 1u : 0u;
    at[1] = report->ran;
    at[2] = report->first_failed;
    at[3] = report->model;
    send(e, ECG_TYPE_SELFTEST, SELFTEST_HEADER + 2u * classes);
}

void ecg_edge_log(ecg_edge_t *e, uint8_t level, const char *text)
{
    if (e->config == NULL) {
        return;
    }
    uint8_t *const at = payload_of(e);
    size_t n = 0u;
    for (; n + 1u < ECG_FRAME_PAYLOAD_MAX && text[n] != '\0'; n++) {
        at[1u + n] = (uint8_t)text[n];
    }
    at[0] = level;
    send(e, ECG_TYPE_LOG, 1u + n);
}
