// `runner [--seed N] [--report FILE] IMAGE.elf`: an Arduino Mega 2560 on simavr, its UART0 on a pty. See README.md.
#define _XOPEN_SOURCE 600       // pselect, sigaction

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#include "ecg_pty.h"

#define MCU "atmega2560"
#define CLOCK_HZ 16000000u
#define SUPPLY_MV 5000u
#define UCSR0A 0xC0u            // data addresses of UART0's registers
#define UBRR0L 0xC4u
#define UBRR0H 0xC5u
#define U2X0 2u
#define BITS_PER_BYTE 10u       // on the line: start, eight, stop

#define SLICE_CYCLES (CLOCK_HZ / 1000u)     // between two looks at the outside
#define QUIET_SLICES 20u        // mostly asleep and without a word for so long: from here on it has our time
#define IDLE_SLICES 1000u       // and for so long: it waits for us
#define QUIET_MS 1              // of ours for a slice
#define IDLE_MS 10
#define LINE_BYTES 4096u        // what the USB bridge of a board would hold
#define PTY_NAME_BYTES 64
#define WRITE_PATIENCE_MS 1000  // then what does not fit is dropped, until something fits again: nobody listens

enum { EXIT_STOPPED = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

typedef struct {
    avr_t *avr;
    avr_irq_t *uart_in;
    int pty;
    bool full;                  // simavr's own queue: what comes now would be lost
    bool feeding;               // the timer that brings bytes runs
    bool unheard;               // nobody reads: do not wait for them again
    uint32_t noise;             // state of the generator behind pin A0
    uint64_t asleep;            // cycles
    uint16_t stack_low;         // lowest stack pointer
    unsigned quiet;             // slices
    size_t in_from, in_count, out_count;
    uint8_t in[LINE_BYTES], out[LINE_BYTES];
} board_t;

static board_t board;
static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t reset_asked;

static void on_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

static void on_reset(int number)
{
    (void)number;
    reset_asked = 1;
}

// ---- the line ------------------------------------------------------------------------------------------------------

// What a byte takes at the rate that the sketch has set.
static avr_cycle_count_t byte_cycles(const avr_t *avr)
{
    const uint32_t divisor = 1u + avr->data[UBRR0L] + 256u * (avr->data[UBRR0H] & 0x0Fu);
    return (avr_cycle_count_t)divisor * ((avr->data[UCSR0A] & U2X0) != 0u ? 8u : 16u) * BITS_PER_BYTE;
}

// A timer of simavr: the next byte is through the line.
static avr_cycle_count_t feed(avr_t *avr, avr_cycle_count_t when, void *param)
{
    board_t *const b = param;
    if (!b->full) {
        const uint8_t byte = b->in[b->in_from];
        b->in_from = (b->in_from + 1u) % LINE_BYTES;
        b->in_count--;
        avr_raise_irq(b->uart_in, byte);
    }
    b->feeding = b->in_count != 0u;
    return b->feeding ? when + byte_cycles(avr) : 0u;
}

static void take_input(board_t *b)
{
    while (b->in_count < LINE_BYTES) {
        const size_t at = (b->in_from + b->in_count) % LINE_BYTES;
        const size_t end = at < b->in_from ? b->in_from : LINE_BYTES;
        const ssize_t n = read(b->pty, b->in + at, end - at);
        if (n <= 0) {
            break;
        }
        b->in_count += (size_t)n;
    }
    if (b->in_count != 0u && !b->feeding) {
        b->feeding = true;
        avr_cycle_timer_register(b->avr, byte_cycles(b->avr), feed, b);
    }
}

// A client that does not read must not stop the board for ever: it would then not read either.
static void give_output(board_t *b)
{
    size_t from = 0u;
    while (from < b->out_count) {
        const ssize_t done = write(b->pty, b->out + from, b->out_count - from);
        if (done > 0) {
            b->unheard = false;
            from += (size_t)done;
            continue;
        }
        if (b->unheard || (done < 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
        struct pollfd writable = {b->pty, POLLOUT, 0};
        b->unheard = poll(&writable, 1u, WRITE_PATIENCE_MS) == 0;
    }
    b->out_count = 0u;
}

static void on_output(avr_irq_t *irq, uint32_t value, void *param)
{
    board_t *const b = param;
    (void)irq;
    if (b->out_count == LINE_BYTES) {
        give_output(b);
    }
    b->out[b->out_count++] = (uint8_t)value;
}

static void on_xon(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    ((board_t *)param)->full = false;
}

static void on_xoff(avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    ((board_t *)param)->full = true;
}

// ---- the board -----------------------------------------------------------------------------------------------------

// Pin A0 is open: it reads anything. xorshift32.
static void on_conversion(avr_irq_t *irq, uint32_t value, void *param)
{
    board_t *const b = param;
    (void)irq;
    (void)value;
    b->noise ^= b->noise << 13;
    b->noise ^= b->noise >> 17;
    b->noise ^= b->noise << 5;
    avr_raise_irq(avr_io_getirq(b->avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0), b->noise % SUPPLY_MV);
}

// In place of simavr's, which sleeps here as well: time passes when serve() says so.
static void on_sleep(avr_t *avr, avr_cycle_count_t cycles)
{
    (void)avr;
    board.asleep += cycles;
}

static void log_to_stderr(avr_t *avr, const int level, const char *format, va_list arguments)
{
    (void)avr;
    if (level <= LOG_ERROR) {
        (void)vfprintf(stderr, format, arguments);
    }
}

static void wire_up(board_t *b)
{
    uint32_t flags = 0u;        // neither to stdout nor to sleep
    (void)avr_ioctl(b->avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    b->uart_in = avr_io_getirq(b->avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_t *const uart = avr_io_getirq(b->avr, AVR_IOCTL_UART_GETIRQ('0'), 0);
    avr_irq_register_notify(uart + UART_IRQ_OUTPUT, on_output, b);
    avr_irq_register_notify(uart + UART_IRQ_OUT_XON, on_xon, b);
    avr_irq_register_notify(uart + UART_IRQ_OUT_XOFF, on_xoff, b);
    avr_irq_register_notify(avr_io_getirq(b->avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_OUT_TRIGGER), on_conversion, b);
}

static bool make_board(board_t *b, const char *image)
{
    static elf_firmware_t firmware;
    avr_global_logger_set(log_to_stderr);
    if (access(image, R_OK) != 0 || elf_read_firmware(image, &firmware) != 0) {
        (void)fprintf(stderr, "Error: %s is no image to run\n", image);
        return false;
    }
    b->avr = avr_make_mcu_by_name(MCU);
    if (b->avr == NULL) {
        (void)fprintf(stderr, "Error: this simavr knows no %s\n", MCU);
        return false;
    }
    (void)avr_init(b->avr);
    firmware.frequency = CLOCK_HZ;
    firmware.vcc = firmware.avcc = firmware.aref = SUPPLY_MV;
    avr_load_firmware(b->avr, &firmware);
    b->avr->log = LOG_ERROR;
    b->avr->sleep = on_sleep;
    b->stack_low = b->avr->ramend;
    wire_up(b);
    return true;
}

// The reset button: what is under way is lost, RAM stays.
static void reset(board_t *b)
{
    uint8_t lost[LINE_BYTES];
    while (read(b->pty, lost, sizeof lost) > 0) {
    }
    avr_reset(b->avr);
    b->in_count = 0u;
    b->out_count = 0u;
    b->feeding = false;         // its timer went with the reset
    b->full = false;
    wire_up(b);
}

// ---- running -------------------------------------------------------------------------------------------------------

static bool runs(int state)
{
    return state != cpu_Done && state != cpu_Crashed;
}

// Some time of the board's. Returns false when it ended.
static bool run_slice(board_t *b)
{
    avr_t *const avr = b->avr;
    const avr_cycle_count_t end = avr->cycle + SLICE_CYCLES;
    const uint64_t asleep = b->asleep;
    while (avr->cycle < end) {
        if (!runs(avr_run(avr))) {
            (void)fprintf(stderr, "Error: the AVR stopped at 0x%05lx\n", (unsigned long)avr->pc);
            return false;
        }
        const uint16_t sp = (uint16_t)(avr->data[R_SPL] | avr->data[R_SPH] << 8);
        b->stack_low = sp < b->stack_low ? sp : b->stack_low;
    }
    const bool busy = b->in_count != 0u || b->out_count != 0u || b->asleep - asleep < SLICE_CYCLES / 2u;
    b->quiet = busy ? 0u : b->quiet + 1u;
    return true;
}

static int serve(board_t *b)
{
    while (!stop_asked) {
        if (!run_slice(b)) {
            return EXIT_BROKEN;
        }
        give_output(b);
        struct pollfd outside[2] = {{STDIN_FILENO, POLLIN, 0}, {b->pty, POLLIN, 0}};
        (void)poll(outside, 2u, b->quiet >= IDLE_SLICES ? IDLE_MS : (b->quiet >= QUIET_SLICES ? QUIET_MS : 0));
        uint8_t ignored[64];
        if (outside[0].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
            return EXIT_STOPPED;
        }
        if (reset_asked) {
            reset_asked = 0;
            reset(b);
        }
        take_input(b);
    }
    return EXIT_STOPPED;
}

static bool write_report(const board_t *b, const char *path)
{
    FILE *const file = fopen(path, "w");
    if (file == NULL) {
        (void)fprintf(stderr, "Error: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    // An unused stack pointer names the byte below the last one: all up to ramend was used.
    (void)fprintf(file, "cycles %llu\nasleep %llu\nstack %u\n", (unsigned long long)b->avr->cycle,
                  (unsigned long long)b->asleep, (unsigned)(b->avr->ramend - b->stack_low));
    return fclose(file) == 0;
}

static void catch_signals(void)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = on_stop;
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        (void)sigaction(stops[i], &action, NULL);
    }
    action.sa_handler = on_reset;
    (void)sigaction(SIGUSR1, &action, NULL);
}

// Tells the pty's name on what is stdout now; what libsimavr prints there goes to stderr.
static bool open_line(board_t *b)
{
    char name[PTY_NAME_BYTES];
    b->pty = ecg_host_pty(name, sizeof name);
    if (b->pty < 0 || fcntl(b->pty, F_SETFL, fcntl(b->pty, F_GETFL) | O_NONBLOCK) < 0) {
        (void)fprintf(stderr, "Error: cannot open a pty: %s\n", strerror(errno));
        return false;
    }
    (void)printf("pty %s\n", name);
    (void)fflush(stdout);
    return dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

static uint32_t any_seed(void)
{
    uint32_t seed = (uint32_t)getpid();
    FILE *const urandom = fopen("/dev/urandom", "rb");
    if (urandom != NULL) {
        (void)!fread(&seed, sizeof seed, 1u, urandom);
        (void)fclose(urandom);
    }
    return seed;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: runner [--seed N] [--report FILE] IMAGE.elf\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *image = NULL, *report = NULL;
    uint32_t seed = any_seed();
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--seed") == 0 && has_value) {
            seed = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--report") == 0 && has_value) {
            report = argv[++i];
        } else if (argv[i][0] == '-' || image != NULL) {
            return usage();
        } else {
            image = argv[i];
        }
    }
    if (image == NULL) {
        return usage();
    }
    board.noise = seed != 0u ? seed : 1u;
    catch_signals();
    if (!open_line(&board) || !make_board(&board, image)) {
        return EXIT_BROKEN;
    }
    const int ended = serve(&board);
    return report == NULL || write_report(&board, report) ? ended : EXIT_BROKEN;
}
