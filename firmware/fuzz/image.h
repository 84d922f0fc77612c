// What the fuzzed core is given: the models that the exporter wrote, behind descriptors of the harness's own, so that an
// engine may fail, a known answer may be wrong, and windows may have room between them; and one that takes beats, with an
// engine of the harness.
#ifndef IMAGE_H
#define IMAGE_H

#include "ecg_models.h"
#include "ecg_stream.h"

#define IMAGE_MODELS 4u     // one needs its whole window, one streams, the first with room between windows, one takes beats
#define IMAGE_BEATS 3u

// What is wrong with a board from its boot on.
enum { IMAGE_SOUND = 0, IMAGE_WRONG_ANSWER = 1, IMAGE_NO_MEMORY = 2, IMAGE_NO_ENGINE = 3, IMAGE_TROUBLES = 4 };

extern ecg_image_model_t image_models[IMAGE_MODELS];
extern ecg_status_t image_engine;       // what engines say from now on; a streaming one that fails miscounts its columns
extern uint8_t image_vectors;           // known answers, over all models
extern int8_t image_right[ECG_STREAM_MAX_CLASSES];      // the first known answer as exported

// Writes the image anew, with this trouble.
void image_boot(uint8_t trouble);

// The exported engine itself, over one window: it does not fail.
ecg_status_t image_run(uint8_t model, void *scratch, const int8_t *window, int8_t *scores);

#endif
