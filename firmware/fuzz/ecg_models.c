#include "ecg_models.h"

#include <string.h>

#define CLASSES 3u
#define FLOW_WINDOW 16u
#define FLOW_HOP 4u
#define WHOLE_WINDOW 12u
#define WHOLE_HOP 5u

typedef struct {
    uint32_t count;
    int8_t columns[FLOW_WINDOW];
} flow_t;

static void score(const int8_t *columns, size_t n, int8_t *scores)
{
    uint32_t mixed = 0u, sum = 0u;
    int8_t most = columns[0];
    for (size_t i = 0; i < n; i++) {
        mixed = mixed * 31u + (uint8_t)columns[i];
        sum += (uint8_t)columns[i];
        most = columns[i] > most ? columns[i] : most;
    }
    scores[0] = most;
    scores[1] = (int8_t)((int)(sum & 0xFFu) - 128);
    scores[2] = (int8_t)((int)(mixed & 0xFFu) - 128);
}

static void flow_reset(void *scratch)
{
    memset(scratch, 0, sizeof(flow_t));
}

static bool flow_push(void *scratch, const int8_t *column, int8_t *scores)
{
    flow_t *const s = scratch;
    memmove(s->columns, s->columns + 1, FLOW_WINDOW - 1u);
    s->columns[FLOW_WINDOW - 1u] = *column;
    s->count++;
    if (s->count < FLOW_WINDOW || (s->count - FLOW_WINDOW) % FLOW_HOP != 0u) {
        return false;
    }
    score(s->columns, FLOW_WINDOW, scores);
    return true;
}

static ecg_status_t flow_run(void *scratch, const int8_t *window, int8_t *scores)
{
    (void)scratch;
    score(window, FLOW_WINDOW, scores);
    return ECG_OK;
}

// Fails on a window that begins with its lowest two values: an engine may.
static ecg_status_t whole_run(void *scratch, const int8_t *window, int8_t *scores)
{
    (void)scratch;
    score(window, 2u * WHOLE_WINDOW, scores);
    return window[0] == INT8_MIN && window[1] == INT8_MIN ? ECG_STATUS_ENGINE : ECG_OK;
}

static const ecg_knot_t knots[] = {{5, 300}, {3, -900}, {8, 40}};
int8_t flow_answer[CLASSES];
static const ecg_selftest_t flow_test = {knots, 3u, flow_answer};

static const int16_t fir[3] = {1, 2, 1};
static const ecg_model_t flow = {"flow", {1}, 250u, FLOW_WINDOW, FLOW_HOP, 1u, CLASSES, sizeof(flow_t),
                                 flow_reset, flow_push, flow_run};
static const ecg_model_t whole = {"whole", {2}, 250u, WHOLE_WINDOW, WHOLE_HOP, 2u, CLASSES, 0u, NULL, NULL, whole_run};

const ecg_image_model_t ecg_models[] = {
    {&flow, {2u, 3u, fir, 1, 4u, 0, 10u, 2u}, 0.0625f, 0, 0.00390625f, -128, NULL, &flow_test, 1u},
    {&whole, {2u, 3u, fir, 3, 5u, -4, 10u, 2u}, 0.0625f, -4, 0.00390625f, -128, NULL, NULL, 0u},
};
const uint8_t ecg_models_count = 2u;
