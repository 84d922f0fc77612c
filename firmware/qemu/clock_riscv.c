// Two clocks of RISC-V: mtime tells the time; minstret counts instructions, and under QEMU's -icount nothing else.
#include "board.h"

#define MTIME ((volatile uint32_t *)0x0200BFF8u)        // of QEMU's virt; low word, high word
#define MTIME_PER_US 10u

static uint32_t started_instret;
static uint64_t started_mtime;

static uint64_t read_mtime(void)
{
    uint32_t high, low, again;
    do {
        high = MTIME[1];
        low = MTIME[0];
        again = MTIME[1];
    } while (again != high);
    return (uint64_t)high << 32 | low;
}

static uint32_t read_instret(void)
{
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

void board_clock_start(void)
{
    started_mtime = read_mtime();
    started_instret = read_instret();
}

uint32_t board_ticks(void)
{
    return read_instret() - started_instret;
}

uint32_t board_now_us(void)
{
    return (uint32_t)((read_mtime() - started_mtime) / MTIME_PER_US);
}
