"""What the tests of the emulated Cortex-M4 share."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_rungs import need_emulator

from ecg_edge.bundle import Bundle
from ecg_edge.device.machines import find_machine
from ecg_edge.recipes.firmware import export

URL = "qemu:cortex-m4"


def need_tools() -> None:
    """Skip, saying what is missing, unless the board can be built and emulated."""
    need_emulator(URL)


def board_cache(request: pytest.FixtureRequest) -> Path:
    """Where built boards are kept from one test run to the next."""
    need_tools()
    assert request.config.cache is not None
    return request.config.cache.mkdir("boards")


def export_for_m4(bundles: Bundle | tuple[Bundle, ...], folder: Path) -> Path:
    """The firmware folder of an image for the board."""
    export(bundles, folder, board=find_machine(URL).board)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Change a source of an exported folder, in one place."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} of {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")
