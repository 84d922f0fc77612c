// UART 0 of the MPS2: a CMSDK APB UART.
#include "board.h"

typedef struct {
    uint32_t data, state, control, interrupt, bauddiv;
} uart_t;

#define UART ((volatile uart_t *)0x40004000u)
#define TX_FULL 1u
#define RX_FULL 2u
#define ENABLE_TX_RX_AND_RX_INTERRUPT 0xBu
#define RX_INTERRUPT 2u
#define BAUD 115200u                    // what it would be on a wire; QEMU does not look
#define NVIC_ISER0 (*(volatile uint32_t *)0xE000E100u)
#define UART0_RX_IRQ 0u

void board_uart_start(void)
{
    UART->bauddiv = BOARD_CLOCK_HZ / BAUD;
    UART->control = ENABLE_TX_RX_AND_RX_INTERRUPT;
    NVIC_ISER0 = 1u << UART0_RX_IRQ;
}

// Only ends the sleep of board_uart_read().
void board_on_uart(void);
void board_on_uart(void)
{
    UART->interrupt = RX_INTERRUPT;
}

uint8_t board_uart_read(void)
{
    while ((UART->state & RX_FULL) == 0u) {
        // Masked between the last look and the sleep: an interrupt there still ends the sleep, and is served after it.
        __asm__ volatile("cpsid i" ::: "memory");
        if ((UART->state & RX_FULL) == 0u) {
            __asm__ volatile("wfi" ::: "memory");
        }
        __asm__ volatile("cpsie i" ::: "memory");
    }
    return (uint8_t)UART->data;
}

void board_uart_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while ((UART->state & TX_FULL) != 0u) {
        }
        UART->data = bytes[i];
    }
}
