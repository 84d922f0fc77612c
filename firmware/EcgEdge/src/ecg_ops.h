// Column steps of the native engine: int8 layers that take one column at a time.
//
// A column is one time step of all channels. A layer over time keeps the columns it will need again in a line, oldest first
// and always contiguous, so that its arithmetic is a plain dot product over memory. The column before writes its result
// straight into the next line's slot: nothing is copied from layer to layer.
//
//     write a column to ecg_line_slot(line), then call the layer's push with the slot of the line after it as `out`
//
// ecg_ops.c keeps the books. The arithmetic stands apart (ecg_ops_portable.c: ecg_matrix_s8, ecg_depthwise_s8, ...), so that
// kernels for one core can take its place. Descriptors are const (flash); states live in the model's scratch.
// The generator proved every size: the functions check nothing.
#ifndef ECG_OPS_H
#define ECG_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The columns that a layer keeps.
typedef struct {
    int8_t *columns;    // (span, channels), oldest first
    uint16_t channels;
    int16_t fill;       // columns held; -n: the next n columns are not needed
} ecg_line_t;

// How a layer reads its line: it gives a column when the line holds `span` columns, then lets go of `stride` of them.
typedef struct {
    uint16_t span;      // columns from the first tap to the last: (taps - 1) * dilation + 1
    uint16_t stride;
} ecg_steps_t;

// out = clamp(zero + requantize(bias + weights . in)): the arithmetic of a convolution's column and of a dense layer.
// `in` is read as `runs` pieces of `run` values whose beginnings lie `step` apart; runs is 1 unless the layer is dilated.
typedef struct {
    const int8_t *weights;        // (out, runs * run)
    const int32_t *bias;          // (out), the input's zero point folded in
    const int32_t *multipliers;   // (out)
    const int8_t *shifts;         // (out)
    uint16_t out;
    uint16_t runs;
    uint16_t run;
    uint16_t step;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_matrix_t;

typedef struct {
    ecg_steps_t steps;
    ecg_matrix_t matrix;
} ecg_conv_t;

// Channel c of the output sees channel c of the input alone.
typedef struct {
    ecg_steps_t steps;
    const int8_t *weights;        // (taps, channels)
    const int32_t *bias;          // (channels), the input's zero point folded in
    const int32_t *multipliers;   // (channels)
    const int8_t *shifts;         // (channels)
    uint16_t channels;
    uint16_t taps;
    uint16_t dilation;
    int8_t zero;
    int8_t min;
    int8_t max;
} ecg_depthwise_t;

// Maximum or average over `steps.span` columns.
typedef struct {
    ecg_steps_t steps;
    uint16_t channels;
    int8_t min;
    int8_t max;
} ecg_pool_t;

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
    int32_t *sums;                // (blocks, channels)
    uint16_t block;               // the one that grows
    uint16_t count;               // columns in it
} ecg_sums_t;

typedef struct {
    uint16_t count;
    int32_t multiplier;
    int8_t shift;
    int16_t diff_min;             // further below the largest input, exp() counts as 0
} ecg_softmax_t;

// Where the next column goes, or NULL when no output needs it.
static inline int8_t *ecg_line_slot(const ecg_line_t *line)
{
    return line->fill < 0 ? NULL : line->columns + (size_t)line->fill * line->channels;
}

// Begins again, with `pad` columns of `zero` already there. columns: (span, channels).
void ecg_line_reset(ecg_line_t *line, int8_t *columns, uint16_t channels, uint16_t pad, int8_t zero);

// Puts `in`, (channels), into the slot; NULL stays out of memory when the column is not needed.
void ecg_line_put(ecg_line_t *line, const int8_t *in);

// Puts a column of padding into the slot.
void ecg_line_pad(ecg_line_t *line, int8_t zero);

// Counts the column just written; true when the line then holds `span` columns, oldest first.
bool ecg_line_advance(ecg_line_t *line, uint16_t span);

// Lets go of the oldest `stride` of `span` columns.
void ecg_line_drop(ecg_line_t *line, ecg_steps_t steps);

// Each push counts the column just written to `line`. True when a column of output is due: it is in out then, or, with out
// NULL, left uncomputed. out does not overlap the line.
bool ecg_conv_push_s8(const ecg_conv_t *op, ecg_line_t *line, int8_t *out);
bool ecg_depthwise_push_s8(const ecg_depthwise_t *op, ecg_line_t *line, int8_t *out);
bool ecg_max_pool_push_s8(const ecg_pool_t *op, ecg_line_t *line, int8_t *out);
bool ecg_average_pool_push_s8(const ecg_pool_t *op, ecg_line_t *line, int8_t *out);

void ecg_mean_reset(const ecg_mean_t *op, ecg_sums_t *state, int32_t *sums);
void ecg_mean_push_s8(const ecg_mean_t *op, ecg_sums_t *state, const int8_t *column);
// out, (channels): the mean of the window whose last column was pushed last.
void ecg_mean_s8(const ecg_mean_t *op, const ecg_sums_t *state, int8_t *out);

void ecg_dense_s8(const ecg_matrix_t *op, const int8_t *in, int8_t *out);
// in and out, (count), may be the same.
void ecg_softmax_s8(const ecg_softmax_t *op, const int8_t *in, int8_t *out);
// values[i] = table[values[i] + 128]: any function of one int8, in place. No values: nothing.
void ecg_lookup_s8(const int8_t table[256], int8_t *values, size_t count);

// The arithmetic, per core. columns: the layer's line.
void ecg_matrix_s8(const ecg_matrix_t *op, const int8_t *in, int8_t *out);
void ecg_depthwise_s8(const ecg_depthwise_t *op, const int8_t *columns, int8_t *out);
void ecg_max_pool_s8(const ecg_pool_t *op, const int8_t *columns, int8_t *out);
void ecg_average_pool_s8(const ecg_pool_t *op, const int8_t *columns, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
