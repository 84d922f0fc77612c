// What an image holds of each model: descriptor, preparation, quantization, labels, known answers.
// The generated ecg_models.h declares `extern const ecg_image_model_t ecg_models[]`.
#ifndef ECG_IMAGE_H
#define ECG_IMAGE_H

#include <stdint.h>

#include "ecg_model.h"
#include "ecg_prepare.h"
#include "ecg_selftest.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const ecg_model_t *model;
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
