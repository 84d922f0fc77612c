"""What a board has: core, clock, memory, toolchain names, USB ids, emulator. Layer: device; imports errors."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ecg_edge.errors import DeviceError

_TABLE = Path(__file__).with_name("boards.toml")


@dataclass(frozen=True, slots=True)
class Board:
    """One board. An empty text: the board has no such thing."""

    id: str
    name: str
    core: str
    clock_hz: int  # 0: whatever the host has
    flash_bytes: int  # that a program may take
    ram_bytes: int  # that a program may take
    fqbn: str = ""  # Arduino
    platformio: str = ""
    esp_idf: str = ""
    usb: tuple[str, ...] = ()  # VID:PID, four upper-case hex digits each
    flash_command: tuple[str, ...] = ()  # of a built image; holds {image}, and {port} where it needs one
    emulator: str = ""  # the URL, or the command that starts it


@cache
def boards() -> dict[str, Board]:
    """Every known board by its id, in the table's order."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {key: _board(key, row) for key, row in table.items()}


def _board(key: str, row: dict[str, Any]) -> Board:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return Board(id=key, **values)


def find_board(board_id: str) -> Board:
    """The board of that id.

    Raises:
        DeviceError: there is none; says which there are.
    """
    found = boards().get(board_id)
    if found is None:
        raise DeviceError(f"no board {board_id}; there are: {', '.join(boards())}")
    return found


def boards_of_usb(vid: int, pid: int) -> list[Board]:
    """Boards that a USB device may be; several where it is a bridge that many boards carry."""
    wanted = f"{vid:04X}:{pid:04X}"
    return [board for board in boards().values() if wanted in board.usb]
