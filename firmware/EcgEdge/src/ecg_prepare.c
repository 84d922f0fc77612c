#include "ecg_prepare.h"

#include <string.h>

#include "ecg_quant.h"

#define FIR_SUM_MAX 1024

ECG_STATIC_ASSERT((-1 >> 1) == -1, right_shift_is_arithmetic);
ECG_STATIC_ASSERT((INT64_C(-1) >> 1) == INT64_C(-1), right_shift_of_int64_is_arithmetic);

static uint16_t average(const ecg_prepare_params_t *p)
{
    return (uint16_t)(1u << p->average_log2);
}

uint16_t ecg_prepare_delay(const ecg_prepare_params_t *params)
{
    return (uint16_t)(average(params) - 1u + (params->taps - 1u) / 2u);
}

ecg_status_t ecg_prepare_check(const ecg_prepare_params_t *params)
{
    const ecg_prepare_params_t *const p = params;
    if (p == NULL || p->fir == NULL || p->average_log2 < 1u || p->average_log2 > 15u
        || (1uL << p->average_log2) > ECG_PREPARE_MAX_AVERAGE || p->taps % 2u == 0u || p->taps > ECG_PREPARE_MAX_TAPS || p->multiplier <= 0 || p->shift < 1u || p->shift > 62u
        || p->flat_samples == 0u || p->flat_samples > 0xFFFFu - ecg_prepare_delay(p) || p->flat_uv < 0) {
        return ECG_STATUS_BAD_PREPARE;
    }
    int32_t sum = 0;
    for (uint8_t j = 0; j < p->taps; j++) {
        if (p->fir[j] < 0 || p->fir[j] != p->fir[p->taps - 1u - j]) {
            return ECG_STATUS_BAD_PREPARE;
        }
        sum += p->fir[j];
    }
    return (sum > 0 && sum <= FIR_SUM_MAX) ? ECG_OK : ECG_STATUS_BAD_PREPARE;
}

void ecg_prepare_reset(ecg_prepare_t *s, const ecg_prepare_params_t *params, ecg_prepare_lead_t *leads, uint8_t lead_count)
{
    s->params = params;
    s->leads = leads;
    s->lead_count = lead_count;
    s->high_at = 0u;
    s->raw_at = 0u;
    s->warm = ecg_prepare_delay(params);
    s->primed = false;
    for (uint8_t state = 0; state < ECG_STATES; state++) {
        s->age[state] = UINT32_MAX;
    }
}

// Fills the rings of a lead as if first_uv had been there for ever.
static void prime(const ecg_prepare_params_t *p, ecg_prepare_lead_t *lead, int16_t first_uv)
{
    const uint16_t length = average(p);
    for (uint16_t i = 0; i < length; i++) {
        lead->raw[i] = first_uv;
        lead->mean[i] = first_uv;       // the rounded average of a constant is that constant
    }
    lead->raw_sum = (int32_t)first_uv * length;
    lead->mean_sum = lead->raw_sum;
    memset(lead->high, 0, sizeof lead->high);
    lead->last_uv = first_uv;
    lead->still = 0u;
}

static int16_t saturate_int16(int32_t value)
{
    return (int16_t)(value > INT16_MAX ? INT16_MAX : (value < INT16_MIN ? INT16_MIN : value));
}

static int8_t saturate_int8(int64_t value)
{
    return (int8_t)(value > INT8_MAX ? INT8_MAX : (value < INT8_MIN ? INT8_MIN : value));
}

// value >> by. A core that shifts bit by bit just takes the bytes it wants.
static int32_t shift_right(int32_t value, uint8_t by)
{
#if defined(__AVR__)
    for (; by >= 8u; by = (uint8_t)(by - 8u)) {
        value >>= 8;
    }
#endif
    return value >> by;
}

// The FIR's sum, at most FIR_SUM_MAX * 2^15 = 2^25 in magnitude, as the model's input. Small cores spare 64 bits for those
// who need them.
static int8_t scale(const ecg_prepare_params_t *p, int32_t sum)
{
    if (p->multiplier < 32 && p->shift <= 30u) {
        const int32_t scaled = shift_right(sum * p->multiplier + (INT32_C(1) << (p->shift - 1u)), p->shift);
        return (int8_t)ecg_clamp(scaled + p->zero_point, INT8_MIN, INT8_MAX);
    }
    const int64_t scaled = ((int64_t)sum * p->multiplier + (INT64_C(1) << (p->shift - 1u))) >> p->shift;
    return saturate_int8(scaled + p->zero_point);
}

// The FIR over a ring whose newest value is number `newest`: from there down, then from the ring's end down.
static int32_t convolve(const ecg_prepare_params_t *p, const int16_t *ring, uint8_t newest)
{
    const int16_t *tap = p->fir, *const after = ring + newest + 1u;
    int32_t sum = 0;
    for (const int16_t *value = after; value != ring;) {
        sum += (int32_t)*tap++ * *--value;
    }
    for (const int16_t *value = ring + p->taps; value != after;) {
        sum += (int32_t)*tap++ * *--value;
    }
    return sum;
}

// One sample through both averages, of `length`, and the FIR. raw_at and high_at name the oldest entries, which this sample
// replaces.
static int8_t filter(const ecg_prepare_t *s, ecg_prepare_lead_t *lead, int16_t x, uint16_t length)
{
    const ecg_prepare_params_t *const p = s->params;
    const int32_t half = (int32_t)(length / 2u);

    lead->raw_sum += x - (int32_t)lead->raw[s->raw_at];
    lead->raw[s->raw_at] = x;
    const int16_t mean = (int16_t)shift_right(lead->raw_sum + half, p->average_log2);
    lead->mean_sum += mean - (int32_t)lead->mean[s->raw_at];
    lead->mean[s->raw_at] = mean;
    const int32_t baseline = shift_right(lead->mean_sum + half, p->average_log2);

    const uint16_t oldest = (uint16_t)((s->raw_at + 1u) & (length - 1u));
    lead->high[s->high_at] = saturate_int16(lead->raw[oldest] - baseline);
    return scale(p, convolve(p, lead->high, s->high_at));
}

// One step of all leads. sample_uv is NULL to hold the last sample.
static bool step(ecg_prepare_t *s, const int16_t *sample_uv, int8_t *column)
{
    const uint16_t length = average(s->params);
    for (uint8_t l = 0; l < s->lead_count; l++) {
        column[l] = filter(s, &s->leads[l], sample_uv != NULL ? sample_uv[l] : s->leads[l].last_uv, length);
    }
    s->raw_at = (uint16_t)((s->raw_at + 1u) & (length - 1u));
    s->high_at = (uint8_t)(s->high_at + 1u == s->params->taps ? 0u : s->high_at + 1u);
    for (uint8_t state = 1; state < ECG_STATES; state++) {
        s->age[state] += s->age[state] != UINT32_MAX ? 1u : 0u;
    }
    if (s->warm != 0u) {
        s->warm--;
        return false;
    }
    return true;
}

// Notes the states that one sample raises; step() has made every age one older already.
// The first sample of a stream has no difference to the one before.
static void note(ecg_prepare_t *s, const int16_t *sample_uv, uint8_t flags, bool first)
{
    const ecg_prepare_params_t *const p = s->params;
    for (uint8_t l = 0; l < s->lead_count; l++) {
        ecg_prepare_lead_t *const lead = &s->leads[l];
        const int32_t difference = (int32_t)sample_uv[l] - lead->last_uv;
        const bool small = !first && difference <= p->flat_uv && difference >= -(int32_t)p->flat_uv;
        lead->still = (uint16_t)(!small ? 0u : (lead->still < p->flat_samples ? lead->still + 1u : lead->still));
        lead->last_uv = sample_uv[l];
        if (lead->still == p->flat_samples) {
            s->age[ECG_STATE_FLAT] = 0u;
        }
        if (sample_uv[l] == INT16_MAX || sample_uv[l] == INT16_MIN) {
            s->age[ECG_STATE_CLIPPED] = 0u;
        }
    }
    if ((flags & ECG_SAMPLE_CLIPPED) != 0u) {
        s->age[ECG_STATE_CLIPPED] = 0u;
    }
    if ((flags & ECG_SAMPLE_LEAD_OFF) != 0u) {
        s->age[ECG_STATE_LEAD_OFF] = 0u;
    }
    if ((flags & ECG_SAMPLE_GAP) != 0u) {
        s->age[ECG_STATE_GAP] = 0u;
    }
}

bool ecg_prepare_push(ecg_prepare_t *s, const int16_t *sample_uv, uint8_t flags, int8_t *column)
{
    const bool first = !s->primed;
    if (first) {
        for (uint8_t l = 0; l < s->lead_count; l++) {
            prime(s->params, &s->leads[l], sample_uv[l]);
        }
        s->primed = true;
    }
    const bool gave = step(s, sample_uv, column);
    note(s, sample_uv, flags, first);
    return gave;
}

bool ecg_prepare_hold(ecg_prepare_t *s, int8_t *column)
{
    return s->primed && step(s, NULL, column);
}

uint8_t ecg_prepare_state(const ecg_prepare_t *s, uint16_t window)
{
    // The column just given is `delay` behind the push; the window began window - 1 before it, and saw `delay` before that.
    const uint32_t reach = (uint32_t)window - 1u + 2u * (uint32_t)ecg_prepare_delay(s->params);
    for (uint8_t state = ECG_STATES - 1u; state > ECG_STATE_OK; state--) {
        if (s->age[state] <= reach) {
            return state;
        }
    }
    return ECG_STATE_OK;
}
