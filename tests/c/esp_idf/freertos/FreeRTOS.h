// The part of FreeRTOS that the example uses.
#ifndef FREERTOS_H
#define FREERTOS_H
#define portMAX_DELAY 0xFFFFFFFFu
#endif
