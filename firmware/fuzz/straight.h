// What a stream gives, from the definition: all samples since its start are kept, and each verdict is computed from them anew.
// ecg_stream.c and ecg_prepare.c keep sums and rings instead; nothing of theirs is used here. Of beats only what lies around
// detector and views is computed anew: those are held to their own second reading, in Python.
#ifndef STRAIGHT_H
#define STRAIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "ecg_stream.h"
#include "image.h"

#define STRAIGHT_MOST 20000u            // samples that are kept

extern uint32_t straight_step_us;       // what every look at the clock adds to it

// As those of ecg_stream.h.
void straight_begin(uint8_t model, uint32_t first_index, uint32_t skip);
ecg_status_t straight_push(const int16_t *sample_uv, uint8_t flags, ecg_result_t *result, bool *due);
ecg_status_t straight_hold(ecg_result_t *result, bool *due);

uint32_t straight_delay(uint8_t model);
uint32_t straight_holds(uint8_t model); // that end a stream
uint32_t straight_room(void);           // samples that may still come

#endif
