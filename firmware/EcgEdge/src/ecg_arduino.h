// What every sketch needs around the core: a serial line, a clock, memory, a number for each boot.
// C++, and only for Arduino: nothing of the core includes it. Include it once, in the sketch.
#ifndef ECG_ARDUINO_H
#define ECG_ARDUINO_H

#include <Arduino.h>
#if defined(__AVR__)
#include <avr/sleep.h>
#endif
#if defined(ESP32)
#if __has_include(<esp_random.h>)
#include <esp_random.h>
#else
#include <esp_system.h>     // ESP-IDF 4 declares esp_random() there
#endif
#endif

#include "ecg_edge.h"
#include "ecg_models.h"

// Arduino finds a library by the header that is named at its top: without this line it would not find TensorFlow's.
// Another copy of TensorFlow Lite Micro: name its header by -DECG_TFLM_HEADER='<...>'.
#if ECG_USE_TFLM
#if defined(ECG_TFLM_HEADER)
#include ECG_TFLM_HEADER
#else
#include <Chirale_TensorFlowLite.h>
#endif
#endif

#ifndef ECG_BAUD
#define ECG_BAUD 115200ul
#endif

// Bytes that the serial line takes in while the sketch computes. What the host may send ahead follows from it.
#ifndef ECG_RECEIVE_BYTES
#if defined(ESP32)
#define ECG_RECEIVE_BYTES 4096          // asked for below
#elif defined(TEENSYDUINO)
#define ECG_RECEIVE_BYTES 2048          // USB, four packets of 512
#elif defined(ARDUINO_ARCH_MBED) || defined(__MBED__) || defined(ARDUINO_ARCH_RP2040)
#define ECG_RECEIVE_BYTES 256           // USB
#elif defined(SERIAL_RX_BUFFER_SIZE)
#define ECG_RECEIVE_BYTES SERIAL_RX_BUFFER_SIZE     // STM32: 64 unless build_opt.h says more
#else
#define ECG_RECEIVE_BYTES 64
#endif
#endif

namespace ecg_arduino {

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
#if ECG_WITH_BEATS
static ecg_beats_t beats;
#endif
static ecg_edge_config_t config;
static ecg_edge_t edge;

// The room in samples. 32 of them take 84 bytes on the wire; below that, one frame of 16 takes 52.
static const uint16_t kFrameBytes = 84;
static const uint16_t kFrames = ECG_RECEIVE_BYTES / kFrameBytes;
static const uint16_t kCreditSamples = kFrames == 0 ? 16 : kFrames > 32 ? 1024 : kFrames * 32;

inline uint32_t now_us(void *)
{
    return static_cast<uint32_t>(micros());
}

inline void write_bytes(void *, const uint8_t *bytes, size_t n)
{
    Serial.write(bytes, n);
}

inline uint32_t arena_used(void *, uint8_t model)
{
    return ecg_models_arena_used(scratch, model);
}

// Another number at each reset, so that the host sees one: the chip's own noise where it has a source of it, else that of an
// open pin and the time it took to read it.
inline uint16_t boot_nonce()
{
#if defined(ESP32)
    uint32_t nonce = esp_random();
#else
    uint32_t nonce = static_cast<uint32_t>(micros());
    for (int i = 0; i < 16; i++) {
        nonce = nonce * 31u + static_cast<uint32_t>(analogRead(A0)) + static_cast<uint32_t>(micros());
    }
#endif
    return static_cast<uint16_t>(nonce ^ (nonce >> 16));
}

// Memory for the largest model of the image.
inline ecg_memory_t memory()
{
    ecg_memory_t given;
    given.scratch = scratch;
    given.scratch_bytes = sizeof scratch;
    given.window = window;
    given.window_bytes = sizeof window;
    given.leads = leads;
    given.lead_count = ECG_MAX_LEADS;
#if ECG_WITH_BEATS
    given.beats = &beats;
#else
    given.beats = NULL;
#endif
    return given;
}

inline void open_serial()
{
#if defined(ESP32)
    Serial.setRxBufferSize(ECG_RECEIVE_BYTES);
#endif
    Serial.begin(ECG_BAUD);
}

// Opens the line and starts the core: self-test, then HELLO. A failure is told to the host by the core itself.
inline ecg_status_t begin()
{
    open_serial();
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
    config.memory = memory();
    return ecg_edge_init(&edge, &config);
}

// Gives the core what came, as much as there is: call it in loop().
inline void receive()
{
    uint8_t bytes[128];
    int there = Serial.available();
    while (there > 0) {
        const size_t wanted = static_cast<size_t>(there) < sizeof bytes ? static_cast<size_t>(there) : sizeof bytes;
        size_t n = 0;
        while (n < wanted) {
            bytes[n++] = static_cast<uint8_t>(Serial.read());
        }
        ecg_edge_receive(&edge, bytes, n);
        there = Serial.available();
    }
}

// Call it where loop() has nothing to do: an AVR then sleeps until the next interrupt, which a byte brings, and the clock's
// tick every millisecond. Other cores go on.
inline void rest()
{
#if defined(__AVR__)
    if (Serial.available() == 0) {
        set_sleep_mode(SLEEP_MODE_IDLE);
        sleep_mode();
    }
#endif
}

}  // namespace ecg_arduino

#endif
