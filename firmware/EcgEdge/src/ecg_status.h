// What every function that meets the outside returns: 0, or a negative that says what it met.
#ifndef ECG_STATUS_H
#define ECG_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ECG_OK = 0,
    ECG_STATUS_BAD_ARGUMENT = -1,     // a pointer is NULL, a size is zero, or a limit of the build is broken
    ECG_STATUS_NO_MEMORY = -2,        // the memory the caller gave is smaller than the model needs
    ECG_STATUS_BAD_PREPARE = -3,      // prepare parameters outside the limits of ecg_prepare.h
    ECG_STATUS_BAD_MODEL = -4,        // no such model, or a descriptor outside the limits of ecg_edge.h
    ECG_STATUS_ENGINE = -5,           // the inference engine failed, or gave a verdict at the wrong column
    ECG_STATUS_NOT_STARTED = -6,      // samples came, and no stream is running
    ECG_STATUS_SELFTEST_FAILED = -7   // a known answer came out wrong: the board refuses to classify
} ecg_status_t;

// C99 has no _Static_assert: a false condition is an array of size -1.
#define ECG_STATIC_ASSERT(cond, name) typedef char ecg_assert_##name[(cond) ? 1 : -1]

#ifdef __cplusplus
}
#endif
#endif
