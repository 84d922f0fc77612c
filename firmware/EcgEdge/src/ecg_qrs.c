#include "ecg_qrs.h"

#include <string.h>

// As in signal/qrs.py.
#define SHIFT 4
#define BACK 8u
#define LEARN 500u
#define BEATS_PART 80
#define BEATS_PART_LOG2 8
#define FLOOR 180
#define T_WAVE 90u
#define BEHIND 100u
#define RECENT 560u
#define LATE 360u
#define LATE_LOG2 8
#define SHORTEST 47u
#define LONGEST 499u
#define FIRST_INTERVAL 200
#define LOST 1250u
#define LOST_AGAIN 500u

#define SLOPES (ECG_QRS_SUM + ECG_QRS_CREST)

// ---- levels --------------------------------------------------------------------------------------------------------

static void fill(ecg_qrs_last_t *last, int32_t value)
{
    for (uint8_t i = 0; i < ECG_QRS_MEDIAN; i++) {
        last->values[i] = value;
    }
}

static void add(ecg_qrs_last_t *last, int32_t value)
{
    memmove(last->values, last->values + 1, (ECG_QRS_MEDIAN - 1u) * sizeof last->values[0]);
    last->values[ECG_QRS_MEDIAN - 1u] = value;
}

static int32_t median(const ecg_qrs_last_t *last)
{
    int32_t sorted[ECG_QRS_MEDIAN];
    for (uint8_t i = 0; i < ECG_QRS_MEDIAN; i++) {
        uint8_t at = i;
        for (; at > 0u && sorted[at - 1u] > last->values[i]; at--) {
            sorted[at] = sorted[at - 1u];
        }
        sorted[at] = last->values[i];
    }
    return (sorted[ECG_QRS_MEDIAN / 2u - 1u] + sorted[ECG_QRS_MEDIAN / 2u]) >> 1;
}

static int32_t threshold_of(const ecg_qrs_t *s)
{
    int32_t noise = 0;
    for (uint8_t i = 0; i < ECG_QRS_MEDIAN; i++) {
        noise += s->noise.values[i];
    }
    noise >>= 3;
    const int32_t threshold = noise + ((median(&s->beats) - noise) * BEATS_PART >> BEATS_PART_LOG2);
    return threshold > FLOOR ? threshold : FLOOR;
}

// ---- crests --------------------------------------------------------------------------------------------------------

static void keep(ecg_qrs_t *s, const ecg_qrs_crest_t *crest)
{
    if (s->kept_count == ECG_QRS_KEPT) {
        memmove(s->kept, s->kept + 1, (ECG_QRS_KEPT - 1u) * sizeof s->kept[0]);
        s->kept_count--;
    }
    s->kept[s->kept_count++] = *crest;
}

static void accept(ecg_qrs_t *s, const ecg_qrs_crest_t *crest)
{
    const uint32_t interval = crest->at - s->last.at;
    if (s->beating && interval >= SHORTEST && interval <= LONGEST) {
        add(&s->intervals, (int32_t)interval);
    }
    add(&s->beats, crest->level);
    s->beating = true;
    s->last = *crest;
    s->lost_at = crest->at + LOST;
    s->found[s->found_count++] = crest->beat;
}

static void search_back(ecg_qrs_t *s, uint32_t now)
{
    uint8_t best = s->kept_count;
    for (uint8_t k = 0; k < s->kept_count; k++) {
        const bool able = s->kept[k].at - s->last.at >= BEHIND && now - s->kept[k].at <= RECENT;
        if (able && (best == s->kept_count || s->kept[k].level > s->kept[best].level)) {
            best = k;
        }
    }
    if (best == s->kept_count || s->kept[best].level <= threshold_of(s) >> 1) {
        return;
    }
    const ecg_qrs_crest_t crest = s->kept[best];
    s->kept_count = (uint8_t)(s->kept_count - best - 1u);
    memmove(s->kept, s->kept + best + 1u, s->kept_count * sizeof s->kept[0]);
    accept(s, &crest);
}

static void halve_where_lost(ecg_qrs_t *s, const ecg_qrs_crest_t *crest)
{
    if ((int32_t)(crest->at - s->lost_at) > 0) {
        for (uint8_t i = 0; i < ECG_QRS_MEDIAN; i++) {
            s->beats.values[i] >>= 1;
        }
        s->lost_at += LOST_AGAIN;
    }
}

static void judge(ecg_qrs_t *s, const ecg_qrs_crest_t *crest)
{
    if (s->beating) {
        if (crest->at - s->last.at > ((uint32_t)median(&s->intervals) * LATE) >> LATE_LOG2) {
            search_back(s, crest->at);
        }
        halve_where_lost(s, crest);
    }
    const int32_t threshold = threshold_of(s);
    const bool t_wave = s->beating && crest->at - s->last.at < T_WAVE && crest->level < s->last.level >> 1;
    if (crest->level > threshold && !t_wave) {
        s->kept_count = 0u;
        accept(s, crest);
        return;
    }
    if (crest->level <= threshold) {
        add(&s->noise, crest->level);
    }
    keep(s, crest);
}

// The crest that is ECG_QRS_CREST samples old: its slopes are all in the ring, the oldest first.
static ecg_qrs_crest_t crest_now(const ecg_qrs_t *s)
{
    uint8_t best = 0u;
    uint16_t most = 0u;
    for (uint8_t i = 0; i < ECG_QRS_SUM; i++) {
        const uint16_t slope = s->slopes[(s->slope_at + i) % SLOPES];
        if (i == 0u || slope > most) {
            most = slope;
            best = i;
        }
    }
    const uint32_t at = s->taken - ECG_QRS_CREST;
    const ecg_qrs_crest_t crest = {at, s->largest, at - (ECG_QRS_SUM - 1u) + best - BACK};
    return crest;
}

static void look_for_crest(ecg_qrs_t *s, int32_t level)
{
    if (s->since >= ECG_QRS_CREST || level > s->largest) {
        s->largest = level;
        s->since = 0u;
        return;
    }
    if (++s->since < ECG_QRS_CREST) {
        return;
    }
    const ecg_qrs_crest_t crest = crest_now(s);
    if (s->judging) {
        judge(s, &crest);
    } else {
        keep(s, &crest);
    }
}

static void learn(ecg_qrs_t *s, int32_t level)
{
    s->learnt_largest = level > s->learnt_largest ? level : s->learnt_largest;
    s->learnt_sum += level;
    s->learnt++;
}

static void begin_judging(ecg_qrs_t *s)
{
    ecg_qrs_crest_t early[ECG_QRS_KEPT];
    const uint8_t count = s->kept_count;
    memcpy(early, s->kept, sizeof early);
    s->kept_count = 0u;
    s->judging = true;
    fill(&s->beats, s->learnt_largest);
    fill(&s->noise, s->learnt_sum / (int32_t)LEARN);
    fill(&s->intervals, FIRST_INTERVAL);
    for (uint8_t k = 0; k < count; k++) {
        judge(s, &early[k]);
    }
}

// ---- the filter ----------------------------------------------------------------------------------------------------

static void prime(ecg_qrs_t *s, int16_t sample_uv)
{
    for (uint8_t i = 0; i < 3u * ECG_QRS_ARM; i++) {
        s->samples[i] = sample_uv;
    }
    for (uint8_t i = 0; i < 3u; i++) {
        s->sums[i] = (int32_t)ECG_QRS_ARM * sample_uv;
    }
}

static uint16_t slope_with(ecg_qrs_t *s, int16_t sample_uv)
{
    const uint8_t at = s->sample_at;                        // of the oldest
    const uint8_t middle = (uint8_t)(at >= 2u * ECG_QRS_ARM ? at - 2u * ECG_QRS_ARM : at + ECG_QRS_ARM);
    const uint8_t newest = (uint8_t)(at >= ECG_QRS_ARM ? at - ECG_QRS_ARM : at + 2u * ECG_QRS_ARM);
    const int16_t to_middle = s->samples[newest];           // the oldest of each third goes to the next
    const int16_t to_oldest = s->samples[middle];
    s->sums[0] += sample_uv - to_middle;
    s->sums[1] += to_middle - to_oldest;
    s->sums[2] += to_oldest - s->samples[at];
    s->samples[at] = sample_uv;
    s->sample_at = (uint8_t)(at + 1u == 3u * ECG_QRS_ARM ? 0u : at + 1u);
    const int32_t slope = 2 * s->sums[1] - s->sums[0] - s->sums[2];
    return (uint16_t)((slope < 0 ? -slope : slope) >> SHIFT);
}

static int32_t level_with(ecg_qrs_t *s, uint16_t slope)
{
    const uint8_t at = s->slope_at;                         // of the oldest
    const uint8_t leaving = (uint8_t)(at >= ECG_QRS_SUM ? at - ECG_QRS_SUM : at + ECG_QRS_CREST);
    s->level += (int32_t)slope - s->slopes[leaving];
    s->slopes[at] = slope;
    s->slope_at = (uint8_t)(at + 1u == SLOPES ? 0u : at + 1u);
    return s->level;
}

void ecg_qrs_reset(ecg_qrs_t *s)
{
    memset(s, 0, sizeof *s);
    s->since = ECG_QRS_CREST;
}

bool ecg_qrs_push(ecg_qrs_t *s, int16_t sample_uv, uint32_t *ago)
{
    if (s->taken == 0u && !s->judging) {
        prime(s, sample_uv);
    }
    const int32_t level = level_with(s, slope_with(s, sample_uv));
    look_for_crest(s, level);
    if (!s->judging) {
        learn(s, level);
        if (s->learnt == LEARN) {
            begin_judging(s);
        }
    }
    s->taken++;
    if (s->found_count == 0u) {
        return false;
    }
    *ago = s->taken - 1u - s->found[0];
    s->found_count--;
    memmove(s->found, s->found + 1, s->found_count * sizeof s->found[0]);
    return true;
}
