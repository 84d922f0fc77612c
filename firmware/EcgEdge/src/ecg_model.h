// ONE contract between the application and an engine: a const descriptor a model.
#ifndef ECG_MODEL_H
#define ECG_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

// `scratch` is memory of the caller, scratch_bytes long and aligned to 16 bytes; models may take turns in it, each after its
// own reset. A column is one time step, (leads); scores are (classes); a window is `window` columns. Of a model that takes
// beats a window is a beat's view, and its leads are the channels of that.
typedef struct {
    const char *name;
    uint8_t sha256[32];      // of the .tflite
    uint16_t fs_hz;
    uint16_t window;         // columns
    uint16_t hop;            // columns from one window of a stream to the next
    uint8_t leads;
    uint8_t classes;
    size_t scratch_bytes;

    // Begins a stream. Call it before the first push, and again after a run.
    void (*reset)(void *scratch);

    // Takes one column. True after `window` columns and after every `hop` more: scores hold the verdict on the last window.
    // NULL if the model cannot stream.
    bool (*push)(void *scratch, const int8_t *column, int8_t *scores);

    // Scores one window, (window, leads); resets by itself. The same bits as reset and `window` times push.
    ecg_status_t (*run)(void *scratch, const int8_t *window, int8_t *scores);
} ecg_model_t;

#ifdef __cplusplus
}
#endif

#endif
