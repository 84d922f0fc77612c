// Serial replay: the computer streams ECG, the board prepares, classifies and answers.
//
//     ecg-edge bench ecg5 --device /dev/ttyUSB0
//
// The protocol is binary: close the serial monitor first.
#include <ecg_edge.h>
#include <ecg_models.h>

static const unsigned long kBaud = 115200;

// The receive path must hold what the host may send ahead: its credit, as int16, framed, with room for repeats.
// ESP32 lets a sketch choose the size; other cores have theirs (64 bytes on AVR and SAMD), and USB holds back by itself.
#if defined(ESP32)
static const uint16_t kCreditSamples = 1024;
#else
static const uint16_t kCreditSamples = 16;
#endif

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
static ecg_edge_config_t config;
static ecg_edge_t edge;

static uint32_t now_us(void *)
{
    return micros();
}

static void write_bytes(void *, const uint8_t *bytes, size_t n)
{
    Serial.write(bytes, n);
}

static uint32_t arena_used(void *, uint8_t model)
{
    return ecg_models_arena_used(scratch, model);
}

// Another number at each reset, so that the host sees one: noise of an open pin, and the time it took to read it.
static uint16_t boot_nonce()
{
    uint32_t nonce = micros();
    for (int i = 0; i < 16; i++) {
        nonce = nonce * 31u + static_cast<uint32_t>(analogRead(A0));
    }
    return static_cast<uint16_t>(nonce ^ (nonce >> 16));
}

void setup()
{
#if defined(ESP32)
    Serial.setRxBufferSize(4096);
#endif
    Serial.begin(kBaud);
    config.now_us = now_us;
    config.write = write_bytes;
    config.arena_used = arena_used;
    config.models = ecg_models;
    config.model_count = ecg_models_count;
    config.engine = ECG_ENGINE;
    config.boot = boot_nonce();
    config.credit_samples = kCreditSamples;
    config.board = ECG_BOARD;
    config.engine_version = ECG_ENGINE_VERSION;
    config.memory.scratch = scratch;
    config.memory.scratch_bytes = sizeof scratch;
    config.memory.window = window;
    config.memory.window_bytes = sizeof window;
    config.memory.leads = leads;
    config.memory.lead_count = ECG_MAX_LEADS;
    ecg_edge_init(&edge, &config);   // self-test, then HELLO; a failure is told to the host
}

void loop()
{
    uint8_t bytes[64];
    size_t n = 0;
    while (n < sizeof bytes && Serial.available() > 0) {
        bytes[n++] = static_cast<uint8_t>(Serial.read());
    }
    if (n > 0) {
        ecg_edge_receive(&edge, bytes, n);
    }
}
