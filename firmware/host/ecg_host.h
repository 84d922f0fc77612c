// The application core as a process: a pseudo terminal is its UART, the monotonic clock its timer.
#ifndef ECG_HOST_H
#define ECG_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "ecg_edge.h"
#include "ecg_pty.h"

#ifdef __cplusplus
extern "C" {
#endif

// How a host board behaves. All zero will do, but for memory.
typedef struct {
    const char *board;              // NULL: "host"
    const char *engine_version;
    uint8_t engine;                 // ECG_ENGINE_
    uint16_t boot;                  // nonce of the first boot; 0: a random one
    uint16_t credit_samples;        // 0: ECG_HOST_CREDIT_SAMPLES
    uint32_t reset_after_bytes;     // reset once, after that many bytes came in; 0: never
    uint32_t arena_used;            // told in HELLO, of every model
    const char *samples;            // a file of int16, little-endian, leads interleaved: the board samples it round and round,
                                    // with its first model's rate, as a live board its electrodes; NULL: it has none
    int watch_fd;                   // run until this reaches its end, so that no board outlives its parent; -1: none
    ecg_memory_t memory;
} ecg_host_options_t;

// A pty holds 4,095 bytes on its way to the program.
#define ECG_HOST_CREDIT_SAMPLES 1024u

// Why a host board stopped.
enum { ECG_HOST_STOPPED = 0, ECG_HOST_FAILED = 1, ECG_HOST_BAD_IMAGE = 2, ECG_HOST_NO_SAMPLES = 3 };

// Runs the core over fd until SIGTERM, SIGINT or SIGHUP, or the end of options->watch_fd or of fd.
// SIGUSR1 is the reset button: what was under way is lost, and the core boots anew with another nonce.
// Takes those signals over while it runs. Returns ECG_HOST_STOPPED, ECG_HOST_FAILED, ECG_HOST_BAD_IMAGE when the core
// refuses models, (count), or memory, or ECG_HOST_NO_SAMPLES when options->samples holds none. One at a time in a process.
int ecg_host_run(int fd, const ecg_image_model_t *models, uint8_t count, const ecg_host_options_t *options);

// One window through an engine that lives elsewhere: window, (window, leads), to scores, (classes). 0 when it did.
typedef int (*ecg_host_engine_t)(const int8_t *window, int8_t *scores);

// ecg_host_run() over a new pty, whose name it prints as one line `pty NAME`, with the image's model number `model` alone,
// its engine replaced by `engine`, called once a window; watches stdin. For Python by ctypes (virtual:tflm).
int ecg_host_serve(ecg_host_engine_t engine, uint8_t model, uint8_t engine_id, const char *engine_version, uint32_t arena_used);

#ifdef __cplusplus
}
#endif
#endif
