#include "ecg_selftest.h"

#include <string.h>

#define KNOT_SAMPLES_MAX 32767u     // times the largest difference of two levels still fits int32

// Pushes the steps of one knot. No verdict on a window may come of them: its last column is still to be held out of prepare.
// A beat's may: `given` says whether any did.
static ecg_status_t push_knot(ecg_stream_t *s, int16_t before_uv, const ECG_FLASH ecg_knot_t *knot, bool *given)
{
    const int32_t difference = (int32_t)knot->level_uv - before_uv;
    const uint8_t leads = ecg_stream_leads(s->image);
    int16_t sample_uv[ECG_STREAM_MAX_LEADS];
    bool due = false;
    for (uint16_t i = 1; i <= knot->samples; i++) {
        const int16_t value = (int16_t)(before_uv + difference * (int32_t)i / (int32_t)knot->samples);
        for (uint8_t l = 0; l < leads; l++) {
            sample_uv[l] = value;
        }
        const ecg_status_t status = ecg_stream_push(s, sample_uv, 0u, &due);
        *given = *given || due;
        if (status != ECG_OK || (due && s->image->takes == ECG_TAKES_WINDOWS)) {
            return status != ECG_OK ? status : ECG_STATUS_ENGINE;
        }
    }
    return ECG_OK;
}

static bool fits(const ecg_stream_t *s, const ecg_selftest_t *test)
{
    uint32_t total = 0u;
    for (uint16_t k = 0; k < test->knot_count; k++) {
        if (test->knots[k].samples > KNOT_SAMPLES_MAX) {
            return false;
        }
        total += test->knots[k].samples;
    }
    return s->image->takes != ECG_TAKES_WINDOWS || total == s->model->window;
}

ecg_status_t ecg_selftest_run(ecg_stream_t *s, const ecg_selftest_t *test, int8_t *got)
{
    const size_t classes = s->model->classes;
    memset(got, 0, classes);
    bool due = false, given = false;
    if (!fits(s, test)) {
        return ECG_STATUS_SELFTEST_FAILED;
    }
    int16_t level_uv = 0;
    for (uint16_t k = 0; k < test->knot_count; k++) {
        const ecg_status_t status = push_knot(s, level_uv, &test->knots[k], &given);
        if (status != ECG_OK) {
            return status;
        }
        level_uv = test->knots[k].level_uv;
    }
    for (uint16_t i = ecg_stream_holds(s); i > 0u; i--) {
        const ecg_status_t status = ecg_stream_hold(s, &due);
        if (status != ECG_OK) {
            return status;
        }
        given = given || due;
    }
    // A window's verdict comes with its last column.
    const bool answered = s->image->takes == ECG_TAKES_WINDOWS ? due : given;
    memcpy(got, s->result.scores, classes);
    return answered && memcmp(got, test->scores, classes) == 0 ? ECG_OK : ECG_STATUS_SELFTEST_FAILED;
}
