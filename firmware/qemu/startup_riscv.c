// From reset to board_begin() on RISC-V: pointers, the trap vector. Faults go to the application.
#include "board.h"

#define FINISHER (*(volatile uint32_t *)0x00100000u)    // SiFive's test device, on QEMU's virt
#define FINISHER_RESET 0x7777u

void board_reset(void);
void board_on_trap(void);

// The machine begins with the first byte of what it was given: .vectors.
__attribute__((naked, section(".vectors"), used)) void board_reset(void)
{
    __asm__ volatile(".option push\n\t"
                     ".option norelax\n\t"              // gp is not there yet
                     "la gp, __global_pointer$\n\t"
                     ".option pop\n\t"
                     "la sp, board_stack_top\n\t"
                     "la t0, board_on_trap\n\t"
                     "csrw mtvec, t0\n\t"
                     "tail board_begin");
}

// Interrupts are never taken, so this is a fault. Its stack may be what failed: a fresh one.
__attribute__((naked, aligned(4), used)) void board_on_trap(void)
{
    __asm__ volatile("la sp, board_stack_top\n\t"
                     "csrr a0, mepc\n\t"
                     "tail board_fault");
}

void board_restart(void)
{
    FINISHER = FINISHER_RESET;
    for (;;) {
    }
}
