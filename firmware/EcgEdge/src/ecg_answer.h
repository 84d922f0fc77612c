// The core's answers as frames of PROTOCOL.md. For ecg_edge.c alone.
#ifndef ECG_ANSWER_H
#define ECG_ANSWER_H

#include "ecg_edge.h"

#define ECG_MODE_WINDOW 0u
#define ECG_MODE_STREAM 1u
#define ECG_MODE_OWN 2u

// One HELLO a model.
void ecg_answer_hello(ecg_edge_t *e);

void ecg_answer_credit(ecg_edge_t *e);
// Whether that model takes beats.
bool ecg_answer_takes_beats(const ecg_edge_t *e, uint8_t model);

// As RESULT or BEAT, by its model.
void ecg_answer_result(ecg_edge_t *e, const ecg_kept_result_t *kept);

void ecg_answer_stats(ecg_edge_t *e);

// The board's own samples that wait, if any: those before `expected`.
void ecg_answer_own(ecg_edge_t *e);

// cause is the frame that it answers, or NULL.
void ecg_answer_error(ecg_edge_t *e, uint8_t code, const ecg_frame_t *cause, uint32_t detail);

// The self-test's report. The scores of the first vector that failed, both (classes), were noted in the frame being built
// while it ran: nothing may be sent in between.
void ecg_answer_note_scores(ecg_edge_t *e, const int8_t *expected, const int8_t *got, size_t classes);
void ecg_answer_selftest(ecg_edge_t *e);

// Samples that the window still needs; in window mode only.
uint32_t ecg_answer_wanting(const ecg_edge_t *e);

#endif
