// Known answers, run through prepare and model at boot: a board that gives others refuses to classify.
#ifndef ECG_SELFTEST_H
#define ECG_SELFTEST_H

#include <stdint.h>

#include "ecg_flash.h"
#include "ecg_status.h"
#include "ecg_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

// A point of a polyline. A window as a polyline costs few bytes of flash, and tests prepare as well.
typedef struct {
    uint16_t samples;           // steps from the knot before, 32,767 at most
    int16_t level_uv;           // reached with the last of them
} ecg_knot_t;

// Starting from level 0, step i = 1..samples towards a knot is before + (level_uv - before) * i / samples, C's division.
// The steps of all knots are exactly the model's window; every lead gets the same.
typedef struct {
    const ECG_FLASH ecg_knot_t *knots;  // (knot_count)
    uint16_t knot_count;
    const int8_t *scores;       // (classes), the known answer
} ecg_selftest_t;

// Classifies the test's window as an isolated one on a stream that was just reset, in window terms: push, then hold.
// got, (classes), are the scores it gave. ECG_STATUS_SELFTEST_FAILED when they are not the known ones, or the knots do not
// make a window; what the engine said when it gave none.
ecg_status_t ecg_selftest_run(ecg_stream_t *s, const ecg_selftest_t *test, int8_t *got);

#ifdef __cplusplus
}
#endif
#endif
