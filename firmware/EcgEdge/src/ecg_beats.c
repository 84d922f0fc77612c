#include "ecg_beats.h"

#include <string.h>

#include "ecg_prepare.h"
#include "ecg_quant.h"

// As in signal/beatview.py.
#define STEP 3u
#define BEFORE 90u
#define REACH 133u
#define LAG_MOST 12
#define LAG_STEP 2
#define QRS_FROM 23u
#define QRS_TO 40u
#define P_FROM 2u
#define P_COLUMNS 22u
#define P_MARGIN 2u                 // columns of P at either end that near does not compare
#define LONGEST 1000u
#define FIRST_INTERVAL 200u
#define STATE_COLUMNS 2000u
#define MEAN_INTERVALS 256u
#define KIND_BEATS 32u
#define LATE (-4)
#define GOOD_P 80
#define SINCE_P_MOST 63u
#define VOTES_MOST 128
#define LIVES_MOST 64
#define FEATURE_MOST 127
#define LOG_STEPS 64u

// Features.
enum { R0 = 0, R1, R_BEFORE, R2, RECENT, IRREGULAR, SHAPE, NEAR, ALIKE, USUAL_P, RECENT_P, SINCE_P };

ECG_STATIC_ASSERT((ECG_BEATS_RING & (ECG_BEATS_RING - 1u)) == 0u, ring_is_a_power_of_two);
ECG_STATIC_ASSERT((ECG_BEATS_PEAKS & (ECG_BEATS_PEAKS - 1u)) == 0u, peaks_are_a_power_of_two);
ECG_STATIC_ASSERT((int)SINCE_P + 1 == (int)ECG_BEATS_FEATURES, all_features_have_a_name);

// ---- numbers ---------------------------------------------------------------------------------------------------------

// 64 * log2(1 + i / 64), rounded.
static const uint8_t log_of[LOG_STEPS] = {
    0, 1, 3, 4, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 34, 35, 35, 36,
    37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 47, 48, 49, 50, 51, 52, 52, 53, 54, 55, 56, 56, 57, 58, 59, 60, 60, 61, 62, 63, 63,
};

static int16_t lg(uint32_t v)
{
    uint8_t e = 0u;
    while (v >> e > 1u) {
        e++;
    }
    return (int16_t)((int16_t)(LOG_STEPS * e) + (int16_t)log_of[(v * LOG_STEPS >> e) - LOG_STEPS]);
}

// floor(sqrt(v))
static uint32_t root(uint32_t v)
{
    uint32_t found = 0u;
    for (uint32_t bit = UINT32_C(1) << 30; bit != 0u; bit >>= 2) {
        const bool fits = v >= found + bit;
        v -= fits ? found + bit : 0u;
        found = (found >> 1) + (fits ? bit : 0u);
    }
    return found;
}

static int32_t magnitude(int32_t v)
{
    return v < 0 ? -v : v;
}

// a / b towards minus infinity, b positive.
static int32_t floored(int32_t a, int32_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

static int8_t limited(int32_t v)
{
    return (int8_t)ecg_clamp(v, -FEATURE_MOST, FEATURE_MOST);
}

// ---- shapes ----------------------------------------------------------------------------------------------------------

// Column k of the beat whose R peak is at `at`.
static int8_t part_at(const ecg_beats_t *b, uint32_t at, uint8_t k)
{
    const uint32_t first = at - (BEFORE + 1u) + STEP * (uint32_t)k;
    int32_t sum = 0;
    for (uint8_t i = 0; i < STEP; i++) {
        sum += b->columns[(first + i) % ECG_BEATS_RING];
    }
    return (int8_t)((sum * 85 + 128) >> 8);
}

static int32_t level_of(const ecg_beats_kind_t *kind, uint8_t k)
{
    return (kind->sum16[k] + 8) >> 4;
}

static int32_t size_of(const ecg_beats_kind_t *kind)
{
    int32_t size = 8;
    for (uint8_t k = QRS_FROM; k < QRS_TO; k++) {
        size += magnitude(level_of(kind, k));
    }
    return size;
}

// Where the beat at `at` fits a kind best, when moving it costs `price` a sample: that place, and what it costs.
static uint32_t fit(const ecg_beats_t *b, uint32_t at, const ecg_beats_kind_t *kind, int32_t price, int32_t *cost)
{
    uint32_t best_at = at;
    *cost = INT32_MAX;
    for (int32_t lag = -LAG_MOST; lag <= LAG_MOST; lag += LAG_STEP) {
        const uint32_t there = at + (uint32_t)lag;
        int32_t sum = price * magnitude(lag);
        for (uint8_t k = QRS_FROM; k < QRS_TO; k++) {
            sum += magnitude(part_at(b, there, k) - level_of(kind, k));
        }
        if (sum < *cost) {
            *cost = sum;
            best_at = there;
        }
    }
    return best_at;
}

static void begin_kind(const ecg_beats_t *b, uint32_t at, ecg_beats_kind_t *kind)
{
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        kind->sum16[k] = (int16_t)(part_at(b, at, k) * 16);
    }
    kind->count = 1u;
}

static void move_kind(const ecg_beats_t *b, uint32_t at, ecg_beats_kind_t *kind)
{
    kind->count = (uint8_t)(kind->count < KIND_BEATS ? kind->count + 1u : KIND_BEATS);
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        const int32_t difference = part_at(b, at, k) * 16 - kind->sum16[k];
        kind->sum16[k] = (int16_t)(kind->sum16[k] + floored(difference, kind->count));
    }
}

// How a beat looks beside the usual one.
typedef struct {
    uint32_t at;                    // where it fits
    int32_t size, shape, near, energy, alike;
} looks_t;

// Leaves columns of a P wave without their mean; the sum of what is left.
static int32_t take_mean_off(int16_t *columns)
{
    int32_t sum = 0, energy = 0;
    for (uint8_t j = 0; j < P_COLUMNS; j++) {
        sum += columns[j];
    }
    const int32_t mean = sum * 12 >> 8;
    for (uint8_t j = 0; j < P_COLUMNS; j++) {
        columns[j] = (int16_t)(columns[j] - mean);
        energy += magnitude(columns[j]);
    }
    return energy;
}

static int32_t product(const int16_t *u, const int16_t *w)
{
    int32_t sum = 0;
    for (uint8_t j = 0; j < P_COLUMNS; j++) {
        sum += (int32_t)u[j] * w[j];
    }
    return sum;
}

static int32_t nearest(const int16_t *u, const int16_t *w)
{
    int32_t least = INT32_MAX;
    for (uint8_t s = 0; s <= 2u; s++) {
        int32_t sum = 0;
        for (uint8_t j = P_MARGIN; j < P_COLUMNS - P_MARGIN; j++) {
            sum += magnitude(u[j + 1u - s] - w[j]);
        }
        least = sum < least ? sum : least;
    }
    return least;
}

static void compare_p(const ecg_beats_t *b, const ecg_beats_kind_t *kind, looks_t *looks)
{
    int16_t u[P_COLUMNS], w[P_COLUMNS];
    for (uint8_t j = 0; j < P_COLUMNS; j++) {
        u[j] = part_at(b, looks->at, (uint8_t)(P_FROM + j));
        w[j] = (int16_t)level_of(kind, (uint8_t)(P_FROM + j));
    }
    (void)take_mean_off(u);
    looks->energy = take_mean_off(w) + 8;
    looks->near = nearest(u, w);
    const uint32_t roots = root((uint32_t)product(u, u) << 8) * root((uint32_t)product(w, w) << 8);
    looks->alike = FEATURE_MOST * product(u, w) / (int32_t)((roots >> 8) + 1u);
}

static void compare(const ecg_beats_t *b, uint32_t at, const ecg_beats_kind_t *kind, looks_t *looks)
{
    int32_t cost, sum = 0;
    looks->at = fit(b, at, kind, 2, &cost);
    looks->size = size_of(kind);
    looks->shape = 0;
    for (uint8_t k = QRS_FROM; k < QRS_TO; k++) {
        sum += part_at(b, looks->at, k) - level_of(kind, k);
    }
    const int32_t mean = sum * 15 >> 8;
    for (uint8_t k = QRS_FROM; k < QRS_TO; k++) {
        looks->shape += magnitude(part_at(b, looks->at, k) - level_of(kind, k) - mean);
    }
    compare_p(b, kind, looks);
}

// ---- the patient -----------------------------------------------------------------------------------------------------

static void learn_interval(ecg_beats_t *b, uint32_t interval)
{
    const int16_t log = lg(interval);
    const int32_t jump = magnitude(log - b->last_log);
    b->recent[b->recent_at] = (uint16_t)interval;
    b->recent_at = (uint8_t)((b->recent_at + 1u) % ECG_BEATS_RECENT);
    b->jumps[b->jump_at] = (uint8_t)(jump < FEATURE_MOST ? jump : FEATURE_MOST);
    b->jump_at = (uint8_t)((b->jump_at + 1u) % ECG_BEATS_JUMPS);
    b->intervals = (uint16_t)(b->intervals < MEAN_INTERVALS ? b->intervals + 1u : MEAN_INTERVALS);
    b->mean256 += (uint32_t)floored((int32_t)(interval << 8) - (int32_t)b->mean256, b->intervals);
    b->last_log = log;
}

// A beat that is late and unlike the usual one: of the rival's kind, or one that may take its place.
static void vote_for_rival(ecg_beats_t *b, uint32_t at)
{
    ecg_beats_kind_t *const rival = &b->kinds[1u - b->usual];
    if (b->lives > 0) {
        int32_t cost;
        const uint32_t fits_at = fit(b, at, rival, 0, &cost);
        if (2 * cost < size_of(rival)) {
            move_kind(b, fits_at, rival);
            b->lives = (int8_t)(b->lives < LIVES_MOST ? b->lives + 1 : LIVES_MOST);
            if (--b->votes < 0) {
                b->usual = (uint8_t)(1u - b->usual);
                b->lives = LIVES_MOST;
                b->votes = 1;
            }
            return;
        }
    }
    if (--b->lives <= 0) {
        begin_kind(b, at, rival);
        b->lives = 1;
    }
}

static void learn_shape(ecg_beats_t *b, uint32_t at, const looks_t *looks, bool late)
{
    const bool usual = late && 2 * looks->shape < looks->size;
    const bool has_p = usual && looks->alike > GOOD_P;
    b->recent_p = (int16_t)(b->recent_p + looks->alike - (b->recent_p >> 4));
    b->since_p = (uint8_t)(has_p ? 0u : b->since_p < SINCE_P_MOST ? b->since_p + 1u : SINCE_P_MOST);
    if (usual) {
        b->usual_p = (int16_t)(b->usual_p + looks->alike - (b->usual_p >> 5));
        move_kind(b, looks->at, &b->kinds[b->usual]);
        b->votes = (int16_t)(b->votes < VOTES_MOST ? b->votes + 1 : VOTES_MOST);
    } else if (late) {
        vote_for_rival(b, at);
    }
}

// ---- views -----------------------------------------------------------------------------------------------------------

static uint32_t peak(const ecg_beats_t *b, uint32_t number)
{
    return b->peaks[number % ECG_BEATS_PEAKS];
}

// The interval from beat number - 1 to this one; `otherwise` where there is none.
static uint32_t interval_to(const ecg_beats_t *b, uint32_t number, uint32_t otherwise)
{
    if (number == 0u || number >= b->found) {
        return otherwise;
    }
    const uint32_t interval = peak(b, number) - peak(b, number - 1u);
    return interval < LONGEST ? interval : LONGEST;
}

static void show_shape(const ecg_beats_t *b, const ecg_beats_kind_t *kind, const looks_t *looks, ecg_beat_t *beat)
{
    const int32_t gain = ecg_clamp(28 * 17 * INT32_C(256) / looks->size, 64, 1024);
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        const int32_t part = part_at(b, looks->at, k);
        beat->part[k] = limited(part * gain >> 8);
        beat->change[k] = limited((part * 16 - kind->sum16[k]) * gain >> 11);
    }
}

// All features but R1 and R2. r0 and r_before are the intervals before the beat, and before the beat before.
static void show_features(const ecg_beats_t *b, const looks_t *looks, uint32_t r0, uint32_t r_before, ecg_beat_t *beat)
{
    int8_t *const f = beat->features;
    uint32_t recent = 0u;
    int32_t irregular = 0;
    for (uint8_t i = 0; i < ECG_BEATS_RECENT; i++) {
        recent += b->recent[i];
    }
    for (uint8_t i = 0; i < ECG_BEATS_JUMPS; i++) {
        irregular += b->jumps[i];
    }
    f[R0] = limited(lg(r0) - beat->mean_log);
    f[R_BEFORE] = limited(lg(r_before) - beat->mean_log);
    f[RECENT] = limited(lg(recent / ECG_BEATS_RECENT) - beat->mean_log);
    f[IRREGULAR] = limited(2 * ((irregular >> 4) - 32));
    f[SHAPE] = limited(lg((uint32_t)looks->shape + 1u) - lg((uint32_t)looks->size));
    f[NEAR] = limited(lg((uint32_t)looks->near + 1u) - lg((uint32_t)looks->energy));
    f[ALIKE] = limited(looks->alike);
    f[USUAL_P] = limited(b->usual_p >> 5);
    f[RECENT_P] = limited(b->recent_p >> 4);
    f[SINCE_P] = limited(lg(b->since_p + UINT32_C(1)) / 4);
}

void ecg_beats_reset(ecg_beats_t *b)
{
    memset(b, 0, sizeof *b);
    ecg_qrs_reset(&b->qrs);
    b->usual_p = 100 * 32;
    b->recent_p = 100 * 16;
    b->mean256 = FIRST_INTERVAL << 8;
    b->last_log = lg(FIRST_INTERVAL);
    for (uint8_t i = 0; i < ECG_BEATS_RECENT; i++) {
        b->recent[i] = FIRST_INTERVAL;
    }
}

void ecg_beats_sample(ecg_beats_t *b, int16_t sample_uv)
{
    uint32_t ago;
    if (!ecg_qrs_push(&b->qrs, sample_uv, &ago)) {
        return;
    }
    const uint32_t at = b->qrs.taken - 1u - ago;
    // A stream that begins within a beat may have its R peak before the first sample.
    b->peaks[b->found % ECG_BEATS_PEAKS] = b->found == 0u && at > INT32_MAX ? 0u : at;
    b->found++;
}

uint16_t ecg_beats_column(ecg_beats_t *b, int8_t column)
{
    const uint32_t newest = b->columns_taken++;
    b->columns[newest % ECG_BEATS_RING] = column;
    if (b->seen == b->found) {
        return 0u;
    }
    const uint32_t behind = newest - peak(b, b->seen);
    if (behind < REACH || behind > INT32_MAX) {
        return 0u;
    }
    const uint32_t from = b->seen != 0u ? peak(b, b->seen - 1u) : peak(b, 0u) - BEFORE;
    const uint32_t span = newest - from + 1u;
    return (uint16_t)(span < STATE_COLUMNS ? span : STATE_COLUMNS);
}

void ecg_beats_see(ecg_beats_t *b, uint8_t state)
{
    const uint32_t number = b->seen, at = peak(b, number);
    const bool first = number == 0u;
    const uint32_t rr = first ? 0u : at - peak(b, number - 1u);
    const uint32_t r0 = interval_to(b, number, FIRST_INTERVAL);
    const uint32_t r_before = first ? r0 : interval_to(b, number - 1u, r0);
    ecg_beats_kind_t *const usual = &b->kinds[b->usual];
    ecg_beat_t *const beat = &b->waiting[number % ECG_BEATS_WAITING];
    looks_t looks;
    if (usual->count == 0u) {
        begin_kind(b, at, usual);
    }
    compare(b, at, usual, &looks);
    beat->number = number;
    beat->at = at;
    beat->rr = (uint16_t)(rr < UINT16_MAX ? rr : UINT16_MAX);
    beat->state = state;
    beat->mean_log = lg(b->mean256 >> 8);
    show_shape(b, usual, &looks, beat);
    show_features(b, &looks, r0, r_before, beat);
    b->seen++;
    if (state == ECG_STATE_OK) {
        learn_shape(b, at, &looks, lg(r0) - beat->mean_log >= LATE);
        if (!first) {
            learn_interval(b, r0);
        }
    }
}

const ecg_beat_t *ecg_beats_next(ecg_beats_t *b, bool ended)
{
    const uint32_t number = b->given;
    if (number == b->seen || (!ended && b->found - number <= ECG_BEATS_UNKNOWN)) {
        return NULL;
    }
    ecg_beat_t *const beat = &b->waiting[number % ECG_BEATS_WAITING];
    const uint32_t r1 = interval_to(b, number + 1u, interval_to(b, number, FIRST_INTERVAL));
    beat->features[R1] = limited(lg(r1) - beat->mean_log);
    beat->features[R2] = limited(lg(interval_to(b, number + 2u, r1)) - beat->mean_log);
    b->given++;
    return beat;
}

void ecg_beats_view(const ecg_beat_t *beat, uint8_t k, int8_t *values)
{
    values[0] = beat->part[k];
    values[1] = beat->change[k];
    memcpy(values + 2, beat->features, ECG_BEATS_FEATURES);
}
