// `ecg_host [--boot N] [--credit N] [--reset-after BYTES] [--samples FILE]`: the exported image as a process on a pty. See README.md.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ecg_host.h"
#include "ecg_models.h"

#define PTY_NAME_BYTES 64

// GCC and clang, as the pty is POSIX anyway. The window has room for any model, since another engine may need it kept.
static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[(size_t)UINT16_MAX * ECG_MAX_LEADS];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static ecg_beats_t beats;

static ecg_memory_t memory_of_image(void)
{
    const ecg_memory_t memory = {scratch, sizeof scratch, window, sizeof window, leads, ECG_MAX_LEADS, &beats};
    return memory;
}

// Opens the pty, tells its name, runs until the end.
static int run_on_pty(const ecg_image_model_t *models, uint8_t count, const ecg_host_options_t *options)
{
    char name[PTY_NAME_BYTES];
    const int fd = ecg_host_pty(name, sizeof name);
    if (fd < 0) {
        (void)fprintf(stderr, "ecg_host: cannot open a pty: %s\n", strerror(errno));
        return ECG_HOST_FAILED;
    }
    (void)printf("pty %s\n", name);
    (void)fflush(stdout);
    const int ended = ecg_host_run(fd, models, count, options);
    if (ended == ECG_HOST_BAD_IMAGE) {
        (void)fprintf(stderr, "ecg_host: the core refuses this image: a model or its memory is outside the limits\n");
    }
    if (ended == ECG_HOST_NO_SAMPLES) {
        (void)fprintf(stderr, "ecg_host: %s holds no whole sample that can be read\n", options->samples);
    }
    (void)close(fd);
    return ended;
}

// The engine behind the descriptor that ecg_host_serve() builds.
static ecg_host_engine_t served_engine;

static ecg_status_t run_served(void *unused, const int8_t *columns, int8_t *scores)
{
    (void)unused;
    return served_engine(columns, scores) == 0 ? ECG_OK : ECG_STATUS_ENGINE;
}

int ecg_host_serve(ecg_host_engine_t engine, uint8_t model, uint8_t engine_id, const char *engine_version, uint32_t arena_used)
{
    if (engine == NULL || model >= ecg_models_count) {
        return ECG_HOST_BAD_IMAGE;
    }
    ecg_model_t descriptor = *ecg_models[model].model;
    ecg_image_model_t image = ecg_models[model];
    ecg_host_options_t options;
    memset(&options, 0, sizeof options);
    descriptor.reset = NULL;
    descriptor.push = NULL;
    descriptor.run = run_served;
    descriptor.scratch_bytes = 0u;
    image.model = &descriptor;
    served_engine = engine;
    options.board = ECG_BOARD;
    options.engine = engine_id;
    options.engine_version = engine_version;
    options.arena_used = arena_used;
    options.watch_fd = STDIN_FILENO;
    options.memory = memory_of_image();
    return run_on_pty(&image, 1u, &options);
}

// A number up to `most` after the option at argv[i], or exit.
static unsigned long number_after(char **argv, int i, unsigned long most)
{
    char *end = NULL;
    const char *const text = argv[i + 1];
    errno = 0;
    const unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0u;
    if (text == NULL || end == text || *end != '\0' || errno != 0 || value > most) {
        (void)fprintf(stderr, "ecg_host: %s wants a number from 0 to %lu\n", argv[i], most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    ecg_host_options_t options;
    memset(&options, 0, sizeof options);
    options.board = ECG_BOARD;
    options.engine = ECG_ENGINE;
    options.engine_version = ECG_ENGINE_VERSION;
    options.watch_fd = STDIN_FILENO;
    options.memory = memory_of_image();
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--boot") == 0) {
            options.boot = (uint16_t)number_after(argv, i, UINT16_MAX);
        } else if (strcmp(argv[i], "--credit") == 0) {
            options.credit_samples = (uint16_t)number_after(argv, i, UINT16_MAX);
        } else if (strcmp(argv[i], "--reset-after") == 0) {
            options.reset_after_bytes = (uint32_t)number_after(argv, i, UINT32_MAX);
        } else if (strcmp(argv[i], "--samples") == 0 && argv[i + 1] != NULL) {
            options.samples = argv[i + 1];
        } else {
            (void)fprintf(stderr, "usage: ecg_host [--boot N] [--credit N] [--reset-after BYTES] [--samples FILE]\n");
            return 2;
        }
    }
    return run_on_pty(ecg_models, ecg_models_count, &options);
}
