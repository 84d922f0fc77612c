"""What a board has: core, clock, memory, toolchain names, USB ids, emulator. Layer: device; imports errors."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ecg_edge.errors import DeviceError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Board:
    """One board. An empty text: the board has no such thing."""

    id: str
    name: str
    core: str
    clock_hz: int  # 0: whatever the host has
    flash_bytes: int  # that a program may take
    ram_bytes: int  # that a program may take
    framework: str  # what a sketch of ours stands on there
    source: str  # where core, clock and memory are from
    flash_wait: tuple[float, float] = (1.0, 1.0)  # what waiting for flash may multiply instructions' time by
    fit_only: bool = False  # judged by `ecg-edge fit`, and not known to what builds and flashes
    fqbn: str = ""  # Arduino
    platformio: str = ""
    esp_idf: str = ""
    usb: tuple[str, ...] = ()  # VID:PID, four upper-case hex digits each
    flash_command: tuple[str, ...] = ()  # of a built image; holds {image}, and {port} where it needs one
    emulator: str = ""  # the URL, or the command that starts it


@dataclass(frozen=True, slots=True)
class Core:
    """How an emulator's counts become cycles on a core."""

    id: str
    counted: str  # the core whose emulated counts stand for it
    size: tuple[float, float]  # cycles an instruction, of engines for size: the least and the most
    speed: tuple[float, float]
    how: str  # "exact", by a "table" of its manual, or "assumed"
    source: str

    def cycles(self, opt: str) -> tuple[float, float]:
        """An instruction's, the least and the most."""
        return self.speed if opt == "speed" else self.size


@dataclass(frozen=True, slots=True)
class Framework:
    """What a board's own software takes beside ours. `how` says how far its figures are to be trusted."""

    id: str
    name: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int  # of the task that runs a sketch, within ram_bytes; 0: what variables leave of the RAM
    how: str  # "measured" here, or "reserve": not known, and set aside
    source: str
    runs_from_ram: bool = False  # code and constants are copied to RAM


@cache
def frameworks() -> dict[str, Framework]:
    """Every framework by its id."""
    return {key: Framework(id=key, **row) for key, row in _read("frameworks.toml").items()}


@cache
def cores() -> dict[str, Core]:
    """Every core that a time can be told for, by its id."""
    table = _read("cores.toml")
    return {key: Core(id=key, **_tuples(row)) for key, row in table.items()}


@cache
def boards() -> dict[str, Board]:
    """Every known board by its id, in the table's order."""
    return {key: Board(id=key, **_tuples(row)) for key, row in _read("boards.toml").items()}


def _read(table: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((_FOLDER / table).read_text(encoding="utf-8"))


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}


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
    return [board for board in boards().values() if wanted in board.usb and not board.fit_only]


def owned_boards() -> list[Board]:
    """Those that people have on a desk, in the table's order: neither emulated nor this machine."""
    return [board for board in boards().values() if not board.emulator]


def flashable_boards() -> list[Board]:
    """Those of `owned_boards` that this project builds for."""
    return [board for board in owned_boards() if not board.fit_only]
