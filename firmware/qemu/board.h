// What an emulated board gives the application: start-up, a clock, a UART, semihosting.
//
// As it stands, of QEMU's mps2-an386 (Cortex-M4). Another machine's numbers come by -D; device/machines.py has them.
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Of SysTick. Under `-icount shift=0` an instruction takes one nanosecond of the board's time: at 25 MHz 40 make a tick.
#ifndef BOARD_CLOCK_HZ
#define BOARD_CLOCK_HZ 25000000u
#endif

// Where RAM begins.
#ifndef BOARD_RAM
#define BOARD_RAM 0x20000000u
#endif

// The UART that is the wire: its registers, and the interrupt that it asks for when a byte has come.
#ifndef BOARD_UART
#define BOARD_UART 0x40004000u
#endif
#ifndef BOARD_UART_IRQ
#define BOARD_UART_IRQ 0u
#endif

// The first bytes of RAM. No start-up code writes them: they outlive a reset, and are zero after power-on.
typedef struct {
    uint32_t seed;          // written from outside before each reset: -device loader,addr=<BOARD_RAM>,data=N,data-len=4
    uint32_t resets;        // since power-on
    uint32_t fault_pc;      // of the fault that caused this reset; 0: none
} board_kept_t;
#define BOARD_KEPT ((volatile board_kept_t *)BOARD_RAM)

// Called by start-up once there is a stack: memory, constructors, board_main(). Does not return.
void board_begin(void);

// The application. Does not return.
void board_main(void);

// Called on a fault, with the address of the instruction. The application's; must not return.
void board_fault(uint32_t pc);

// Starts the machine again: RAM stays, all else is as after power-on.
void board_restart(void);

// Ticks of that clock since board_clock_start(), modulo 2^32.
void board_clock_start(void);
uint32_t board_ticks(void);

// The same clock in microseconds, modulo 2^32.
uint32_t board_now_us(void);

// The UART. board_uart_read() sleeps until there is a byte; writing waits for room.
void board_uart_start(void);
uint8_t board_uart_read(void);
void board_uart_write(const uint8_t *bytes, size_t n);

// Bytes of stack that were ever used, since start-up filled it with a pattern; and how many there are.
uint32_t board_stack_used(void);
uint32_t board_stack_bytes(void);

// Semihosting: files of the machine that emulates (QEMU: -semihosting-config enable=on,target=native).
// Opens a file in its working folder; -1 when that fails.
int32_t board_file_open(const char *name, bool to_write);
// Both return whether all n bytes went through.
bool board_file_read(int32_t file, void *bytes, size_t n);
bool board_file_write(int32_t file, const void *bytes, size_t n);
void board_file_close(int32_t file);
// Ends the emulator with this status.
void board_exit(int32_t status);

#ifdef __cplusplus
}
#endif
#endif
