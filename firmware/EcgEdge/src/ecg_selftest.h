// Known answers, run through prepare and model at boot: a board that gives others refuses to classify.
#ifndef ECG_SELFTEST_H
#define ECG_SELFTEST_H

#include <stdint.h>

#include "ecg_image.h"
#include "ecg_status.h"
#include "ecg_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

// Runs a test on a stream of its model that was just reset: push, then hold to the end.
// got, (classes), are the scores of the last verdict. ECG_STATUS_SELFTEST_FAILED when they are not the known ones, or the
// knots do not make a window; what the engine said when it gave none.
ecg_status_t ecg_selftest_run(ecg_stream_t *s, const ecg_selftest_t *test, int8_t *got);

#ifdef __cplusplus
}
#endif
#endif
