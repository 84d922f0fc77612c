"""The table of boards."""

from __future__ import annotations

import re

import pytest

from ecg_edge.device.boards import (
    Board,
    Framework,
    boards,
    boards_of_usb,
    find_board,
    flashable_boards,
    frameworks,
    owned_boards,
)
from ecg_edge.device.flash import tools_for
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
        *("uno", "uno_r4_minima", "mkrzero", "feather_m4", "nrf52840_dk", "microbit_v1", "microbit_v2"),
        *("bluepill_f103c8", "nucleo_l476rg", "nucleo_h743zi", "pico2", "esp32-s2", "esp32-c6", "redboard_artemis"),
    }
    assert wanted <= set(boards())


@pytest.mark.parametrize("board", boards().values(), ids=lambda board: board.id)
def test_a_board_has_its_memory_its_framework_and_a_source(board: Board) -> None:
    assert board.flash_bytes >= board.ram_bytes >= 2_048
    assert board.source
    assert board.framework in frameworks()
    assert board.emulator or 16_000_000 <= board.clock_hz <= 600_000_000


@pytest.mark.parametrize("board", flashable_boards(), ids=lambda board: board.id)
def test_a_board_can_be_built_for_and_found(board: Board) -> None:
    assert all(re.fullmatch("[0-9A-F]{4}:[0-9A-F]{4}", usb) for usb in board.usb)
    assert board.fqbn.count(":") >= 2
    assert board.platformio
    assert board.usb
    assert "{image}" in " ".join(board.flash_command)
    assert bool(board.esp_idf) == board.id.startswith("esp32")


def test_a_board_that_is_judged_only_is_not_offered_to_what_flashes() -> None:
    judged = [board for board in owned_boards() if board.fit_only]
    assert len(judged) >= 12
    for board in judged:
        assert (board.fqbn, board.platformio, board.esp_idf, board.usb) == ("", "", "", ())
        assert tools_for(board, built=False) == tools_for(board, built=True) == ()


@pytest.mark.parametrize("framework", frameworks().values(), ids=lambda framework: framework.id)
def test_what_a_framework_takes_says_how_it_is_known(framework: Framework) -> None:
    assert framework.how in ("measured", "reserve")
    assert framework.source
    assert framework.how == "measured" or min(framework.flash_bytes, framework.ram_bytes) > 0
    assert 0 <= framework.stack_bytes <= framework.ram_bytes
    assert framework.id in {board.framework for board in boards().values()}


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DeviceError, match=r"no board unknown; there are: host, .*nucleo_f446re"):
        find_board("unknown")


def test_a_usb_id_finds_its_boards() -> None:
    assert [board.id for board in boards_of_usb(0x16C0, 0x0483)] == ["teensy41"]
    assert [board.id for board in boards_of_usb(0x303A, 0x1001)] == ["esp32-s3", "esp32-c3"]
    assert boards_of_usb(0xDEAD, 0xBEEF) == []
