// SysTick as a clock: 24 bits wide, so its turns are counted by interrupt.
#include "board.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define SYST_RUN 7u                     // processor clock, interrupt, enabled
#define TURN_TICKS (BOARD_CLOCK_HZ / 2u)    // half a second: fits 24 bits, and is whole microseconds
#define TURN_US 500000u
#define TICKS_PER_US (BOARD_CLOCK_HZ / 1000000u)

static volatile uint32_t turns;

void board_on_systick(void);
void board_on_systick(void)
{
    turns++;
}

void board_clock_start(void)
{
    SYST_RVR = TURN_TICKS - 1u;
    SYST_CVR = 0u;
    SYST_CSR = SYST_RUN;
}

// Turns and ticks of the same moment: read again when a turn ended in between.
static uint32_t read_clock(uint32_t *ticks)
{
    uint32_t before, after = turns;
    do {
        before = after;
        *ticks = TURN_TICKS - 1u - SYST_CVR;
        after = turns;
    } while (before != after);
    return after;
}

uint32_t board_ticks(void)
{
    uint32_t ticks;
    const uint32_t whole = read_clock(&ticks);
    return whole * TURN_TICKS + ticks;
}

uint32_t board_now_us(void)
{
    uint32_t ticks;
    const uint32_t whole = read_clock(&ticks);
    return whole * TURN_US + ticks / TICKS_PER_US;
}
