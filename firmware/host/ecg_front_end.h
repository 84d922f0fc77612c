// What a host board has in place of electrodes: a file, read round and round at a model's rate by the monotonic clock.
#ifndef ECG_FRONT_END_H
#define ECG_FRONT_END_H

#include <stdbool.h>
#include <stdint.h>

#include "ecg_edge.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ECG_FRONT_END_STEP_US 20000u    // how often to call ecg_front_end_take()

// Opens a file of int16, little-endian, leads interleaved, and begins now. False when it holds no whole sample.
bool ecg_front_end_open(const char *path, uint8_t leads, uint16_t fs_hz);

// Gives the core every sample whose time has come.
void ecg_front_end_take(ecg_edge_t *edge);

#ifdef __cplusplus
}
#endif
#endif
