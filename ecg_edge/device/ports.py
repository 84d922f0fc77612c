"""Which board is at which serial port. Layer: device; imports errors."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ecg_edge.device.boards import Board, boards_of_usb, flashable_boards
from ecg_edge.device.link import Port
from ecg_edge.errors import DeviceError


def boards_at(port: Port) -> list[Board]:
    """The boards that a port may be; several where its USB bridge is one that many boards carry."""
    return [] if port.vid is None or port.pid is None else boards_of_usb(port.vid, port.pid)


def describe(port: Port) -> str:
    """A port in a few words: its name, its USB ids, what it may be."""
    if port.vid is None or port.pid is None:
        return port.device
    names = " or ".join(board.id for board in boards_at(port)) or port.description or "unknown"
    return f"{port.device} ({port.vid:04X}:{port.pid:04X}, {names})"


def choose(ports: Sequence[Port], *, device: str | None, board: Board | None) -> tuple[str, Board]:
    """The port to flash and the board at it.

    Args:
        ports: what this machine has.
        device: the port that the user named, if any.
        board: the board that the user named, if any.

    Raises:
        DeviceError: nothing fits, or more than one does; the line names what there is.
    """
    if device is not None:
        return device, board or _only_board(device, ports)
    likely = [port for port in ports if (board in boards_at(port) if board else boards_at(port))]
    wanted = board.id if board else "a known board"
    if len(likely) != 1:
        there = ", ".join(describe(port) for port in likely or ports) or "none"
        problem = "several ports may be it" if likely else "no port is it by its USB id"
        raise DeviceError(f"{wanted}: {problem}; name one by --device; ports here: {there}")
    return likely[0].device, board or _only_board(likely[0].device, ports)


def only_usb_port(ports: Sequence[Port]) -> str:
    """The one port that a USB device has made.

    Raises:
        DeviceError: there is none, or more than one; the line names what there is.
    """
    found = [port for port in ports if port.vid is not None]
    if len(found) != 1:
        there = ", ".join(describe(port) for port in found or ports) or "none"
        problem = "several USB ports may be the board's" if found else "no USB port is there"
        raise DeviceError(f"{problem}; name one by --device; ports here: {there}")
    return found[0].device


def _only_board(device: str, ports: Sequence[Port]) -> Board:
    found = [candidate for port in ports if port.device == device for candidate in boards_at(port)]
    if len(found) != 1:
        which = " or ".join(candidate.id for candidate in found) or "none that is known"
        known = ", ".join(candidate.id for candidate in flashable_boards())
        raise DeviceError(f"{device}: by its USB id the board is {which}; name it by --board: {known}")
    return found[0]


def may_open(device: str) -> bool:
    """Whether this user may read and write a port; True where the system has no such question."""
    return os.name != "posix" or os.access(device, os.R_OK | os.W_OK)
