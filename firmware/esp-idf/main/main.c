// Serial replay on ESP-IDF: UART0 carries frames, the host streams ECG, the board prepares, classifies and answers.
//
//     ecg-edge bench ecg5 --device /dev/ttyUSB0
#include <stddef.h>
#include <stdint.h>

#include "driver/uart.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "soc/uart_pins.h"

#include "ecg_edge.h"
#include "ecg_models.h"

#define BAUD 115200
#define RECEIVE_BYTES 4096
#define CREDIT_SAMPLES 1024u    // 32 samples take 84 bytes on the wire: 2,688 of the buffer

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
    return (uint32_t)esp_timer_get_time();
}

static void write_bytes(void *ctx, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    (void)uart_write_bytes(UART_NUM_0, bytes, n);
}

static uint32_t arena_used(void *ctx, uint8_t model)
{
    (void)ctx;
    return ecg_models_arena_used(scratch, model);
}

static void open_line(void)
{
    const uart_config_t line = {
        .baud_rate = BAUD,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };
    ESP_ERROR_CHECK(uart_driver_install(UART_NUM_0, RECEIVE_BYTES, 0, 0, NULL, 0));
    ESP_ERROR_CHECK(uart_param_config(UART_NUM_0, &line));
    ESP_ERROR_CHECK(uart_set_pin(UART_NUM_0, U0TXD_GPIO_NUM, U0RXD_GPIO_NUM, UART_PIN_NO_CHANGE, UART_PIN_NO_CHANGE));
}

static void start_core(void)
{
    config.now_us = now_us;
    config.write = write_bytes;
    config.arena_used = arena_used;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.boot = (uint16_t)esp_random();
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
    (void)ecg_edge_init(&edge, &config);    // self-test, then HELLO; a failure is told to the host
}

void app_main(void)
{
    open_line();
    start_core();
    for (;;) {
        uint8_t bytes[256];
        size_t there = 0;
        // The first byte is waited for, which gives the idle task its time; what came with it is taken at once.
        int n = uart_read_bytes(UART_NUM_0, bytes, 1, portMAX_DELAY);
        if (n == 1 && uart_get_buffered_data_len(UART_NUM_0, &there) == ESP_OK && there > 0u) {
            const size_t rest = there < sizeof bytes - 1u ? there : sizeof bytes - 1u;
            const int more = uart_read_bytes(UART_NUM_0, bytes + 1, (uint32_t)rest, 0);
            n += more > 0 ? more : 0;
        }
        if (n > 0) {
            ecg_edge_receive(&edge, bytes, (size_t)n);
        }
    }
}
