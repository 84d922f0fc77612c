// From reset to board_main(): vectors, memory, FPU. Faults go to the application.
#include <string.h>

#include "board.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CPACR_FPU (0xFu << 20)      // full access to coprocessors 10 and 11
#define AIRCR (*(volatile uint32_t *)0xE000ED0Cu)
#define AIRCR_RESET 0x05FA0004u
#define STACK_PATTERN 0xA5u
#define PAINT_MARGIN 64u            // bytes below the stack pointer that start-up itself may be using
#define STACKED_PC 6                // index of the program counter in an exception frame

extern uint32_t board_data_begin[], board_data_end[], board_data_load[], board_bss_begin[], board_bss_end[];
extern uint8_t board_stack_limit[], board_stack_top[];
typedef void (*function_t)(void);
extern const function_t board_init_begin[], board_init_end[];

void board_reset(void);
void board_on_fault(void);
void board_on_frame(const uint32_t *frame);
void board_on_systick(void);
void board_on_uart(void) __attribute__((weak, alias("board_on_fault")));     // for an image without uart.c

// The first two words are no functions, but a vector table is one array.
typedef union {
    const void *stack;
    function_t handler;
} vector_t;

__attribute__((section(".vectors"), used)) static const vector_t vectors[17] = {
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
    {.handler = board_on_uart},         // IRQ 0: UART 0 has received
};

static void paint_stack(void)
{
    uint8_t here;
    uint8_t *const end = (uint8_t *)((uintptr_t)&here - PAINT_MARGIN);
    for (uint8_t *at = board_stack_limit; at < end; at++) {
        *at = STACK_PATTERN;
    }
}

void board_reset(void)
{
#if __ARM_ARCH > 6                  // Armv6-M has no coprocessors
    CPACR |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    memcpy(board_data_begin, board_data_load, (size_t)((uintptr_t)board_data_end - (uintptr_t)board_data_begin));
    memset(board_bss_begin, 0, (size_t)((uintptr_t)board_bss_end - (uintptr_t)board_bss_begin));
    paint_stack();
    for (const function_t *init = board_init_begin; init != board_init_end; init++) {
        (*init)();
    }
    board_main();
    board_restart();
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

uint32_t board_stack_used(void)
{
    const uint8_t *at = board_stack_limit;
    while (at < board_stack_top && *at == STACK_PATTERN) {
        at++;
    }
    return (uint32_t)(board_stack_top - at);
}

uint32_t board_stack_bytes(void)
{
    return (uint32_t)(board_stack_top - board_stack_limit);
}
