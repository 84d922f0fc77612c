#include "image.h"

#include <string.h>

#define SPARSE_HOP 60u
#define IMAGE_BEATS_CLASSES 3u
#define VECTORS 1u                      // of those that the exporter wrote for a model: each boot runs them

ecg_image_model_t image_models[IMAGE_MODELS];
ecg_status_t image_engine;
uint8_t image_vectors;
int8_t image_right[ECG_STREAM_MAX_CLASSES];

static ecg_model_t models[IMAGE_BEATS];
static ecg_selftest_t vectors[VECTORS];
static int8_t wrong[ECG_STREAM_MAX_CLASSES];

// The exported model behind each of ours.
static const ecg_model_t *exported(uint8_t m)
{
    return ecg_models[m == 1u ? 1u : 0u].model;
}

// Of beats: each column is mixed in, so that one that is missing, changed or elsewhere is noticed.
typedef struct {
    uint32_t columns, mixed;
} mixer_t;

static const int16_t one[1] = {1};
static const ecg_prepare_params_t beats_prepare = {8u, 1u, one, 1, 4u, 0, 24u, 2};

static void reset_beats(void *scratch)
{
    memset(scratch, 0, sizeof(mixer_t));
}

static bool push_beats(void *scratch, const int8_t *column, int8_t *scores)
{
    mixer_t *const m = scratch;
    for (uint32_t i = 0; i < ECG_BEATS_CHANNELS; i++) {
        m->mixed = m->mixed * 31u + (uint8_t)column[i];
    }
    const bool due = ++m->columns == ECG_BEATS_COLUMNS;
    if (due) {
        for (uint32_t c = 0; c < IMAGE_BEATS_CLASSES; c++) {
            scores[c] = (int8_t)(m->mixed >> (8u * c));
        }
        reset_beats(scratch);
    }
    return image_engine == ECG_OK ? due : !due;
}

static ecg_status_t run_beats(void *scratch, const int8_t *window, int8_t *scores)
{
    reset_beats(scratch);
    for (uint32_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        (void)push_beats(scratch, window + k * ECG_BEATS_CHANNELS, scores);
    }
    return image_engine;
}

static const ecg_model_t beats_model = {
    "beats", {9}, ECG_BEATS_FS_HZ, ECG_BEATS_COLUMNS, ECG_BEATS_COLUMNS, ECG_BEATS_CHANNELS, IMAGE_BEATS_CLASSES, sizeof(mixer_t),
    reset_beats, push_beats, run_beats,
};

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
    return model == IMAGE_BEATS ? run_beats(scratch, window, scores) : exported(model)->run(scratch, window, scores);
}

void image_boot(uint8_t trouble)
{
    image_vectors = 0u;
    for (uint8_t m = 0; m < IMAGE_BEATS; m++) {
        image_models[m] = ecg_models[m == 1u ? 1u : 0u];
        models[m] = *exported(m);
        models[m].run = m == 1u ? run_flow : run_whole;
        models[m].push = m == 1u ? push_flow : NULL;
        models[m].hop = m == 2u ? (uint16_t)SPARSE_HOP : models[m].hop;
        image_models[m].model = &models[m];
        image_models[m].selftest_count = (uint8_t)(m == 2u ? 0u : VECTORS);
        image_vectors = (uint8_t)(image_vectors + image_models[m].selftest_count);
    }
    memset(&image_models[IMAGE_BEATS], 0, sizeof image_models[0]);
    image_models[IMAGE_BEATS].model = &beats_model;
    image_models[IMAGE_BEATS].takes = ECG_TAKES_BEATS;
    image_models[IMAGE_BEATS].prepare = beats_prepare;
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
