// PROTOCOL.md once more, as a board that only says what must be answered: page.c keeps no frame, no time and no line, and
// shares nothing with ecg_edge.c but the stream below it (ecg_stream.c), which other tests hold to its definition.
#ifndef PAGE_H
#define PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecg_edge.h"

#define PAGE_MOST_FRAMES 160u           // answers to one call: an END of a long delay may give many
#define PAGE_CREDIT 96u                 // config.credit_samples, in int16

// An answer: its type and payload. HELLO and the times of STATS are compared by the caller.
typedef struct {
    uint8_t type;
    uint16_t length;
    uint8_t payload[ECG_FRAME_PAYLOAD_MAX];
} page_frame_t;

typedef struct {
    page_frame_t frames[PAGE_MOST_FRAMES];
    size_t count;
} page_answers_t;

// What the counters of STATS must be, but for those of bytes and frames, which the caller sees itself.
typedef struct {
    uint32_t gaps, duplicates, overruns, results;
} page_counts_t;

extern page_answers_t page_answers;     // of the last call
extern bool page_failed;                // the self-test: its one vector
extern int8_t page_scores[3];           // that this vector gives
extern page_counts_t page_counts;
extern uint32_t page_expected;          // index of the next sample
extern uint8_t page_leads;              // of the model that ran last
extern uint32_t page_last_result;       // its last_index; the newest that is kept, or 0

void page_boot(uint16_t boot);
void page_frame(const ecg_frame_t *frame, const uint8_t *payload);
ecg_status_t page_live(uint8_t model);
ecg_status_t page_sample(const int16_t *sample_uv, uint8_t flags);
void page_lost(uint32_t n);
void page_log(uint8_t level, const char *text);

#endif
