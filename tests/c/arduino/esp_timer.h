// The part of ESP-IDF's esp_timer.h that the sketches use.
#ifndef ESP_TIMER_H
#define ESP_TIMER_H

#include <cstdint>

typedef int esp_err_t;
typedef struct esp_timer *esp_timer_handle_t;
typedef enum { ESP_TIMER_TASK, ESP_TIMER_ISR } esp_timer_dispatch_t;
typedef struct {
    void (*callback)(void *arg);
    void *arg;
    esp_timer_dispatch_t dispatch_method;
    const char *name;
    bool skip_unhandled_events;
} esp_timer_create_args_t;

#define ESP_ERROR_CHECK(x) do { if ((x) != 0) { abort(); } } while (0)

esp_err_t esp_timer_create(const esp_timer_create_args_t *args, esp_timer_handle_t *handle);
esp_err_t esp_timer_start_periodic(esp_timer_handle_t handle, uint64_t period_us);

#endif
