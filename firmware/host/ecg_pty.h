// The other end of a serial line, as a process has it.
#ifndef ECG_PTY_H
#define ECG_PTY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Opens a pseudo terminal in raw mode, without echo, and writes the name to open, such as /dev/pts/3, to name, (size).
// The other end is kept open as well, so that clients may come and go. Returns its descriptor, or -1 with errno set.
int ecg_host_pty(char *name, size_t size);

#ifdef __cplusplus
}
#endif
#endif
