// SysTick as a clock: 24 bits wide, so its turns are counted by interrupt.
#include "arch.h"
#include "board.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define ICSR (*(volatile uint32_t *)0xE000ED04u)
#define ICSR_SYSTICK_PENDING (1u << 26)
#define SYST_RUN 7u                     // processor clock, interrupt, enabled
#if BOARD_CLOCK_HZ / 2u <= 0x1000000u       // a turn fits 24 bits, and is whole microseconds
#define TURNS_PER_S 2u
#else
#define TURNS_PER_S 20u
#endif
#define TURN_TICKS (BOARD_CLOCK_HZ / TURNS_PER_S)
#define TURN_US (1000000u / TURNS_PER_S)
#define TICKS_PER_US (BOARD_CLOCK_HZ / 1000000u)

static volatile uint32_t turns;

void board_on_systick(void);
void board_on_systick(void)
{
    while (SYST_CVR == 0u) {            // the turn ends with the tick at 0: afterwards 0 means the next end
    }
    turns++;
}

void board_clock_start(void)
{
    SYST_RVR = TURN_TICKS - 1u;
    SYST_CVR = 0u;
    SYST_CSR = SYST_RUN;
    while (SYST_CVR == 0u) {            // until its first turn begins
    }
}

// Turns and ticks of the same moment. A turn that has ended but whose interrupt is still to come counts: an emulator may
// take its time over interrupts.
static uint32_t read_clock(uint32_t *ticks)
{
    arch_mask_interrupts();
    const uint32_t before = SYST_CVR;
    const bool ended = (ICSR & ICSR_SYSTICK_PENDING) != 0u;
    const uint32_t now = ended ? SYST_CVR : before;
    const uint32_t whole = ended ? turns + 1u : turns;
    arch_unmask_interrupts();
    *ticks = ended && now == 0u ? 0u : TURN_TICKS - now;
    return whole;
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
