"""Byte lines to a device: any pyserial URL, and an in-memory one.

Layer: device; imports errors. The one door to `serial`. Time comes from outside, so that tests run on a virtual clock.
"""

from __future__ import annotations

import errno
import os
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
    location: str = ""  # of its USB plug; behind a colon the interface, where a device has several


def serial_ports() -> list[Port]:
    """The serial ports of this machine, by name."""
    from serial.tools import list_ports

    found = (
        Port(port.device, port.vid, port.pid, port.serial_number or "", port.description or "", port.location or "")
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
    except (OSError, ValueError, KeyError) as error:  # SerialException is an OSError; of a URL it cannot read, the rest
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
        self._unasked = b""
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        self._check_open()
        if self._unasked:
            data, self._unasked = self._unasked, b""
            return data
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

    def reset(self, says: bytes) -> None:
        """The device was reset: it lost what it had not taken yet, and says something unasked."""
        self._received, self._unasked = b"", says

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError(f"{self.name}: the link is closed")
