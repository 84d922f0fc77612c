// ecg_frame.c beside a decoder that is written another way: it keeps a whole frame and unstuffs it at the zero, where the
// firmware unstuffs byte by byte. Same frames, same payloads, same counts; and what the encoder makes of them comes back.
#include <stddef.h>
#include <string.h>

#include "ecg_frame.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_ENCODED (ECG_FRAME_WIRE_MAX - 1u)

static uint32_t crc_by_bits(const uint8_t *bytes, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0u ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

// Unstuffs (n) bytes without a zero. Returns how many there are, or -1.
static int unstuffed(const uint8_t *in, size_t n, uint8_t *out)
{
    size_t at = 0u, to = 0u;
    while (at < n) {
        const size_t code = in[at];
        if (at + code > n) {
            return -1;
        }
        memcpy(out + to, in + at + 1u, code - 1u);
        to += code - 1u;
        at += code;
        if (code != 0xFFu && at < n) {
            out[to++] = 0u;
        }
    }
    return (int)to;
}

// What PROTOCOL.md says of the bytes between two zeros: whether they are a frame, or which counter they go to.
static bool is_frame(const uint8_t *bytes, size_t n, ecg_frame_counts_t *counts, uint8_t *raw, ecg_frame_t *frame)
{
    if (n == 0u) {
        return false;
    }
    if (n > MOST_ENCODED) {
        counts->length_errors++;
        return false;
    }
    const int got = unstuffed(bytes, n, raw);
    if (got < 0) {
        counts->cobs_errors++;
        return false;
    }
    const size_t size = (size_t)got;
    if (size < ECG_FRAME_HEADER + ECG_FRAME_CRC || size > ECG_FRAME_RAW_MAX) {
        counts->length_errors++;
        return false;
    }
    const size_t covered = size - ECG_FRAME_CRC;
    const uint32_t told = (uint32_t)raw[covered] | (uint32_t)raw[covered + 1u] << 8 | (uint32_t)raw[covered + 2u] << 16
                          | (uint32_t)raw[covered + 3u] << 24;
    if (crc_by_bits(raw, covered) != told) {
        counts->crc_errors++;
        return false;
    }
    const ecg_frame_t found = {raw[0], raw[1], raw[2], (uint16_t)(raw[3] | raw[4] << 8), (uint16_t)(raw[5] | raw[6] << 8),
                               (uint16_t)(raw[7] | raw[8] << 8)};
    if (found.length != covered - ECG_FRAME_HEADER) {
        counts->length_errors++;
        return false;
    }
    *frame = found;
    counts->frames++;
    return true;
}

static bool same(const ecg_frame_t *a, const ecg_frame_t *b)
{
    return a->version == b->version && a->type == b->type && a->flags == b->flags && a->boot == b->boot && a->seq == b->seq
           && a->length == b->length;
}

// A reader ready to go. What the compiler left behind its last array no sanitizer guards: it is marked.
static void make_ready(ecg_frame_reader_t *reader)
{
    memset(reader, 0xA5, sizeof *reader);
    memset(reader, 0, offsetof(ecg_frame_reader_t, raw) + sizeof reader->raw);
}

static void check_end(const ecg_frame_reader_t *reader)
{
    for (size_t at = offsetof(ecg_frame_reader_t, raw) + sizeof reader->raw; at < sizeof *reader; at++) {
        require(((const uint8_t *)reader)[at] == 0xA5u);
    }
}

// Encodes a frame, and reads it back.
static void go_round(const ecg_frame_t *frame, const uint8_t *payload)
{
    uint8_t wire[ECG_FRAME_WIRE_MAX];
    ecg_frame_reader_t reader;
    ecg_frame_t back;
    make_ready(&reader);
    memset(wire, 0xA5, sizeof wire);
    memcpy(wire + ECG_FRAME_PAYLOAD_AT, payload, frame->length);
    const size_t n = ecg_frame_encode(frame, wire);
    require(n <= sizeof wire && memchr(wire, 0, n) == wire + n - 1u);
    for (size_t i = 0; i + 1u < n; i++) {
        require(!ecg_frame_read(&reader, wire[i], &back));
    }
    require(ecg_frame_read(&reader, 0u, &back) && same(frame, &back));
    require(memcmp(ecg_frame_payload(&reader), payload, frame->length) == 0);
}

// Half of what is drawn never has a right CRC: where the first byte is odd, the rest goes over the wire as a payload.
static void as_payload(const uint8_t *data, size_t size)
{
    const size_t length = size < ECG_FRAME_PAYLOAD_MAX ? size : ECG_FRAME_PAYLOAD_MAX;
    const ecg_frame_t frame = {1u, size != 0u ? data[0] : 0u, 0u, (uint16_t)size, 7u, (uint16_t)length};
    go_round(&frame, data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t raw[ECG_FRAME_WIRE_MAX + 256u];
    ecg_frame_reader_t reader;
    ecg_frame_counts_t expected;
    size_t begin = 0u;
    make_ready(&reader);
    memset(&expected, 0, sizeof expected);
    for (size_t i = 0; i < size; i++) {
        ecg_frame_t got, wanted;
        const bool valid = ecg_frame_read(&reader, data[i], &got);
        if (data[i] != 0u) {
            require(!valid);
            continue;
        }
        require(valid == is_frame(data + begin, i - begin, &expected, raw, &wanted));
        require(memcmp(&reader.counts, &expected, sizeof expected) == 0);
        begin = i + 1u;
        if (valid) {
            require(same(&got, &wanted));
            require(memcmp(ecg_frame_payload(&reader), raw + ECG_FRAME_HEADER, got.length) == 0);
            go_round(&got, raw + ECG_FRAME_HEADER);
        }
    }
    check_end(&reader);
    if (size != 0u && (data[0] & 1u) != 0u) {
        as_payload(data, size);
    }
    return 0;
}
