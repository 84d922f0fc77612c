// The part of Mbed OS 6 that the sketches use. Declared only: there is no scheduler here.
#ifndef MBED_H
#define MBED_H

#include <chrono>
#include <cstdint>

typedef enum { osPriorityNormal = 24, osPriorityRealtime = 48 } osPriority;
typedef int osStatus;

namespace mbed {
class Ticker {
public:
    void attach(void (*function)(), std::chrono::microseconds period);
};
}  // namespace mbed

namespace rtos {
class Thread {
public:
    Thread(osPriority priority, uint32_t stack_bytes);
    osStatus start(void (*task)());
    uint32_t flags_set(uint32_t flags);
};
namespace ThisThread {
uint32_t flags_wait_any(uint32_t flags);
}
}  // namespace rtos

#endif
