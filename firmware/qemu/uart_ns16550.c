// An NS16550, and the interrupt controller (PLIC) of a RISC-V machine, which ends the sleep until it has a byte.
// Source: National Semiconductor, PC16550D, 8; RISC-V Platform-Level Interrupt Controller Specification 1.0.
#include "arch.h"
#include "board.h"

#define REGISTER(offset) (*(volatile uint8_t *)(BOARD_UART + (offset)))
#define DATA REGISTER(0u)
#define IER REGISTER(1u)
#define FCR REGISTER(2u)
#define LCR REGISTER(3u)
#define LSR REGISTER(5u)
#define IER_RECEIVED 1u
#define FCR_ENABLE_AND_CLEAR 7u         // of both queues; an interrupt from the first byte on
#define LCR_8_BITS 3u
#define LSR_RECEIVED 0x01u
#define LSR_SENT 0x20u

#define PLIC(offset) (*(volatile uint32_t *)(0x0C000000u + (offset)))       // of QEMU's virt
#define PLIC_PRIORITY PLIC(4u * BOARD_UART_IRQ)
#define PLIC_ENABLE PLIC(0x2000u + 4u * (BOARD_UART_IRQ / 32u))             // of hart 0 in machine mode, as the next two
#define PLIC_THRESHOLD PLIC(0x200000u)
#define PLIC_CLAIM PLIC(0x200004u)
#define MIE_EXTERNAL (1u << 11)

void board_uart_start(void)
{
    LCR = LCR_8_BITS;
    FCR = FCR_ENABLE_AND_CLEAR;
    IER = IER_RECEIVED;
    PLIC_PRIORITY = 1u;
    PLIC_THRESHOLD = 0u;
    PLIC_ENABLE = 1u << BOARD_UART_IRQ % 32u;
    // Pending external interrupts end a sleep; mstatus.MIE stays 0, so that none is taken.
    __asm__ volatile("csrs mie, %0" ::"r"(MIE_EXTERNAL));
}

uint8_t board_uart_read(void)
{
    while ((LSR & LSR_RECEIVED) == 0u) {
        arch_wait();                    // at once when a byte came since the claim
        const uint32_t claimed = PLIC_CLAIM;
        if (claimed != 0u) {
            PLIC_CLAIM = claimed;
        }
    }
    return DATA;
}

void board_uart_write(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while ((LSR & LSR_SENT) == 0u) {
        }
        DATA = bytes[i];
    }
}
