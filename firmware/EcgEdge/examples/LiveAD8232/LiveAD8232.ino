// Live ECG: an AD8232 front end, sampled by a timer, classified on the board.
//
// Wiring: 3.3V, GND, OUTPUT to the signal pin below, LO+ and LO- to the lead-off pins below, SDN left open. A board of 5 V
// (Mega, Uno) needs a wire from 3.3V to AREF as well.
// Battery power only while a person is connected. Research use; not a medical device.
//
// Verdicts, lost samples and lead-off go out as frames (PROTOCOL.md), of windows or of single beats as the image's first model
// takes them; the LED is on while the last verdict is a class other than the model's first. A START from the host ends that; `ecg-edge run --device PORT` has the samples themselves sent instead.
#include <ecg_arduino.h>

static const int kSignalPin = A0;
#if defined(ESP32)
static const int kLeadOffPlusPin = 4;       // 6 to 11 belong to the flash of an ESP32
static const int kLeadOffMinusPin = 5;
#else
static const int kLeadOffPlusPin = 10;
static const int kLeadOffMinusPin = 11;
#endif

// The front end: the supply is the converter's reference, the output rests at half of it, and the usual breakout has a gain
// of 1100 (AD8232 data sheet, figure "cardiac monitor"). Change what your board has otherwise.
static const int32_t kReferenceMicrovolts = 3300000;
static const int32_t kGain = 1100;
#if defined(__AVR__)
static const int kAdcBits = 10;
#else
static const int kAdcBits = 12;
#endif
static const int32_t kCounts = INT32_C(1) << kAdcBits;
static const int32_t kNanovoltsPerCount = static_cast<int32_t>(INT64_C(1000) * kReferenceMicrovolts / kGain / kCounts);
static const int32_t kRailCounts = kCounts / 100;   // this near to either end the amplifier is clipping

// ---- sampling: the timer fills one block while loop() takes the other --------------------------------------------------------

static const uint8_t kBlockSamples = 25;    // 100 ms at 250 Hz

struct Block {
    uint8_t full;               // set by the timer, cleared by loop(): who may touch the rest
    uint32_t lost_before[kBlockSamples];    // samples that found no room, right before this one
    int16_t counts[kBlockSamples];
    uint8_t flags[kBlockSamples];
};

static Block blocks[2];
static uint8_t filling, filled;     // the timer's: the block, and how much of it
static uint32_t lost;               // the timer's: since the last sample that was kept
static uint8_t taking;              // loop()'s

// One period has passed. Called by the timer, never by two at once.
static void take_sample()
{
    Block &block = blocks[filling];
    if (__atomic_load_n(&block.full, __ATOMIC_ACQUIRE) != 0) {
        lost++;
        return;
    }
    const int counts = analogRead(kSignalPin);
    uint8_t flags = 0;
    if (counts < kRailCounts || counts >= kCounts - kRailCounts) {
        flags = static_cast<uint8_t>(flags | ECG_SAMPLE_CLIPPED);
    }
    if (digitalRead(kLeadOffPlusPin) == HIGH || digitalRead(kLeadOffMinusPin) == HIGH) {
        flags = static_cast<uint8_t>(flags | ECG_SAMPLE_LEAD_OFF);
    }
    block.counts[filled] = static_cast<int16_t>(counts);
    block.flags[filled] = flags;
    block.lost_before[filled] = lost;
    lost = 0;
    if (++filled == kBlockSamples) {
        filled = 0;
        filling ^= 1u;
        __atomic_store_n(&block.full, 1u, __ATOMIC_RELEASE);
    }
}

// ---- the timer: each core has its own -------------------------------------------------------------------------------------

#if defined(ESP32)

// A task of high priority, not an interrupt: analogRead() takes locks here.
#include <esp_timer.h>

static void on_timer(void *)
{
    take_sample();
}

static void start_timer(uint32_t period_us)
{
    esp_timer_create_args_t what = {};
    esp_timer_handle_t timer;
    what.callback = on_timer;
    what.name = "ecg";
    ESP_ERROR_CHECK(esp_timer_create(&what, &timer));
    ESP_ERROR_CHECK(esp_timer_start_periodic(timer, period_us));
}

static void poll_timer() {}

#elif defined(ARDUINO_ARCH_MBED) || defined(__MBED__)

// The ticker is an interrupt, in which Mbed forbids the converter: it wakes a thread that outranks loop().
#include <mbed.h>

static rtos::Thread sampler(osPriorityRealtime, 2048);
static mbed::Ticker ticker;

static void on_tick()
{
    sampler.flags_set(1);
}

static void sample_forever()
{
    for (;;) {
        rtos::ThisThread::flags_wait_any(1);
        take_sample();
    }
}

static void start_timer(uint32_t period_us)
{
    sampler.start(sample_forever);
    ticker.attach(on_tick, std::chrono::microseconds(period_us));
}

static void poll_timer() {}

#elif defined(ARDUINO_ARCH_RP2040)

#include <pico/time.h>

static repeating_timer_t timer;

static bool on_timer(repeating_timer_t *)
{
    take_sample();
    return true;
}

static void start_timer(uint32_t period_us)
{
    add_repeating_timer_us(-static_cast<int64_t>(period_us), on_timer, NULL, &timer);   // negative: from start to start
}

static void poll_timer() {}

#elif defined(TEENSYDUINO)

static IntervalTimer timer;

static void start_timer(uint32_t period_us)
{
    timer.begin(take_sample, period_us);
}

static void poll_timer() {}

#elif defined(ARDUINO_ARCH_STM32)

static void start_timer(uint32_t period_us)
{
    static HardwareTimer timer(TIM3);
    timer.setOverflow(period_us, MICROSEC_FORMAT);
    timer.attachInterrupt(take_sample);
    timer.resume();
}

static void poll_timer() {}

#elif defined(__AVR__) && defined(TCCR1B)

// The converter takes 0.1 ms, in which the serial line goes on interrupting.
ISR(TIMER1_COMPA_vect, ISR_NOBLOCK)
{
    take_sample();
}

static void start_timer(uint32_t period_us)
{
    TCCR1A = 0;
    TCCR1B = _BV(WGM12) | _BV(CS11) | _BV(CS10);    // a tick every 64 cycles, from 0 to OCR1A
    OCR1A = static_cast<uint16_t>(period_us * (F_CPU / 1000000ul) / 64u - 1u);
    TIMSK1 = _BV(OCIE1A);
}

static void poll_timer() {}

#else

// No timer known for this core: loop() looks at the clock. A sample that it comes too late for is lost, and counted as such.
static uint32_t due_us, step_us;

static void start_timer(uint32_t period_us)
{
    step_us = period_us;
    due_us = ecg_arduino::now_us(NULL) + period_us;
}

static void poll_timer()
{
    uint32_t late_us = ecg_arduino::now_us(NULL) - due_us;
    if (late_us >= UINT32_C(0x80000000)) {
        return;
    }
    for (; late_us >= step_us; late_us -= step_us) {
        lost++;
        due_us += step_us;
    }
    take_sample();
    due_us += step_us;
}

#endif

// ---- the sketch -----------------------------------------------------------------------------------------------------------

static int16_t to_microvolts(int16_t counts)
{
    const int32_t microvolts = (counts - kCounts / 2) * kNanovoltsPerCount / 1000;
    return static_cast<int16_t>(microvolts > INT16_MAX ? INT16_MAX : microvolts < INT16_MIN ? INT16_MIN : microvolts);
}

static void show_verdict()
{
#if defined(LED_BUILTIN)
    const ecg_result_t *result = ecg_edge_result(&ecg_arduino::edge);
    const bool found = result != NULL && result->verdict != 0u && result->verdict != ECG_VERDICT_ABSTAIN;
    digitalWrite(LED_BUILTIN, found ? HIGH : LOW);
#endif
}

static void take_block(const Block &block)
{
    for (uint8_t i = 0; i < kBlockSamples; i++) {
        ecg_edge_lost(&ecg_arduino::edge, block.lost_before[i]);    // counted, told to the host, a gap in the next verdicts
        const int16_t sample_uv = to_microvolts(block.counts[i]);
        bool due = false;
        (void)ecg_edge_sample(&ecg_arduino::edge, &sample_uv, block.flags[i], &due);
        if (due) {
            show_verdict();
        }
    }
}

void setup()
{
    pinMode(kLeadOffPlusPin, INPUT);
    pinMode(kLeadOffMinusPin, INPUT);
#if defined(LED_BUILTIN)
    pinMode(LED_BUILTIN, OUTPUT);
#endif
#if defined(__AVR__)
    analogReference(EXTERNAL);      // AREF: before anything is read, or the chip joins its own supply to that wire
#else
    analogReadResolution(kAdcBits);
#endif
    const ecg_status_t status = ecg_arduino::begin();
    (void)analogRead(kSignalPin);   // sets the pin up, before a timer does it
    if (status != ECG_OK) {
        return;                     // the core has told the host why
    }
    if (ecg_stream_leads(&ecg_models[0]) != 1u) {
        ecg_edge_log(&ecg_arduino::edge, ECG_LOG_ERROR, "LiveAD8232 has one lead, the image's first model wants more");
        return;
    }
    if (ecg_edge_live(&ecg_arduino::edge, 0) == ECG_OK) {
        start_timer(UINT32_C(1000000) / ecg_models[0].model->fs_hz);
    }
}

void loop()
{
    ecg_arduino::receive();
    poll_timer();
    Block &block = blocks[taking];
    if (__atomic_load_n(&block.full, __ATOMIC_ACQUIRE) != 0) {
        take_block(block);
        __atomic_store_n(&block.full, 0u, __ATOMIC_RELEASE);
        taking ^= 1u;
    } else {
        ecg_arduino::rest();
    }
}
