// The part of ESP-IDF 5's esp_random.h that the example uses.
#ifndef ESP_RANDOM_H
#define ESP_RANDOM_H
#include <stdint.h>
uint32_t esp_random(void);
#endif
