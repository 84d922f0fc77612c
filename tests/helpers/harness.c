// The core on a bench: bytes in, bytes out, a clock that a test turns. A shared library, or with HARNESS_PROGRAM a program
// that answers stdin on stdout, for AddressSanitizer.
#include <stdio.h>
#include <string.h>

#include "ecg_edge.h"
#include "ecg_models.h"

static ecg_edge_t edge;
static ecg_edge_config_t config;
static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static ecg_beats_t beats;

static uint8_t *out;
static size_t out_room;
static size_t out_size;
static uint32_t clock_us;
static uint32_t clock_step_us;

static uint32_t now_us(void *ctx)
{
    (void)ctx;
    clock_us += clock_step_us;
    return clock_us;
}

static void write_out(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
#ifdef HARNESS_PROGRAM
    (void)fwrite(bytes, 1u, n, stdout);
#else
    const size_t fits = n < out_room - out_size ? n : out_room - out_size;
    memcpy(out + out_size, bytes, fits);
    out_size += fits;
#endif
}

// Where the core's bytes go, (room). Emptied by harness_taken().
void harness_output(uint8_t *bytes, size_t room);
void harness_output(uint8_t *bytes, size_t room)
{
    out = bytes;
    out_room = room;
    out_size = 0u;
}

size_t harness_taken(void);
size_t harness_taken(void)
{
    const size_t n = out_size;
    out_size = 0u;
    return n;
}

// The time, and how far every look at the clock moves it.
void harness_clock(uint32_t us, uint32_t step_us);
void harness_clock(uint32_t us, uint32_t step_us)
{
    clock_us = us;
    clock_step_us = step_us;
}

// What the core is given; a test may change any of it before it boots.
ecg_edge_config_t *harness_config(void);
ecg_edge_config_t *harness_config(void)
{
    const ecg_memory_t memory = {scratch, sizeof scratch, window, sizeof window, leads, ECG_MAX_LEADS, &beats};
    memset(&config, 0, sizeof config);
    config.now_us = now_us;
    config.write = write_out;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.engine_version = ECG_ENGINE_VERSION;
    config.board = ECG_BOARD;
    config.boot = 0x1234u;
    config.credit_samples = 256u;
    config.memory = memory;
    return &config;
}

// The room of the receive path, in int16.
void harness_credit(uint16_t samples);
void harness_credit(uint16_t samples)
{
    config.credit_samples = samples;
}

// Boots with memory full of rubbish, as RAM is after a warm reset.
int harness_boot(uint16_t boot);
int harness_boot(uint16_t boot)
{
    memset(&edge, 0xA5, sizeof edge);
    memset(scratch, 0xA5, sizeof scratch);
    memset(window, 0xA5, sizeof window);
    memset(leads, 0xA5, sizeof leads);
    memset(&beats, 0xA5, sizeof beats);
    config.boot = boot;
    return (int)ecg_edge_init(&edge, &config);
}

// The board's own samples, (n, lead_count), up to the first that makes it say something. Returns how many that were.
size_t harness_samples(const int16_t *samples_uv, size_t n, size_t lead_count);
size_t harness_samples(const int16_t *samples_uv, size_t n, size_t lead_count)
{
    size_t i = 0u;
    while (i < n && out_size == 0u) {
        (void)ecg_edge_sample(&edge, samples_uv + i * lead_count, 0u, NULL);
        i++;
    }
    return i;
}

ecg_edge_t *harness_edge(void);
ecg_edge_t *harness_edge(void)
{
    return &edge;
}

size_t harness_edge_bytes(void);
size_t harness_edge_bytes(void)
{
    return sizeof edge;
}

#ifdef HARNESS_PROGRAM
int main(void)
{
    uint8_t bytes[97];
    size_t n;
    harness_clock(0u, 3u);
    (void)harness_config();
    (void)harness_boot(0x1234u);
    while ((n = fread(bytes, 1u, sizeof bytes, stdin)) > 0u) {
        ecg_edge_receive(&edge, bytes, n);
    }
    return 0;
}
#endif
