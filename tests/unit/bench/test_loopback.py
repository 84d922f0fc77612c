"""bench/loopback.py on virtual lines: rates and round trips are what the line's are, and every fault is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from ecg_edge.bench.loopback import PROBE_BYTES, PROBES, SILENCES, FrameErrors, Lap, Loop, patience_s
from ecg_edge.device import FakeLink, Faults, FaultyLink, Frame, FrameReader, LimitedLink, Link, VirtualClock
from ecg_edge.device.faults import BITS_PER_BYTE
from ecg_edge.device.frame import encode_frame
from ecg_edge.device.link import Clock
from ecg_edge.errors import DeviceTimeout

PATIENCE_S = 0.5
FRAMES = 40
BAUDS = (9600, 115_200, 921_600)

Spoil = Callable[[int, bytes], bytes]  # number of a frame, its bytes with the delimiter -> what comes back


@dataclass
class Echo:
    """A line that gives back each frame as `spoil` has it; time passes only while nothing comes."""

    spoil: Spoil = lambda number, frame: frame
    name: str = "echo"
    clock: Clock = field(default_factory=VirtualClock)
    came: bytearray = field(default_factory=bytearray)  # all that was ever read
    _frames: int = 0
    _ready: bytes = b""

    def write(self, data: bytes) -> None:
        *frames, rest = data.split(b"\0")
        assert rest == b""
        for frame in frames:
            if frame:
                self._ready += self.spoil(self._frames, frame + b"\0")
                self._frames += 1

    def read(self, timeout_s: float) -> bytes:
        data, self._ready = self._ready, b""
        if not data:
            self.clock.sleep_s(timeout_s)
        self.came += data
        return data

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Heard:
    """A link that keeps what the host read."""

    link: Link
    came: bytearray = field(default_factory=bytearray)

    @property
    def name(self) -> str:
        return self.link.name

    @property
    def clock(self) -> Clock:
        return self.link.clock

    def read(self, timeout_s: float) -> bytes:
        data = self.link.read(timeout_s)
        self.came += data
        return data

    def write(self, data: bytes) -> None:
        self.link.write(data)

    def close(self) -> None:
        self.link.close()


def lap(link: Link, *, size: int = 32, depth: int = 8, least: int = FRAMES, seconds: float = 0.0, seed: int = 0) -> Lap:
    return Loop(link, seed=seed, patience_s=PATIENCE_S).lap(size, depth=depth, seconds=seconds, least=least)


def at(*numbers: int, becomes: Callable[[bytes], bytes]) -> Spoil:
    return lambda number, frame: becomes(frame) if number in numbers else frame


def flipped(frame: bytes) -> bytes:
    """Another byte in the middle, and no zero."""
    middle = len(frame) // 2
    return frame[:middle] + bytes((frame[middle] ^ 0x55 or 0x55,)) + frame[middle + 1 :]


def held(number: int, until: int) -> Spoil:
    """Frame `number` comes right after, or with, frame `until`."""
    kept: list[bytes] = []

    def spoil(n: int, frame: bytes) -> bytes:
        if n == number:
            kept.append(frame)
            return b""
        return frame + kept.pop() if n == until else frame

    return spoil


def before(number: int, until: int) -> Spoil:
    """Frame `number` comes right before frame `until`."""
    kept: list[bytes] = []

    def spoil(n: int, frame: bytes) -> bytes:
        if n == number:
            kept.append(frame)
            return b""
        return kept.pop() + frame if n == until else frame

    return spoil


STRANGER = encode_frame(Frame(12, b"hello", 0, 1, 7))


@pytest.mark.parametrize(
    ("spoil", "depth", "errors"),
    [
        (at(becomes=bytes), 8, FrameErrors()),
        (at(3, 7, 8, becomes=lambda frame: b""), 8, FrameErrors(lost=3)),
        (at(FRAMES - 1, becomes=lambda frame: b""), 8, FrameErrors(lost=1)),
        (at(*range(8), becomes=lambda frame: b""), 8, FrameErrors(lost=8)),
        (at(5, 6, 20, becomes=flipped), 8, FrameErrors(lost=3, damaged=3)),
        (at(5, becomes=flipped), 1, FrameErrors(lost=1, damaged=1)),
        (at(9, becomes=lambda frame: frame[:-1]), 8, FrameErrors(lost=2, damaged=1)),  # its delimiter: two become one
        (at(FRAMES - 1, becomes=lambda frame: frame[:-1]), 8, FrameErrors(lost=1)),  # it never ended
        (at(FRAMES - 1, becomes=lambda frame: frame[:-2]), 8, FrameErrors(lost=1, damaged=1)),
        (at(9, 11, becomes=lambda frame: frame * 2), 8, FrameErrors(doubled=2)),
        (at(4, becomes=lambda frame: STRANGER + frame), 8, FrameErrors(foreign=1)),
        (held(10, 11), 8, FrameErrors(reordered=1)),
        (held(10, 14), 8, FrameErrors(reordered=1)),
        (before(10, 11), 1, FrameErrors(late=1)),
        (held(10, 11), 1, FrameErrors(reordered=1)),
    ],
)
def test_each_fault_is_counted_once_and_by_its_name(spoil: Spoil, depth: int, errors: FrameErrors) -> None:
    found = lap(Echo(spoil), depth=depth)
    assert found.errors == errors
    assert (found.sent, found.back) == (FRAMES, FRAMES - errors.lost)


def test_a_frame_with_a_good_crc_and_another_content_did_not_come_back() -> None:
    def altered(data: bytes) -> bytes:
        (frame,) = FrameReader().feed(data)
        return encode_frame(Frame(frame.type, bytes(32), frame.flags, frame.boot, frame.seq))

    assert lap(Echo(at(6, becomes=altered))).errors == FrameErrors(lost=1, foreign=1)


def test_numbers_beyond_16_bits_are_told_apart() -> None:
    last = 70_000
    found = lap(Echo(at(65_536, 65_600, becomes=lambda frame: b"")), size=0, least=last)
    assert (found.sent, found.back, found.errors) == (last, last - 2, FrameErrors(lost=2))


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("faults", [Faults(flip=1e-3), Faults(drop=1e-3), Faults(double=1e-3), Faults(lose=0.02)])
def test_what_a_bad_line_loses_is_counted_to_the_frame(faults: Faults, depth: int) -> None:
    link = Heard(FaultyLink(FakeLink(bytes), faults, seed=depth))
    found = lap(link, depth=depth, least=1000)
    reader = FrameReader()
    whole = [frame.seq for frame in reader.feed(bytes(link.came))]
    reader.feed(b"\0")
    assert found.errors.lost == found.sent - len(set(whole)) > 5
    assert found.errors.doubled == len(whole) - len(set(whole))
    assert found.errors.damaged == reader.counters.damaged
    assert found.errors.foreign == found.errors.reordered == 0


@pytest.mark.parametrize("baud", BAUDS)
@pytest.mark.parametrize("size", [8, 256])
def test_a_full_line_reaches_its_baud_rate(baud: int, size: int) -> None:
    link = LimitedLink(FakeLink(bytes), baud)
    found = Loop(link, seed=0, patience_s=patience_s(baud, 8)).lap(size, depth=8, seconds=2.0, least=FRAMES)
    assert found.errors == FrameErrors()
    assert found.bytes_per_s == pytest.approx(baud / BITS_PER_BYTE, rel=5e-3)  # frames differ in length by a byte
    assert found.payload_bytes_per_s == pytest.approx(found.bytes_per_s * size / found.wire_bytes)


@pytest.mark.parametrize("baud", BAUDS)
def test_a_single_frame_takes_its_time_there_and_back(baud: int) -> None:
    found = lap(LimitedLink(FakeLink(bytes), baud), size=64, depth=1)
    there_and_back_us = 2e6 * found.wire_bytes * BITS_PER_BYTE / baud
    assert found.round_trips_us.size == FRAMES
    assert np.median(found.round_trips_us) == pytest.approx(there_and_back_us, rel=0.02)
    assert found.bytes_per_s == pytest.approx(baud / BITS_PER_BYTE / 2, rel=0.02)


def test_the_same_seed_sends_the_same_bytes() -> None:
    sent = []
    for seed in (1, 1, 2):
        echo = Echo()
        lap(echo, seed=seed)
        sent.append(bytes(echo.came))
    assert sent[0] == sent[1] != sent[2]


def test_a_line_that_falls_silent_ends_the_lap_and_all_after_it_is_lost() -> None:
    echo = Echo(lambda number, frame: frame if number < 10 else b"")
    found = lap(echo, least=1000)
    assert found.back == 10
    assert found.errors == FrameErrors(lost=found.sent - 10)
    assert echo.clock.now_s() <= (SILENCES + 1) * PATIENCE_S


def test_a_line_that_babbles_ends_the_lap_too() -> None:
    clock = VirtualClock()

    class Babble(Echo):
        def read(self, timeout_s: float) -> bytes:
            clock.sleep_s(0.01)
            return b"\x05noise\0"

    found = lap(Babble(clock=clock))
    assert found.back == 0
    assert found.errors.damaged > 0


def test_a_port_without_a_wire_is_told_so() -> None:
    echo = Echo(lambda number, frame: b"")
    with pytest.raises(DeviceTimeout, match=r"^echo: nothing came back: is TX wired to RX\?$"):
        Loop(echo, seed=0, patience_s=PATIENCE_S).find()
    assert echo.clock.now_s() <= (PROBES * SILENCES + 1) * PATIENCE_S


def test_a_port_that_says_something_else_is_told_so() -> None:
    echo = Echo(lambda number, frame: STRANGER)
    with pytest.raises(
        DeviceTimeout, match=r"^echo: \d+ bytes came back, and no frame that was sent: another baud rate"
    ):
        Loop(echo, seed=0, patience_s=PATIENCE_S).find()


def test_what_the_line_held_before_does_not_count() -> None:
    echo = Echo()
    echo.write(encode_frame(Frame(12, bytes(PROBE_BYTES), 0, 1, 0)) + b"\x09half a frame\0")
    loop = Loop(echo, seed=0, patience_s=PATIENCE_S)
    loop.find()
    assert loop.lap(32, depth=8, seconds=0.0, least=FRAMES).errors == FrameErrors()


def test_patience_grows_with_what_a_slow_line_holds() -> None:
    there_and_back_s = 2 * 8 * 272 * 10 / 9600
    assert patience_s(9600, 8) == pytest.approx(patience_s(None, 8) + there_and_back_s)
