// The sketch, as a process. Without arguments it runs as a board does, its serial line on stdin and stdout, until stdin ends.
//
// With a file of commands it does these, one a line, and ends:
//   tick N        the timer fires N times, or N periods pass where the sketch looks at the clock
//   loop N        loop() runs N times
//   counts FILE   the converter gives these int16, one a reading, then the last one for ever
//   pin P V       pin P reads V
//   period        print the timer's period to stderr, in us
#include <Arduino.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

#if defined(ESP32)
#include <esp_random.h>
#include <esp_timer.h>
#elif defined(ARDUINO_ARCH_RP2040)
#include <pico/time.h>
#endif

SerialLine Serial;
void (*board_timer)();
uint32_t board_timer_us;

static unsigned long time_us = 1000;
static int pins[64];
static std::vector<int16_t> counts;
static size_t next_count;
static std::string received;
static bool scripted;     // then nobody is at the other end

unsigned long micros() { return time_us++; }
unsigned long millis() { return time_us / 1000; }
void analogReadResolution(int) {}
int digitalRead(int pin) { return pins[pin]; }
void digitalWrite(int pin, int value) { pins[pin] = value; }
void pinMode(int, int) {}

int analogRead(int)
{
    if (counts.empty()) {
        return 2048;
    }
    return counts[next_count < counts.size() - 1 ? next_count++ : next_count];
}

void SerialLine::begin(unsigned long) {}

int SerialLine::available()
{
    struct pollfd line = {STDIN_FILENO, POLLIN, 0};
    char bytes[4096];
    if (!scripted && poll(&line, 1, 0) == 1) {
        const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (n <= 0) {
            std::exit(0);
        }
        received.append(bytes, static_cast<size_t>(n));
    }
    return static_cast<int>(received.size());
}

int SerialLine::read()
{
    const int byte = static_cast<uint8_t>(received.front());
    received.erase(0, 1);
    return byte;
}

size_t SerialLine::write(const uint8_t *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const ssize_t step = ::write(STDOUT_FILENO, bytes + done, n - done);
        if (step <= 0) {
            std::exit(0);
        }
        done += static_cast<size_t>(step);
    }
    return n;
}

size_t SerialLine::print(const char *text) { return write(reinterpret_cast<const uint8_t *>(text), std::strlen(text)); }
size_t SerialLine::print(char one) { return write(reinterpret_cast<const uint8_t *>(&one), 1); }
size_t SerialLine::print(int number) { return print(std::to_string(number).c_str()); }
size_t SerialLine::print(unsigned long number) { return print(std::to_string(number).c_str()); }
size_t SerialLine::println() { return print("\r\n"); }

#if defined(ESP32)
size_t SerialLine::setRxBufferSize(size_t size) { return size; }
uint32_t esp_random() { return 12345; }

static void (*esp_callback)(void *);
static void call_esp() { esp_callback(nullptr); }

esp_err_t esp_timer_create(const esp_timer_create_args_t *args, esp_timer_handle_t *)
{
    esp_callback = args->callback;
    return 0;
}

esp_err_t esp_timer_start_periodic(esp_timer_handle_t, uint64_t period_us)
{
    board_timer = call_esp;
    board_timer_us = static_cast<uint32_t>(period_us);
    return 0;
}
#elif defined(ARDUINO_ARCH_STM32)
TIM_TypeDef *TIM3;
#elif defined(ARDUINO_ARCH_RP2040)
static repeating_timer_callback_t pico_callback;
static repeating_timer_t *pico_timer;
static void call_pico() { (void)pico_callback(pico_timer); }

bool add_repeating_timer_us(int64_t delay_us, repeating_timer_callback_t callback, void *, repeating_timer_t *out)
{
    pico_callback = callback;
    pico_timer = out;
    board_timer = call_pico;
    board_timer_us = static_cast<uint32_t>(-delay_us);
    return true;
}
#endif

static void tick(long times)
{
    for (long i = 0; i < times; i++) {
        if (board_timer != nullptr) {
            board_timer();
        } else {
            time_us += 4000;
        }
    }
}

static void run_script(const char *name)
{
    std::ifstream script(name);
    std::string word;
    while (script >> word) {
        if (word == "counts") {
            std::string file;
            script >> file;
            std::ifstream data(file, std::ios::binary);
            const std::vector<char> bytes((std::istreambuf_iterator<char>(data)), std::istreambuf_iterator<char>());
            counts.resize(bytes.size() / 2);
            std::memcpy(counts.data(), bytes.data(), counts.size() * 2);
            next_count = 0;
        } else if (word == "pin") {
            size_t pin;
            script >> pin;
            script >> pins[pin];
        } else if (word == "period") {
            std::cerr << board_timer_us << "\n";
        } else {
            long times;
            script >> times;
            for (long i = 0; i < times; i++) {
                if (word == "tick") {
                    tick(1);
                } else {
                    loop();
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    scripted = argc > 1;
    setup();
    if (scripted) {
        run_script(argv[1]);
        return 0;
    }
    for (;;) {
        struct pollfd line = {STDIN_FILENO, POLLIN, 0};
        (void)poll(&line, 1, -1);
        loop();
    }
}
