"""ecg_frame.c and device/frame.py are the same function: any frame, any damage, any split."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolchain import SOURCES

from ecg_edge.device.frame import MAX_ENCODED, Frame, FrameReader, encode_frame

PAYLOAD_AT = 11  # ECG_FRAME_PAYLOAD_AT
WIRE_MAX = 272  # ECG_FRAME_WIRE_MAX


class CFrame(ctypes.Structure):
    """ecg_frame_t."""

    _fields_ = (
        ("version", ctypes.c_uint8),
        ("type", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("boot", ctypes.c_uint16),
        ("seq", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
    )


class CReader(ctypes.Structure):
    """ecg_frame_reader_t; the counters and then what the test does not look at."""

    _fields_ = (
        ("frames", ctypes.c_uint32),
        ("crc_errors", ctypes.c_uint32),
        ("cobs_errors", ctypes.c_uint32),
        ("length_errors", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 512),
    )


@dataclass
class CCodec:
    """The C side, called as the Python side is."""

    library: ctypes.CDLL
    reader: CReader = field(default_factory=CReader)

    def encode(self, frame: Frame) -> bytes:
        head = CFrame(1, frame.type, frame.flags, frame.boot, frame.seq, len(frame.payload))
        guarded = np.full(WIRE_MAX + 16, 0xA5, np.uint8)  # rubbish before, and a guard behind
        guarded[PAYLOAD_AT : PAYLOAD_AT + len(frame.payload)] = np.frombuffer(frame.payload, np.uint8)
        size = self.library.ecg_frame_encode(ctypes.byref(head), guarded.ctypes.data_as(ctypes.c_void_p))
        assert size <= WIRE_MAX
        assert (guarded[WIRE_MAX:] == 0xA5).all()
        return guarded[:size].tobytes()

    def feed(self, data: bytes) -> list[Frame]:
        frames, head = [], CFrame()
        for byte in data:
            if self.library.ecg_frame_read(ctypes.byref(self.reader), byte, ctypes.byref(head)):
                at = self.library.ecg_frame_payload(ctypes.byref(self.reader))
                frames.append(Frame(head.type, ctypes.string_at(at, head.length), head.flags, head.boot, head.seq))
        return frames

    def counts(self) -> tuple[int, int, int, int]:
        r = self.reader
        return r.frames, r.crc_errors, r.cobs_errors, r.length_errors


@pytest.fixture(scope="module")
def library(build_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    built = build_library(SOURCES / "ecg_frame.c")
    built.ecg_frame_encode.restype = ctypes.c_size_t
    built.ecg_frame_crc32.restype = ctypes.c_uint32
    built.ecg_frame_crc32.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    built.ecg_frame_read.restype = ctypes.c_bool
    built.ecg_frame_read.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p]
    built.ecg_frame_payload.restype = ctypes.c_void_p
    return built


def python_counts(reader: FrameReader) -> tuple[int, int, int, int]:
    c = reader.counters
    # The core answers a frame of another version by an ERROR, so its reader passes that on.
    return c.frames + c.version_errors, c.crc_errors, c.cobs_errors, c.length_errors


u8, u16 = st.integers(0, 255), st.integers(0, 65535)
# Long stretches without a zero, and of zeros, exercise COBS blocks; random bytes rarely reach 254 in a row.
payloads = st.one_of(
    st.binary(max_size=256),
    st.builds(lambda n, v: bytes([v]) * n, st.integers(0, 256), st.sampled_from([0, 1, 255])),
    st.builds(lambda n, at: bytes(0 if i == at else 7 for i in range(n)), st.integers(1, 256), st.integers(0, 255)),
)
frames = st.builds(Frame, u8, payloads, u8, u16, u16)


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_the_nibble_table_gives_the_crc_of_zlib(library: ctypes.CDLL, data: bytes) -> None:
    assert library.ecg_frame_crc32(data, len(data)) == zlib.crc32(data)


@settings(max_examples=400, deadline=None)
@given(frames)
def test_c_and_python_read_what_the_other_wrote(library: ctypes.CDLL, frame: Frame) -> None:
    codec = CCodec(library)
    from_c, from_python = codec.encode(frame), encode_frame(frame)
    assert from_c == from_python
    assert from_c.find(b"\0") == len(from_c) - 1
    assert FrameReader().feed(from_c) == [frame]
    assert codec.feed(from_python) == [frame]


def test_a_full_frame_without_any_zero_takes_the_most_room(library: ctypes.CDLL) -> None:
    longest = 0
    for seq in range(0x0101, 0x0140):
        wire = CCodec(library).encode(Frame(3, b"\x07" * 256, 1, 0x0101, seq))
        longest = max(longest, len(wire))
    assert longest == WIRE_MAX == MAX_ENCODED + 1


def test_a_last_block_of_254_is_read_with_and_without_the_empty_block_behind_it(library: ctypes.CDLL) -> None:
    # Behind the zero in `length` lie 250 bytes of payload and the CRC: 254, when none of them is zero.
    candidates = (Frame(3, b"\x07" * 250, 1, 257, seq) for seq in range(257, 4000))
    frame = next(f for f in candidates if encode_frame(f)[9] == 0xFF)
    wire = encode_frame(frame)
    assert wire[-2:] == b"\x01\0"
    for form in (wire, wire[:-2] + b"\0"):
        assert CCodec(library).feed(form) == FrameReader().feed(form) == [frame]


@st.composite
def damaged_streams(draw: st.DrawFn) -> bytes:
    """Frames with bytes flipped, dropped, doubled, inserted, zeroed, and noise between them."""
    stream = bytearray(b"".join(encode_frame(f) for f in draw(st.lists(frames, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(stream) - 1))
        kind = draw(st.sampled_from(["flip", "drop", "double", "zero", "insert"]))
        if kind == "flip":
            stream[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "drop" and len(stream) > 1:
            del stream[at]
        elif kind == "double":
            stream.insert(at, stream[at])
        elif kind == "zero":
            stream.insert(at, 0)
        else:
            stream[at:at] = draw(st.binary(max_size=400))
    return bytes(stream)


@settings(max_examples=300, deadline=None)
@given(damaged_streams(), st.lists(st.integers(0, 1500), max_size=6))
def test_both_readers_keep_and_count_the_same_of_a_damaged_stream(
    library: ctypes.CDLL, stream: bytes, cuts: list[int]
) -> None:
    codec, reader = CCodec(library), FrameReader()
    from_c = codec.feed(stream)
    from_python = []
    edges = sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
    for a, b in pairwise(edges):
        from_python += reader.feed(stream[a:b])
    # Python drops other versions in its reader, the core after its own.
    assert [f for f in from_c if f in from_python] == from_python
    assert codec.counts() == python_counts(reader)


@settings(max_examples=100, deadline=None)
@given(frames, st.data())
def test_no_single_changed_byte_passes_as_a_frame(library: ctypes.CDLL, frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(encode_frame(frame))
    at = data.draw(st.integers(0, len(wire) - 2))
    wire[at] ^= data.draw(st.integers(1, 255))
    codec = CCodec(library)
    assert codec.feed(bytes(wire)) == []
    good = encode_frame(frame)
    assert codec.feed(b"\0" + good) == [frame]  # a zero byte and the line is clean again


def test_noise_is_dropped_and_the_next_frame_is_read(library: ctypes.CDLL) -> None:
    codec, reader = CCodec(library), FrameReader()
    noise = np.random.default_rng(5).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    noise += bytes(range(1, 256)) * 8  # and longer than a frame, without a zero
    frame = Frame(3, b"still here", 0, 7, 8)
    stream = noise + b"\0" + encode_frame(frame)
    assert codec.feed(stream) == reader.feed(stream) == [frame]
    assert codec.counts() == python_counts(reader)
    assert sum(codec.counts()[1:]) > 50
