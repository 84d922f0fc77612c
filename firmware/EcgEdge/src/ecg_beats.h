// What a model of beats is shown of each heartbeat: integers only, the same bits as signal/beatview.py, which says in words how.
//
//   ecg_beats_reset(&b);
//   for each sample, at 250 Hz:
//       ecg_beats_sample(&b, sample_uv);
//       if prepare gave a column:
//           const uint16_t span = ecg_beats_column(&b, column);
//           if (span != 0u) { ecg_beats_see(&b, ecg_prepare_state(&prepare, span)); }
//       const ecg_beat_t *beat = ecg_beats_next(&b, false);
//       if (beat != NULL) { ecg_beats_view(beat, 0..69, values) each go to the model }
//   at the end the last sample is held for prepare's delay and ECG_BEATS_TAIL more, then ecg_beats_next(&b, true) until NULL.
#ifndef ECG_BEATS_H
#define ECG_BEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "ecg_qrs.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ECG_BEATS_FS_HZ ECG_QRS_FS_HZ
#define ECG_BEATS_COLUMNS 70u       // of a view
#define ECG_BEATS_CHANNELS 14u      // values of a column of a view
#define ECG_BEATS_TAIL 140u         // samples to hold beside prepare's delay
#define ECG_BEATS_UNKNOWN 2u        // beats that still wait behind those, at most
#define ECG_BEATS_LEAST_DELAY 242u  // of prepare: with less, a beat that is found late would lie behind the ring

#define ECG_BEATS_RING 512u         // columns; a power of two
#define ECG_BEATS_PEAKS 16u         // beats: nine not seen yet, two behind those and three before them; a power of two
#define ECG_BEATS_WAITING 3u
#define ECG_BEATS_FEATURES (ECG_BEATS_CHANNELS - 2u)
#define ECG_BEATS_RECENT 8u
#define ECG_BEATS_JUMPS 16u

// One beat, as the model is shown it.
typedef struct {
    uint32_t number;                            // since the stream's start
    uint32_t at;                                // sample of its R peak, since the stream's start
    uint16_t rr;                                // samples since the beat before, 65,535 at most; 0 of the first
    uint8_t state;                              // ECG_STATE_
    int8_t features[ECG_BEATS_FEATURES];
    int8_t part[ECG_BEATS_COLUMNS], change[ECG_BEATS_COLUMNS];
    int16_t mean_log;                           // of the long mean of intervals, when it was seen
} ecg_beat_t;

// A kind of beat: the mean of up to 32 in 1/16 of a column's unit.
typedef struct {
    int16_t sum16[ECG_BEATS_COLUMNS];
    uint8_t count;                              // 0: none yet
} ecg_beats_kind_t;

// One lead, the detector with it. All of it, about 1.9 KB.
typedef struct {
    ecg_qrs_t qrs;
    uint32_t columns_taken;
    uint32_t found, seen, given;                // beats so far; in that order, one after another
    uint32_t peaks[ECG_BEATS_PEAKS];            // R peaks of the last ones found, by number
    int8_t columns[ECG_BEATS_RING];
    // the patient
    ecg_beats_kind_t kinds[2];                  // the usual beat and its rival
    uint8_t usual;                              // which
    int8_t lives;                               // of the rival
    int16_t votes;                              // for the usual one
    int16_t usual_p, recent_p;                  // likeness of P waves, in 1/32 and 1/16
    uint8_t since_p;
    // the rhythm
    uint32_t mean256;                           // interval, long mean in 1/256
    uint16_t intervals;                         // in it, up to 256
    int16_t last_log;
    uint16_t recent[ECG_BEATS_RECENT];
    uint8_t jumps[ECG_BEATS_JUMPS];
    uint8_t recent_at, jump_at;
    ecg_beat_t waiting[ECG_BEATS_WAITING];      // seen, by number; and the one given last
} ecg_beats_t;

void ecg_beats_reset(ecg_beats_t *b);

// Takes a sample, or the last one held.
void ecg_beats_sample(ecg_beats_t *b, int16_t sample_uv);

// Takes a prepared column, after the sample that gave it. Returns 0, or where the next beat is complete by it, over how many
// columns its state is to be looked for: ecg_beats_see() must come then.
uint16_t ecg_beats_column(ecg_beats_t *b, int8_t column);

// Looks at that beat, and learns from it if its state is ECG_STATE_OK.
void ecg_beats_see(ecg_beats_t *b, uint8_t state);

// The next beat that was seen and whose next two are known, or any that was seen where the stream has ended; NULL: none.
// To be asked after every sample: one falls due then at most. It stays until the next ecg_beats_see().
const ecg_beat_t *ecg_beats_next(ecg_beats_t *b, bool ended);

// Column k of a beat's view: values, (ECG_BEATS_CHANNELS).
void ecg_beats_view(const ecg_beat_t *beat, uint8_t k, int8_t *values);

#ifdef __cplusplus
}
#endif
#endif
