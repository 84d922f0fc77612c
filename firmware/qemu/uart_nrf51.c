// The UART of Nordic's nRF51: tasks begin something, events say that it happened.
// Source: nRF51 Series Reference Manual 3.0, 29.
#include "board.h"
#include "cortex_m.h"

#define REGISTER(offset) (*(volatile uint32_t *)(BOARD_UART + (offset)))
#define STARTRX REGISTER(0x000u)
#define STARTTX REGISTER(0x008u)
#define RXDRDY REGISTER(0x108u)         // a byte waits in RXD
#define TXDRDY REGISTER(0x11Cu)         // TXD is free again
#define INTENSET REGISTER(0x304u)
#define ENABLE REGISTER(0x500u)
#define PSELTXD REGISTER(0x50Cu)
#define PSELRXD REGISTER(0x514u)
#define RXD REGISTER(0x518u)
#define TXD REGISTER(0x51Cu)
#define BAUDRATE REGISTER(0x524u)
#define RXDRDY_INTERRUPT 4u
#define ENABLED 4u
#define TXD_PIN 24u                     // of the micro:bit; QEMU looks neither at pins nor at the baud rate
#define RXD_PIN 25u
#define BAUD_115200 0x01D7E000u

void board_uart_start(void)
{
    PSELTXD = TXD_PIN;
    PSELRXD = RXD_PIN;
    BAUDRATE = BAUD_115200;
    ENABLE = ENABLED;
    INTENSET = RXDRDY_INTERRUPT;
    STARTRX = 1u;
    STARTTX = 1u;
}

uint8_t board_uart_read(void)
{
    while (RXDRDY == 0u) {
        cortex_m_forget(BOARD_UART_IRQ);
        if (RXDRDY == 0u) {             // a byte that comes after this look ends the sleep
            cortex_m_sleep(BOARD_UART_IRQ);
        }
    }
    RXDRDY = 0u;                        // before RXD is read: that brings the next byte, and its event
    return (uint8_t)RXD;
}

void board_uart_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        TXDRDY = 0u;
        TXD = bytes[i];
        while (TXDRDY == 0u) {
        }
    }
}
