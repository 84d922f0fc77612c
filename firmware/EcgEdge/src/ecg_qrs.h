// Finds heartbeats in a stream: integers only, the same beats as signal/qrs.py, which says in words how.
//
// For 250 Hz. A beat is known about 0.3 s after its R peak; one that search-back finds, later.
#ifndef ECG_QRS_H
#define ECG_QRS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ECG_QRS_FS_HZ 250u
#define ECG_QRS_DELAY 72u           // samples from an R peak to its crest's judgement, at most

#define ECG_QRS_ARM 6u              // samples of each of the three sums in a slope
#define ECG_QRS_SUM 18u             // slopes in a level
#define ECG_QRS_CREST 46u           // samples that no later level may exceed a crest
#define ECG_QRS_KEPT 10u            // crests that may yet become beats
#define ECG_QRS_MEDIAN 8u

// A largest level.
typedef struct {
    uint32_t at;                    // sample of its level
    int32_t level;
    uint32_t beat;                  // sample of its R peak
} ecg_qrs_crest_t;

// The last values of something, the oldest first.
typedef struct {
    int32_t values[ECG_QRS_MEDIAN];
} ecg_qrs_last_t;

// One lead. All of it, about 600 bytes.
typedef struct {
    uint32_t taken;                                         // samples so far; may wrap
    // the filter
    int32_t sums[3];                                        // of the newest samples, those before, those before these
    int32_t level;
    int16_t samples[3u * ECG_QRS_ARM];
    uint16_t slopes[ECG_QRS_SUM + ECG_QRS_CREST];
    uint8_t sample_at, slope_at;
    // the crest being looked for
    int32_t largest;
    uint8_t since;                                          // samples since it; ECG_QRS_CREST: none is looked at
    // learning, then judging
    bool judging, beating;                                  // the levels are learnt; there was a beat
    uint16_t learnt;
    int32_t learnt_largest, learnt_sum;
    ecg_qrs_last_t beats, noise, intervals;
    ecg_qrs_crest_t last;                                   // beat
    uint32_t lost_at;
    ecg_qrs_crest_t kept[ECG_QRS_KEPT];                     // missed ones, or those of the first samples; the oldest first
    uint8_t kept_count;
    // beats that wait to be told
    uint32_t found[ECG_QRS_KEPT + 1u];
    uint8_t found_count;
} ecg_qrs_t;

void ecg_qrs_reset(ecg_qrs_t *s);

// Takes a sample. True: a beat is known, and *ago is how many samples before this one its R peak lies. One beat a sample is
// told; another that is known by the same sample waits for the next. At a stream's end the last sample is held, by pushing it
// ECG_QRS_DELAY times more.
bool ecg_qrs_push(ecg_qrs_t *s, int16_t sample_uv, uint32_t *ago);

#ifdef __cplusplus
}
#endif
#endif
