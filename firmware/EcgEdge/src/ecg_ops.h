// Column steps of the native engine: int8 layers that take one column at a time.
//
// A column is one time step of all channels. A layer that slides over time keeps the columns it still needs in a line,
// oldest first and always contiguous, so that its arithmetic is a plain dot product over memory. The layer before writes
// its result straight into the line's next place: nothing is copied from layer to layer.
//
// Here are the lines, and the layers that are not worth a core's own code. The others (convolutions) stand in
// ecg_ops_<kernels>.h, one file a kind of core, which the generated C includes. Those read columns of ecg_wide_t: the
// type that the core multiplies fastest, int8_t or int16_t.
//
// Descriptors are const, in flash (ecg_flash.h); states live in the model's scratch. The generator proved every size:
// nothing is checked.
#ifndef ECG_OPS_H
#define ECG_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ecg_flash.h"

#if defined(__GNUC__)
#define ECG_INLINE static inline __attribute__((always_inline))
#define ECG_NOINLINE __attribute__((noinline))
#define ECG_ASSUME(cond) ((cond) ? (void)0 : __builtin_unreachable())
#else
#define ECG_INLINE static inline
#define ECG_NOINLINE
#define ECG_ASSUME(cond) ((void)0)
#endif

// How a step of the generated code is declared; a profile wants each to stand alone.
#ifndef ECG_STEP
#define ECG_STEP static
#endif

#ifdef __cplusplus
extern "C" {
#endif

// --- lines -----------------------------------------------------------------------------------------------------------

// The columns that a layer keeps.
typedef struct {
    int8_t *next;        // where the next column goes; those held lie before it, oldest first
    int due;             // columns to come until the layer can give one; 0 or less: it can
} ecg_line_t;

// How a layer reads its line, in columns and bytes; all known when the code is generated.
typedef struct {
    uint16_t column;    // bytes of one
    uint16_t span;      // columns from the first tap to the last
    uint16_t stride;    // columns let go after each one given
    size_t bytes;       // of the line's memory
} ecg_reach_t;

// Begins again, with `pad` columns in it already.
ECG_INLINE void ecg_line_reset(ecg_line_t *line, int8_t *columns, const ECG_FLASH ecg_reach_t *reach, int pad)
{
    line->next = columns + (size_t)pad * reach->column;
    line->due = (int)reach->span - pad;
}

// n bytes to a lower address, which may overlap where they were. `words`: both addresses are multiples of 4.
ECG_INLINE void ecg_line_move(int8_t *to, const int8_t *from, size_t n, bool words)
{
#if defined(__AVR__)
    (void)words;
    memmove(to, from, n);
#else
    typedef struct { int32_t word[4]; } block_t;
    block_t block;
#if defined(__GNUC__)
    if (words) {
        to = (int8_t *)__builtin_assume_aligned(to, 4);
        from = (const int8_t *)__builtin_assume_aligned(from, 4);
    }
#else
    (void)words;
#endif
    for (; n >= sizeof block; n -= sizeof block) {
        memcpy(&block, from, sizeof block);
        memcpy(to, &block, sizeof block);
        from += sizeof block;
        to += sizeof block;
    }
    for (; n != 0u; n--) {
        *to++ = *from++;
    }
#endif
}

// Counts the column just written to next. True when `span` columns are there.
ECG_INLINE bool ecg_line_due(ecg_line_t *line, const ECG_FLASH ecg_reach_t *reach)
{
    if (reach->stride > reach->span && line->due > (int)reach->span) {    // between two reaches: nobody reads it
        line->due--;
        return false;
    }
    line->next += reach->column;
    return --line->due <= 0;
}

// The `span` columns that are due.
ECG_INLINE const void *ecg_line_window(const ecg_line_t *line, const ECG_FLASH ecg_reach_t *reach)
{
    return line->next - (size_t)reach->span * reach->column;
}

// Lets go of `stride` columns, and makes room for as many.
ECG_INLINE void ecg_line_drop(ecg_line_t *line, int8_t *columns, const ECG_FLASH ecg_reach_t *reach)
{
    const size_t kept = reach->span > reach->stride ? (size_t)(reach->span - reach->stride) * reach->column : 0u;
    const size_t room = (size_t)(reach->span > reach->stride ? reach->stride : reach->span) * reach->column;
    line->due = (int)reach->stride;
    if ((size_t)(columns + reach->bytes - line->next) < room) {
        ecg_line_move(columns, line->next - kept, kept, reach->column % 4u == 0u);
        line->next = columns + kept;
    }
}

// A line that waits for another one: an operand of an op with several, which takes a column of each when all have one.
// Its span and stride are 1, and it holds as many columns as it ever has to.
ECG_INLINE int8_t *ecg_queue_place(ecg_line_t *line, int8_t *columns, const ECG_FLASH ecg_reach_t *reach)
{
    if (line->next == columns + reach->bytes) {
        const size_t held = (size_t)(1 - line->due) * reach->column;
        ECG_ASSUME(held < reach->bytes);    // or GCC warns of what it thinks is written behind the columns
        ecg_line_move(columns, line->next - held, held, reach->column % 4u == 0u);
        line->next = columns + held;
    }
    return line->next;
}

ECG_INLINE const int8_t *ecg_queue_oldest(const ecg_line_t *line, const ECG_FLASH ecg_reach_t *reach)
{
    return line->next - (size_t)(1 - line->due) * reach->column;
}

ECG_INLINE void ecg_queue_drop(ecg_line_t *line)
{
    line->due++;
}

// --- layers over time ------------------------------------------------------------------------------------------------

// Output channel c sees input channel c / multiplier alone.
typedef struct {
    const ECG_FLASH int8_t *weights;          // (taps, out)
    const ECG_FLASH int32_t *bias;            // (out), the input's zero point folded in
    const ECG_FLASH int32_t *multipliers;     // (out)
    const ECG_FLASH int8_t *shifts;           // (out)
    uint16_t out;
    uint16_t taps;
    uint16_t step;                // values from one tap to the next
    uint16_t multiplier;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_depthwise_t;

// Maximum or average over `span` columns.
typedef struct {
    uint16_t channels;
    uint16_t span;
    int8_t min;
    int8_t max;
} ecg_pool_t;

// An average whose reach goes over the window's edges counts the columns that exist.
typedef struct {
    ecg_pool_t pool;
    uint16_t length;      // columns of a window
    uint16_t stride;
    uint16_t pad;         // columns before the window
} ecg_edge_pool_t;

// columns: the reach, first tap first; out: (out).
void ecg_depthwise_s8(const ECG_FLASH ecg_depthwise_t *op, const int8_t *columns, int8_t *out);
// columns: (span, channels); out: (channels).
void ecg_max_pool_s8(const ECG_FLASH ecg_pool_t *op, const int8_t *columns, int8_t *out);
void ecg_average_pool_s8(const ECG_FLASH ecg_pool_t *op, const int8_t *columns, int8_t *out);
// given: columns that this layer has given of the window.
void ecg_edge_pool_s8(const ECG_FLASH ecg_edge_pool_t *op, uint16_t given, const int8_t *columns, int8_t *out);

// Sum (sign 1) or difference (sign -1) of two operands; each is brought to a common scale first.
typedef struct {
    uint16_t count;
    int8_t sign;
    int8_t left_shift;
    int32_t multiplier;          // of a
    int32_t other_multiplier;    // of b
    int32_t out_multiplier;
    int8_t shift;
    int8_t other_shift;
    int8_t out_shift;
    int8_t zero;
    int8_t other_zero;
    int8_t out_zero;
    int8_t min;
    int8_t max;
} ecg_add_t;

typedef struct {
    uint16_t count;
    int32_t multiplier;
    int8_t shift;
    int8_t zero;
    int8_t other_zero;
    int8_t out_zero;
    int8_t min;
    int8_t max;
} ecg_mul_t;

// a, b, out: (count); out may be a or b.
void ecg_add_s8(const ECG_FLASH ecg_add_t *op, const int8_t *a, const int8_t *b, int8_t *out);
void ecg_mul_s8(const ECG_FLASH ecg_mul_t *op, const int8_t *a, const int8_t *b, int8_t *out);

// table: (256). out[i] = table[in[i] + 128], (count): any function of one int8. out may be in.
void ecg_lookup_s8(const ECG_FLASH int8_t *table, const int8_t *in, int8_t *out, size_t count);

// --- where time ends -------------------------------------------------------------------------------------------------

// Mean over all columns of a window. In a stream windows overlap: each column is added once, to the sums of the block (the
// columns of one hop) it falls in, and a window is the last `blocks` blocks, of which the newest may not be full yet.
typedef struct {
    uint16_t channels;
    uint16_t block_columns;
    uint16_t blocks;
    int32_t offset;               // - columns of a window * input zero point
    int32_t multiplier;           // 1 / columns is in it
    int8_t shift;
    int8_t zero;
} ecg_mean_t;

typedef struct {
    uint16_t block;               // the one that grows
    uint16_t count;               // columns in it
} ecg_sums_t;

// sums: (blocks, channels), int16_t where a block has 255 columns at most, else int32_t; all zero at first.
void ecg_mean_push_s8(const ECG_FLASH ecg_mean_t *op, ecg_sums_t *state, int16_t *sums, const int8_t *column);
void ecg_mean_push_wide_s8(const ECG_FLASH ecg_mean_t *op, ecg_sums_t *state, int32_t *sums, const int8_t *column);
// out, (channels): the mean of the window whose last column was pushed last.
void ecg_mean_s8(const ECG_FLASH ecg_mean_t *op, const int16_t *sums, int8_t *out);
void ecg_mean_wide_s8(const ECG_FLASH ecg_mean_t *op, const int32_t *sums, int8_t *out);
// The same of a window that was kept: columns, (length, channels). Sums are not needed.
void ecg_mean_columns_s8(const ECG_FLASH ecg_mean_t *op, const int8_t *columns, size_t length, int8_t *out);

// --- layers over vectors ---------------------------------------------------------------------------------------------

typedef struct {
    const ECG_FLASH int8_t *weights;          // (out, in)
    const ECG_FLASH int32_t *bias;            // (out), the input's zero point folded in
    const ECG_FLASH int32_t *multipliers;     // (out), or (1) with one scale
    const ECG_FLASH int8_t *shifts;           // the same
    uint16_t out;
    uint16_t in;
    bool one_scale;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_dense_t;

typedef struct {
    uint16_t count;
    int32_t multiplier;
    int8_t shift;
    int16_t diff_min;             // further below the largest input, exp() counts as 0
} ecg_softmax_t;

void ecg_dense_s8(const ECG_FLASH ecg_dense_t *op, const int8_t *in, int8_t *out);
// in and out, (count), may be the same.
void ecg_softmax_s8(const ECG_FLASH ecg_softmax_t *op, const int8_t *in, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
