"""Byte lines to a device: any pyserial URL, an in-memory one, and one that damages what it carries.

Layer: device; imports errors. The one door to `serial`. Time comes from outside, so that tests run on a virtual clock.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ecg_edge.errors import DeviceTimeout, LinkError

BAUD = 115200
WRITE_TIMEOUT_S = 10.0
_READ_BYTES = 65536


class Clock(Protocol):
    """Where time comes from."""

    def now_s(self) -> float:
        """Seconds since some start; never goes back."""

    def sleep_s(self, seconds: float) -> None:
        """Let that much time pass."""


class SystemClock:
    """The real time."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep_s(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """A time that passes only when somebody waits: a timeout of an hour takes no time to test."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def sleep_s(self, seconds: float) -> None:
        self._now_s += max(0.0, seconds)


class Link(Protocol):
    """A line that carries bytes both ways, perhaps badly."""

    @property
    def name(self) -> str:
        """What to call it in a message: its URL."""

    @property
    def clock(self) -> Clock:
        """The clock that `read` waits on."""

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; b"" when none came in time. LinkError when the line is gone."""

    def write(self, data: bytes) -> None:
        """Send all of it. LinkError when the line is gone."""

    def close(self) -> None:
        """Give the line back; more than once is harmless."""


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port of this machine."""

    device: str  # /dev/ttyUSB0, COM3
    vid: int | None  # of a USB port
    pid: int | None
    serial_number: str
    description: str


def serial_ports() -> list[Port]:
    """The serial ports of this machine, by name."""
    from serial.tools import list_ports

    found = (
        Port(port.device, port.vid, port.pid, port.serial_number or "", port.description or "")
        for port in list_ports.comports()
    )
    return sorted(found, key=lambda port: port.device)


def available_ports() -> list[str]:
    """Names of the serial ports of this machine."""
    return [port.device for port in serial_ports()]


class SerialLink:
    """Any pyserial URL: /dev/ttyUSB0, COM3, socket://host:port, rfc2217://host:port, loop://."""

    def __init__(self, url: str, *, baud: int = BAUD, clock: Clock | None = None) -> None:
        """Open the port.

        Args:
            url: what `serial.serial_for_url` takes.
            baud: bits a second; a line that is no UART ignores it.

        Raises:
            LinkError: it cannot be opened; says which ports there are.
        """
        self.name = url
        self.clock: Clock = clock or SystemClock()
        self._port = _open_port(url, baud)
        self._pollable = _pollable(self._port)

    def read(self, timeout_s: float) -> bytes:
        try:
            if self._pollable is None:
                return self._read_unpollable(timeout_s)
            ready, _, _ = select.select([self._pollable], [], [], max(0.0, timeout_s))
            return bytes(self._port.read(_READ_BYTES)) if ready else b""
        except (OSError, ValueError, TypeError) as error:  # pyserial on a port that went: any of these
            raise self._gone(error) from error

    def _read_unpollable(self, timeout_s: float) -> bytes:
        """loop:// and rfc2217:// have nothing to select on: wait inside pyserial, for one byte, then take the rest."""
        self._port.timeout = max(0.0, timeout_s)
        first = self._port.read(1)
        return bytes(first + self._port.read(self._port.in_waiting)) if first else b""

    def write(self, data: bytes) -> None:
        import serial

        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise DeviceTimeout(f"{self.name}: took no bytes for {WRITE_TIMEOUT_S:g} s") from error
        except (OSError, ValueError, TypeError) as error:
            raise self._gone(error) from error

    def close(self) -> None:
        self._port.close()

    def _gone(self, error: Exception) -> LinkError:
        return LinkError(f"{self.name}: the port is gone ({_one_line(error)})")


def _open_port(url: str, baud: int) -> Any:
    import serial

    try:
        # exclusive: two hosts on one board would each get half of its answers.
        port = serial.serial_for_url(url, baudrate=baud, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
    except (OSError, ValueError) as error:  # SerialException is an OSError; a URL it cannot read a ValueError
        ports = ", ".join(available_ports()) or "none"
        raise LinkError(f"{url}: cannot be opened ({_one_line(error)}); serial ports here: {ports}") from error
    # Small frames each way: Nagle's algorithm would hold each back for the other side's delayed acknowledgement.
    line = getattr(port, "_socket", None)
    if isinstance(line, socket.socket):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return port


def _pollable(port: Any) -> int | None:
    """What select() can wait on, None if this port has no such thing."""
    try:
        handle = port.fileno()
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
        return None
    return handle if isinstance(handle, int) else None


def _one_line(error: Exception) -> str:
    """The reason, without pyserial's repetitions of the port's name where the system has a word for it."""
    if isinstance(error, OSError) and error.errno:
        advice = {errno.EAGAIN: "another program has it", errno.EACCES: "no permission; is the user in group dialout?"}
        return advice.get(error.errno) or os.strerror(error.errno)
    return " ".join(str(error).split())


class FakeLink:
    """A line to a device that is a function: bytes received -> bytes sent.

    The device takes one frame whenever the host reads, and time passes only on a read that gets nothing.
    """

    def __init__(
        self,
        answer: Callable[[bytes], bytes],
        *,
        name: str = "fake:",
        clock: Clock | None = None,
        room_bytes: int | None = None,
    ) -> None:
        """Connect to `answer`.

        Args:
            answer: called with the bytes of each frame, in order.
            name: for messages.
            clock: a VirtualClock by default.
            room_bytes: what the device's receive buffer holds; bytes beyond it are lost, as on a real UART.
        """
        self.name = name
        self.clock: Clock = clock or VirtualClock()
        self.overrun_bytes = 0
        self._answer, self._room_bytes = answer, room_bytes
        self._received = b""
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        self._check_open()
        while self._received:
            frame, end, self._received = self._received.partition(b"\0")
            data = self._answer(frame + end)
            if data:
                return data
        self.clock.sleep_s(timeout_s)
        return b""

    def write(self, data: bytes) -> None:
        self._check_open()
        self._received += data
        if self._room_bytes is not None:
            self.overrun_bytes += max(0, len(self._received) - self._room_bytes)
            self._received = self._received[: self._room_bytes]

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError(f"{self.name}: the link is closed")


@dataclass(frozen=True, slots=True)
class Faults:
    """How badly a FaultyLink behaves, each way. Rates are per byte but for `lose` and `delay`: per read and write."""

    drop: float = 0.0  # a byte vanishes
    flip: float = 0.0  # a byte becomes another
    double: float = 0.0  # a byte comes twice
    noise: float = 0.0  # a random byte is put in before a byte
    lose: float = 0.0  # all bytes of one write, or of one read, vanish
    delay: float = 0.0  # what one read got is held back ...
    delay_s: float = 0.05  # ... for that long; the order is kept
    cut_after_bytes: int | None = None  # then the port is gone

    @property
    def damage_rate(self) -> float:
        """How many of the bytes suffer, one way or another."""
        return self.drop + self.flip + self.double + self.noise


class FaultyLink:
    """A link that loses, changes, repeats and delays what another link carries, the same way for the same seed."""

    def __init__(self, link: Link, faults: Faults, seed: int) -> None:
        self._link, self._faults = link, faults
        self._random = random.Random(seed)
        self._held = b""
        self._release_s = 0.0
        self._carried = 0
        self.name = link.name
        self.clock: Clock = link.clock

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self.clock.now_s() + timeout_s
        if not self._held:
            self._held = self._damaged(self._link.read(timeout_s))
            if not self._held:
                return b""
            late = self._random.random() < self._faults.delay
            self._release_s = self.clock.now_s() + (self._faults.delay_s if late else 0.0)
        if self._release_s > deadline_s:
            self.clock.sleep_s(deadline_s - self.clock.now_s())
            return b""
        self.clock.sleep_s(self._release_s - self.clock.now_s())
        while more := self._link.read(0.0):  # what came meanwhile: the line is late, not slow
            self._held += self._damaged(more)
        data, self._held = self._held, b""
        return data

    def write(self, data: bytes) -> None:
        damaged = self._damaged(data)
        if damaged:
            self._link.write(damaged)

    def close(self) -> None:
        self._link.close()

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
