// A conversation with ecg_edge.c, drawn from the input: frames with a right CRC, garbage, resets, a clock, live samples. Every
// answer must be what page.c says, framed right, of this boot, numbered without a gap, and HELLO is answered at the end.
#include <stdlib.h>
#include <string.h>

#include "ecg_models.h"
#include "page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_STEPS 400u
#define MOST_OUT 65536u
#define STATS_BYTES_IN 36u              // offsets in STATS
#define STATS_BYTES_OUT 40u
#define STATS_UPTIME 44u

static ecg_edge_t edge;
static ecg_edge_config_t config;
static struct {                         // with room on both sides that must stay as it is
    uint8_t low[16];
    uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
    int8_t window[ECG_WINDOW_BYTES];
    uint8_t high[16];
} memory __attribute__((aligned(16)));
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static uint8_t out[MOST_OUT];
static size_t out_size;
static uint32_t clock_us, booted_us;
static uint64_t passed_us;

static ecg_frame_reader_t board_in;     // what the board must make of our bytes
static ecg_frame_reader_t host_in;
static uint16_t seq_in, seq_out, boot;
static uint32_t frames_out, bytes_in, bytes_out;
static uint8_t hellos[2][152];
static bool booting;

static const uint8_t *input;
static size_t input_left;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

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
    return clock_us;
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

static void check_hello(const uint8_t *p, uint8_t m)
{
    if (booting) {
        memcpy(hellos[m], p, sizeof hellos[m]);
        require(p[0] == 1u && p[1] == m && p[2] == ecg_models_count);
        require(p[7] == (m != 0u ? 0u : page_failed ? 2u : 1u));
        require(ecg_get_u16(p + 12) == ecg_models[m].model->window && p[20] == ecg_models[m].model->leads);
    }
    require(memcmp(hellos[m], p, sizeof hellos[m]) == 0);
}

static void check_payload(const ecg_frame_t *got, const uint8_t *p, const page_frame_t *wanted, uint8_t hello)
{
    require(got->type == wanted->type && got->length == wanted->length);
    if (got->type == ECG_TYPE_HELLO) {
        check_hello(p, hello);
    } else if (got->type == ECG_TYPE_STATS) {
        check_stats(p);
    } else {
        require(memcmp(p, wanted->payload, got->length) == 0);
    }
}

// Every answer to the last call, in order, and nothing else.
static void check_answers(void)
{
    size_t n = 0u, begin = 0u;
    uint8_t hello = 0u;
    for (size_t i = 0; i < out_size; i++) {
        ecg_frame_t got;
        const bool valid = ecg_frame_read(&host_in, out[i], &got);
        require(valid == (out[i] == 0u));
        if (!valid) {
            continue;
        }
        require(n < page_answers.count && got.version == 1u && got.flags == 0u && got.boot == boot && got.seq == seq_in);
        check_payload(&got, ecg_frame_payload(&host_in), &page_answers.frames[n], hello);
        hello = (uint8_t)(got.type == ECG_TYPE_HELLO ? (hello + 1u) % ecg_models_count : 0u);
        seq_in++;
        n++;
        frames_out++;
        bytes_out += (uint32_t)(i + 1u - begin);
        begin = i + 1u;
    }
    require(n == page_answers.count);
    out_size = 0u;
    page_answers.count = 0u;
    for (size_t i = 0; i < sizeof memory.low; i++) {
        require(memory.low[i] == 0xA5u && memory.high[i] == 0xA5u);
    }
}

// ---- what is done to it --------------------------------------------------------------------------------------------

// What the known answer's vector gives, once.
static void learn_answer(void)
{
    static bool known;
    ecg_stream_t stream;
    const ecg_clock_t clock = {now_us, NULL};
    if (!known) {
        ecg_stream_reset(&stream, ecg_models[0].model, &ecg_models[0].prepare, &config.memory, clock, 0u, 0u);
        (void)ecg_selftest_run(&stream, ecg_models[0].selftests, page_scores);
        known = true;
    }
}

static void start_up(uint16_t nonce, bool broken)
{
    memset(&edge, 0xA5, sizeof edge);
    memset(&memory, 0xA5, sizeof memory);
    memset(leads, 0xA5, sizeof leads);
    memset(&board_in, 0, sizeof board_in);
    memset(&host_in, 0, sizeof host_in);
    boot = nonce != 0u ? nonce : 1u;
    seq_in = 0u;
    frames_out = bytes_in = bytes_out = 0u;
    passed_us = 0u;
    booted_us = clock_us;
    config.boot = nonce;
    page_boot(nonce);
    page_failed = broken;
    memcpy(flow_answer, page_scores, sizeof flow_answer);
    flow_answer[1] = (int8_t)(flow_answer[1] ^ (broken ? 1 : 0));
    const ecg_frame_t hello = {1u, ECG_TYPE_HELLO, 0u, 0u, 0u, 0u};
    page_frame(&hello, NULL);
    booting = true;
    require(ecg_edge_init(&edge, &config) == (broken ? ECG_STATUS_SELFTEST_FAILED : ECG_OK));
    check_answers();
    booting = false;
}

// The clock is read once a call: time passes for the board when something comes.
static void tick(void)
{
    passed_us += (uint32_t)(clock_us - booted_us);
    booted_us = clock_us;
}

static void send(const uint8_t *bytes, size_t n)
{
    tick();
    for (size_t i = 0; i < n; i++) {
        ecg_frame_t frame;
        bytes_in++;
        const bool valid = ecg_frame_read(&board_in, bytes[i], &frame);
        if (valid) {
            page_frame(&frame, ecg_frame_payload(&board_in));
        }
        // Byte by byte: STATS counts what came before its own answer.
        ecg_edge_receive(&edge, bytes + i, 1u);
        if (valid || out_size != 0u) {
            check_answers();
        }
    }
}

static void send_garbage(void)
{
    uint8_t bytes[64];
    const size_t n = draw() % sizeof bytes;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = draw();
    }
    send(bytes, n);
}

// An index near the one that the board waits for, or any.
static uint32_t draw_index(void)
{
    const uint8_t how = draw();
    if (how == 0xFFu) {
        const uint32_t low = draw(), high = draw();
        return low | high << 24;
    }
    if (how >= 0x70u && how < 0x78u) {
        return page_last_result - 4u * (how - 0x70u);
    }
    return page_expected + how - (how < 0x80u ? 0u : 0x100u);
}

static int16_t draw_sample(void)
{
    const uint8_t byte = draw();
    return byte == 0x80u ? INT16_MIN : byte == 0x7Fu ? INT16_MAX : (int16_t)((int8_t)byte * 50);
}

static size_t draw_samples(uint8_t *p)
{
    const uint8_t how = draw();
    const size_t count = how % 40u, a_sample = page_leads;
    uint8_t *at = ecg_put_u32(p, how >= 200u ? draw_index() : page_expected);
    for (size_t i = 0; i < count * a_sample; i++) {
        at = ecg_put_u16(at, (uint16_t)draw_sample());
    }
    return (size_t)(at - p);
}

static size_t draw_payload(uint8_t type, uint8_t *p)
{
    switch (type) {
    case ECG_TYPE_START: {
        const uint8_t which = draw();
        p[0] = which % 3u;
        p[1] = (which / 3u) % 3u;
        p[2] = p[3] = 0u;
        (void)ecg_put_u32(ecg_put_u32(p + 4, draw_index()), which >= 128u ? draw() % 32u : 0u);
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
    const uint8_t type = draw() % 15u, odd = draw();
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
    send(&zero, 1u);                    // ends what garbage began
    send(wire, n);
    if (odd == 0xFBu) {
        send(wire, n);                  // the line doubled it
    }
}

static void live(void)
{
    const uint8_t how = draw();
    tick();
    if (how < 32u) {
        const ecg_status_t wanted = page_live(how % 3u);
        require(ecg_edge_live(&edge, how % 3u) == wanted);
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
            const int16_t uv[ECG_MAX_LEADS] = {draw_sample(), draw_sample()};
            const uint8_t flags = draw() & 7u;
            const ecg_status_t wanted = page_sample(uv, flags);
            bool due = true;
            require(ecg_edge_sample(&edge, uv, flags, &due) == wanted);
            require(due == (wanted == ECG_OK && page_answers.count != 0u));
            require(!due || ecg_edge_result(&edge)->last_index == page_last_result);
            check_answers();
        }
    }
    check_answers();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    clock_us = 0u;
    seq_out = 0u;
    const ecg_memory_t given = {memory.scratch, sizeof memory.scratch, memory.window, sizeof memory.window, leads, ECG_MAX_LEADS};
    memset(&config, 0, sizeof config);
    config.now_us = now_us;
    config.write = write_out;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.engine_version = ECG_ENGINE_VERSION;
    config.board = ECG_BOARD;
    config.credit_samples = PAGE_CREDIT;
    config.memory = given;
    learn_answer();
    start_up(0x1234u, false);
    for (size_t step = 0; step < MOST_STEPS && input_left != 0u; step++) {
        const uint8_t what = draw();
        if (what < 200u) {
            send_frame();
        } else if (what < 220u) {
            send_garbage();
        } else if (what < 235u) {
            live();
        } else if (what < 250u) {
            clock_us += (uint32_t)draw() << (draw() % 24u);
        } else {
            const uint8_t nonce = draw();
            start_up((uint16_t)(nonce * 257u), nonce % 8u == 7u);
        }
    }
    const uint8_t zero = 0u;
    uint8_t wire[ECG_FRAME_WIRE_MAX];
    const ecg_frame_t frame = {1u, ECG_TYPE_HELLO, 0u, 0u, seq_out, 0u};
    send(&zero, 1u);
    send(wire, ecg_frame_encode(&frame, wire));
    return 0;
}
