// Frames of the wire, version 1: COBS and CRC-32 around a payload. No I/O, no time. The bytes are fixed in PROTOCOL.md.
#ifndef ECG_FRAME_H
#define ECG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ECG_FRAME_VERSION 1u
#define ECG_FRAME_HEADER 9u                                                     // version, type, flags, boot, seq, len
#define ECG_FRAME_PAYLOAD_MAX 256u
#define ECG_FRAME_CRC 4u
#define ECG_FRAME_RAW_MAX (ECG_FRAME_HEADER + ECG_FRAME_PAYLOAD_MAX + ECG_FRAME_CRC)
#define ECG_FRAME_STUFFING 2u                                                   // COBS adds a byte for every 254 begun
#define ECG_FRAME_WIRE_MAX (ECG_FRAME_RAW_MAX + ECG_FRAME_STUFFING + 1u)        // and the delimiter
#define ECG_FRAME_PAYLOAD_AT (ECG_FRAME_STUFFING + ECG_FRAME_HEADER)            // where a writer builds its payload

// The fields of a frame around its payload.
typedef struct {
    uint8_t version, type, flags;
    uint16_t boot, seq, length;
} ecg_frame_t;

// What a reader dropped, and what it passed on.
typedef struct {
    uint32_t frames, crc_errors, cobs_errors, length_errors;
} ecg_frame_counts_t;

// Takes bytes one by one; raw holds the frame being received, without its stuffing. All zero is a reader ready to go.
typedef struct {
    ecg_frame_counts_t counts;
    uint16_t seen;                      // bytes since the last zero; no more than ECG_FRAME_WIRE_MAX
    uint16_t size;                      // bytes unstuffed; one more than fit in raw marks any more
    uint8_t left;                       // bytes left in the current COBS block
    bool zero_owed;                     // the block stands for a zero after it, unless the frame ends there
    uint8_t raw[ECG_FRAME_RAW_MAX];
} ecg_frame_reader_t;

// CRC-32 as of zlib over bytes, (n).
uint32_t ecg_frame_crc32(const uint8_t *bytes, size_t n);

// Takes one byte of the wire. Returns true when it ended a valid frame (CRC and length agree; the version may be any):
// frame then holds its fields, and the payload, (frame->length), lies at ecg_frame_payload() until the next byte.
bool ecg_frame_read(ecg_frame_reader_t *reader, uint8_t byte, ecg_frame_t *frame);

// The payload of the frame that ecg_frame_read() just ended.
const uint8_t *ecg_frame_payload(const ecg_frame_reader_t *reader);

// Encodes a frame in place. The payload, (frame->length), lies at wire + ECG_FRAME_PAYLOAD_AT.
// Returns how many bytes of wire, (ECG_FRAME_WIRE_MAX), are then to be sent, the delimiter among them.
size_t ecg_frame_encode(const ecg_frame_t *frame, uint8_t *wire);

// Little-endian numbers.
uint16_t ecg_get_u16(const uint8_t *bytes);
uint32_t ecg_get_u32(const uint8_t *bytes);
uint8_t *ecg_put_u16(uint8_t *bytes, uint16_t value);       // returns where the next field begins
uint8_t *ecg_put_u32(uint8_t *bytes, uint32_t value);

#ifdef __cplusplus
}
#endif
#endif
