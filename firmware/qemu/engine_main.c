// Runs the engine of one model over the inputs in `questions.bin`, writes its scores and what each run cost to
// `answers.bin`, and ends. README.md has both formats.
//
// The engine alone: no prepare, no protocol, nothing of the application. Built with
//     -DENGINE_HEADER="ecg_model_<name>.h" -DENGINE_MODEL=ecg_model_<name> -DENGINE_SCRATCH_BYTES=ECG_MODEL_<NAME>_SCRATCH_BYTES
//     -DENGINE_INPUT_BYTES=n -DENGINE_CLASSES=n
// Linked without the model (-Wl,--defsym=ecg_model_<name>=0) it does not run: it is the harness, whose size comes off the whole.
#include <string.h>

#include "arch.h"
#include "board.h"
#include ENGINE_HEADER

#define MAGIC 0x32474345u               // "ECG2"
#define QUESTIONS "questions.bin"
#define ANSWERS "answers.bin"
#define STACK_PATTERN 0xA5u
#define STACK_RUNS 4u                   // for which the stack is looked at; it hardly depends on the input
#define CLOCK_READS 1000u

// MODE_TRACE is MODE_RUN without a look at the stack: each input is run once, for whoever watches the processor.
enum { MODE_RUN = 0, MODE_PUSH = 1, MODE_TRACE = 2, MODE_COUNT = 3 };
// Exit codes, as file_main.c has them.
enum { EXIT_FAULT = 10, EXIT_NO_FILE = 11, EXIT_BAD_QUESTION = 12, EXIT_SHORT_FILE = 13, EXIT_ENGINE = 14, EXIT_WRITE = 15 };

typedef struct {
    uint32_t magic, mode, count;        // count: answers wanted
} question_t;

typedef struct {
    uint32_t ticks;
    int8_t scores[ENGINE_CLASSES];
} answer_t;

typedef struct {
    uint32_t magic, answers;
    uint32_t scratch_bytes;             // as the descriptor says
    uint32_t stack_used;                // by the deepest of the first runs, their caller's frame excluded
    uint32_t clock_reads, clock_ticks;  // what reading the clock twice costs, so many times
} summary_t;

extern uint8_t board_stack_limit[];

static uint8_t scratch[ENGINE_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t input[ENGINE_INPUT_BYTES] __attribute__((aligned(4)));
static answer_t answer;

static const ecg_model_t *const model = &ENGINE_MODEL;

void board_fault(uint32_t pc)
{
    (void)pc;
    board_exit(EXIT_FAULT);
}

static void check(bool good, int32_t otherwise)
{
    if (!good) {
        board_exit(otherwise);
    }
}

// A stream: `columns` of `input` pushed one by one. True when the last of them, and no other, gave a verdict.
static bool push_columns(uint32_t columns)
{
    bool due = false, early = false;
    const int8_t *at = input;
    for (uint32_t i = 0; i < columns; i++) {
        early = early || due;
        due = model->push(scratch, at, answer.scores);
        at += model->leads;
    }
    return due && !early;
}

// Bytes of stack below this function's frame that one window takes. Nothing else may use them: interrupts are held off.
static __attribute__((noinline)) uint32_t stack_of(uint32_t mode)
{
    bool good;
    arch_mask_interrupts();
    const uint8_t *const top = arch_stack_pointer();
    for (volatile uint8_t *at = board_stack_limit; at < top; at++) {
        *at = STACK_PATTERN;
    }
    if (mode == MODE_RUN) {
        good = model->run(scratch, input, answer.scores) == ECG_OK;
    } else {
        model->reset(scratch);
        good = push_columns(model->window);
    }
    const volatile uint8_t *at = board_stack_limit;
    while (at < top && *at == STACK_PATTERN) {
        at++;
    }
    arch_unmask_interrupts();
    check(good, EXIT_ENGINE);
    return (uint32_t)(top - at);
}

static uint32_t ticks_of_run(void)
{
    const uint32_t start = board_ticks();
    const ecg_status_t status = model->run(scratch, input, answer.scores);
    const uint32_t ticks = board_ticks() - start;
    check(status == ECG_OK, EXIT_ENGINE);
    return ticks;
}

// The first answer is that of a whole window, each further one that of a hop.
static uint32_t ticks_of_push(uint32_t columns)
{
    const uint32_t start = board_ticks();
    const bool good = push_columns(columns);
    const uint32_t ticks = board_ticks() - start;
    check(good, EXIT_ENGINE);
    return ticks;
}

static void time_clock(summary_t *summary)
{
    summary->clock_reads = CLOCK_READS;
    for (uint32_t i = 0; i < CLOCK_READS; i++) {
        const uint32_t start = board_ticks();
        summary->clock_ticks += board_ticks() - start;
    }
}

void board_main(void)
{
    question_t question;
    summary_t summary;
    memset(&summary, 0, sizeof summary);
    board_clock_start();
    time_clock(&summary);
    const int32_t in = board_file_open(QUESTIONS, false), out = board_file_open(ANSWERS, true);
    check(in >= 0 && out >= 0, EXIT_NO_FILE);
    check(board_file_read(in, &question, sizeof question), EXIT_SHORT_FILE);
    check(question.magic == MAGIC && question.mode < MODE_COUNT, EXIT_BAD_QUESTION);
    check(question.mode != MODE_PUSH || model->push != NULL, EXIT_BAD_QUESTION);
    for (uint32_t n = 0; n < question.count; n++) {
        const bool hop = question.mode == MODE_PUSH && n != 0u;
        const uint32_t bytes = hop ? (uint32_t)model->hop * model->leads : (uint32_t)sizeof input;
        check(board_file_read(in, input, bytes), EXIT_SHORT_FILE);
        if (n < STACK_RUNS && !hop && question.mode != MODE_TRACE) {
            const uint32_t used = stack_of(question.mode);
            summary.stack_used = used > summary.stack_used ? used : summary.stack_used;
            if (question.mode == MODE_PUSH) {
                model->reset(scratch);
            }
        }
        answer.ticks = question.mode == MODE_PUSH ? ticks_of_push(hop ? model->hop : model->window) : ticks_of_run();
        check(board_file_write(out, &answer, sizeof answer), EXIT_WRITE);
    }
    summary.magic = MAGIC;
    summary.answers = question.count;
    summary.scratch_bytes = (uint32_t)model->scratch_bytes;
    check(summary.scratch_bytes <= sizeof scratch, EXIT_ENGINE);
    check(board_file_write(out, &summary, sizeof summary), EXIT_WRITE);
    board_file_close(out);
    board_exit(0);
}
