#define _XOPEN_SOURCE 600       // posix_openpt

#include "ecg_pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

int ecg_host_pty(char *name, size_t size)
{
    const int fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0) {
        return -1;
    }
    const char *const slave = ptsname(fd);
    if (slave == NULL || strlen(slave) >= size) {
        return -1;
    }
    strcpy(name, slave);
    const int line = open(name, O_RDWR | O_NOCTTY);     // never closed: without it a client that leaves ends the pty
    struct termios raw;
    if (line < 0 || tcgetattr(line, &raw) != 0) {
        return -1;
    }
    raw.c_iflag = 0;
    raw.c_oflag = 0;
    raw.c_lflag = 0;
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8 | CREAD | CLOCAL;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(line, TCSANOW, &raw) == 0 ? fd : -1;
}
