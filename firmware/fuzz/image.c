#include "image.h"

#include <string.h>

#define SPARSE_HOP 60u
#define VECTORS 1u                      // of those that the exporter wrote for a model: each boot runs them

ecg_image_model_t image_models[IMAGE_MODELS];
ecg_status_t image_engine;
uint8_t image_vectors;
int8_t image_right[ECG_STREAM_MAX_CLASSES];

static ecg_model_t models[IMAGE_MODELS];
static ecg_selftest_t vectors[VECTORS];
static int8_t wrong[ECG_STREAM_MAX_CLASSES];

// The exported model behind each of ours.
static const ecg_model_t *exported(uint8_t m)
{
    return ecg_models[m == 1u ? 1u : 0u].model;
}

static bool push_flow(void *scratch, const int8_t *column, int8_t *scores)
{
    const bool due = exported(1u)->push(scratch, column, scores);
    return image_engine == ECG_OK ? due : !due;
}

static ecg_status_t run_flow(void *scratch, const int8_t *window, int8_t *scores)
{
    return image_engine == ECG_OK ? exported(1u)->run(scratch, window, scores) : image_engine;
}

static ecg_status_t run_whole(void *scratch, const int8_t *window, int8_t *scores)
{
    return image_engine == ECG_OK ? exported(0u)->run(scratch, window, scores) : image_engine;
}

ecg_status_t image_run(uint8_t model, void *scratch, const int8_t *window, int8_t *scores)
{
    return exported(model)->run(scratch, window, scores);
}

void image_boot(uint8_t trouble)
{
    image_vectors = 0u;
    for (uint8_t m = 0; m < IMAGE_MODELS; m++) {
        image_models[m] = ecg_models[m == 1u ? 1u : 0u];
        models[m] = *exported(m);
        models[m].run = m == 1u ? run_flow : run_whole;
        models[m].push = m == 1u ? push_flow : NULL;
        models[m].hop = m == 2u ? (uint16_t)SPARSE_HOP : models[m].hop;
        image_models[m].model = &models[m];
        image_models[m].selftest_count = (uint8_t)(m == 2u ? 0u : VECTORS);
        image_vectors = (uint8_t)(image_vectors + image_models[m].selftest_count);
    }
    memcpy(vectors, image_models[0].selftests, sizeof vectors);
    memcpy(image_right, vectors[0].scores, models[0].classes);
    if (trouble == IMAGE_WRONG_ANSWER) {
        memcpy(wrong, vectors[0].scores, models[0].classes);
        wrong[1] = (int8_t)(wrong[1] ^ 1);
        vectors[0].scores = wrong;
    }
    image_models[0].selftests = vectors;
    image_engine = trouble == IMAGE_NO_MEMORY ? ECG_STATUS_NO_MEMORY : trouble == IMAGE_NO_ENGINE ? ECG_STATUS_ENGINE : ECG_OK;
}
