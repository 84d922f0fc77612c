// Semihosting: files of the machine that emulates, by the debugger's trap.
#include <string.h>

#include "arch.h"
#include "board.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { OPEN_READ_BINARY = 1, OPEN_WRITE_BINARY = 5 };
#define STOPPED_APPLICATION_EXIT 0x20026u

int32_t board_file_open(const char *name, bool to_write)
{
    const uint32_t block[3] = {
        (uint32_t)(uintptr_t)name, to_write ? (uint32_t)OPEN_WRITE_BINARY : (uint32_t)OPEN_READ_BINARY, (uint32_t)strlen(name)
    };
    return (int32_t)arch_semihost(SYS_OPEN, block);
}

// Both answer with the bytes that did not go through; a read may also come in pieces.
bool board_file_read(int32_t file, void *bytes, size_t n)
{
    uint8_t *at = bytes;
    while (n != 0u) {
        const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)at, (uint32_t)n};
        const uint32_t left = arch_semihost(SYS_READ, block);
        if (left >= n) {
            return false;               // the end of the file, or a failure
        }
        at += n - left;
        n = left;
    }
    return true;
}

bool board_file_write(int32_t file, const void *bytes, size_t n)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, (uint32_t)n};
    return arch_semihost(SYS_WRITE, block) == 0u;
}

void board_file_close(int32_t file)
{
    const uint32_t block[1] = {(uint32_t)file};
    (void)arch_semihost(SYS_CLOSE, block);
}

void board_exit(int32_t status)
{
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)status};
    (void)arch_semihost(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}
