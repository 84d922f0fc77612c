// PROTOCOL.md once more, as a board that only says what must be answered: page.c keeps no frame and no line, has its verdicts
// from straight.c, and shares no code with the core.
#ifndef PAGE_H
#define PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ecg_edge.h"
#include "image.h"

#define PAGE_MOST_FRAMES 160u           // answers to one call: an END of a long delay may give many
#define PAGE_CREDIT 96u                 // config.credit_samples, in int16
#define PAGE_BOARD "a board whose name is longer than 24 bytes"
#define PAGE_ENGINE 2u
#define PAGE_ARENA 1000u                // and the model's number: config.arena_used()

// An answer: its type and payload; that of STATS is the caller's to fill in.
typedef struct {
    uint8_t type, flags;
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
extern uint8_t page_failed;             // vectors of the self-test that failed
extern page_counts_t page_counts;
extern uint32_t page_expected;          // index of the next sample
extern uint8_t page_leads;              // of the model that ran last
extern uint32_t page_last_result;       // what POLL calls the newest that was given: its last_index, or its number; or 0
extern uint32_t page_last_index;        // of it, or of its R peak

void page_boot(uint16_t boot, uint8_t trouble);
void page_frame(const ecg_frame_t *frame, const uint8_t *payload);
ecg_status_t page_live(uint8_t model);
bool page_samples_itself(void);       // now: LIVE or forwarding
bool page_result_due(void);             // a RESULT or BEAT is among the answers
ecg_status_t page_sample(const int16_t *sample_uv, uint8_t flags);
void page_lost(uint32_t n);
void page_log(uint8_t level, const char *text);

#endif
