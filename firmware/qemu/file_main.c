// Reads samples or columns from `questions.bin`, writes what prepare and model say of them to `answers.bin`, and ends.
//
// For identity over many windows and for instruction counts: no wire, no protocol. README.md has both formats. Time is
// counted around the work alone, not around reading and writing files.
#include <string.h>

#include "board.h"
#include "ecg_models.h"
#include "ecg_selftest.h"
#include "ecg_stream.h"

#define MAGIC 0x31474345u               // "ECG1"
#define QUESTIONS "questions.bin"
#define ANSWERS "answers.bin"
#define BLOCK_SAMPLES 512u              // of a stream, read at once
// The longest window that can be asked for. A board with little RAM is told that of its model.
#ifndef FILE_COLUMNS
#define FILE_COLUMNS 65535u
#endif
// Of a window, or of the view of a beat.
#define WINDOW_MOST ((size_t)FILE_COLUMNS * ECG_MAX_LEADS)
#define VIEW_BYTES ((size_t)ECG_BEATS_COLUMNS * ECG_BEATS_CHANNELS)
#define INPUT_BYTES (ECG_WITH_BEATS && VIEW_BYTES > WINDOW_MOST ? VIEW_BYTES : WINDOW_MOST)

enum { MODE_WINDOWS = 0, MODE_STREAM = 1, MODE_PREPARE = 2, MODE_MODEL = 3, MODE_DETECTOR = 4, MODE_COUNT = 5 };
// Exit codes.
enum { EXIT_FAULT = 10, EXIT_NO_FILE = 11, EXIT_BAD_QUESTION = 12, EXIT_SHORT_FILE = 13, EXIT_ENGINE = 14, EXIT_WRITE = 15 };

typedef struct {
    uint32_t magic, mode, model, count; // windows; of a stream samples
} question_t;

typedef struct {
    uint32_t last_index, ticks;
    uint8_t verdict, state, classes, reserved;
    int8_t scores[ECG_STREAM_MAX_CLASSES];
} answer_t;

typedef struct {
    uint32_t magic, answers, stack_used, stack_bytes;
    uint32_t init_ticks;                // of the self-test, over all models
    uint32_t selftest_failed;           // vectors
} summary_t;

typedef struct {
    const ecg_image_model_t *image;
    int32_t in, out;
    uint32_t count, answers;
    bool rr_follows;                    // behind each answer
} run_t;

static uint8_t scratch[ECG_SCRATCH_BYTES] __attribute__((aligned(16)));
static int8_t kept_window[ECG_WINDOW_BYTES];
static ecg_prepare_lead_t leads[ECG_MAX_LEADS];
#if ECG_WITH_BEATS
static ecg_beats_t beats;
#define BEATS (&beats)
#else
#define BEATS NULL
#endif
static const ecg_memory_t memory = {scratch, sizeof scratch, kept_window, sizeof kept_window, leads, ECG_MAX_LEADS, BEATS};
static ecg_stream_t stream;
// Of one window, or of a block of a stream.
static int16_t samples[(size_t)(FILE_COLUMNS > BLOCK_SAMPLES ? FILE_COLUMNS : BLOCK_SAMPLES) * ECG_MAX_LEADS];
static int8_t columns[INPUT_BYTES];
static uint8_t block_flags[BLOCK_SAMPLES];

void board_fault(uint32_t pc)
{
    (void)pc;
    board_exit(EXIT_FAULT);
}

// Times of results are not wanted here, and asking a clock costs instructions.
static uint32_t no_time(void *ctx)
{
    (void)ctx;
    return 0u;
}

static const ecg_clock_t no_clock = {no_time, NULL};

static void check(bool good, int32_t otherwise)
{
    if (!good) {
        board_exit(otherwise);
    }
}

static void put(run_t *run, const ecg_result_t *result, uint32_t ticks)
{
    answer_t answer;
    memset(&answer, 0, sizeof answer);
    answer.last_index = result->last_index;
    answer.ticks = ticks;
    answer.verdict = result->verdict;
    answer.state = result->state;
    answer.classes = result->classes;
    memcpy(answer.scores, result->scores, result->classes);
    check(board_file_write(run->out, &answer, sizeof answer), EXIT_WRITE);
    if (run->rr_follows) {
        const uint32_t rr = result->rr;
        check(board_file_write(run->out, &rr, sizeof rr), EXIT_WRITE);
    }
    run->answers++;
}

static void begin(const ecg_image_model_t *image)
{
    ecg_stream_reset(&stream, image, &memory, no_clock, 0u, 0u);
}

// Each window by itself: reset, push, hold.
static void run_windows(run_t *run)
{
    const ecg_model_t *const m = run->image->model;
    const size_t bytes = sizeof(int16_t) * m->window * m->leads;
    check(run->image->takes == ECG_TAKES_WINDOWS, EXIT_BAD_QUESTION);
    for (uint32_t w = 0; w < run->count; w++) {
        bool due = false;
        ecg_status_t status = ECG_OK;
        check(board_file_read(run->in, samples, bytes), EXIT_SHORT_FILE);
        const uint32_t start = board_ticks();
        begin(run->image);
        for (uint32_t i = 0; i < m->window && status == ECG_OK; i++) {
            status = ecg_stream_push(&stream, samples + i * m->leads, 0u, &due);
        }
        for (uint16_t i = ecg_stream_holds(&stream); i > 0u && status == ECG_OK; i--) {
            status = ecg_stream_hold(&stream, &due);
        }
        const uint32_t ticks = board_ticks() - start;
        check(status == ECG_OK && due, EXIT_ENGINE);
        put(run, &stream.result, ticks);
    }
}

// The next block of a stream of which `done` samples came: flags, then samples. How many samples it has.
static uint32_t read_block(run_t *run, uint32_t done, uint8_t lead_count)
{
    const uint32_t left = run->count - done, n = left < BLOCK_SAMPLES ? left : BLOCK_SAMPLES;
    check(board_file_read(run->in, block_flags, n), EXIT_SHORT_FILE);
    check(board_file_read(run->in, samples, sizeof(int16_t) * n * lead_count), EXIT_SHORT_FILE);
    return n;
}

// One stream. An answer's ticks are those since the answer before it.
static void run_stream(run_t *run)
{
    const uint8_t lead_count = ecg_stream_leads(run->image);
    uint32_t ticks = 0u;
    bool due = false;
    begin(run->image);
    run->rr_follows = run->image->takes == ECG_TAKES_BEATS;
    for (uint32_t done = 0; done < run->count;) {
        const uint32_t n = read_block(run, done, lead_count);
        uint32_t start = board_ticks();
        for (uint32_t i = 0; i < n; i++) {
            check(ecg_stream_push(&stream, samples + i * lead_count, block_flags[i], &due) == ECG_OK, EXIT_ENGINE);
            if (due) {
                put(run, &stream.result, ticks + (board_ticks() - start));
                ticks = 0u;
                start = board_ticks();
            }
        }
        ticks += board_ticks() - start;
        done += n;
    }
    for (uint16_t i = ecg_stream_holds(&stream); i > 0u; i--) {
        const uint32_t start = board_ticks();
        check(ecg_stream_hold(&stream, &due) == ECG_OK, EXIT_ENGINE);
        ticks += board_ticks() - start;
        if (due) {
            put(run, &stream.result, ticks);
            ticks = 0u;
        }
    }
}

// Each window by itself, prepared and no more: an answer, then its columns.
static void run_prepare(run_t *run)
{
    const ecg_model_t *const m = run->image->model;
    const uint16_t delay = ecg_prepare_delay(&run->image->prepare);
    ecg_result_t result;
    check(run->image->takes == ECG_TAKES_WINDOWS, EXIT_BAD_QUESTION);
    memset(&result, 0, sizeof result);
    for (uint32_t w = 0; w < run->count; w++) {
        int8_t *column = columns;
        check(board_file_read(run->in, samples, sizeof(int16_t) * m->window * m->leads), EXIT_SHORT_FILE);
        const uint32_t start = board_ticks();
        ecg_prepare_reset(&stream.prepare, &run->image->prepare, leads, m->leads);
        for (uint32_t i = 0; i < m->window; i++) {
            column += ecg_prepare_push(&stream.prepare, samples + i * m->leads, 0u, column) ? m->leads : 0;
        }
        for (uint16_t i = delay; i > 0u; i--) {
            column += ecg_prepare_hold(&stream.prepare, column) ? m->leads : 0;
        }
        const uint32_t ticks = board_ticks() - start;
        result.last_index = m->window - 1u;
        result.state = ecg_prepare_state(&stream.prepare, m->window);
        put(run, &result, ticks);
        check(board_file_write(run->out, columns, (size_t)m->window * m->leads), EXIT_WRITE);
    }
}

// The model alone, over prepared windows.
static void run_model(run_t *run)
{
    const ecg_model_t *const m = run->image->model;
    ecg_result_t result;
    memset(&result, 0, sizeof result);
    for (uint32_t w = 0; w < run->count; w++) {
        check(board_file_read(run->in, columns, (size_t)m->window * m->leads), EXIT_SHORT_FILE);
        const uint32_t start = board_ticks();
        const ecg_status_t status = m->run(scratch, columns, result.scores);
        const uint32_t ticks = board_ticks() - start;
        check(status == ECG_OK, EXIT_ENGINE);
        result.last_index = m->window - 1u;
        result.classes = m->classes;
        put(run, &result, ticks);
    }
}

// The detector of beats alone: an answer a block.
static void run_detector(run_t *run)
{
#if ECG_WITH_BEATS
    ecg_result_t result;
    memset(&result, 0, sizeof result);
    ecg_qrs_reset(&beats.qrs);
    for (uint32_t done = 0; done < run->count;) {
        const uint32_t n = read_block(run, done, 1u);
        uint32_t ago;
        const uint32_t start = board_ticks();
        for (uint32_t i = 0; i < n; i++) {
            (void)ecg_qrs_push(&beats.qrs, samples[i], &ago);
        }
        const uint32_t ticks = board_ticks() - start;
        done += n;
        result.last_index = done - 1u;
        put(run, &result, ticks);
    }
#else
    (void)run;
    board_exit(EXIT_BAD_QUESTION);
#endif
}

static void selftest(summary_t *summary)
{
    int8_t got[ECG_STREAM_MAX_CLASSES];
    const uint32_t start = board_ticks();
    for (uint8_t m = 0; m < ecg_models_count; m++) {
        check(ecg_stream_check(&ecg_models[m], &memory) == ECG_OK, EXIT_ENGINE);
        for (uint8_t t = 0; t < ecg_models[m].selftest_count; t++) {
            begin(&ecg_models[m]);
            summary->selftest_failed += ecg_selftest_run(&stream, &ecg_models[m].selftests[t], got) != ECG_OK ? 1u : 0u;
        }
    }
    summary->init_ticks = board_ticks() - start;
}

void board_main(void)
{
    static void (*const runs[MODE_COUNT])(run_t *) = {run_windows, run_stream, run_prepare, run_model, run_detector};
    question_t question;
    summary_t summary;
    run_t run;
    memset(&summary, 0, sizeof summary);
    memset(&run, 0, sizeof run);
    board_clock_start();
    run.in = board_file_open(QUESTIONS, false);
    run.out = board_file_open(ANSWERS, true);
    check(run.in >= 0 && run.out >= 0, EXIT_NO_FILE);
    check(board_file_read(run.in, &question, sizeof question), EXIT_SHORT_FILE);
    check(question.magic == MAGIC && question.mode < MODE_COUNT && question.model < ecg_models_count, EXIT_BAD_QUESTION);
    run.image = &ecg_models[question.model];
    check((size_t)run.image->model->window * run.image->model->leads <= sizeof columns, EXIT_BAD_QUESTION);
    run.count = question.count;
    selftest(&summary);
    runs[question.mode](&run);
    summary.magic = MAGIC;
    summary.answers = run.answers;
    summary.stack_used = board_stack_used();
    summary.stack_bytes = board_stack_bytes();
    check(board_file_write(run.out, &summary, sizeof summary), EXIT_WRITE);
    board_file_close(run.out);
    board_exit(0);
}
