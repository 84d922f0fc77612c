"""Frames sent round a line that gives back what it gets: how fast, how late, which did not come back whole.

Layer: bench; composes device. Time is the link's clock, so that every fault can be put on a virtual line and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.source import Progress
from ecg_edge.device.faults import BITS_PER_BYTE
from ecg_edge.device.frame import DELIMITER, MAX_ENCODED, Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.link import Link
from ecg_edge.errors import DeviceTimeout

# A board answers nothing to a LOG frame: should one sit at the port after all, it stays quiet.
PROBE = FrameType.LOG
PROBES, PROBE_BYTES = 3, 8
SILENCES = 3  # in a row, each as long as the patience: then a lap ends
_PAYLOADS = 64  # different ones, taken in turns
_SEQ_MODULUS = 1 << 16
_PATIENCE_S = 0.5  # beyond what a line of that baud may hold on the way
_DRAIN_S, _QUIET_S = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """What did not come back as it was sent. Frames, but for `damaged`."""

    lost: int = 0  # never came back whole
    damaged: int = 0  # pieces between two zeros that were no frame
    reordered: int = 0  # came after one that was sent later
    late: int = 0  # came when nobody waited any more
    doubled: int = 0  # came again
    foreign: int = 0  # valid, and nobody here sent it

    def __add__(self, other: FrameErrors) -> FrameErrors:
        return FrameErrors(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def count(self) -> int:
        """All of them."""
        return sum(getattr(self, name) for name in self.__slots__)

    def to_json(self) -> dict[str, int]:
        """For a report."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Lap:
    """One measurement: frames of one size, so many of them on the way at a time."""

    payload_bytes: int
    wire_bytes: float  # of a frame, on average
    depth: int
    sent: int
    back: int  # once and whole, in any order
    heard_bytes: int  # of anything
    frames_per_s: float  # coming back, from the first to the last
    round_trips_us: NDArray[np.float64]  # (n,) from before the write to after the frame was parsed
    errors: FrameErrors

    @property
    def bytes_per_s(self) -> float:
        """One way, framing included."""
        return self.frames_per_s * self.wire_bytes

    @property
    def payload_bytes_per_s(self) -> float:
        """One way, payload alone."""
        return self.frames_per_s * self.payload_bytes


def patience_s(baud: int | None, depth: int) -> float:
    """How long to wait for `depth` frames that went out at once, there and back."""
    if baud is None:
        return _PATIENCE_S
    return _PATIENCE_S + 2 * depth * (MAX_ENCODED + 1) * BITS_PER_BYTE / baud


class Loop:
    """An open line, measured lap by lap."""

    def __init__(self, link: Link, *, seed: int, patience_s: float) -> None:
        """Take over `link`, and not close it.

        Args:
            link: gives back what it gets.
            seed: of the payloads.
            patience_s: longer than anything needs to come back.
        """
        self._link, self._patience_s = link, patience_s
        self._random = np.random.default_rng(seed)
        self._reader = FrameReader()

    def find(self) -> None:
        """See whether anything comes back.

        Raises:
            DeviceTimeout: nothing does, or nothing that was sent.
        """
        clock = self._link.clock
        until_s = clock.now_s() + _DRAIN_S
        while self._link.read(_QUIET_S) and clock.now_s() < until_s:
            pass  # of whoever used the line before
        heard = 0
        for _ in range(PROBES):
            lap = self.lap(PROBE_BYTES, depth=1, seconds=0.0, least=1)
            if lap.back:
                return
            heard += lap.heard_bytes
        if heard:
            raise DeviceTimeout(
                f"{self._link.name}: {heard} bytes came back, and no frame that was sent: "
                "another baud rate at the other end, or a board that talks?"
            )
        raise DeviceTimeout(f"{self._link.name}: nothing came back: is TX wired to RX?")

    def lap(
        self, payload_bytes: int, *, depth: int, seconds: float, least: int, progress: Progress | None = None
    ) -> Lap:
        """Send frames of one size round and round.

        Args:
            payload_bytes: of each frame.
            depth: how many are on the way at a time.
            seconds: how long to go on sending.
            least: frames to send, however long that takes.
            progress: called with (ms done, ms in all).
        """
        lap = _Lap(self._link, self._reader, self._random, payload_bytes, depth, self._patience_s)
        return lap.run(seconds, least, progress or (lambda done, total: None))


class _Lap:
    """A lap while it runs. Frames are numbered from 0; on the wire that is the seq, modulo 65,536."""

    def __init__(
        self,
        link: Link,
        reader: FrameReader,
        random: np.random.Generator,
        payload_bytes: int,
        depth: int,
        patience_s: float,
    ) -> None:
        self._link, self._reader, self._patience_s = link, reader, patience_s
        self._clock = link.clock
        self._size, self._depth = payload_bytes, depth
        self._payloads = [random.bytes(payload_bytes) for _ in range(_PAYLOADS)]
        self._boot = int(random.integers(1, 65536))  # of this lap: a frame of another is foreign
        self._next = 0
        self._under_way: dict[int, float] = {}  # number -> when it was sent; ascending
        self._missing: set[int] = set()
        self._newest = -1  # that came back
        self._wire_bytes = self._heard_bytes = 0
        self._arrivals_s: list[tuple[float, int]] = []  # when, and how many at once
        self._round_trips_s: list[float] = []
        self._reordered = self._late = self._doubled = self._foreign = 0

    def run(self, seconds: float, least: int, progress: Progress) -> Lap:
        clock, damaged_before = self._clock, self._reader.counters.damaged
        start_s = heard_s = clock.now_s()
        silences = 0
        self._link.write(DELIMITER)  # ends whatever half frame the line holds
        while silences < SILENCES:
            passed_s = clock.now_s() - start_s
            progress(round(1e3 * min(passed_s, seconds)), max(1, round(1e3 * seconds)))
            self._fill(self._depth if passed_s < seconds else least - self._next)
            if not self._under_way:
                break
            data = self._link.read(max(0.0, heard_s + self._patience_s - clock.now_s()))
            if self._take(data):
                heard_s, silences = clock.now_s(), 0
            elif clock.now_s() >= heard_s + self._patience_s:
                self._missing.update(self._under_way)
                self._under_way.clear()
                heard_s, silences = clock.now_s(), silences + 1
        self._reader.feed(DELIMITER)  # what is left of a frame counts here, not in the next lap
        return self._result(self._reader.counters.damaged - damaged_before)

    def _fill(self, most: int) -> None:
        """Send as many as may be on the way."""
        out = bytearray()
        numbers = range(self._next, self._next + min(most, self._depth - len(self._under_way)))
        if not numbers:
            return
        now_s = self._clock.now_s()
        for number in numbers:
            payload = self._payloads[number % _PAYLOADS]
            out += encode_frame(Frame(PROBE, payload, 0, self._boot, number % _SEQ_MODULUS))
            self._under_way[number] = now_s
        self._next = numbers.stop
        self._wire_bytes += len(out)
        self._link.write(bytes(out))

    def _take(self, data: bytes) -> int:
        """Frames of ours among what came."""
        self._heard_bytes += len(data)
        came = sum(self._arrive(frame) for frame in self._reader.feed(data))
        if came:
            self._arrivals_s.append((self._clock.now_s(), came))
        return came

    def _arrive(self, frame: Frame) -> bool:
        """Note a frame; whether it counts as come back."""
        half = _SEQ_MODULUS // 2
        number = self._next + (frame.seq - self._next + half) % _SEQ_MODULUS - half
        ours = frame.type == PROBE and frame.boot == self._boot and 0 <= number < self._next
        if not ours or frame.payload != self._payloads[number % _PAYLOADS]:
            self._foreign += 1
            return False
        if number in self._under_way:
            self._round_trips_s.append(self._clock.now_s() - self._under_way[number])
            # A line keeps its order: what was sent before this one is lost, unless it still comes.
            for older in [n for n in self._under_way if n <= number]:
                del self._under_way[older]
                self._missing.add(older)
        elif number not in self._missing:
            self._doubled += 1
            return False
        elif number < self._newest:
            self._reordered += 1
        else:
            self._late += 1
        self._missing.discard(number)
        self._newest = max(self._newest, number)
        return True

    def _result(self, damaged: int) -> Lap:
        back = self._next - len(self._missing)
        lost = len(self._missing)
        return Lap(
            self._size,
            self._wire_bytes / max(1, self._next),
            self._depth,
            self._next,
            back,
            self._heard_bytes,
            self._frames_per_s(),
            1e6 * np.array(self._round_trips_s),
            FrameErrors(lost, damaged, self._reordered, self._late, self._doubled, self._foreign),
        )

    def _frames_per_s(self) -> float:
        """From the first arrival on: what the first frame waited for is no matter of throughput."""
        if len(self._arrivals_s) < 2:
            return 0.0
        (first_s, first), (last_s, _) = self._arrivals_s[0], self._arrivals_s[-1]
        return (sum(count for _, count in self._arrivals_s) - first) / max(last_s - first_s, 1e-9)
