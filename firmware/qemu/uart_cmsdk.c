// The CMSDK APB UART of Arm's MPS2 and MPS3.
#include "board.h"
#include "cortex_m.h"

typedef struct {
    uint32_t data, state, control, interrupt, bauddiv;
} uart_t;

#define UART ((volatile uart_t *)BOARD_UART)
#define TX_FULL 1u
#define RX_FULL 2u
#define ENABLE_TX_RX_AND_RX_INTERRUPT 0xBu
#define RX_INTERRUPT 2u
#define BAUD 115200u                    // what it would be on a wire; QEMU does not look

void board_uart_start(void)
{
    UART->bauddiv = BOARD_CLOCK_HZ / BAUD;
    UART->control = ENABLE_TX_RX_AND_RX_INTERRUPT;
}

uint8_t board_uart_read(void)
{
    while ((UART->state & RX_FULL) == 0u) {
        UART->interrupt = RX_INTERRUPT;
        cortex_m_forget(BOARD_UART_IRQ);
        if ((UART->state & RX_FULL) == 0u) {        // a byte that comes after this look ends the sleep
            cortex_m_sleep(BOARD_UART_IRQ);
        }
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
