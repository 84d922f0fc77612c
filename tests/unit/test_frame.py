"""Frames: whatever the line does, a whole frame comes out, or none."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_edge.device import messages
from ecg_edge.device.frame import (
    MAX_ENCODED,
    MAX_FRAME,
    MAX_PAYLOAD,
    Frame,
    FrameReader,
    FrameType,
    cobs_decode,
    cobs_encode,
    encode_frame,
)
from ecg_edge.errors import FrameError

BYTES = st.binary(max_size=MAX_PAYLOAD) | st.binary(min_size=250, max_size=MAX_PAYLOAD).map(lambda b: bytes(len(b)))
FRAMES = st.builds(
    Frame,
    type=st.integers(0, 255),
    payload=BYTES,
    flags=st.integers(0, 255),
    boot=st.integers(0, 65535),
    seq=st.integers(0, 65535),
)


@given(st.binary(max_size=600))
def test_cobs_leaves_no_zero_and_comes_back(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(encoded) == data


@pytest.mark.parametrize("zeros", [0, 1, 253, 254, 255, 256])
def test_cobs_survives_every_block_border(zeros: int) -> None:
    for data in (b"\x01" * 253, b"\x01" * 254, b"\x01" * 255, b"\x01" * 254 + b"\0", b"\x01" * 508):
        padded = data + bytes(zeros) + data
        assert cobs_decode(cobs_encode(padded)) == padded


def test_cobs_of_known_bytes_is_what_the_paper_says() -> None:
    assert cobs_encode(b"") == b"\x01"
    assert cobs_encode(b"\0") == b"\x01\x01"
    assert cobs_encode(b"\x11\x22\x00\x33") == b"\x03\x11\x22\x02\x33"
    assert cobs_decode(b"\xff" + b"\x07" * 254) == b"\x07" * 254  # without the empty block that an encoder may add


def test_a_frame_is_laid_out_as_the_protocol_page_says() -> None:
    wire = encode_frame(Frame(FrameType.POLL, b"\xff\xff\xff\xff", flags=7, boot=0x0201, seq=0x0403))
    body = bytes((1, 7, 7, 0x01, 0x02, 0x03, 0x04, 4, 0)) + b"\xff\xff\xff\xff"
    assert cobs_decode(wire[:-1]) == body + struct.pack("<I", zlib.crc32(body))
    assert wire[-1] == 0


def test_the_longest_frame_fits_the_announced_limit() -> None:
    wire = encode_frame(Frame(255, b"\x01" * MAX_PAYLOAD, 255, 0x0101, 0x0101))
    assert len(wire) <= MAX_ENCODED + 1 == 272
    assert FrameReader().feed(wire)[0].payload == b"\x01" * MAX_PAYLOAD


def test_a_payload_too_long_is_refused_with_its_limit() -> None:
    with pytest.raises(FrameError, match="257 bytes, limit 256"):
        encode_frame(Frame(1, bytes(257)))


@given(st.lists(FRAMES, max_size=5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_frames_come_back_from_any_split(frames: list[Frame], zeros: int, random: object) -> None:
    wire = (bytes(zeros)).join([b"", *map(encode_frame, frames)])
    reader, got, at = FrameReader(), [], 0
    while at < len(wire):
        size = random.randint(1, 40)  # type: ignore[attr-defined]
        got += reader.feed(wire[at : at + size])
        at += size
    assert got == frames
    assert reader.counters.damaged == 0
    assert reader.counters.bytes_in == len(wire)


@given(FRAMES, st.data(), st.sampled_from(["flip", "drop", "double"]))
@settings(max_examples=200)
def test_a_damaged_byte_never_gives_a_wrong_frame_and_never_costs_the_next(
    frame: Frame, data: st.DataObject, damage: str
) -> None:
    wire = bytearray(encode_frame(frame))
    at = data.draw(st.integers(0, len(wire) - 1))
    if damage == "flip":
        wire[at] ^= data.draw(st.integers(1, 255))
    elif damage == "drop":
        del wire[at]
    else:
        wire.insert(at, wire[at])
    following = Frame(FrameType.STATS, b"after", seq=7)
    got = FrameReader().feed(bytes(wire) + b"\0" + encode_frame(following))
    assert got[-1] == following
    # A doubled delimiter, a dropped one that the next zero replaces, and a dropped empty last block do no damage.
    assert got[:-1] in ([], [frame])
    assert got[:-1] == [] or (damage != "flip" and at >= len(wire) - 2)


def test_every_single_byte_flip_of_a_frame_is_seen() -> None:
    wire = encode_frame(Frame(FrameType.SAMPLES, bytes(range(20)) + b"\0\0", seq=3, boot=99))
    for at in range(len(wire)):
        for change in range(1, 256):
            flipped = wire[:at] + bytes((wire[at] ^ change,)) + wire[at + 1 :]
            reader = FrameReader()
            assert reader.feed(flipped + b"\0") == []
            assert reader.counters.damaged >= 1


@given(st.binary(max_size=2000), FRAMES)
def test_noise_never_raises_and_a_zero_ends_it(noise: bytes, frame: Frame) -> None:
    reader = FrameReader()
    got = reader.feed(noise + b"\0")
    assert got == []  # a false CRC-32 is one in four thousand million
    assert reader.feed(encode_frame(frame)) == [frame]


def test_endless_noise_keeps_memory_bounded() -> None:
    reader = FrameReader()
    for _ in range(1000):
        assert reader.feed(b"\x55" * 1000) == []
    assert len(reader._partial) <= MAX_ENCODED + 1
    frame = Frame(FrameType.HELLO)
    assert reader.feed(b"\0" + encode_frame(frame)) == [frame]
    assert reader.counters.length_errors == 1


def test_each_kind_of_damage_has_its_own_counter() -> None:
    body = struct.pack("<BBBHHH", 1, 1, 0, 0, 0, 0)
    other_version = struct.pack("<BBBHHH", 2, 1, 0, 0, 0, 0)
    wrong_length = struct.pack("<BBBHHH", 1, 1, 0, 0, 0, 5)
    reader = FrameReader()
    for data in (body, other_version, wrong_length):
        reader.feed(cobs_encode(data + struct.pack("<I", zlib.crc32(data))) + b"\0")
    reader.feed(cobs_encode(body + bytes(4)) + b"\0")  # CRC
    reader.feed(cobs_encode(b"short") + b"\0")
    reader.feed(cobs_encode(bytes(MAX_FRAME + 1)) + b"\0")
    reader.feed(b"\x09\x01\0")  # a block beyond the end
    counters = reader.counters
    assert (counters.frames, counters.version_errors, counters.crc_errors, counters.cobs_errors) == (1, 1, 1, 1)
    assert counters.length_errors == 3


def hello() -> messages.Hello:
    return messages.Hello(
        model_index=1,
        model_count=2,
        engine=2,
        firmware=(1, 2, 3),
        selftest=1,
        credit_samples=500,
        fs_hz=250,
        window=1024,
        hop=256,
        delay=258,
        history=858,
        leads=1,
        classes=5,
        streams=True,
        in_scale=1 / 64,
        in_zero=0,
        out_scale=1 / 256,
        out_zero=-128,
        scratch_bytes=3000,
        arena_used=0,
        sha256="0123456789abcdef" * 4,
        board="nano33ble",
        name="ecg5",
        engine_version="native 0.1.0",
    )


SCORES = np.array([-128, 0, 127], np.int8)
PAYLOADS = [
    (hello(), 152),
    (messages.Start(0, 1, 4_000_000_000, 858), 12),
    (messages.Index(4_294_967_295), 4),
    (messages.Credit(70_000, 126), 8),
    (messages.Stats(*range(12)), 48),
    (messages.ErrorReport(4, 3, 65535, 4_000_000_000), 8),
]


@pytest.mark.parametrize(("value", "size"), PAYLOADS, ids=lambda x: type(x).__name__)
def test_payloads_come_back_and_have_the_protocols_length(value: messages.Hello, size: int) -> None:
    packed = value.pack()
    assert len(packed) == size
    assert type(value).unpack(packed) == value
    for wrong in (packed[:-1], packed + b"\0", b""):
        with pytest.raises(FrameError, match=f"{len(wrong)} bytes"):
            type(value).unpack(wrong)


def test_hello_fields_lie_where_the_protocol_page_says() -> None:
    packed = hello().pack()
    assert packed[:8] == bytes((1, 1, 2, 2, 1, 2, 3, 1))
    assert struct.unpack_from("<6H", packed, 8) == (500, 250, 1024, 256, 258, 858)
    assert struct.unpack_from("<fifi", packed, 24) == (1 / 64, 0, 1 / 256, -128)
    assert packed[48:80].hex() == hello().sha256
    assert packed[80:104] == b"nano33ble".ljust(24, b"\0")


def test_a_result_comes_back_and_its_scores_must_be_as_many_as_it_says() -> None:
    packed = messages.Result(0, 2, 0, 1023, 1500, 90000, SCORES).pack()
    assert len(packed) == 16 + 3
    back = messages.Result.unpack(packed)
    assert (back.model, back.verdict, back.state, back.last_index) == (0, 2, 0, 1023)
    assert (back.prepare_us, back.inference_us, back.scores.tolist()) == (1500, 90000, SCORES.tolist())
    with pytest.raises(FrameError, match="3 classes and holds 2"):
        messages.Result.unpack(packed[:-1])


def test_samples_come_back_and_half_a_sample_is_refused() -> None:
    values = np.array([-32768, 0, 1, 32767], np.int16)
    packed = messages.Samples(70_000, values).pack()
    assert packed[4:6] == b"\x00\x80"
    assert messages.Samples.unpack(packed).values.tolist() == values.tolist()
    with pytest.raises(FrameError, match="7 bytes"):
        messages.Samples.unpack(packed[:-1])


def test_a_selftest_comes_back_with_and_without_a_failure() -> None:
    failed = messages.SelfTest(False, 4, 2, 1, SCORES, SCORES[::-1].copy())
    back = messages.SelfTest.unpack(failed.pack())
    assert (back.passed, back.ran, back.first_failed, back.model) == (False, 4, 2, 1)
    assert back.got.tolist() == SCORES[::-1].tolist()
    none = np.zeros(0, np.int8)
    assert messages.SelfTest.unpack(messages.SelfTest(True, 4, None, 0, none, none).pack()).first_failed is None
    with pytest.raises(FrameError, match="not two rows"):
        messages.SelfTest.unpack(failed.pack()[:-1])
