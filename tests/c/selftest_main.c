// The exported image as a program: boots the core, whose self-test must pass, and prints what each model is.
#include <stdio.h>

#include "ecg_edge.h"
#include "ecg_models.h"

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static ecg_beats_t beats;
static ecg_edge_config_t config;
static ecg_edge_t edge;

static uint32_t now_us(void *ctx)
{
    (void)ctx;
    return 0u;
}

static void write_nothing(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    (void)bytes;
    (void)n;
}

int main(void)
{
    config.now_us = now_us;
    config.write = write_nothing;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.boot = 1u;
    config.credit_samples = 64u;
    config.board = ECG_BOARD;
    config.engine_version = ECG_ENGINE_VERSION;
    config.memory.scratch = scratch;
    config.memory.scratch_bytes = sizeof scratch;
    config.memory.window = window;
    config.memory.window_bytes = sizeof window;
    config.memory.leads = leads;
    config.memory.lead_count = ECG_MAX_LEADS;
    config.memory.beats = &beats;
    const ecg_status_t status = ecg_edge_init(&edge, &config);
    for (uint8_t m = 0; m < ecg_models_count; m++) {
        const ecg_model_t *model = ecg_models[m].model;
        (void)printf("%s %s %u of %u bytes, %u self-tests\n", model->name, model->push == NULL ? "windows" : "streams",
                     (unsigned)model->scratch_bytes, (unsigned)ECG_SCRATCH_BYTES, (unsigned)ecg_models[m].selftest_count);
    }
    return status == ECG_OK ? 0 : 1;
}
