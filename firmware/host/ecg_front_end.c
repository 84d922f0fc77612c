#define _XOPEN_SOURCE 600       // clock_gettime

#include "ecg_front_end.h"

#include <stdio.h>
#include <time.h>

static FILE *file;
static uint8_t lead_count;
static uint16_t rate_hz;
static uint64_t begun_us, taken;

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static bool read_sample(int16_t *sample_uv)
{
    uint8_t bytes[2u * ECG_STREAM_MAX_LEADS];
    const size_t wanted = 2u * (size_t)lead_count;
    if (fread(bytes, 1u, wanted, file) != wanted) {
        rewind(file);
        if (fread(bytes, 1u, wanted, file) != wanted) {
            return false;
        }
    }
    for (uint8_t l = 0; l < lead_count; l++) {
        sample_uv[l] = (int16_t)ecg_get_u16(bytes + 2u * l);
    }
    return true;
}

bool ecg_front_end_open(const char *path, uint8_t leads, uint16_t fs_hz)
{
    int16_t first[ECG_STREAM_MAX_LEADS];
    file = fopen(path, "rb");
    lead_count = leads;
    rate_hz = fs_hz;
    begun_us = now_us();
    taken = 0u;
    if (file == NULL || leads > ECG_STREAM_MAX_LEADS || !read_sample(first)) {
        return false;
    }
    rewind(file);
    return true;
}

void ecg_front_end_take(ecg_edge_t *edge)
{
    const uint64_t due = (now_us() - begun_us) * rate_hz / 1000000u;
    int16_t sample_uv[ECG_STREAM_MAX_LEADS];
    for (; taken < due && read_sample(sample_uv); taken++) {
        (void)ecg_edge_sample(edge, sample_uv, 0u, NULL);       // NOT_STARTED while the host sends its own: electrodes go on
    }
}
