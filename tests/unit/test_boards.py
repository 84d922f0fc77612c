"""The table of boards."""

from __future__ import annotations

import re

import pytest

from ecg_edge.device.boards import Board, boards, boards_of_usb, find_board
from ecg_edge.errors import DeviceError


def test_every_board_that_users_have_is_there() -> None:
    wanted = {
        "esp32dev",
        "esp32-s3",
        "esp32-c3",
        "nano33ble",
        "pico",
        "teensy41",
        "nucleo_f446re",
        "mega2560",
        "host",
        "mps2-an386",
        "mps2-an500",
        "mps3-an547",
        "microbit",
    }
    assert wanted <= set(boards())


@pytest.mark.parametrize("board", boards().values(), ids=lambda board: board.id)
def test_a_board_can_be_built_for_and_found(board: Board) -> None:
    assert board.flash_bytes > board.ram_bytes // 2 >= 4_096
    assert all(re.fullmatch("[0-9A-F]{4}:[0-9A-F]{4}", usb) for usb in board.usb)
    if board.emulator:
        return
    assert 16_000_000 <= board.clock_hz <= 600_000_000
    assert board.fqbn.count(":") >= 2
    assert board.platformio
    assert board.usb
    assert "{image}" in " ".join(board.flash_command)
    assert bool(board.esp_idf) == board.id.startswith("esp32")


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DeviceError, match=r"no board uno; there are: host, .*nucleo_f446re"):
        find_board("uno")


def test_a_usb_id_finds_its_boards() -> None:
    assert [board.id for board in boards_of_usb(0x16C0, 0x0483)] == ["teensy41"]
    assert [board.id for board in boards_of_usb(0x303A, 0x1001)] == ["esp32-s3", "esp32-c3"]
    assert boards_of_usb(0xDEAD, 0xBEEF) == []
