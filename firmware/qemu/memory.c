// From a stack pointer to board_main(): memory as C expects it, and a painted stack. The same on every architecture.
#include <string.h>

#include "board.h"

#define STACK_PATTERN 0xA5u
#define PAINT_MARGIN 64u            // bytes below the stack pointer that start-up itself may be using

extern uint32_t board_data_begin[], board_data_end[], board_data_load[], board_bss_begin[], board_bss_end[];
extern uint8_t board_stack_limit[], board_stack_top[];
typedef void (*function_t)(void);
extern const function_t board_init_begin[], board_init_end[];

static void paint_stack(void)
{
    uint8_t here;
    uint8_t *const end = (uint8_t *)((uintptr_t)&here - PAINT_MARGIN);
    for (uint8_t *at = board_stack_limit; at < end; at++) {
        *at = STACK_PATTERN;
    }
}

void board_begin(void)
{
    memcpy(board_data_begin, board_data_load, (size_t)((uintptr_t)board_data_end - (uintptr_t)board_data_begin));
    memset(board_bss_begin, 0, (size_t)((uintptr_t)board_bss_end - (uintptr_t)board_bss_begin));
    paint_stack();
    for (const function_t *init = board_init_begin; init != board_init_end; init++) {
        (*init)();
    }
    board_main();
    board_restart();
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
