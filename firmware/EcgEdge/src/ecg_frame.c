#include "ecg_frame.h"

uint16_t ecg_get_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | ((unsigned)bytes[1] << 8));
}

uint32_t ecg_get_u32(const uint8_t *bytes)
{
    return (uint32_t)ecg_get_u16(bytes) | ((uint32_t)ecg_get_u16(bytes + 2) << 16);
}

uint8_t *ecg_put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value & 0xFFu);
    bytes[1] = (uint8_t)(value >> 8);
    return bytes + 2;
}

uint8_t *ecg_put_u32(uint8_t *bytes, uint32_t value)
{
    return ecg_put_u16(ecg_put_u16(bytes, (uint16_t)(value & 0xFFFFu)), (uint16_t)(value >> 16));
}

uint32_t ecg_frame_crc32(const uint8_t *bytes, size_t n)
{
    // One entry a nibble: 64 bytes of flash instead of 1 KB, for two steps a byte.
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return crc ^ 0xFFFFFFFFu;
}

static void append(ecg_frame_reader_t *reader, uint8_t byte)
{
    if (reader->size < ECG_FRAME_RAW_MAX) {
        reader->raw[reader->size] = byte;
    }
    if (reader->size <= ECG_FRAME_RAW_MAX) {
        reader->size++;
    }
}

// A zero came: is raw a frame?
static bool finish(ecg_frame_reader_t *reader, ecg_frame_t *frame)
{
    const uint8_t *raw = reader->raw;
    const uint16_t size = reader->size;
    if (reader->seen >= ECG_FRAME_WIRE_MAX) {
        reader->counts.length_errors++;
        return false;
    }
    if (reader->left != 0u) {
        reader->counts.cobs_errors++;
        return false;
    }
    if (size < ECG_FRAME_HEADER + ECG_FRAME_CRC || size > ECG_FRAME_RAW_MAX) {
        reader->counts.length_errors++;
        return false;
    }
    const uint16_t covered = (uint16_t)(size - ECG_FRAME_CRC);
    if (ecg_frame_crc32(raw, covered) != ecg_get_u32(raw + covered)) {
        reader->counts.crc_errors++;
        return false;
    }
    frame->version = raw[0];
    frame->type = raw[1];
    frame->flags = raw[2];
    frame->boot = ecg_get_u16(raw + 3);
    frame->seq = ecg_get_u16(raw + 5);
    frame->length = ecg_get_u16(raw + 7);
    if (frame->length != covered - ECG_FRAME_HEADER) {
        reader->counts.length_errors++;
        return false;
    }
    reader->counts.frames++;
    return true;
}

bool ecg_frame_read(ecg_frame_reader_t *reader, uint8_t byte, ecg_frame_t *frame)
{
    if (byte == 0u) {
        const bool valid = reader->seen != 0u && finish(reader, frame);
        reader->seen = 0u;
        reader->size = 0u;
        reader->left = 0u;
        reader->zero_owed = false;
        return valid;
    }
    if (reader->seen < ECG_FRAME_WIRE_MAX) {
        reader->seen++;
    }
    if (reader->left != 0u) {
        reader->left--;
        append(reader, byte);
        return false;
    }
    if (reader->zero_owed) {
        append(reader, 0u);
    }
    reader->left = (uint8_t)(byte - 1u);
    reader->zero_owed = byte != 0xFFu;
    return false;
}

const uint8_t *ecg_frame_payload(const ecg_frame_reader_t *reader)
{
    return reader->raw + ECG_FRAME_HEADER;
}

size_t ecg_frame_encode(const ecg_frame_t *frame, uint8_t *wire)
{
    uint8_t *const raw = wire + ECG_FRAME_STUFFING;
    raw[0] = frame->version;
    raw[1] = frame->type;
    raw[2] = frame->flags;
    (void)ecg_put_u16(ecg_put_u16(ecg_put_u16(raw + 3, frame->boot), frame->seq), frame->length);
    const size_t covered = ECG_FRAME_HEADER + (size_t)frame->length;
    (void)ecg_put_u32(raw + covered, ecg_frame_crc32(raw, covered));

    // Stuffing runs two bytes behind the bytes it reads, and loses one for every 254: it never overtakes them.
    size_t code_at = 0u;
    size_t at = 1u;
    for (size_t i = 0; i < covered + ECG_FRAME_CRC; i++) {
        const uint8_t byte = raw[i];
        if (byte != 0u) {
            wire[at++] = byte;
        }
        if (byte == 0u || at - code_at == 0xFFu) {
            wire[code_at] = (uint8_t)(at - code_at);
            code_at = at++;
        }
    }
    wire[code_at] = (uint8_t)(at - code_at);
    wire[at++] = 0u;
    return at;
}
