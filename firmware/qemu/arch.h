// What C has no words for, on each architecture: interrupts, sleep, the stack pointer, the debugger's trap.
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

#ifdef __riscv

// Nothing here enables interrupts of the processor: what is pending only ends a sleep.
static inline void arch_mask_interrupts(void) {}
static inline void arch_unmask_interrupts(void) {}

#else

static inline void arch_mask_interrupts(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

static inline void arch_unmask_interrupts(void)
{
    __asm__ volatile("cpsie i" ::: "memory");
}

#endif

// Sleeps until an interrupt is pending, masked or not.
static inline void arch_wait(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

static inline uint8_t *arch_stack_pointer(void)
{
    uint8_t *top;
#ifdef __riscv
    __asm__ volatile("mv %0, sp" : "=r"(top));
#else
    __asm__ volatile("mov %0, sp" : "=r"(top));
#endif
    return top;
}

// Asks the machine that emulates, with the words of `block`; what it answers.
// Source: Arm, Semihosting for AArch32 and AArch64; RISC-V International, Semihosting 1.0 (its three instructions must
// be uncompressed, and on one page).
static inline uint32_t arch_semihost(uint32_t operation, const uint32_t *block)
{
#ifdef __riscv
    register uint32_t a0 __asm__("a0") = operation;
    register const uint32_t *a1 __asm__("a1") = block;
    __asm__ volatile(".option push\n\t"
                     ".option norvc\n\t"
                     ".balign 16\n\t"
                     "slli x0, x0, 0x1f\n\t"
                     "ebreak\n\t"
                     "srai x0, x0, 7\n\t"
                     ".option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
    return a0;
#else
    register uint32_t r0 __asm__("r0") = operation;
    register const uint32_t *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#endif
}

#endif
