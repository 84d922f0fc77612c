// From reset to board_begin() on a Cortex-M: vectors, FPU. Faults go to the application.
#include "board.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CPACR_FPU (0xFu << 20)      // full access to coprocessors 10 and 11
#define AIRCR (*(volatile uint32_t *)0xE000ED0Cu)
#define AIRCR_RESET 0x05FA0004u
#define STACKED_PC 6                // index of the program counter in an exception frame

extern uint8_t board_stack_top[];
typedef void (*function_t)(void);

void board_reset(void);
void board_on_fault(void);
void board_on_frame(const uint32_t *frame);
void board_on_systick(void);

// The first two words are no functions, but a vector table is one array.
typedef union {
    const void *stack;
    function_t handler;
} vector_t;

// It ends with the processor's own: no device's interrupt is taken, cortex_m.h.
__attribute__((section(".vectors"), used)) static const vector_t vectors[16] = {
    {.stack = board_stack_top},
    {.handler = board_reset},
    {.handler = board_on_fault},        // NMI
    {.handler = board_on_fault},        // hard fault
    {.handler = board_on_fault},        // memory management
    {.handler = board_on_fault},        // bus
    {.handler = board_on_fault},        // usage
    {.handler = board_on_fault}, {.handler = board_on_fault}, {.handler = board_on_fault}, {.handler = board_on_fault},
    {.handler = board_on_fault},        // SVC
    {.handler = board_on_fault}, {.handler = board_on_fault},
    {.handler = board_on_fault},        // PendSV
    {.handler = board_on_systick},
};

void board_reset(void)
{
#if __ARM_ARCH > 6                  // Armv6-M has no coprocessors
    CPACR |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    board_begin();
}

// Which stack pointer the processor pushed its frame with does not vary here: nothing uses the other one.
__attribute__((naked)) void board_on_fault(void)
{
    __asm__ volatile("mrs r0, msp\n\tldr r1, =board_on_frame\n\tbx r1\n\t.pool");   // a branch of Armv6-M reaches 2 KB only
}

void board_on_frame(const uint32_t *frame)
{
    board_fault(frame[STACKED_PC]);
}

void board_restart(void)
{
    __asm__ volatile("dsb" ::: "memory");
    AIRCR = AIRCR_RESET;
    for (;;) {
        __asm__ volatile("dsb" ::: "memory");
    }
}
