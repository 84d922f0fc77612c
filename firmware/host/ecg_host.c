#define _XOPEN_SOURCE 600       // pselect

#include "ecg_host.h"
#include "ecg_front_end.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 1024
#define WRITE_PATIENCE_S 1      // then what does not fit is dropped, until something fits again: a UART nobody listens to

typedef struct {
    int fd;
    bool unheard;               // nobody reads: do not wait for them again
    bool samples;               // by itself
    uint32_t arena_used;
} board_t;

static board_t board;
static ecg_edge_t edge;
static ecg_edge_config_t config;
static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t reset_asked;

static void on_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

static void on_reset(int number)
{
    (void)number;
    reset_asked = 1;
}

static uint32_t now_us(void *ctx)
{
    struct timespec now;
    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

// A client that does not read must not stop the board for ever: it would then not read either.
static void write_all(void *ctx, const uint8_t *bytes, size_t n)
{
    board_t *const b = ctx;
    while (n > 0u) {
        const ssize_t done = write(b->fd, bytes, n);
        if (done > 0) {
            b->unheard = false;
            bytes += done;
            n -= (size_t)done;
            continue;
        }
        if (b->unheard || (done < 0 && errno != EAGAIN && errno != EINTR)) {
            return;
        }
        struct timeval patience = {WRITE_PATIENCE_S, 0};
        fd_set writable;
        FD_ZERO(&writable);
        FD_SET(b->fd, &writable);
        b->unheard = select(b->fd + 1, NULL, &writable, NULL, &patience) == 0;
    }
}

static uint32_t arena_used(void *ctx, uint8_t model)
{
    (void)model;
    return ((const board_t *)ctx)->arena_used;
}

// Any number but 0 and the one before.
static uint16_t draw_boot(uint16_t before)
{
    uint16_t boot = (uint16_t)(now_us(NULL) ^ (uint32_t)getpid());
    FILE *const urandom = fopen("/dev/urandom", "rb");
    if (urandom != NULL) {
        if (fread(&boot, sizeof boot, 1u, urandom) != 1u) {
            boot++;
        }
        (void)fclose(urandom);
    }
    while (boot == 0u || boot == before) {
        boot++;
    }
    return boot;
}

static void catch_signals(sigset_t *while_waiting)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action;
    sigset_t blocked;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&blocked);
    action.sa_handler = on_stop;
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        (void)sigaction(stops[i], &action, NULL);
        (void)sigaddset(&blocked, stops[i]);
    }
    action.sa_handler = on_reset;
    (void)sigaction(SIGUSR1, &action, NULL);
    (void)sigaddset(&blocked, SIGUSR1);
    // Blocked but inside pselect(): a signal cannot slip in between the test of its flag and the wait.
    (void)sigprocmask(SIG_BLOCK, &blocked, while_waiting);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        (void)sigdelset(while_waiting, stops[i]);
    }
    (void)sigdelset(while_waiting, SIGUSR1);
}

static ecg_status_t boot_with(uint16_t nonce)
{
    config.boot = nonce;
    const ecg_status_t status = ecg_edge_init(&edge, &config);
    if (board.samples) {
        (void)ecg_edge_live(&edge, 0u);     // refused where the self-test failed, as the host is told
    }
    return status;
}

// A reset loses what is under way, as on a board.
static void boot_anew(void)
{
    uint8_t lost[READ_BYTES];
    while (read(board.fd, lost, sizeof lost) > 0) {
    }
    (void)boot_with(draw_boot(config.boot));
}

// Returns false at the end of the link.
static bool take_bytes(uint32_t *until_reset)
{
    uint8_t bytes[READ_BYTES];
    const ssize_t n = read(board.fd, bytes, sizeof bytes);
    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    const bool resets = *until_reset != 0u && *until_reset <= (uint32_t)n;
    ecg_edge_receive(&edge, bytes, resets ? *until_reset : (size_t)n);
    if (*until_reset != 0u) {
        *until_reset = resets ? 0u : *until_reset - (uint32_t)n;
    }
    if (resets) {
        boot_anew();
    }
    return true;
}

// Lets pending signals in. A pselect() that finds bytes at once lets in none, so a busy line would hold off the button.
static void take_signals(const sigset_t *while_waiting)
{
    sigset_t blocked;
    (void)sigprocmask(SIG_SETMASK, while_waiting, &blocked);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static int serve(int watch_fd, uint32_t until_reset, const sigset_t *while_waiting)
{
    while (!stop_asked) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(board.fd, &readable);
        if (watch_fd >= 0) {
            FD_SET(watch_fd, &readable);
        }
        const int most = board.fd > watch_fd ? board.fd : watch_fd;
        const struct timespec step = {0, ECG_FRONT_END_STEP_US * 1000};
        const int ready = pselect(most + 1, &readable, NULL, NULL, board.samples ? &step : NULL, while_waiting);
        if (ready < 0 && errno != EINTR) {
            return ECG_HOST_FAILED;
        }
        take_signals(while_waiting);
        if (reset_asked) {
            reset_asked = 0;
            boot_anew();
        }
        if (board.samples) {
            ecg_front_end_take(&edge);
        }
        if (ready <= 0) {
            continue;
        }
        char ignored[64];
        if (watch_fd >= 0 && FD_ISSET(watch_fd, &readable) && read(watch_fd, ignored, sizeof ignored) <= 0) {
            return ECG_HOST_STOPPED;
        }
        if (FD_ISSET(board.fd, &readable) && !take_bytes(&until_reset)) {
            return ECG_HOST_STOPPED;
        }
    }
    return ECG_HOST_STOPPED;
}

int ecg_host_run(int fd, const ecg_image_model_t *models, uint8_t count, const ecg_host_options_t *options)
{
    sigset_t while_waiting;
    const int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || fcntl(fd, F_SETFL, mode | O_NONBLOCK) < 0) {
        return ECG_HOST_FAILED;
    }
    stop_asked = 0;
    reset_asked = 0;
    catch_signals(&while_waiting);
    board.fd = fd;
    board.arena_used = options->arena_used;
    memset(&config, 0, sizeof config);
    config.now_us = now_us;
    config.write = write_all;
    config.arena_used = arena_used;
    config.ctx = &board;
    config.models = models;
    config.model_count = count;
    config.engine = options->engine;
    config.credit_samples = options->credit_samples != 0u ? options->credit_samples : (uint16_t)ECG_HOST_CREDIT_SAMPLES;
    config.board = options->board != NULL ? options->board : "host";
    config.engine_version = options->engine_version;
    config.memory = options->memory;
    board.samples = options->samples != NULL;
    if (board.samples && !ecg_front_end_open(options->samples, ecg_stream_leads(&models[0]), models[0].model->fs_hz)) {
        return ECG_HOST_NO_SAMPLES;
    }
    const ecg_status_t status = boot_with(options->boot != 0u ? options->boot : draw_boot(0u));
    if (status != ECG_OK && status != ECG_STATUS_SELFTEST_FAILED) {
        return ECG_HOST_BAD_IMAGE;
    }
    return serve(options->watch_fd, options->reset_after_bytes, &while_waiting);
}
