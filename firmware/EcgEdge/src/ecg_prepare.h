// Removes the baseline, limits the band, scales to the model's int8 input: integers only, the same bits as signal/prepare.py.
//
// For one lead, with L = 1 << average_log2 and T = taps; >> rounds towards minus infinity:
//   s1 = sum of the last L samples x               m1 = (s1 + L/2) >> average_log2
//   s2 = sum of the last L values m1               b  = (s2 + L/2) >> average_log2
//   h  = saturate_int16(x[n - (L-1)] - b)          the sample at the centre of both averages, minus the baseline
//   a  = sum over j of fir[j] * h[n - j]
//   column = saturate_int8(zero_point + ((a * multiplier + (1 << (shift-1))) >> shift))
// A stream starts as if its first sample had been there for ever, and ends by holding its last one.
#ifndef ECG_PREPARE_H
#define ECG_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "ecg_status.h"

#ifdef __cplusplus
extern "C" {
#endif

// Build limits: the rings of a lead have these sizes. A power of two, and odd.
#define ECG_PREPARE_MAX_AVERAGE 256
#define ECG_PREPARE_MAX_TAPS 15

typedef struct {
    uint8_t average_log2;       // 1..8
    uint8_t taps;               // odd, at most ECG_PREPARE_MAX_TAPS
    const int16_t *fir;         // (taps), symmetric, not negative, sum 1..1024
    int32_t multiplier;         // positive
    uint8_t shift;              // 1..62
    int8_t zero_point;
    uint16_t flat_samples;      // differences in a row that make a flat line; 1..65535 - delay
    int16_t flat_uv;            // the most that such a difference is; not negative
} ecg_prepare_params_t;

// What a sample, or a window, looks like; the largest wins.
enum { ECG_STATE_OK = 0, ECG_STATE_FLAT = 1, ECG_STATE_CLIPPED = 2, ECG_STATE_LEAD_OFF = 3, ECG_STATE_GAP = 4, ECG_STATES = 5 };

// What the caller knows about a sample. Bits.
enum { ECG_SAMPLE_GAP = 1, ECG_SAMPLE_LEAD_OFF = 2, ECG_SAMPLE_CLIPPED = 4 };

// The rings of one lead, about 1.1 KB.
typedef struct {
    int32_t raw_sum, mean_sum;
    int16_t raw[ECG_PREPARE_MAX_AVERAGE];       // the last L samples
    int16_t mean[ECG_PREPARE_MAX_AVERAGE];      // the last L averages of them
    int16_t high[ECG_PREPARE_MAX_TAPS];         // the last T values without baseline
    int16_t last_uv;
    uint16_t still;                             // small differences in a row, up to flat_samples
} ecg_prepare_lead_t;

// All leads of one stream. The rings are the caller's.
typedef struct {
    const ecg_prepare_params_t *params;
    ecg_prepare_lead_t *leads;                  // (lead_count)
    uint8_t lead_count;
    uint8_t high_at;
    uint16_t raw_at;
    uint16_t warm;                              // columns still owed before the first one comes
    bool primed;                                // the first sample came
    uint32_t age[ECG_STATES];                   // pushes since a sample had this state; saturates, [0] unused
} ecg_prepare_t;

// Samples between a sample and its column.
uint16_t ecg_prepare_delay(const ecg_prepare_params_t *params);

// ECG_STATUS_BAD_PREPARE when a parameter is outside its limits: the functions below trust them.
ecg_status_t ecg_prepare_check(const ecg_prepare_params_t *params);

// Begins a stream over leads, (lead_count).
void ecg_prepare_reset(ecg_prepare_t *s, const ecg_prepare_params_t *params, ecg_prepare_lead_t *leads, uint8_t lead_count);

// Takes one sample of all leads, sample_uv, (lead_count), with its ECG_SAMPLE_ flags.
// Returns true when that gave a column, (lead_count): all but the first `delay` samples do.
bool ecg_prepare_push(ecg_prepare_t *s, const int16_t *sample_uv, uint8_t flags, int8_t *column);

// Holds the last sample for one push more. To be called `delay` times at a stream's end; returns as ecg_prepare_push().
bool ecg_prepare_hold(ecg_prepare_t *s, int8_t *column);

// The worst ECG_STATE_ among the samples that the last `window` columns have seen, up to the column just given.
uint8_t ecg_prepare_state(const ecg_prepare_t *s, uint16_t window);

#ifdef __cplusplus
}
#endif
#endif
