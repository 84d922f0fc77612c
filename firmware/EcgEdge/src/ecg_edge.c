// The board's side of the wire. It is reactive: it answers each frame at once, waits for nothing and owns no timer.
//
//                     START (from any state, if the self-test passed)
//      reset            |
//        |              v      END, all samples there
//        v         +---------+ ----------------------> +-------+
//     +------+     | RUNNING |                         | ENDED |    an END again: the same RESULTs again
//     | IDLE | <-- +---------+ <---------------------- +-------+    old samples: CREDIT, nothing else
//     +------+      engine fails,       START
//        |          SELFTEST (from any state)
//        |
//        +-- ecg_edge_live() --> LIVE: verdicts of the board's own samples; START ends it
//                                FORWARDING: those samples themselves, after a START of mode own on a board that was LIVE
//
// RUNNING takes the samples from `expected` on: those before it are duplicates, those after it a gap, refused with
// `expected`, so that a host whose frame was lost knows where to go on. The others answer samples by not_started.
#include "ecg_edge.h"

#include <string.h>

#include "ecg_answer.h"
#include "ecg_selftest.h"

// Lengths of requests, by PROTOCOL.md.
#define START_BYTES 12u
#define SAMPLES_HEADER 4u
#define INDEX_BYTES 4u              // END, POLL

#define POLL_NONE UINT32_MAX
#define NONE 255u
#define HALF_RANGE UINT32_C(0x80000000)     // indices compare modulo 2^32: that far ahead is behind

ECG_STATIC_ASSERT(SAMPLES_HEADER + 2 * ECG_STREAM_MAX_LEADS <= ECG_FRAME_PAYLOAD_MAX, a_sample_fits_a_frame);
ECG_STATIC_ASSERT(ECG_STREAM_MAX_LEADS <= ECG_EDGE_OWN_VALUES, a_sample_of_its_own_fits);
ECG_STATIC_ASSERT(SAMPLES_HEADER + 2 * ECG_EDGE_OWN_VALUES <= ECG_FRAME_PAYLOAD_MAX, own_samples_fit_a_frame);

// ---- self-test -----------------------------------------------------------------------------------------------------

static ecg_clock_t clock_of(const ecg_edge_t *e)
{
    const ecg_clock_t clock = {e->config->now_us, e->config->ctx};
    return clock;
}

static void begin(ecg_edge_t *e, uint8_t m, uint32_t first_index, uint32_t skip)
{
    const ecg_image_model_t *const image = &e->config->models[m];
    ecg_stream_reset(&e->stream, image, &e->config->memory, clock_of(e), first_index, skip);
}

// Runs vector t of model m, and notes how it went. The first that fails leaves its scores in the payload being built,
// as the SELFTEST answer wants them.
static void run_vector(ecg_edge_t *e, uint8_t m, uint8_t t)
{
    const ecg_selftest_t *const test = &e->config->models[m].selftests[t];
    ecg_selftest_report_t *const report = &e->selftest;
    const size_t classes = e->config->models[m].model->classes;
    int8_t got[ECG_STREAM_MAX_CLASSES];
    begin(e, m, 0u, 0u);
    const ecg_status_t status = ecg_selftest_run(&e->stream, test, got);
    if (status != ECG_OK) {
        if (report->first_failed == NONE) {
            report->status = status;
            report->first_failed = report->ran;
            report->model = m;
            ecg_answer_note_scores(e, test->scores, got, classes);
        }
        report->failed = (uint8_t)(report->failed + (report->failed != NONE ? 1u : 0u));
        report->models_failed = (uint8_t)(report->models_failed | (1u << m));
    }
    report->ran = (uint8_t)(report->ran + (report->ran != NONE ? 1u : 0u));
}

static void run_selftest(ecg_edge_t *e)
{
    const ecg_selftest_report_t clean = {0u, 0u, NONE, 0u, 0u, ECG_OK};
    e->selftest = clean;
    e->state = ECG_EDGE_IDLE;
    for (uint8_t m = 0; m < e->config->model_count; m++) {
        for (uint8_t t = 0; t < e->config->models[m].selftest_count; t++) {
            run_vector(e, m, t);
        }
        // Asked while scratch is this model's: the next one takes it over.
        const bool known = e->config->arena_used != NULL && e->config->models[m].selftest_count != 0u;
        e->arena_used[m] = known ? e->config->arena_used(e->config->ctx, m) : 0u;
    }
}

// Wrong scores are the host's to ask for, by SELFTEST. Of an engine that gave none it is told why.
static void say_hello(ecg_edge_t *e)
{
    ecg_answer_hello(e);
    if (e->selftest.status == ECG_STATUS_NO_MEMORY) {
        ecg_edge_log(e, ECG_LOG_ERROR, "self-test: the engine has too little memory");
    } else if (e->selftest.failed != 0u && e->selftest.status != ECG_STATUS_SELFTEST_FAILED) {
        ecg_edge_log(e, ECG_LOG_ERROR, "self-test: the engine failed");
    }
}

static void on_selftest(ecg_edge_t *e)
{
    run_selftest(e);
    ecg_answer_selftest(e);
}

// ---- the stream ----------------------------------------------------------------------------------------------------

static bool is_before(uint32_t a, uint32_t b)
{
    return a - b >= HALF_RANGE;
}

static void keep_and_send(ecg_edge_t *e)
{
    ecg_kept_result_t *const kept = &e->kept[e->kept_at];
    kept->used = true;
    kept->model = e->model;
    kept->result = e->stream.result;
    e->kept_at = (uint8_t)((e->kept_at + 1u) % ECG_EDGE_KEPT_RESULTS);
    e->results++;
    e->given++;
    ecg_answer_result(e, kept);
}

// Beats are numbered anew by each START.
static void forget_from(ecg_edge_t *e, uint32_t index)
{
    for (uint8_t k = 0; k < ECG_EDGE_KEPT_RESULTS; k++) {
        ecg_kept_result_t *const kept = &e->kept[k];
        kept->used = kept->used && !ecg_answer_takes_beats(e, kept->model) && is_before(kept->result.last_index, index);
    }
}

static void start(ecg_edge_t *e, uint8_t m, uint8_t mode, uint32_t first_index, uint32_t skip)
{
    begin(e, m, first_index, skip);
    forget_from(e, first_index);
    e->model = m;
    e->mode = mode;
    e->state = mode == ECG_MODE_OWN ? ECG_EDGE_FORWARDING : ECG_EDGE_RUNNING;
    e->gap_owed = false;
    e->own_count = 0u;
    e->first_index = first_index;
    e->expected = first_index;
    e->given = 0u;
    e->end_results = 0u;
}

static void on_start(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    const uint8_t m = payload[0];
    const uint8_t mode = payload[1];
    const uint32_t skip = ecg_get_u32(payload + 8);
    const bool own = mode == ECG_MODE_OWN, stream = mode == ECG_MODE_STREAM;
    if (e->selftest.failed != 0u) {
        ecg_answer_error(e, ECG_ERROR_SELFTEST_FAILED, frame, e->selftest.failed);
    } else if (m >= e->config->model_count) {
        ecg_answer_error(e, ECG_ERROR_BAD_MODEL, frame, e->config->model_count);
    } else if (mode > ECG_MODE_OWN || (!stream && skip != 0u) || (own && !e->samples_itself)
               || (ecg_answer_takes_beats(e, m) && ((!stream && !own) || skip != 0u))) {
        ecg_answer_error(e, ECG_ERROR_BAD_MODE, frame, mode);
    } else {
        start(e, m, mode, ecg_get_u32(payload + 4), skip);
        ecg_answer_credit(e);
    }
}

// After a push or hold: keeps and sends a verdict, or ends the stream that failed. Returns whether to go on.
static bool after_step(ecg_edge_t *e, const ecg_frame_t *frame, ecg_status_t status, bool due)
{
    if (status != ECG_OK) {
        e->state = ECG_EDGE_IDLE;
        ecg_answer_error(e, ECG_ERROR_ENGINE, frame, (uint32_t)-(int32_t)status);
        return false;
    }
    if (due) {
        keep_and_send(e);
    }
    return true;
}

// Takes the samples of a frame from number `from` on. Returns false when the engine failed.
static bool take(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *bytes, uint32_t from, uint32_t count)
{
    const uint8_t leads = ecg_stream_leads(e->stream.image);
    int16_t sample_uv[ECG_STREAM_MAX_LEADS];
    for (uint32_t i = from; i < count; i++) {
        for (uint8_t l = 0; l < leads; l++) {
            sample_uv[l] = (int16_t)ecg_get_u16(bytes + 2u * (i * leads + l));
        }
        const uint8_t flags = i == 0u ? frame->flags : (uint8_t)(frame->flags & ~(unsigned)ECG_SAMPLE_GAP);
        bool due = false;
        const ecg_status_t status = ecg_stream_push(&e->stream, sample_uv, flags, &due);
        e->expected++;
        if (!after_step(e, frame, status, due)) {
            return false;
        }
    }
    return true;
}

static void on_gap(ecg_edge_t *e, const ecg_frame_t *frame)
{
    e->gaps++;
    ecg_answer_error(e, ECG_ERROR_INDEX_GAP, frame, e->expected);
}

static void on_samples(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    const bool ended = e->state == ECG_EDGE_ENDED;
    if (e->state != ECG_EDGE_RUNNING && !ended) {
        ecg_answer_error(e, ECG_ERROR_NOT_STARTED, frame, e->expected);
        return;
    }
    const uint32_t step = 2u * (uint32_t)ecg_stream_leads(e->stream.image);
    const uint32_t bytes = (uint32_t)frame->length - SAMPLES_HEADER;
    if (bytes == 0u || bytes % step != 0u) {
        ecg_answer_error(e, ECG_ERROR_BAD_LENGTH, frame, frame->length);
        return;
    }
    const uint32_t count = bytes / step;
    const uint32_t known = e->expected - ecg_get_u32(payload);      // how many of them came before, if not a gap
    const bool gap = known >= HALF_RANGE;
    if (ended && (gap || known < count)) {
        ecg_answer_error(e, ECG_ERROR_NOT_STARTED, frame, e->expected);
    } else if (gap) {
        on_gap(e, frame);
    } else if (known < count && e->mode == ECG_MODE_WINDOW && count - known > ecg_answer_wanting(e)) {
        ecg_answer_error(e, ECG_ERROR_BAD_LENGTH, frame, frame->length);
    } else {
        e->duplicates += known != 0u ? 1u : 0u;
        if (known >= count || take(e, frame, payload + SAMPLES_HEADER, known, count)) {
            ecg_answer_credit(e);
        }
    }
}

// Holds the last sample until every column came. Returns false when the engine failed.
static bool flush(ecg_edge_t *e, const ecg_frame_t *frame)
{
    const uint32_t before = e->results;
    for (uint16_t i = ecg_stream_holds(&e->stream); i > 0u; i--) {
        bool due = false;
        const ecg_status_t status = ecg_stream_hold(&e->stream, &due);
        if (!after_step(e, frame, status, due)) {
            return false;
        }
    }
    const uint32_t given = e->results - before;
    e->end_results = (uint8_t)(given < ECG_EDGE_KEPT_RESULTS ? given : ECG_EDGE_KEPT_RESULTS);
    e->state = ECG_EDGE_ENDED;
    return true;
}

static void repeat_end(ecg_edge_t *e)
{
    for (uint8_t back = e->end_results; back > 0u; back--) {
        ecg_answer_result(e, &e->kept[(e->kept_at + ECG_EDGE_KEPT_RESULTS - back) % ECG_EDGE_KEPT_RESULTS]);
    }
}

static void on_end(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    const uint32_t index = ecg_get_u32(payload);
    const bool ahead = is_before(e->expected, index);
    const bool ended = e->state == ECG_EDGE_ENDED;
    if (e->state != ECG_EDGE_RUNNING && (!ended || ahead)) {
        ecg_answer_error(e, ECG_ERROR_NOT_STARTED, frame, e->expected);
        return;
    }
    if (ahead) {
        on_gap(e, frame);
        return;
    }
    if (index != e->expected) {
        e->duplicates++;
    } else if (ended) {
        e->duplicates++;
        repeat_end(e);
    } else if (e->mode == ECG_MODE_WINDOW && ecg_answer_wanting(e) != 0u) {
        ecg_answer_error(e, ECG_ERROR_INCOMPLETE, frame, e->expected);
        return;
    } else if (!flush(e, frame)) {
        return;
    }
    ecg_answer_credit(e);
}

static void on_poll(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    const uint32_t wanted = ecg_get_u32(payload);
    const bool beats = ecg_answer_takes_beats(e, e->model);
    const ecg_kept_result_t *found = NULL;
    for (uint8_t k = 0; k < ECG_EDGE_KEPT_RESULTS; k++) {
        const ecg_kept_result_t *const kept = &e->kept[k];
        const uint32_t name = beats ? kept->result.number : kept->result.last_index;
        if (kept->used && ecg_answer_takes_beats(e, kept->model) == beats && name == wanted) {
            found = kept;
        }
    }
    if (wanted != POLL_NONE && found != NULL) {
        ecg_answer_result(e, found);
    } else if (wanted != POLL_NONE) {
        ecg_answer_error(e, ECG_ERROR_NO_RESULT, frame, wanted);
    }
    ecg_answer_credit(e);
}

// ---- frames in -----------------------------------------------------------------------------------------------------

// Whether a request's payload has the length of its type. SAMPLES depends on the model: on_samples() looks again.
static bool length_fits(const ecg_frame_t *frame)
{
    switch (frame->type) {
    case ECG_TYPE_START: return frame->length == START_BYTES;
    case ECG_TYPE_SAMPLES: return frame->length > SAMPLES_HEADER;
    case ECG_TYPE_END:
    case ECG_TYPE_POLL: return frame->length == INDEX_BYTES;
    default: return frame->length == 0u;
    }
}

static void on_request(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    switch (frame->type) {
    case ECG_TYPE_HELLO: say_hello(e); break;
    case ECG_TYPE_START: on_start(e, frame, payload); break;
    case ECG_TYPE_SAMPLES: on_samples(e, frame, payload); break;
    case ECG_TYPE_END: on_end(e, frame, payload); break;
    case ECG_TYPE_POLL: on_poll(e, frame, payload); break;
    case ECG_TYPE_SELFTEST: on_selftest(e); break;
    default: ecg_answer_stats(e); break;
    }
}

static bool is_request(uint8_t type)
{
    return (type >= ECG_TYPE_HELLO && type <= ECG_TYPE_END) || type == ECG_TYPE_POLL || type == ECG_TYPE_SELFTEST
           || type == ECG_TYPE_STATS;
}

static bool is_answer(uint8_t type)
{
    return type == ECG_TYPE_RESULT || type == ECG_TYPE_CREDIT || type == ECG_TYPE_BEAT || type == ECG_TYPE_LOG
           || type == ECG_TYPE_ERROR;
}

static void on_frame(ecg_edge_t *e, const ecg_frame_t *frame, const uint8_t *payload)
{
    if (frame->version != ECG_FRAME_VERSION) {
        ecg_answer_error(e, ECG_ERROR_BAD_VERSION, frame, frame->version);
    } else if (is_answer(frame->type)) {
        return;                         // an echo of our own: answering it would never end
    } else if (frame->type != ECG_TYPE_HELLO && frame->boot != e->boot) {
        ecg_answer_error(e, ECG_ERROR_STALE_BOOT, frame, frame->boot);
    } else if (!is_request(frame->type)) {
        ecg_answer_error(e, ECG_ERROR_UNSUPPORTED, frame, frame->type);
    } else if (!length_fits(frame)) {
        ecg_answer_error(e, ECG_ERROR_BAD_LENGTH, frame, frame->length);
    } else {
        on_request(e, frame, payload);
    }
}

// Milliseconds since boot, out of a clock that may wrap every 71 minutes.
static void tick(ecg_edge_t *e)
{
    const uint32_t now_us = e->config->now_us(e->config->ctx);
    const uint32_t passed_us = now_us - e->then_us;
    const uint32_t rest_us = e->rest_us + passed_us % 1000u;
    e->uptime_ms += passed_us / 1000u + rest_us / 1000u;
    e->rest_us = (uint16_t)(rest_us % 1000u);
    e->then_us = now_us;
}

void ecg_edge_receive(ecg_edge_t *e, const uint8_t *bytes, size_t n)
{
    ecg_frame_t frame;
    if (e->config == NULL) {
        return;
    }
    tick(e);
    for (size_t i = 0; i < n; i++) {
        e->bytes_in++;
        if (ecg_frame_read(&e->reader, bytes[i], &frame)) {
            on_frame(e, &frame, ecg_frame_payload(&e->reader));
        }
    }
}

// ---- the board's own side ------------------------------------------------------------------------------------------

static ecg_status_t check(const ecg_edge_config_t *config)
{
    if (config == NULL || config->now_us == NULL || config->write == NULL || config->models == NULL
        || config->model_count == 0u || config->model_count > ECG_EDGE_MAX_MODELS) {
        return ECG_STATUS_BAD_ARGUMENT;
    }
    for (uint8_t m = 0; m < config->model_count; m++) {
        const ecg_status_t status = ecg_stream_check(&config->models[m], &config->memory);
        if (status != ECG_OK) {
            return status;
        }
    }
    return ECG_OK;
}

ecg_status_t ecg_edge_init(ecg_edge_t *e, const ecg_edge_config_t *config)
{
    memset(e, 0, sizeof *e);
    const ecg_status_t status = check(config);
    if (status != ECG_OK) {
        return status;
    }
    e->config = config;
    e->boot = config->boot != 0u ? config->boot : 1u;
    e->then_us = config->now_us(config->ctx);
    run_selftest(e);
    say_hello(e);
    return e->selftest.failed == 0u ? ECG_OK : ECG_STATUS_SELFTEST_FAILED;
}

ecg_status_t ecg_edge_live(ecg_edge_t *e, uint8_t model)
{
    if (e->config == NULL || model >= e->config->model_count) {
        return ECG_STATUS_BAD_MODEL;
    }
    if (e->selftest.failed != 0u) {
        return ECG_STATUS_SELFTEST_FAILED;
    }
    start(e, model, ECG_MODE_STREAM, 0u, 0u);
    e->state = ECG_EDGE_LIVE;
    e->samples_itself = true;
    return ECG_OK;
}

// The flags of a frame hold for all its samples, but for the gap, which lies before the first.
static void forward(ecg_edge_t *e, const int16_t *sample_uv, uint8_t flags)
{
    const uint8_t leads = ecg_stream_leads(e->stream.image);
    if (flags != (e->own_flags & (uint8_t)~(unsigned)ECG_SAMPLE_GAP)) {
        ecg_answer_own(e);
    }
    if (e->own_count == 0u) {
        e->own_flags = flags;
    }
    memcpy(e->own_uv + e->own_count, sample_uv, leads * sizeof *sample_uv);
    e->own_count = (uint8_t)(e->own_count + leads);
    e->expected++;
    if (e->own_count + leads > ECG_EDGE_OWN_VALUES) {
        ecg_answer_own(e);
    }
}

static bool has_live_samples(const ecg_edge_t *e)
{
    return e->state == ECG_EDGE_LIVE || e->state == ECG_EDGE_FORWARDING;
}

ecg_status_t ecg_edge_sample(ecg_edge_t *e, const int16_t *sample_uv, uint8_t flags, bool *due)
{
    bool fell_due = false;
    if (due != NULL) {
        *due = false;
    }
    if (!has_live_samples(e)) {
        return ECG_STATUS_NOT_STARTED;
    }
    tick(e);
    const uint8_t all = (uint8_t)(e->gap_owed ? flags | ECG_SAMPLE_GAP : flags);
    e->gap_owed = false;
    if (e->state == ECG_EDGE_FORWARDING) {
        forward(e, sample_uv, all);
        return ECG_OK;
    }
    const ecg_status_t status = ecg_stream_push(&e->stream, sample_uv, all, &fell_due);
    e->expected++;
    if (after_step(e, NULL, status, fell_due) && due != NULL) {
        *due = fell_due;
    }
    return status;
}

void ecg_edge_lost(ecg_edge_t *e, uint32_t n)
{
    if (e->config == NULL || !has_live_samples(e) || n == 0u) {
        return;
    }
    e->overruns += n;
    e->gap_owed = true;
    if (e->state == ECG_EDGE_FORWARDING) {
        ecg_answer_own(e);
        e->expected += n;               // lost to a model, but not to who counts: the host sees how many by the index
    }
    ecg_answer_error(e, ECG_ERROR_OVERRUN, NULL, n);
}

const ecg_result_t *ecg_edge_result(const ecg_edge_t *e)
{
    const ecg_kept_result_t *const kept = &e->kept[(e->kept_at + ECG_EDGE_KEPT_RESULTS - 1u) % ECG_EDGE_KEPT_RESULTS];
    return kept->used ? &kept->result : NULL;
}
