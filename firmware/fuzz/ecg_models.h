// Two models by hand, for the core to run: `flow` takes columns one by one, `whole` has two leads and runs over a window.
// Their scores notice a column that is missing, doubled or swapped.
#ifndef ECG_MODELS_H
#define ECG_MODELS_H

#include "ecg_image.h"

#define ECG_ENGINE 2
#define ECG_ENGINE_VERSION "fuzz 1"
#define ECG_BOARD "fuzz"
#define ECG_SCRATCH_BYTES 32u
#define ECG_WINDOW_BYTES 24u
#define ECG_MAX_LEADS 2u

extern const ecg_image_model_t ecg_models[];
extern const uint8_t ecg_models_count;
extern int8_t flow_answer[3];          // of the known answer; the harness writes it, right or wrong

#endif
