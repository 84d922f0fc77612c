// Samples in, verdicts out: prepare, the detector of beats where the model takes them, and one model; without a wire. The core, the self-test and sketches run on it.
#ifndef ECG_STREAM_H
#define ECG_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecg_beats.h"
#include "ecg_image.h"
#include "ecg_prepare.h"
#include "ecg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

// Build limits. A result, of which the core keeps four, has room for so many scores; a column lies on the stack.
#ifndef ECG_STREAM_MAX_CLASSES
#define ECG_STREAM_MAX_CLASSES 32
#endif
#ifndef ECG_STREAM_MAX_LEADS
#define ECG_STREAM_MAX_LEADS 12
#endif

#define ECG_VERDICT_ABSTAIN 255u

// One verdict.
typedef struct {
    uint32_t last_index;                // of the window's last sample, or of the beat's R peak
    uint32_t number;                    // of the beat, since the stream's start; of a window 0
    uint32_t prepare_us, inference_us;  // spent on the columns that this verdict waited for
    uint16_t rr;                        // samples since the beat before, 65,535 at most; 0 of the first, and of a window
    uint8_t classes;
    uint8_t verdict;                    // highest score, the first of equals; ECG_VERDICT_ABSTAIN when state is not ok
    uint8_t state;                      // ECG_STATE_
    int8_t scores[ECG_STREAM_MAX_CLASSES];
} ecg_result_t;

// Memory for the largest model. The caller's, static.
typedef struct {
    uint8_t *scratch;                   // (scratch_bytes), aligned to 16
    size_t scratch_bytes;
    int8_t *window;                     // (window_bytes), used when a model has no push: its window * leads; else NULL
    size_t window_bytes;
    ecg_prepare_lead_t *leads;          // (lead_count)
    uint8_t lead_count;
    ecg_beats_t *beats;                 // NULL where no model takes beats
} ecg_memory_t;

// A clock for the times of a result: microseconds, may wrap.
typedef struct {
    uint32_t (*now_us)(void *ctx);
    void *ctx;
} ecg_clock_t;

typedef struct {
    const ecg_image_model_t *image;
    const ecg_model_t *model;           // of it
    const ecg_memory_t *memory;
    ecg_clock_t clock;
    ecg_prepare_t prepare;
    ecg_result_t result;                // the last verdict, and the times of the next
    bool times_are_over;                // they begin anew with the next sample
    uint32_t first_index;
    uint32_t column_index;              // of the next column
    uint32_t skip;                      // columns still to be thrown away
    uint32_t until;                     // columns up to the next verdict, that one counted
    uint16_t held;                      // times the last sample was held
} ecg_stream_t;

// Values of a sample: the model's leads, or the one in which beats are found.
uint8_t ecg_stream_leads(const ecg_image_model_t *image);

// Whether this memory and the build limits hold this model and its prepare.
ecg_status_t ecg_stream_check(const ecg_image_model_t *image, const ecg_memory_t *memory);

// Begins a stream of a model that passed ecg_stream_check(). first_index names the first sample; `skip` columns are thrown
// away before the first window begins (0 where it takes beats). image and memory are kept.
void ecg_stream_reset(ecg_stream_t *s, const ecg_image_model_t *image, const ecg_memory_t *memory, ecg_clock_t clock,
                      uint32_t first_index, uint32_t skip);

// Takes one sample of all leads, sample_uv, (leads), with its ECG_SAMPLE_ flags.
// *due says whether a verdict fell due: s->result. ECG_STATUS_ENGINE, or what the model's run() said: the engine failed,
// reset before going on.
ecg_status_t ecg_stream_push(ecg_stream_t *s, const int16_t *sample_uv, uint8_t flags, bool *due);

// How often ecg_stream_hold() ends a stream.
uint16_t ecg_stream_holds(const ecg_stream_t *s);

// Holds the last sample for one push more. As ecg_stream_push().
ecg_status_t ecg_stream_hold(ecg_stream_t *s, bool *due);

#ifdef __cplusplus
}
#endif
#endif
