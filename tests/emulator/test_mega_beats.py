"""Heartbeats found and classified by an emulated Arduino Mega 2560, an 8-bit board with 8 KB of RAM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import beat_cost
import numpy as np
import pytest
from mega import FLASH_BUDGET, LIVE_BUDGET, PATIENCE, RAM_BUDGET
from mega_board import board_cache, start

from ecg_edge.bench.beats import classify_beats
from ecg_edge.bundle import Bundle
from ecg_edge.device import Device
from ecg_edge.device.avr import BOARD, SKETCH, build_sketch
from ecg_edge.device.elf import read_image
from ecg_edge.recipes.firmware import export
from ecg_edge.recipes.fit import fit

pytestmark = pytest.mark.emulator

SECONDS = 14


def test_its_beats_are_those_of_python_and_it_keeps_up(
    request: pytest.FixtureRequest, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    bundle, cache = Bundle.load("aami"), board_cache(request)
    export(bundle, tmp_path / "firmware", board=BOARD)
    image = build_sketch(tmp_path / "firmware", sketch=SKETCH, cache=cache)
    signal, report = beat_cost.made_up()[: SECONDS * beat_cost.FS_HZ], tmp_path / "report"
    with Device(start(image, cache, "--seed", "1", "--report", str(report)), patience=PATIENCE) as device:
        beats = list(device.beats(signal))
    wanted = classify_beats(bundle, signal)
    assert len(beats) > SECONDS
    assert [(beat.at, beat.rr) for beat in beats] == list(zip(wanted.at.tolist(), wanted.rr.tolist(), strict=True))
    assert [beat.scores.tolist() for beat in beats] == wanted.scores.tolist()

    took_ms = np.median([beat.prepare_us + beat.inference_us for beat in beats]) / 1000
    share = took_ms / (60_000 / beat_cost.BEATS_A_MINUTE)
    sizes, stack = read_image(image), int(dict(line.split() for line in report.read_text().splitlines())["stack"])
    ram_bytes = sizes.ram_bytes + stack
    figure(
        f"Mega 2560 (emulated), aami: {sizes.flash_bytes:,} bytes of flash, {ram_bytes:,} of RAM with the stack; "
        f"{took_ms:.0f} ms a beat, {100 * share:.0f} % of the CPU at {beat_cost.BEATS_A_MINUTE} beats a minute"
    )
    assert sizes.flash_bytes <= FLASH_BUDGET
    assert ram_bytes <= RAM_BUDGET
    assert share <= LIVE_BUDGET
    (found,) = fit([bundle], board_ids=["mega2560"])
    assert found.timings[0].hop_ms[0] <= took_ms <= found.timings[0].hop_ms[1]
