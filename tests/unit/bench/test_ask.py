"""What a report says of the kind of board that answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecg_edge.bench.ask import counted_since, describe
from ecg_edge.device.emulator import STARTED
from ecg_edge.device.fake import fake_hello


@pytest.mark.parametrize("url", [*STARTED, "qemu:cortex-m4"])
def test_no_board_that_this_machine_starts_passes_for_hardware(url: str) -> None:
    found = describe(url, replace(fake_hello(), board="generic"))
    assert not found["hardware"]
    assert "not hardware" in found["note"]


@pytest.mark.parametrize("board", ["host", "microbit", "riscv-virt", "mps2-an386"])
def test_an_image_of_an_emulated_board_is_no_hardware_at_whatever_port(board: str) -> None:
    found = describe("socket://127.0.0.1:4000", replace(fake_hello(), board=board))
    assert not found["hardware"]
    assert "not hardware" in found["note"]


@pytest.mark.parametrize("board", ["esp32dev", "mega2560", "a board of nobody's table"])
def test_another_board_at_a_port_is_hardware(board: str) -> None:
    found = describe("/dev/ttyUSB0", replace(fake_hello(), board=board))
    assert (found["hardware"], found["note"]) == (True, "")


def test_what_a_board_counted_is_told_from_its_reset_on_and_is_never_negative() -> None:
    host = {"bytes_out": 10, "resets": 0, "replugs": 0}
    before = host | {"crc_errors": 7}
    assert counted_since(before, host | {"bytes_out": 30, "crc_errors": 9}) == host | {"bytes_out": 20, "crc_errors": 2}
    after = {"bytes_out": 30, "resets": 1, "replugs": 0, "crc_errors": 3}
    assert counted_since(before, after) == {"bytes_out": 20, "resets": 1, "replugs": 0, "crc_errors": 3}
