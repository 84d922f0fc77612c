// A USART of ST's STM32F4.
// Source: ST, RM0090, 30.6. On the chip its clock and pins have to be turned on first: QEMU has neither.
#include "board.h"
#include "cortex_m.h"

typedef struct {
    uint32_t sr, dr, brr, cr1, cr2, cr3, gtpr;
} usart_t;

#define USART ((volatile usart_t *)BOARD_UART)
#define SR_RXNE (1u << 5)               // a byte waits in DR
#define SR_TXE (1u << 7)                // DR is free again
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define CR1_RXNEIE (1u << 5)
#define CR1_UE (1u << 13)
#define BUS_HZ (BOARD_CLOCK_HZ / 2u)    // APB2
#define BAUD 115200u                    // what it would be on a wire; QEMU does not look

void board_uart_start(void)
{
    USART->brr = BUS_HZ / BAUD;
    USART->cr1 = CR1_UE | CR1_TE | CR1_RE | CR1_RXNEIE;
}

uint8_t board_uart_read(void)
{
    while ((USART->sr & SR_RXNE) == 0u) {
        cortex_m_forget(BOARD_UART_IRQ);
        if ((USART->sr & SR_RXNE) == 0u) {      // a byte that comes after this look ends the sleep
            cortex_m_sleep(BOARD_UART_IRQ);
        }
    }
    return (uint8_t)USART->dr;
}

void board_uart_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while ((USART->sr & SR_TXE) == 0u) {
        }
        USART->dr = bytes[i];
    }
}
