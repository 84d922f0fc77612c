// A conversation with ecg_edge.c, drawn from the input: frames with a right CRC, garbage, resets, a clock, live samples, engines
// that fail. Every answer must be what page.c says, framed right, of this boot, numbered without a gap, and HELLO is answered
// at the end.
#include <string.h>

#include "page.h"
#include "require.h"
#include "straight.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_STEPS 400u
#define MOST_OUT 65536u
#define LONGEST_FRAME 126u              // samples

static ecg_edge_t edge;
static ecg_edge_config_t config;
static struct {                         // with room around each that must stay as it is
    uint8_t guard0[16];
    uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
    uint8_t guard1[16];
    int8_t window[ECG_WINDOW_BYTES];
    uint8_t guard2[16];
    ecg_prepare_lead_t leads[ECG_MAX_LEADS];
    uint8_t guard3[16];
    ecg_beats_t beats;
    uint8_t guard4[16];
} memory __attribute__((aligned(16)));
static uint8_t out[MOST_OUT];
static size_t out_size;
static uint32_t clock_us, ticked_us;
static uint64_t passed_us;

static ecg_frame_reader_t board_in;     // what the board must make of our bytes
static ecg_frame_reader_t host_in;
static uint16_t seq_in, seq_out, boot;
static uint32_t frames_out, bytes_in, bytes_out;

static const int16_t crooked[ECG_PREPARE_MAX_TAPS] = {1, 2, 3, 4, 5};    // a filter that is not symmetric

static const uint8_t *input;
static size_t input_left;

static uint8_t draw(void)
{
    if (input_left == 0u) {
        return 0u;
    }
    input_left--;
    return *input++;
}

static uint32_t now_us(void *ctx)
{
    (void)ctx;
    clock_us += straight_step_us;
    return clock_us;
}

static uint32_t arena_used(void *ctx, uint8_t model)
{
    (void)ctx;
    return PAGE_ARENA + model;
}

static void write_out(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    require(n <= ECG_FRAME_WIRE_MAX && out_size + n <= MOST_OUT);
    memcpy(out + out_size, bytes, n);
    out_size += n;
}

// ---- what it said --------------------------------------------------------------------------------------------------

static void check_stats(const uint8_t *p)
{
    const ecg_frame_counts_t *const in = &board_in.counts;
    const uint32_t wanted[12] = {in->frames, frames_out, in->crc_errors, in->cobs_errors, in->length_errors, page_counts.gaps,
                                 page_counts.duplicates, page_counts.overruns, page_counts.results, bytes_in, bytes_out,
                                 (uint32_t)(passed_us / 1000u)};
    for (size_t i = 0; i < 12u; i++) {
        require(ecg_get_u32(p + 4u * i) == wanted[i]);
    }
}

static void check_payload(const ecg_frame_t *got, const uint8_t *p, const page_frame_t *wanted)
{
    require(got->type == wanted->type && got->length == wanted->length);
    if (got->type == ECG_TYPE_STATS) {
        check_stats(p);
    } else {
        require(memcmp(p, wanted->payload, got->length) == 0);
    }
}

static void check_guard(const uint8_t *guard)
{
    static const uint8_t untouched[sizeof memory.guard0] = {
        0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u, 0xA5u,
    };
    require(memcmp(guard, untouched, sizeof untouched) == 0);
}

// Every answer to the last call, in order, and nothing else.
static void check_answers(void)
{
    size_t n = 0u, begin = 0u;
    for (size_t i = 0; i < out_size; i++) {
        ecg_frame_t got;
        const bool valid = ecg_frame_read(&host_in, out[i], &got);
        require(valid == (out[i] == 0u));
        if (!valid) {
            continue;
        }
        require(n < page_answers.count && got.version == 1u && got.boot == boot && got.seq == seq_in);
        require(got.flags == page_answers.frames[n].flags);
        check_payload(&got, ecg_frame_payload(&host_in), &page_answers.frames[n]);
        seq_in++;
        n++;
        frames_out++;
        bytes_out += (uint32_t)(i + 1u - begin);
        begin = i + 1u;
    }
    require(n == page_answers.count);
    out_size = 0u;
    page_answers.count = 0u;
    check_guard(memory.guard0);
    check_guard(memory.guard1);
    check_guard(memory.guard2);
    check_guard(memory.guard3);
    check_guard(memory.guard4);
}

// ---- what is done to it --------------------------------------------------------------------------------------------

static void start_up(uint16_t nonce, uint8_t trouble)
{
    memset(&edge, 0xA5, sizeof edge);
    memset(&memory, 0xA5, sizeof memory);
    memset(&board_in, 0, sizeof board_in);
    memset(&host_in, 0, sizeof host_in);
    boot = nonce != 0u ? nonce : 1u;
    seq_in = 0u;
    frames_out = bytes_in = bytes_out = 0u;
    passed_us = 0u;
    ticked_us = clock_us + straight_step_us;
    config.boot = nonce;
    image_boot(trouble);
    page_boot(nonce, trouble);
    require(ecg_edge_init(&edge, &config) == (page_failed != 0u ? ECG_STATUS_SELFTEST_FAILED : ECG_OK));
    check_answers();
}

// What the core does first in each call.
static void tick(void)
{
    const uint32_t now = clock_us + straight_step_us;
    passed_us += now - ticked_us;
    ticked_us = now;
}

static void receive(const uint8_t *bytes, size_t n)
{
    tick();
    bytes_in += (uint32_t)n;
    ecg_edge_receive(&edge, bytes, n);
    check_answers();
}

// In pieces of one byte, or as long as no frame ends: STATS counts what came before its own answer.
static void send(const uint8_t *bytes, size_t n, bool by_bytes)
{
    size_t begin = 0u;
    for (size_t i = 0; i < n; i++) {
        ecg_frame_t frame;
        const bool valid = ecg_frame_read(&board_in, bytes[i], &frame);
        if (valid) {
            page_frame(&frame, ecg_frame_payload(&board_in));
        }
        if (valid || by_bytes || i + 1u == n) {
            receive(bytes + begin, i + 1u - begin);
            begin = i + 1u;
        }
    }
}

static void send_garbage(void)
{
    uint8_t bytes[64];
    const uint8_t how = draw();
    const size_t n = how % sizeof bytes;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = draw();
    }
    send(bytes, n, how >= 128u);
}

// An index near the one that the board waits for, or any.
static uint32_t draw_index(void)
{
    const uint8_t how = draw();
    if (how == 0xFFu) {
        const uint32_t low = draw();
        const uint32_t high = draw();
        return low | high << 24;
    }
    if (how >= 0x70u && how < 0x78u) {
        return page_last_result - 4u * (how - 0x70u);
    }
    if (how >= 0x78u && how < 0x7Cu) {
        return page_last_result - (how - 0x78u);
    }
    return page_expected + how - (how < 0x80u ? 0u : 0x100u);
}

static int16_t draw_sample(void)
{
    const uint8_t byte = draw();
    return byte == 0x80u ? INT16_MIN : byte == 0x7Fu ? INT16_MAX : (int16_t)((int8_t)byte * 50);
}

// Many samples of few bytes of input: a level, a ramp or noise, or each by itself.
static size_t draw_samples(uint8_t *p)
{
    const uint8_t how = draw();
    const uint8_t kind = draw();
    const size_t count = (how % (LONGEST_FRAME + 1u)) / page_leads;
    const int16_t seed = kind % 4u != 0u ? draw_sample() : (int16_t)0;
    uint8_t *at = ecg_put_u32(p, kind >= 160u ? draw_index() : page_expected);
    uint32_t noise = (uint16_t)seed;
    for (size_t i = 0; i < count * page_leads; i++) {
        noise = noise * 1664525u + 1013904223u;
        const int32_t ramp = seed + (int32_t)i * (seed > 0 ? -37 : 37);
        const int16_t values[4] = {kind % 4u == 0u ? draw_sample() : (int16_t)0, seed,
                                   (int16_t)(ramp > INT16_MAX ? INT16_MAX : ramp < INT16_MIN ? INT16_MIN : ramp),
                                   (int16_t)((int32_t)(noise >> 18) - 8192)};
        at = ecg_put_u16(at, (uint16_t)values[kind % 4u]);
    }
    return (size_t)(at - p);
}

static size_t draw_payload(uint8_t type, uint8_t *p)
{
    switch (type) {
    case ECG_TYPE_START: {
        const uint8_t which = draw();
        p[0] = which >= 240u && which < 248u ? IMAGE_MODELS : which % IMAGE_MODELS;
        p[1] = which >= 248u ? 3u : which / 8u % 3u;
        p[2] = p[3] = 0u;
        uint8_t *const skip = ecg_put_u32(p + 4, draw_index());         // one draw a line: C leaves the order within one open
        (void)ecg_put_u32(skip, which >= 128u ? draw() % 64u : 0u);
        return 12u;
    }
    case ECG_TYPE_SAMPLES: return draw_samples(p);
    case ECG_TYPE_END:
    case ECG_TYPE_POLL: (void)ecg_put_u32(p, draw_index()); return 4u;
    default: return 0u;
    }
}

static void send_frame(void)
{
    uint8_t wire[ECG_FRAME_WIRE_MAX];
    uint8_t *const p = wire + ECG_FRAME_PAYLOAD_AT;
    const uint8_t type = draw() % 15u;
    const uint8_t odd = draw();
    memset(wire, 0, sizeof wire);
    size_t length = draw_payload(type, p);
    if (odd == 0xFEu) {                 // a length that its type does not have
        length = draw();
    }
    ecg_frame_t frame = {1u, type, (uint8_t)(odd & 7u), boot, seq_out++, (uint16_t)length};
    frame.version = odd == 0xFDu ? 2u : 1u;
    frame.boot = odd == 0xFCu ? (uint16_t)(boot + 1u) : boot;
    const size_t n = ecg_frame_encode(&frame, wire);
    const uint8_t zero = 0u;
    const bool by_bytes = (odd & 0x48u) == 0x48u;
    send(&zero, 1u, by_bytes);          // ends what garbage began
    send(wire, n, by_bytes);
    if (odd == 0xFBu) {
        send(wire, n, by_bytes);        // the line doubled it
    }
}

static void sample_live(void)
{
    int16_t uv[ECG_MAX_LEADS];
    for (size_t l = 0; l < ECG_MAX_LEADS; l++) {
        uv[l] = draw_sample();
    }
    const uint8_t flags = draw() & 7u;
    bool due = true;
    if (page_samples_itself()) {
        tick();
    }
    const ecg_status_t wanted = page_sample(uv, flags);
    require(ecg_edge_sample(&edge, uv, flags, &due) == wanted);
    require(due == (wanted == ECG_OK && page_result_due()));
    require(!due || ecg_edge_result(&edge)->last_index == page_last_index);
    check_answers();
}

static void live(void)
{
    const uint8_t how = draw();
    if (how < 32u) {
        const uint8_t which = how == 31u ? IMAGE_MODELS : how % IMAGE_MODELS;
        const ecg_status_t wanted = page_live(which);
        require(ecg_edge_live(&edge, which) == wanted);
    } else if (how < 44u) {
        page_lost(how - 32u);
        ecg_edge_lost(&edge, how - 32u);
    } else if (how < 48u) {
        char text[300] = {0};
        memset(text, 'x', how == 47u ? sizeof text - 1u : how - 44u);
        page_log(how & 3u, text);
        ecg_edge_log(&edge, how & 3u, text);
    } else {
        for (size_t i = 0; i < how % 24u; i++) {
            sample_live();
        }
    }
    check_answers();
}

static void configure(void)
{
    const ecg_memory_t given = {memory.scratch, sizeof memory.scratch, memory.window, sizeof memory.window, memory.leads, ECG_MAX_LEADS,
                                &memory.beats};
    memset(&config, 0, sizeof config);
    config.now_us = now_us;
    config.write = write_out;
    config.arena_used = arena_used;
    config.models = image_models;
    config.model_count = IMAGE_MODELS;
    config.engine = PAGE_ENGINE;
    config.engine_version = ECG_ENGINE_VERSION;
    config.board = PAGE_BOARD;
    config.credit_samples = PAGE_CREDIT;
    config.memory = given;
}

// A board that is built wrong: the core says so, and stays deaf and mute.
static void misconfigure(void)
{
    const uint8_t how = draw() % 11u;
    const ecg_edge_config_t good = config;
    ecg_image_model_t *const odd = &image_models[1];
    static const ecg_status_t wanted[11] = {
        ECG_STATUS_BAD_ARGUMENT, ECG_STATUS_BAD_ARGUMENT, ECG_STATUS_BAD_ARGUMENT, ECG_STATUS_NO_MEMORY, ECG_STATUS_NO_MEMORY,
        ECG_STATUS_BAD_PREPARE, ECG_STATUS_BAD_PREPARE, ECG_STATUS_BAD_ARGUMENT, ECG_STATUS_BAD_MODEL,
        ECG_STATUS_NO_MEMORY, ECG_STATUS_BAD_PREPARE,
    };
    config.model_count = how == 0u ? 0u : how == 1u ? ECG_EDGE_MAX_MODELS + 1u : config.model_count;
    config.write = how == 2u ? NULL : config.write;
    config.memory.scratch_bytes = how == 3u ? 8u : config.memory.scratch_bytes;
    config.memory.lead_count = how == 4u ? 0u : config.memory.lead_count;
    odd->prepare.taps = how == 5u ? 4u : odd->prepare.taps;
    odd->prepare.fir = how == 6u ? crooked : odd->prepare.fir;
    config.memory.scratch += how == 7u ? 1 : 0;
    odd->model = how == 8u ? NULL : odd->model;
    config.memory.beats = how == 9u ? NULL : config.memory.beats;
    image_models[IMAGE_BEATS].prepare.average_log2 = how == 10u ? 4u : image_models[IMAGE_BEATS].prepare.average_log2;
    require(ecg_edge_init(&edge, &config) == wanted[how]);
    ecg_edge_receive(&edge, input, input_left);
    ecg_edge_log(&edge, ECG_LOG_INFO, "nobody hears this");
    require(ecg_edge_live(&edge, 0u) == ECG_STATUS_BAD_MODEL && out_size == 0u);
    config = good;
    start_up(boot, IMAGE_SOUND);
}

static void step(void)
{
    static const ecg_status_t engines[4] = {ECG_OK, ECG_STATUS_ENGINE, ECG_OK, ECG_STATUS_NO_MEMORY};
    const uint8_t what = draw();
    if (what < 200u) {
        send_frame();
    } else if (what < 218u) {
        send_garbage();
    } else if (what < 233u) {
        live();
    } else if (what < 243u) {
        const uint32_t us = draw();
        clock_us += us << (draw() % 24u);
    } else if (what < 246u) {
        straight_step_us = draw();
    } else if (what < 250u) {
        image_engine = engines[what - 246u];
    } else {
        const uint8_t nonce = draw();
        if (nonce == 0xFFu) {
            misconfigure();
            return;
        }
        start_up((uint16_t)(nonce * 257u), nonce % 16u < 12u ? IMAGE_SOUND : nonce % IMAGE_TROUBLES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    clock_us = 0u;
    straight_step_us = 0u;
    seq_out = 0u;
    configure();
    start_up(0x1234u, IMAGE_SOUND);
    for (size_t steps = 0; steps < MOST_STEPS && input_left != 0u && straight_room() > 2u * LONGEST_FRAME; steps++) {
        step();
    }
    const uint8_t zero = 0u;
    uint8_t wire[ECG_FRAME_WIRE_MAX];
    const ecg_frame_t frame = {1u, ECG_TYPE_HELLO, 0u, 0u, seq_out, 0u};
    send(&zero, 1u, false);
    send(wire, ecg_frame_encode(&frame, wire), false);
    return 0;
}
