#include "page.h"

#include <string.h>

#include "require.h"
#include "straight.h"

#define NO_FAILURE 255u
#define KEPT 4u

page_answers_t page_answers;
page_counts_t page_counts;
uint8_t page_failed;
uint32_t page_last_result, page_last_index;
uint32_t page_expected;
uint8_t page_leads = 1u;

static enum { NOTHING_RUNS, RUNS, HAS_ENDED, IS_LIVE, FORWARDS } state;
static uint16_t own_boot;
static uint8_t model;
static bool isolated, gap_owed, was_live;
static int16_t waiting[24];             // own samples, up to page_expected
static size_t waiting_count;
static uint8_t waiting_flags;
static uint32_t first;
static uint16_t given;                  // since START
static page_frame_t kept[KEPT];         // RESULTs and BEATs, the oldest first
static size_t kept_count, given_by_end;

static uint8_t trouble_of_board, models_failed;
static ecg_status_t selftest_status;
static ecg_result_t last;               // verdict

static bool takes_beats(void)
{
    return model == IMAGE_BEATS;
}

// ---- answers -------------------------------------------------------------------------------------------------------

static uint8_t *answer(uint8_t type, uint16_t length)
{
    page_frame_t *const f = &page_answers.frames[page_answers.count++];
    memset(f, 0, sizeof *f);
    f->type = type;
    f->length = length;
    return f->payload;
}

static void put(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

static void error(uint8_t code, const ecg_frame_t *cause, uint32_t detail)
{
    uint8_t *const p = answer(ECG_TYPE_ERROR, 8u);
    p[0] = code;
    p[1] = cause != NULL ? cause->type : 0u;
    p[2] = cause != NULL ? (uint8_t)cause->seq : 0u;
    p[3] = cause != NULL ? (uint8_t)(cause->seq >> 8) : 0u;
    put(p + 4, detail);
}

static uint32_t still_needed(void)
{
    return image_models[model].model->window - (page_expected - first);
}

static void credit(void)
{
    uint32_t room = state == RUNS ? PAGE_CREDIT / page_leads : 0u;
    if (state == RUNS && isolated && still_needed() < room) {
        room = still_needed();
    }
    uint8_t *const p = answer(ECG_TYPE_CREDIT, 8u);
    put(p, page_expected);
    p[4] = (uint8_t)room;
    p[5] = (uint8_t)(room >> 8);
    if (takes_beats()) {
        p[6] = (uint8_t)given;
        p[7] = (uint8_t)(given >> 8);
    }
}

static void result(void)
{
    const ecg_result_t *const r = &last;
    const bool beat = takes_beats();
    const uint16_t header = beat ? 24u : 16u;
    uint8_t *const p = answer(beat ? ECG_TYPE_BEAT : ECG_TYPE_RESULT, (uint16_t)(header + r->classes));
    p[0] = model;
    p[1] = r->classes;
    p[2] = r->verdict;
    p[3] = r->state;
    if (beat) {
        require(r->number == given);
        put(p + 4, r->number);
        p[12] = (uint8_t)r->rr;
        p[13] = (uint8_t)(r->rr >> 8);
    }
    put(p + (beat ? 8 : 4), r->last_index);
    put(p + header - 8, r->prepare_us);
    put(p + header - 4, r->inference_us);
    memcpy(p + header, r->scores, r->classes);
    if (kept_count == KEPT) {
        memmove(kept, kept + 1, (KEPT - 1u) * sizeof kept[0]);
        kept_count--;
    }
    kept[kept_count++] = page_answers.frames[page_answers.count - 1u];
    page_last_result = beat ? r->number : r->last_index;
    page_last_index = r->last_index;
    page_counts.results++;
    given++;
}

static void again(const page_frame_t *f)
{
    memcpy(answer(f->type, f->length), f->payload, f->length);
}

// ---- the stream ----------------------------------------------------------------------------------------------------

static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

// What POLL calls it.
static uint32_t name_of(const page_frame_t *f)
{
    return ecg_get_u32(f->payload + 4);
}

static void begin(uint8_t m, bool window_mode, uint32_t from, uint32_t skip)
{
    size_t left = 0u;
    for (size_t k = 0; k < kept_count; k++) {
        if (kept[k].type == ECG_TYPE_RESULT && before(name_of(&kept[k]), from)) {
            kept[left++] = kept[k];
        }
    }
    kept_count = left;
    given_by_end = 0u;
    given = 0u;
    model = m;
    isolated = window_mode;
    page_leads = takes_beats() ? 1u : image_models[m].model->leads;
    first = from;
    page_expected = from;
    gap_owed = false;
    waiting_count = 0u;
    straight_begin(m, from, skip);
}

// After a sample, or a held one. Returns whether the engine lives.
static bool went(ecg_status_t status, bool due, const ecg_frame_t *cause)
{
    if (status != ECG_OK) {
        state = NOTHING_RUNS;
        error(ECG_ERROR_ENGINE, cause, (uint32_t)-(int32_t)status);
    } else if (due) {
        result();
    }
    return status == ECG_OK;
}

static void on_start(const ecg_frame_t *f, const uint8_t *p)
{
    if (page_failed != 0u) {
        error(ECG_ERROR_SELFTEST_FAILED, f, page_failed);
    } else if (p[0] >= IMAGE_MODELS) {
        error(ECG_ERROR_BAD_MODEL, f, IMAGE_MODELS);
    } else if (p[0] == IMAGE_BEATS && (p[1] == 0u || ecg_get_u32(p + 8) != 0u)) {
        error(ECG_ERROR_BAD_MODE, f, p[1]);
    } else if (p[1] > 2u || (p[1] != 1u && ecg_get_u32(p + 8) != 0u) || (p[1] == 2u && !was_live)) {
        error(ECG_ERROR_BAD_MODE, f, p[1]);
    } else {
        begin(p[0], p[1] == 0u, ecg_get_u32(p + 4), ecg_get_u32(p + 8));
        state = p[1] == 2u ? FORWARDS : RUNS;
        credit();
    }
}

static bool take(const ecg_frame_t *f, const uint8_t *samples, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++) {
        int16_t uv[ECG_MAX_LEADS];
        for (uint32_t l = 0; l < page_leads; l++) {
            uv[l] = (int16_t)ecg_get_u16(samples + 2u * (i * page_leads + l));
        }
        bool due = false;
        const uint8_t flags = i == 0u ? f->flags : f->flags & (uint8_t)~1u;
        const ecg_status_t status = straight_push(uv, flags, &last, &due);
        page_expected++;
        if (!went(status, due, f)) {
            return false;
        }
    }
    return true;
}

static void on_samples(const ecg_frame_t *f, const uint8_t *p)
{
    const uint32_t bytes = f->length - 4u, a_sample = 2u * page_leads, index = ecg_get_u32(p);
    if (state != RUNS && state != HAS_ENDED) {
        error(ECG_ERROR_NOT_STARTED, f, page_expected);
        return;
    }
    if (bytes % a_sample != 0u) {
        error(ECG_ERROR_BAD_LENGTH, f, f->length);
        return;
    }
    const uint32_t count = bytes / a_sample, end = index + count;
    const bool ahead = before(page_expected, index), news = before(page_expected, end);
    if (state == HAS_ENDED && (ahead || news)) {
        error(ECG_ERROR_NOT_STARTED, f, page_expected);
    } else if (ahead) {
        page_counts.gaps++;
        error(ECG_ERROR_INDEX_GAP, f, page_expected);
    } else if (news && isolated && end - page_expected > still_needed()) {
        error(ECG_ERROR_BAD_LENGTH, f, f->length);
    } else {
        const uint32_t known = page_expected - index;
        page_counts.duplicates += known != 0u;
        if (!news || take(f, p + 4, known, count)) {
            credit();
        }
    }
}

static void on_end(const ecg_frame_t *f, const uint8_t *p)
{
    const uint32_t index = ecg_get_u32(p);
    const bool ahead = before(page_expected, index);
    if (state != RUNS && (state != HAS_ENDED || ahead)) {
        error(ECG_ERROR_NOT_STARTED, f, page_expected);
    } else if (ahead) {
        page_counts.gaps++;
        error(ECG_ERROR_INDEX_GAP, f, page_expected);
    } else if (index != page_expected) {
        page_counts.duplicates++;
        credit();
    } else if (state == HAS_ENDED) {
        page_counts.duplicates++;
        for (size_t k = kept_count - given_by_end; k < kept_count; k++) {
            again(&kept[k]);
        }
        credit();
    } else if (isolated && still_needed() != 0u) {
        error(ECG_ERROR_INCOMPLETE, f, page_expected);
    } else {
        const uint32_t had = page_counts.results;
        for (uint32_t held = straight_holds(model); held > 0u; held--) {
            bool due = false;
            const ecg_status_t status = straight_hold(&last, &due);
            if (!went(status, due, f)) {
                return;
            }
        }
        given_by_end = page_counts.results - had < KEPT ? page_counts.results - had : KEPT;
        state = HAS_ENDED;
        credit();
    }
}

static void on_poll(const ecg_frame_t *f, const uint8_t *p)
{
    const uint32_t wanted = ecg_get_u32(p);
    const page_frame_t *found = NULL;
    for (size_t k = 0; k < kept_count; k++) {
        const bool ours = (kept[k].type == ECG_TYPE_BEAT) == takes_beats();
        found = ours && name_of(&kept[k]) == wanted ? &kept[k] : found;
    }
    if (wanted != UINT32_MAX && found != NULL) {
        again(found);
    } else if (wanted != UINT32_MAX) {
        error(ECG_ERROR_NO_RESULT, f, wanted);
    }
    credit();
}

// ---- the board -----------------------------------------------------------------------------------------------------

// Every vector fails where engines do; a wrong answer is the first vector's.
static void run_selftest(void)
{
    const bool dead = image_engine != ECG_OK, wrong = trouble_of_board == IMAGE_WRONG_ANSWER;
    state = NOTHING_RUNS;
    page_failed = dead ? image_vectors : wrong ? 1u : 0u;
    models_failed = dead ? 3u : wrong ? 1u : 0u;
    selftest_status = dead ? image_engine : wrong ? ECG_STATUS_SELFTEST_FAILED : ECG_OK;
}

static void on_selftest(void)
{
    const size_t classes = image_models[0].model->classes;
    run_selftest();
    uint8_t *const said = answer(ECG_TYPE_SELFTEST, (uint16_t)(4u + (page_failed != 0u ? 2u * classes : 0u)));
    said[0] = (uint8_t)(page_failed == 0u);
    said[1] = image_vectors;
    said[2] = (uint8_t)(page_failed != 0u ? 0u : NO_FAILURE);
    if (page_failed != 0u) {
        memcpy(said + 4, image_models[0].selftests[0].scores, classes);
    }
    if (page_failed != 0u && image_engine == ECG_OK) {
        memcpy(said + 4 + classes, image_right, classes);
    }
}

static void put_text(uint8_t *at, const char *text)
{
    const size_t n = strlen(text);
    memcpy(at, text, n < 24u ? n : 24u);
}

// As config.arena_used() says it: asked after a model's self-test, so not of one without.
static void hello(uint8_t m)
{
    const ecg_image_model_t *const image = &image_models[m];
    const ecg_model_t *const held = image->model;
    const uint8_t leads = m == IMAGE_BEATS ? 1u : held->leads;
    const uint32_t delay = straight_delay(m), room = PAGE_CREDIT / leads;
    const uint32_t shorts[6] = {room, held->fs_hz, held->window, held->hop, delay, delay + image->prepare.flat_samples};
    uint8_t *const p = answer(ECG_TYPE_HELLO, 152u);
    const uint8_t head[8] = {1u, m, IMAGE_MODELS, PAGE_ENGINE, ECG_EDGE_VERSION_MAJOR, ECG_EDGE_VERSION_MINOR, ECG_EDGE_VERSION_PATCH,
                             (uint8_t)(image->selftest_count == 0u ? 0u : ((unsigned)models_failed >> m & 1u) != 0u ? 2u : 1u)};
    memcpy(p, head, sizeof head);
    for (size_t i = 0; i < 6u; i++) {
        p[8u + 2u * i] = (uint8_t)shorts[i];
        p[9u + 2u * i] = (uint8_t)(shorts[i] >> 8);
    }
    p[20] = leads;
    p[21] = held->classes;
    p[22] = (uint8_t)(held->push != NULL);
    p[23] = (uint8_t)(m == IMAGE_BEATS);
    memcpy(p + 24, &image->input_scale, 4u);            // this host is little-endian
    put(p + 28, (uint32_t)image->input_zero);
    memcpy(p + 32, &image->output_scale, 4u);
    put(p + 36, (uint32_t)image->output_zero);
    put(p + 40, (uint32_t)held->scratch_bytes);
    put(p + 44, image->selftest_count != 0u ? PAGE_ARENA + m : 0u);
    memcpy(p + 48, held->sha256, 32u);
    put_text(p + 80, PAGE_BOARD);
    put_text(p + 104, held->name);
    put_text(p + 128, ECG_ENGINE_VERSION);
}

static void hellos(void)
{
    for (uint8_t m = 0; m < IMAGE_MODELS; m++) {
        hello(m);
    }
    if (selftest_status == ECG_STATUS_NO_MEMORY) {
        page_log(ECG_LOG_ERROR, "self-test: the engine has too little memory");
    } else if (selftest_status == ECG_STATUS_ENGINE) {
        page_log(ECG_LOG_ERROR, "self-test: the engine failed");
    }
}

// ---- frames --------------------------------------------------------------------------------------------------------

// The payload that a type must have; -1: SAMPLES, which look for themselves; -2: no request.
static int length_of(uint8_t type)
{
    static const int8_t lengths[14] = {-2, -2, 12, -1, 4, -2, -2, 4, -2, -2, 0, 0, -2, -2};
    return type < sizeof lengths ? lengths[type] : -2;
}

void page_boot(uint16_t boot, uint8_t trouble)
{
    trouble_of_board = trouble;
    own_boot = boot != 0u ? boot : 1u;
    state = NOTHING_RUNS;
    was_live = false;
    kept_count = 0u;
    given = 0u;
    model = 0u;
    page_last_result = 0u;
    page_expected = 0u;
    page_answers.count = 0u;
    memset(&page_counts, 0, sizeof page_counts);
    run_selftest();
    hellos();
}

void page_frame(const ecg_frame_t *f, const uint8_t *p)
{
    const int length = length_of(f->type);
    if (f->version != 1u) {
        error(ECG_ERROR_BAD_VERSION, f, f->version);
    } else if (f->type == ECG_TYPE_RESULT || f->type == ECG_TYPE_CREDIT || f->type == ECG_TYPE_BEAT || f->type == ECG_TYPE_LOG
               || f->type == ECG_TYPE_ERROR) {
        return;
    } else if (f->type == ECG_TYPE_HELLO && f->length != 0u) {
        error(ECG_ERROR_BAD_LENGTH, f, f->length);
    } else if (f->type == ECG_TYPE_HELLO) {
        hellos();
    } else if (f->boot != own_boot) {
        error(ECG_ERROR_STALE_BOOT, f, f->boot);
    } else if (length == -2) {
        error(ECG_ERROR_UNSUPPORTED, f, f->type);
    } else if (length == -1 ? f->length <= 4u : f->length != length) {
        error(ECG_ERROR_BAD_LENGTH, f, f->length);
    } else if (f->type == ECG_TYPE_START) {
        on_start(f, p);
    } else if (f->type == ECG_TYPE_SAMPLES) {
        on_samples(f, p);
    } else if (f->type == ECG_TYPE_END) {
        on_end(f, p);
    } else if (f->type == ECG_TYPE_POLL) {
        on_poll(f, p);
    } else if (f->type == ECG_TYPE_SELFTEST) {
        on_selftest();
    } else {
        (void)answer(ECG_TYPE_STATS, 48u);
    }
}

ecg_status_t page_live(uint8_t m)
{
    if (m >= IMAGE_MODELS) {
        return ECG_STATUS_BAD_MODEL;
    }
    if (page_failed != 0u) {
        return ECG_STATUS_SELFTEST_FAILED;
    }
    begin(m, false, 0u, 0u);
    state = IS_LIVE;
    was_live = true;
    return ECG_OK;
}

bool page_samples_itself(void)
{
    return state == IS_LIVE || state == FORWARDS;
}

bool page_result_due(void)
{
    bool due = false;
    for (size_t i = 0; i < page_answers.count; i++) {
        const uint8_t type = page_answers.frames[i].type;
        due = due || type == ECG_TYPE_RESULT || type == ECG_TYPE_BEAT;
    }
    return due;
}

static void flush_waiting(void)
{
    if (waiting_count == 0u) {
        return;
    }
    uint8_t *const p = answer(ECG_TYPE_SAMPLES, (uint16_t)(4u + 2u * waiting_count));
    page_answers.frames[page_answers.count - 1u].flags = waiting_flags;
    put(p, page_expected - (uint32_t)(waiting_count / page_leads));
    for (size_t i = 0; i < waiting_count; i++) {
        p[4u + 2u * i] = (uint8_t)(uint16_t)waiting[i];
        p[5u + 2u * i] = (uint8_t)((uint16_t)waiting[i] >> 8);
    }
    waiting_count = 0u;
}

// A frame ends where the flags change, before a gap, and when no other sample has room.
static void forward(const int16_t *sample_uv, uint8_t flags)
{
    if (waiting_count != 0u && (flags & 6u) != (waiting_flags & 6u)) {
        flush_waiting();
    }
    if (waiting_count != 0u && (flags & 1u) != 0u) {
        flush_waiting();
    }
    waiting_flags = waiting_count == 0u ? flags : waiting_flags;
    for (uint32_t l = 0; l < page_leads; l++) {
        waiting[waiting_count++] = sample_uv[l];
    }
    page_expected++;
    if (24u - waiting_count < page_leads) {
        flush_waiting();
    }
}

ecg_status_t page_sample(const int16_t *sample_uv, uint8_t flags)
{
    bool due = false;
    if (!page_samples_itself()) {
        return ECG_STATUS_NOT_STARTED;
    }
    if (state == FORWARDS) {
        forward(sample_uv, gap_owed ? flags | 1u : flags);
        gap_owed = false;
        return ECG_OK;
    }
    const ecg_status_t status = straight_push(sample_uv, gap_owed ? flags | 1u : flags, &last, &due);
    gap_owed = false;
    page_expected++;
    (void)went(status, due, NULL);
    return status;
}

void page_lost(uint32_t n)
{
    if (page_samples_itself() && n != 0u) {
        page_counts.overruns += n;
        gap_owed = true;
        if (state == FORWARDS) {
            flush_waiting();
            page_expected += n;
        }
        error(ECG_ERROR_OVERRUN, NULL, n);
    }
}

void page_log(uint8_t level, const char *text)
{
    size_t n = strlen(text);
    n = n < ECG_FRAME_PAYLOAD_MAX - 1u ? n : ECG_FRAME_PAYLOAD_MAX - 1u;
    uint8_t *const p = answer(ECG_TYPE_LOG, (uint16_t)(1u + n));
    p[0] = level;
    memcpy(p + 1, text, n);
}
