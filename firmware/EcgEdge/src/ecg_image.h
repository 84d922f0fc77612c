// What an image holds of each model: descriptor, what it takes, preparation, quantization, labels, known answers.
// The generated ecg_models.h declares `extern const ecg_image_model_t ecg_models[]`.
#ifndef ECG_IMAGE_H
#define ECG_IMAGE_H

#include <stdint.h>

#include "ecg_flash.h"
#include "ecg_model.h"
#include "ecg_prepare.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a model takes, as the wire numbers it: windows of the prepared leads, or views of single beats of one lead (ecg_beats.h).
enum { ECG_TAKES_WINDOWS = 0, ECG_TAKES_BEATS = 1 };

// A point of a polyline. A signal as a polyline costs few bytes of flash, and tests prepare and the detector as well.
typedef struct {
    uint16_t samples;           // steps from the knot before, 32,767 at most
    int16_t level_uv;           // reached with the last of them
} ecg_knot_t;

// A known answer. Starting from level 0, step i = 1..samples towards a knot is before + (level_uv - before) * i / samples, C's
// division; every lead gets the same. The steps of all knots are exactly a window, or a signal with beats in it.
typedef struct {
    const ECG_FLASH ecg_knot_t *knots;  // (knot_count)
    uint16_t knot_count;
    const int8_t *scores;       // (classes), of that window, or of the last beat
} ecg_selftest_t;

typedef struct {
    const ecg_model_t *model;
    uint8_t takes;                      // ECG_TAKES_
    ecg_prepare_params_t prepare;
    float input_scale;                  // only told to the host; the core does not compute with floats
    int32_t input_zero;
    float output_scale;
    int32_t output_zero;
    const char *const *labels;          // (classes)
    const ecg_selftest_t *selftests;    // (selftest_count)
    uint8_t selftest_count;
} ecg_image_model_t;

#ifdef __cplusplus
}
#endif
#endif
