// Sleeping until a device of a Cortex-M has something. Its interrupt has no handler: it is enabled only in here, where it
// ends the sleep and nothing else.
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdint.h>

#include "arch.h"

#define NVIC_ISER ((volatile uint32_t *)0xE000E100u)
#define NVIC_ICER ((volatile uint32_t *)0xE000E180u)
#define NVIC_ICPR ((volatile uint32_t *)0xE000E280u)

// Forgets that the interrupt was pending. The device must have stopped asking for it before.
static inline void cortex_m_forget(uint32_t irq)
{
    NVIC_ICPR[irq / 32u] = 1u << irq % 32u;
}

// Returns at once when the interrupt came since it was forgotten; SysTick ends the sleep too.
static inline void cortex_m_sleep(uint32_t irq)
{
    arch_mask_interrupts();
    NVIC_ISER[irq / 32u] = 1u << irq % 32u;
    arch_wait();
    NVIC_ICER[irq / 32u] = 1u << irq % 32u;
    __asm__ volatile("dsb\n\tisb" ::: "memory");        // it is disabled before interrupts are taken again
    arch_unmask_interrupts();
}

#endif
