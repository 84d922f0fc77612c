// The part of ESP-IDF 5's soc/uart_pins.h that the example uses: the numbers of an ESP32.
#ifndef SOC_UART_PINS_H
#define SOC_UART_PINS_H
#define U0RXD_GPIO_NUM 3
#define U0TXD_GPIO_NUM 1
#endif
