"""Lines that misbehave on purpose: one that damages, loses, stalls and resets, and one of a limited rate.

Layer: device; imports errors. Both wrap any link, and take their time from its clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ecg_edge.device.frame import DELIMITER
from ecg_edge.device.link import Clock, Link
from ecg_edge.errors import LinkError

_ROUNDING_S = 1e-9  # of sums of times
BITS_PER_BYTE = 10  # on a UART: a start bit, eight data bits, a stop bit


@dataclass(frozen=True, slots=True)
class Faults:
    """How badly a FaultyLink behaves, each way. Rates are per byte but for `lose` and `stall`: per read and write."""

    drop: float = 0.0  # a byte vanishes
    flip: float = 0.0  # a byte becomes another
    double: float = 0.0  # a byte comes twice
    noise: float = 0.0  # a random byte is put in before a byte
    lose: float = 0.0  # all bytes of one write, or of one read, vanish
    stall: float = 0.0  # what one read got is held back ...
    stall_s: float = 0.05  # ... for that long; the order is kept
    cut_after_bytes: int | None = None  # then the port is gone
    reset_every: int | None = None  # frames, both ways counted: then the device is reset, and loses the next one

    @property
    def damage_rate(self) -> float:
        """How many of the bytes suffer, one way or another."""
        return self.drop + self.flip + self.double + self.noise


class FaultyLink:
    """A link that loses, changes, repeats and stalls what another link carries, the same way for the same seed."""

    def __init__(self, link: Link, faults: Faults, seed: int, *, reset: Callable[[], None] | None = None) -> None:
        """Damage what `link` carries.

        Args:
            link: the good line.
            faults: what to do to it.
            seed: of every draw.
            reset: presses the device's reset button; for `reset_every`.
        """
        assert faults.reset_every is None or reset is not None
        self._link, self._faults, self._reset = link, faults, reset
        self.frames = 0  # carried so far, both ways
        self._next_reset = faults.reset_every
        self._random = random.Random(seed)
        self._held = b""
        self._release_s = 0.0
        self._carried = 0
        self.name = link.name
        self.clock: Clock = link.clock

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self.clock.now_s() + timeout_s
        if not self._held:
            self._held = self._heard(timeout_s)
            if not self._held:
                return b""
            late = self._random.random() < self._faults.stall
            self._release_s = self.clock.now_s() + (self._faults.stall_s if late else 0.0)
        if self._release_s > deadline_s:
            self.clock.sleep_s(deadline_s - self.clock.now_s())
            return b""
        self.clock.sleep_s(self._release_s - self.clock.now_s())
        while more := self._heard(0.0):  # what came meanwhile: the line is late, not slow
            self._held += more
        data, self._held = self._held, b""
        return data

    def write(self, data: bytes) -> None:
        *frames, rest = data.split(DELIMITER)
        for frame in frames:
            self._carry(frame + DELIMITER)
        self._carry(rest)

    def close(self) -> None:
        self._link.close()

    def _heard(self, timeout_s: float) -> bytes:
        """What comes of what the device says."""
        data = self._link.read(timeout_s)
        self.frames += data.count(DELIMITER)
        return self._damaged(data)

    def _carry(self, data: bytes) -> None:
        """Send a frame, or a part of one."""
        if not data:
            return
        self.frames += len(data) > 1
        if self._reset is not None and self._next_reset is not None and self.frames >= self._next_reset:
            assert self._faults.reset_every is not None
            self._next_reset += self._faults.reset_every
            self._reset()
            return
        damaged = self._damaged(data)
        if damaged:
            self._link.write(damaged)

    def _damaged(self, data: bytes) -> bytes:
        """What becomes of `data` on its way."""
        faults = self._faults
        self._carried += len(data)
        if faults.cut_after_bytes is not None and self._carried > faults.cut_after_bytes:
            raise LinkError(f"{self.name}: the port is gone (cut after {faults.cut_after_bytes} bytes)")
        if faults.lose and self._random.random() < faults.lose:
            return b""
        rate = faults.damage_rate
        if not rate:
            return data
        out, at = bytearray(), 0
        while (struck := at + int(self._random.expovariate(rate))) < len(data):
            out += data[at:struck]
            out += self._strike(data[struck])
            at = struck + 1
        return bytes(out + data[at:])

    def _strike(self, byte: int) -> bytes:
        """What becomes of a byte that one of the faults hits."""
        faults = self._faults
        kinds = ("drop", "flip", "double", "noise")
        kind = self._random.choices(kinds, [faults.drop, faults.flip, faults.double, faults.noise])[0]
        if kind == "drop":
            return b""
        if kind == "flip":
            return bytes((byte ^ self._random.randrange(1, 256),))
        return bytes((byte if kind == "double" else self._random.randrange(256), byte))


class LimitedLink:
    """A line of so many bits a second each way: every byte leaves after the one before it, and takes its time.

    The device gets a frame, and the host an answer, when its last byte has come. Both directions at once.
    """

    def __init__(self, link: Link, baud: int) -> None:
        """Args: link, faster than that; baud, bits a second, ten of which carry a byte."""
        self._link, self._seconds_a_byte = link, BITS_PER_BYTE / baud
        self._out, self._in = _Lane(self._seconds_a_byte), _Lane(self._seconds_a_byte)
        self.name = link.name
        self.clock: Clock = link.clock

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self.clock.now_s() + timeout_s
        while True:
            now_s = self.clock.now_s()
            if due := self._out.taken(now_s):
                self._link.write(due)
            arrived = self._in.taken(now_s)
            if arrived or now_s >= deadline_s:
                return arrived
            wake_s = min(deadline_s, self._out.next_s, self._in.next_s)
            self._in.put(self._link.read(max(0.0, wake_s - now_s)), self.clock.now_s())

    def write(self, data: bytes) -> None:
        self._out.put(data, self.clock.now_s())
        if due := self._out.taken(self.clock.now_s()):
            self._link.write(due)

    def close(self) -> None:
        self._link.close()


class _Lane:
    """One direction of a limited line."""

    def __init__(self, seconds_a_byte: float) -> None:
        self._seconds_a_byte = seconds_a_byte
        self._pieces: deque[tuple[float, bytes]] = deque()  # when the last byte of each has come
        self._free_s = 0.0  # when the line is idle again

    @property
    def next_s(self) -> float:
        """When something arrives next."""
        return self._pieces[0][0] if self._pieces else float("inf")

    def put(self, data: bytes, now_s: float) -> None:
        """Bytes that begin their way now, or once those before have left."""
        *frames, rest = data.split(DELIMITER)
        for piece in (*(frame + DELIMITER for frame in frames), rest):
            if piece:
                self._free_s = max(self._free_s, now_s) + len(piece) * self._seconds_a_byte
                self._pieces.append((self._free_s, piece))

    def taken(self, now_s: float) -> bytes:
        """What has arrived."""
        arrived = b""
        while self._pieces and self._pieces[0][0] <= now_s + _ROUNDING_S:
            arrived += self._pieces.popleft()[1]
        return arrived
