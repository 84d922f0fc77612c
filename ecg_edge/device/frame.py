"""Bytes <-> frames: COBS framing and CRC-32, no I/O. Layer: device; imports errors.

Mirror of `ecg_frame.c`. Wire version 1 (firmware/PROTOCOL.md): `version, type, flags, boot, seq, length, payload,
crc32`, little-endian, stuffed by COBS so that 0x00 only ever ends a frame.

Source: Cheshire and Baker 1999, "Consistent Overhead Byte Stuffing", IEEE/ACM ToN 7(2):159-172.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from ecg_edge.errors import FrameError

VERSION = 1
MAX_PAYLOAD = 256
_HEADER = struct.Struct("<BBBHHH")
_CRC = struct.Struct("<I")
MIN_FRAME = _HEADER.size + _CRC.size
MAX_FRAME = MIN_FRAME + MAX_PAYLOAD
COBS_BLOCK = 254  # the most bytes without a zero that one code byte can announce
MAX_ENCODED = MAX_FRAME + MAX_FRAME // COBS_BLOCK + 1  # without the delimiter
DELIMITER = b"\x00"


class FrameType(IntEnum):
    """What a frame carries."""

    HELLO = 1
    START = 2
    SAMPLES = 3
    END = 4
    RESULT = 5
    CREDIT = 6
    POLL = 7
    BEAT = 8
    PROFILE = 9
    SELFTEST = 10
    STATS = 11
    LOG = 12
    ERROR = 13


class SampleFlag(IntFlag):
    """What the sender knows of the samples in a SAMPLES frame."""

    NONE = 0
    GAP = 1  # samples are missing before the first one
    LEAD_OFF = 2
    CLIPPED = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, its payload still bytes."""

    type: int  # a FrameType, or a number that a later version knows
    payload: bytes = b""
    flags: int = 0
    boot: int = 0
    seq: int = 0


def cobs_encode(data: bytes) -> bytes:
    """Stuff `data` so that it holds no 0x00; the delimiter is not added."""
    parts: list[bytes] = []
    for piece in data.split(DELIMITER):
        while len(piece) >= COBS_BLOCK:
            parts += (b"\xff", piece[:COBS_BLOCK])
            piece = piece[COBS_BLOCK:]
        parts += (bytes((len(piece) + 1,)), piece)
    return b"".join(parts)


def cobs_decode(data: bytes) -> bytes:
    """Undo `cobs_encode`.

    Raises:
        FrameError: a 0x00 inside, or a code byte that points past the end.
    """
    if DELIMITER in data:
        raise FrameError("COBS: a zero byte inside a frame")
    parts = []
    at, end = 0, len(data)
    while at < end:
        code = data[at]
        if at + code > end:
            raise FrameError(f"COBS: code {code} at byte {at} points past the end of {end} bytes")
        parts.append(data[at + 1 : at + code])
        at += code
        if code <= COBS_BLOCK and at < end:
            parts.append(DELIMITER)
    return b"".join(parts)


def encode_frame(frame: Frame) -> bytes:
    """One frame as it goes over the wire, delimiter included.

    Raises:
        FrameError: the payload is longer than 256 bytes.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise FrameError(f"frame type {frame.type}: payload of {len(frame.payload)} bytes, limit {MAX_PAYLOAD}")
    head = _HEADER.pack(VERSION, frame.type, frame.flags, frame.boot, frame.seq, len(frame.payload))
    body = head + frame.payload
    return cobs_encode(body + _CRC.pack(zlib.crc32(body))) + DELIMITER


@dataclass(slots=True)
class FrameCounters:
    """What a FrameReader met."""

    bytes_in: int = 0
    frames: int = 0
    crc_errors: int = 0
    cobs_errors: int = 0
    length_errors: int = 0
    version_errors: int = 0

    @property
    def damaged(self) -> int:
        """Frames, or bits of them, that were thrown away."""
        return self.crc_errors + self.cobs_errors + self.length_errors + self.version_errors


class FrameReader:
    """Cuts a byte stream into frames; whatever is damaged is counted and dropped, and never raises."""

    def __init__(self) -> None:
        self.counters = FrameCounters()
        self._partial = bytearray()  # of the frame under way; its start only, once it is too long

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in any portions; give the frames that they complete, in order."""
        self.counters.bytes_in += len(data)
        *done, rest = data.split(DELIMITER)
        frames = []
        for piece in done:
            self._keep(piece)
            frame = self._close()
            if frame is not None:
                frames.append(frame)
        self._keep(rest)
        return frames

    def _keep(self, piece: bytes) -> None:
        # One byte beyond the limit is kept, as the mark of a frame that is too long: memory stays bounded under noise.
        self._partial += piece[: MAX_ENCODED + 1 - len(self._partial)]

    def _close(self) -> Frame | None:
        """The frame that the partial bytes are, None when they are none."""
        encoded, self._partial = bytes(self._partial), bytearray()
        if not encoded:
            return None  # delimiters in a row: a resynchronisation
        counters = self.counters
        if len(encoded) > MAX_ENCODED:
            counters.length_errors += 1
            return None
        try:
            data = cobs_decode(encoded)
        except FrameError:
            counters.cobs_errors += 1
            return None
        if not MIN_FRAME <= len(data) <= MAX_FRAME:
            counters.length_errors += 1
            return None
        body, (crc,) = data[: -_CRC.size], _CRC.unpack(data[-_CRC.size :])
        if zlib.crc32(body) != crc:
            counters.crc_errors += 1
            return None
        version, kind, flags, boot, seq, length = _HEADER.unpack_from(body)
        if version != VERSION:
            counters.version_errors += 1
            return None
        if length != len(body) - _HEADER.size:
            counters.length_errors += 1
            return None
        counters.frames += 1
        return Frame(kind, body[_HEADER.size :], flags, boot, seq)
