// The application core over the board's UART: what `ecg-edge bench --device qemu:microbit` and its like talk to.
#include "board.h"
#include "ecg_edge.h"
#include "ecg_models.h"

// QEMU holds back what the UART has no room for, so this is how much a host may have on its way, not a buffer's size.
#define CREDIT_SAMPLES 1024u
#define BOOTS 65535u                    // 0 is no nonce

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
#if ECG_WITH_BEATS
static ecg_beats_t beats;
#define BEATS (&beats)
#else
#define BEATS NULL
#endif
static ecg_edge_config_t config;
static ecg_edge_t edge;

static uint32_t now_us(void *ctx)
{
    (void)ctx;
    return board_now_us();
}

static void write_uart(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    board_uart_write(bytes, n);
}

static uint32_t arena_used(void *ctx, uint8_t model)
{
    (void)ctx;
    return ecg_models_arena_used(scratch, model);
}

// A fault is told after the reset that it causes.
void board_fault(uint32_t pc)
{
    BOARD_KEPT->fault_pc = pc != 0u ? pc : 1u;
    board_restart();
}

static void tell_fault(uint32_t pc)
{
    static const char hex[] = "0123456789abcdef";
    char text[] = "fault at 0x00000000: reset";
    for (int digit = 0; digit < 8; digit++) {
        text[11 + digit] = hex[pc >> (28 - 4 * digit) & 15u];
    }
    ecg_edge_log(&edge, ECG_LOG_ERROR, text);
}

void board_main(void)
{
    const uint32_t fault_pc = BOARD_KEPT->fault_pc;
    BOARD_KEPT->fault_pc = 0u;
    board_clock_start();
    board_uart_start();
    config.now_us = now_us;
    config.write = write_uart;
    config.arena_used = arena_used;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.boot = (uint16_t)(1u + (BOARD_KEPT->seed + BOARD_KEPT->resets) % BOOTS);
    config.credit_samples = CREDIT_SAMPLES;
    config.board = ECG_BOARD;
    config.engine_version = ECG_ENGINE_VERSION;
    config.memory.scratch = scratch;
    config.memory.scratch_bytes = sizeof scratch;
    config.memory.window = window;
    config.memory.window_bytes = sizeof window;
    config.memory.leads = leads;
    config.memory.lead_count = ECG_MAX_LEADS;
    config.memory.beats = BEATS;
    BOARD_KEPT->resets++;
    (void)ecg_edge_init(&edge, &config);            // a failed self-test is told to the host, by HELLO
    if (fault_pc != 0u) {
        tell_fault(fault_pc);
    }
    for (;;) {
        const uint8_t byte = board_uart_read();
        ecg_edge_receive(&edge, &byte, 1u);
    }
}
