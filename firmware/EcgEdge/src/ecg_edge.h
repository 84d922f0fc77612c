// The application core: frames in, prepare, model, frames out. Bytes by callback, time by callback, memory by the caller.
// What it answers is fixed in PROTOCOL.md.
//
//   static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
//   static int8_t window[ECG_WINDOW_BYTES];
//   static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
//   static ecg_edge_config_t config;                    // zero, then fill in; must outlive the core
//   static ecg_edge_t edge;
//   ...
//   ecg_edge_init(&edge, &config);                      // self-test, then HELLO
//   for (;;) { ecg_edge_receive(&edge, bytes, n); }     // whatever came
#ifndef ECG_EDGE_H
#define ECG_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecg_frame.h"
#include "ecg_image.h"
#include "ecg_status.h"
#include "ecg_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ECG_EDGE_VERSION_MAJOR 0u
#define ECG_EDGE_VERSION_MINOR 1u
#define ECG_EDGE_VERSION_PATCH 0u

#define ECG_EDGE_KEPT_RESULTS 4u    // that a host may ask for again
#define ECG_EDGE_MAX_MODELS 8u      // of one image
#define ECG_EDGE_OWN_VALUES 24u     // int16 of a frame of the board's own samples: 96 ms of one lead at 250 Hz

// Engines, as ecg_config.h spells them too: macros, so that it can choose by #if.
#define ECG_ENGINE_TFLM 1
#define ECG_ENGINE_NATIVE 2

// Types and codes of the wire.
enum {
    ECG_TYPE_HELLO = 1, ECG_TYPE_START = 2, ECG_TYPE_SAMPLES = 3, ECG_TYPE_END = 4, ECG_TYPE_RESULT = 5, ECG_TYPE_CREDIT = 6,
    ECG_TYPE_POLL = 7, ECG_TYPE_BEAT = 8, ECG_TYPE_PROFILE = 9, ECG_TYPE_SELFTEST = 10, ECG_TYPE_STATS = 11,
    ECG_TYPE_LOG = 12, ECG_TYPE_ERROR = 13
};
enum {
    ECG_ERROR_BAD_LENGTH = 1, ECG_ERROR_BAD_MODEL = 2, ECG_ERROR_NOT_STARTED = 3, ECG_ERROR_INDEX_GAP = 4,
    ECG_ERROR_STALE_BOOT = 5, ECG_ERROR_SELFTEST_FAILED = 6, ECG_ERROR_UNSUPPORTED = 7, ECG_ERROR_NO_RESULT = 8,
    ECG_ERROR_BAD_MODE = 9, ECG_ERROR_ENGINE = 10, ECG_ERROR_BAD_VERSION = 11, ECG_ERROR_OVERRUN = 12,
    ECG_ERROR_INCOMPLETE = 13
};
enum { ECG_LOG_DEBUG = 0, ECG_LOG_INFO = 1, ECG_LOG_WARNING = 2, ECG_LOG_ERROR = 3 };

// What a core is doing.
enum { ECG_EDGE_IDLE = 0, ECG_EDGE_RUNNING = 1, ECG_EDGE_ENDED = 2, ECG_EDGE_LIVE = 3, ECG_EDGE_FORWARDING = 4 };

// What the core is given. Kept by pointer.
typedef struct {
    uint32_t (*now_us)(void *ctx);                                      // microseconds, may wrap
    void (*write)(void *ctx, const uint8_t *bytes, size_t n);           // takes all n; must not call the core
    uint32_t (*arena_used)(void *ctx, uint8_t model);                   // NULL: HELLO says 0
    void *ctx;
    const ecg_image_model_t *models;                                    // (model_count)
    uint8_t model_count;
    uint8_t engine;                                                     // ECG_ENGINE_
    uint16_t boot;                                                      // another number at each reset; 0 counts as 1
    uint16_t credit_samples;                                            // room of the receive path, in int16; PROTOCOL.md, Flow
    const char *board;                                                  // 24 bytes of it go to the host
    const char *engine_version;
    ecg_memory_t memory;
} ecg_edge_config_t;

// A verdict that a host may ask for again.
typedef struct {
    bool used;
    uint8_t model;
    ecg_result_t result;
} ecg_kept_result_t;

// How a self-test went.
typedef struct {
    uint8_t ran, failed;
    uint8_t first_failed;               // 255: none
    uint8_t model;                      // of that one
    uint8_t models_failed;              // bit m: model m
    ecg_status_t status;                // why that one failed
} ecg_selftest_report_t;

// All state of one core, about 1 KB; the rings of prepare and the models' scratch come on top.
typedef struct {
    const ecg_edge_config_t *config;
    uint16_t boot, seq;
    // the stream
    uint8_t state;                      // ECG_EDGE_; ecg_edge.c has the picture
    uint8_t model, mode;
    bool gap_owed;
    uint32_t first_index;
    uint32_t expected;                  // index of the next sample
    uint8_t end_results;                // how many of the newest kept results the last END gave
    uint8_t kept_at;                    // where the next result goes
    uint32_t given;                     // results since START
    ecg_stream_t stream;
    ecg_kept_result_t kept[ECG_EDGE_KEPT_RESULTS];
    // the board's own samples that wait for their frame, leads interleaved
    bool samples_itself;                // ecg_edge_live() was called
    uint8_t own_count, own_flags;       // values, not samples; flags of the first of them
    int16_t own_uv[ECG_EDGE_OWN_VALUES];
    // counters and clock
    uint32_t frames_out, bytes_in, bytes_out, gaps, duplicates, overruns, results;
    uint32_t uptime_ms, then_us;
    uint16_t rest_us;
    ecg_selftest_report_t selftest;
    uint32_t arena_used[ECG_EDGE_MAX_MODELS];
    // the frame being received, and the frame being sent
    ecg_frame_reader_t reader;
    uint8_t wire[ECG_FRAME_WIRE_MAX];
} ecg_edge_t;

// Checks the config, runs the self-test, sends HELLO. config is kept.
// ECG_STATUS_SELFTEST_FAILED: the core lives, says so to the host, and refuses to classify.
// Any other failure: the config is wrong, and the core stays deaf and mute.
ecg_status_t ecg_edge_init(ecg_edge_t *e, const ecg_edge_config_t *config);

// Takes bytes, (n), as they come from the link, in any split. Answers by config->write before it returns.
void ecg_edge_receive(ecg_edge_t *e, const uint8_t *bytes, size_t n);

// Begins a stream of the board's own samples, at index 0. A START of the host ends it; one of mode own has the samples
// themselves sent to the host from then on, and no verdicts.
ecg_status_t ecg_edge_live(ecg_edge_t *e, uint8_t model);

// Takes one sample of all leads, sample_uv, (leads), with its ECG_SAMPLE_ flags. A verdict goes out as RESULT or BEAT, and is told
// by *due where due is not NULL: ecg_edge_result(). ECG_STATUS_NOT_STARTED when the host's samples run, or none.
ecg_status_t ecg_edge_sample(ecg_edge_t *e, const int16_t *sample_uv, uint8_t flags, bool *due);

// Tells that n live samples were lost before the next one: counted, reported to the host, and a gap in the next verdicts.
void ecg_edge_lost(ecg_edge_t *e, uint32_t n);

// The last verdict given, by a host's samples or the board's own. NULL before the first.
const ecg_result_t *ecg_edge_result(const ecg_edge_t *e);

// Sends a line of text as a LOG frame; cut at 255 bytes.
void ecg_edge_log(ecg_edge_t *e, uint8_t level, const char *text);

#ifdef __cplusplus
}
#endif
#endif
