"""A line that is opened again when it is gone. Layer: device; imports errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from ecg_edge.device.link import Clock, Link, Port, SerialLink, serial_ports
from ecg_edge.errors import DeviceTimeout, LinkError, LinkReplugged

_RETRY_S = 0.1


class ReplugLink:
    """A line through unplug and replug.

    Bytes of before and after never meet: the read or write that finds the line gone waits until it is back, and then
    raises LinkReplugged, for the board there may be another, or the same after a reset.
    """

    def __init__(self, open_link: Callable[[], Link], *, wait_s: float) -> None:
        """Open the line.

        Args:
            open_link: gives the line, or raises LinkError; called again whenever it is gone.
            wait_s: how long it may be gone.

        Raises:
            LinkError: it cannot be opened the first time.
        """
        self._open, self._wait_s = open_link, wait_s
        self._link = open_link()
        self.name = self._link.name
        self.clock: Clock = self._link.clock

    def read(self, timeout_s: float) -> bytes:
        try:
            return self._link.read(timeout_s)
        except LinkError as error:
            self._come_back(error)

    def write(self, data: bytes) -> None:
        try:
            self._link.write(data)
        except LinkError as error:
            self._come_back(error)

    def close(self) -> None:
        self._link.close()

    def _come_back(self, gone: LinkError) -> NoReturn:
        """Wait for the line. Raises LinkReplugged once it is back, `gone` when it stays away."""
        if isinstance(gone, DeviceTimeout):
            raise gone  # the port is there; what is at it takes nothing
        self._link.close()
        start_s = self.clock.now_s()
        while self.clock.now_s() - start_s < self._wait_s:
            self.clock.sleep_s(_RETRY_S)
            try:
                self._link = self._open()
            except LinkError:  # not yet
                continue
            raise LinkReplugged(f"{self.name}: the port was gone for {self.clock.now_s() - start_s:.1f} s") from gone
        raise gone


def open_port(url: str, *, baud: int, wait_s: float) -> ReplugLink:
    """A pyserial URL, opened again when it is gone.

    Args:
        url: what `SerialLink` takes.
        baud: bits a second.
        wait_s: how long it may be gone.

    Raises:
        LinkError: it cannot be opened.
    """
    return ReplugLink(port_opener(url, baud=baud), wait_s=wait_s)


def port_opener(url: str, *, baud: int) -> Callable[[], Link]:
    """What opens a pyserial URL, any number of times; a USB port also where it comes back under another name.

    Args:
        url: what `SerialLink` takes.
        baud: bits a second.
    """
    at_first = next((port for port in serial_ports() if port.device == url and port.serial_number), None)

    def open_link() -> Link:
        found = None if at_first is None else _same_port(at_first)
        return SerialLink(url if found is None else found.device, baud=baud)

    return open_link


def _same_port(wanted: Port) -> Port | None:
    """A port by its device's ids, where it is now: a device may have several, which differ by interface alone."""
    known = wanted.vid, wanted.pid, wanted.serial_number
    found = [port for port in serial_ports() if (port.vid, port.pid, port.serial_number) == known]
    interface = wanted.location.partition(":")[2]
    return min(
        found,
        key=lambda port: (port.location.partition(":")[2] != interface, port.device != wanted.device),
        default=None,
    )
