// The part of ESP-IDF's esp_random.h that the sketches use.
#ifndef ESP_RANDOM_H
#define ESP_RANDOM_H

#include <cstdint>

uint32_t esp_random();

#endif
