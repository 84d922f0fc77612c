// As much of Arduino as the sketches use, on this machine: a serial line on stdin and stdout, pins and time that a script
// sets. The names and types are those of the cores' own headers; what a core alone has stands under its macro.
#ifndef ARDUINO_H
#define ARDUINO_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

enum { LOW = 0, HIGH = 1, INPUT = 0, OUTPUT = 1, A0 = 14 };
#define LED_BUILTIN 13

unsigned long micros();
unsigned long millis();
int analogRead(int pin);
void analogReadResolution(int bits);
int digitalRead(int pin);
void digitalWrite(int pin, int value);
void pinMode(int pin, int mode);

class SerialLine {
public:
    void begin(unsigned long baud);
    int available();
    int read();
    size_t write(const uint8_t *bytes, size_t n);
    size_t print(const char *text);
    size_t print(char one);
    size_t print(int number);
    size_t print(unsigned long number);
    size_t println();
    template <typename T> size_t println(T what) { return print(what) + println(); }
    explicit operator bool() const { return true; }
#if defined(ESP32)
    size_t setRxBufferSize(size_t size);
#endif
};
extern SerialLine Serial;

// What a timer of the core would call, and how often it was told to.
extern void (*board_timer)();
extern uint32_t board_timer_us;

void setup();
void loop();

#if defined(TEENSYDUINO)
class IntervalTimer {
public:
    bool begin(void (*function)(), uint32_t period_us) { board_timer = function; board_timer_us = period_us; return true; }
};
#elif defined(ARDUINO_ARCH_STM32)
#include <functional>
struct TIM_TypeDef {};
extern TIM_TypeDef *TIM3;
enum TimerFormat_t { TICK_FORMAT, MICROSEC_FORMAT, HERTZ_FORMAT };
class HardwareTimer {
public:
    explicit HardwareTimer(TIM_TypeDef *) {}
    void setOverflow(uint32_t value, TimerFormat_t) { board_timer_us = value; }
    void attachInterrupt(std::function<void(void)> function) { board_timer = *function.target<void (*)()>(); }
    void resume() {}
};
#endif

#endif
