// Self-test in plain text: known answers of each model, and how long the board takes for one. Open the serial monitor.
//
// Any key runs it again. `ecg-edge` cannot talk to this sketch; upload Replay for that.
#include <ecg_arduino.h>
#include <ecg_selftest.h>

static ecg_stream_t stream;
static ecg_memory_t memory;

static void print_scores(const char *what, const int8_t *scores, uint8_t classes)
{
    Serial.print(what);
    for (uint8_t c = 0; c < classes; c++) {
        Serial.print(' ');
        Serial.print(static_cast<int>(scores[c]));
    }
    Serial.println();
}

// One known answer. Returns whether the board gave it.
static bool run_test(const ecg_image_model_t &image, uint8_t number)
{
    const ecg_model_t &model = *image.model;
    const ecg_clock_t clock = {ecg_arduino::now_us, NULL};
    int8_t got[ECG_STREAM_MAX_CLASSES];
    ecg_stream_reset(&stream, &image, &memory, clock, 0, 0);
    const uint32_t start_us = ecg_arduino::now_us(NULL);
    const ecg_status_t status = ecg_selftest_run(&stream, &image.selftests[number], got);
    const uint32_t took_us = ecg_arduino::now_us(NULL) - start_us;
    Serial.print("  vector ");
    Serial.print(static_cast<int>(number));
    Serial.print(status == ECG_OK ? ": passed in " : ": FAILED after ");
    Serial.print(static_cast<unsigned long>(took_us));
    Serial.println(" us");
    if (status == ECG_STATUS_SELFTEST_FAILED) {
        print_scores("    expected", image.selftests[number].scores, model.classes);
        print_scores("    got     ", got, model.classes);
    } else if (status != ECG_OK) {
        Serial.print("    status ");
        Serial.println(static_cast<int>(status));
    }
    return status == ECG_OK;
}

static bool run_model(const ecg_image_model_t &image)
{
    const ecg_model_t &model = *image.model;
    Serial.print(model.name);
    Serial.print(": ");
    Serial.print(static_cast<unsigned long>(model.scratch_bytes));
    Serial.println(" bytes of scratch");
    const ecg_status_t status = ecg_stream_check(&image, &memory);
    if (status != ECG_OK) {
        Serial.print("  cannot run here, status ");
        Serial.println(static_cast<int>(status));
        return false;
    }
    bool passed = true;
    for (uint8_t number = 0; number < image.selftest_count; number++) {
        passed = run_test(image, number) && passed;
    }
    return passed;
}

static void run_all()
{
    bool passed = true;
    Serial.print("ecg-edge on ");
    Serial.print(ECG_BOARD);
    Serial.print(", engine ");
    Serial.println(ECG_ENGINE_VERSION);
    for (uint8_t m = 0; m < ecg_models_count; m++) {
        passed = run_model(ecg_models[m]) && passed;
    }
    Serial.println(passed ? "PASSED" : "FAILED");
}

void setup()
{
    memory = ecg_arduino::memory();
    ecg_arduino::open_serial();
    while (!Serial && millis() < 3000ul) {
        // a USB line is there only when the computer has opened it; without one, go on
    }
    run_all();
}

void loop()
{
    if (Serial.available() > 0) {
        while (Serial.available() > 0) {
            (void)Serial.read();
        }
        run_all();
    }
}
