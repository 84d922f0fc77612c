"""An Arduino Mega 2560 on simavr beyond what every board is asked: nonces, the runner's ends, the live sketch."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mega_board import board_cache, start

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Patience
from ecg_edge.device.avr import BOARD, build_sketch
from ecg_edge.device.emulator import BoardLink
from ecg_edge.device.frame import Frame, FrameReader, FrameType
from ecg_edge.device.messages import Result
from ecg_edge.device.simavr import build_runner
from ecg_edge.errors import LinkError
from ecg_edge.live.board import BoardSource
from ecg_edge.live.source import Chunk, first_samples
from ecg_edge.recipes.firmware import export

pytestmark = pytest.mark.emulator

PATIENCE = Patience(repeat_s=5.0, give_up_s=60.0)
GIVE_UP_S = 60.0
VERDICTS = 4


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("mega") / "firmware"
    export(Bundle.load("ecg5"), folder, board=BOARD)
    return folder


def read_until(link: BoardLink, enough: Callable[[list[Frame]], bool]) -> list[Frame]:
    reader, frames = FrameReader(), list[Frame]()
    deadline_s = time.monotonic() + GIVE_UP_S
    while not enough(frames):
        assert time.monotonic() < deadline_s, frames
        frames += reader.feed(link.read(0.5))
    assert reader.counters.damaged == 0
    return frames


def boots(link: BoardLink, lives: int) -> list[int]:
    """The nonces of a board's lives, as it tells them unasked: a byte that comes while it boots changes its nonce."""
    found = list[int]()
    while len(found) < lives:
        if found:
            link.reset()
        (hello,) = read_until(link, bool)
        assert hello.type == FrameType.HELLO
        found.append(hello.boot)
    return found


def test_the_open_pin_gives_each_life_a_nonce_and_a_seed_gives_the_same_lives_again(
    firmware: Path, cache: Path
) -> None:
    image = build_sketch(firmware, cache=cache)
    lives = []
    for seed in ("1", "1", "2"):
        link = start(image, cache, "--seed", seed)
        lives.append(boots(link, 3))
        link.close()
    assert lives[0][0] == lives[1][0] != lives[2][0]
    assert all(len(set(life)) == 3 for life in lives)
    assert not any(0 in life for life in lives)


def test_the_live_sketch_keeps_up_with_its_timer_and_loses_no_sample(firmware: Path, cache: Path) -> None:
    model = Bundle.load("ecg5").manifest
    link = start(build_sketch(firmware, sketch="LiveAD8232", cache=cache), cache, "--seed", "1")
    try:
        frames = read_until(link, lambda seen: [f.type for f in seen].count(FrameType.RESULT) >= VERDICTS)
        results = [Result.unpack(frame.payload) for frame in frames if frame.type == FrameType.RESULT]
        assert {frame.type for frame in frames} <= {FrameType.HELLO, FrameType.RESULT}  # an overrun is an ERROR
        assert [r.last_index for r in results] == [model.window - 1 + k * model.hop for k in range(len(results))]
        stats = Device(link, patience=PATIENCE).stats()
        assert stats.overruns == 0
        # Half of a hop's time at most goes to computing it; the rest of uptime is the self-test and the first window.
        spent_ms = (results[-1].prepare_us + results[-1].inference_us) / 1000
        assert spent_ms < 0.5 * 1000 * model.hop / model.fs_hz
        samples = results[-1].last_index + 1
        assert samples / model.fs_hz < stats.uptime_ms / 1000 < samples / model.fs_hz + 10
    finally:
        link.close()


def test_the_live_sketch_sends_its_samples_to_a_host_that_asks(firmware: Path, cache: Path) -> None:
    model = Bundle.load("ecg5").manifest
    image = build_sketch(firmware, sketch="LiveAD8232", cache=cache)
    source = BoardSource(model, lambda: start(image, cache, "--seed", "1"))
    try:
        items = list(first_samples(source.items(), 3 * model.fs_hz))
    finally:
        source.close()
    chunks = [item for item in items if isinstance(item, Chunk)]
    assert chunks == items  # nothing went wrong on the way
    assert all(after.index == before.index + len(before.samples_uv) for before, after in pairwise(chunks))
    samples = np.concatenate([chunk.samples_uv for chunk in chunks])
    assert samples.shape == (3 * model.fs_hz, 1)
    assert len(np.unique(samples)) > 10  # what the converter read


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "usage: runner"),
        (["--speed", "x"], 2, "usage: runner"),
        (["nowhere.elf"], 1, "Error: nowhere.elf is no image to run"),
    ],
)
def test_the_runner_says_what_it_wants(arguments: list[str], status: int, words: str, cache: Path) -> None:
    command = [str(build_runner(cache=cache)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr


def test_the_runner_ends_with_its_stdin_and_writes_its_report(firmware: Path, cache: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    image = build_sketch(firmware, cache=cache)
    command = [str(build_runner(cache=cache)), "--report", str(report), str(image)]
    done = subprocess.run(command, input=b"", capture_output=True, check=True, timeout=30)
    assert done.stdout.startswith(b"pty /dev/")
    assert done.stdout.count(b"\n") == 1  # nothing else: libsimavr talks to stderr
    assert [line.split()[0] for line in report.read_text().splitlines()] == ["cycles", "asleep", "stack"]


def test_an_image_that_ends_is_told_in_one_line(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "halt.c"
    lines = (
        "#include <avr/interrupt.h>",
        "#include <avr/sleep.h>",
        "int main(void)",
        "{",
        "    UCSR0B = _BV(RXEN0);",
        "    while ((UCSR0A & _BV(RXC0)) == 0) {}",
        "    cli();",
        "    sleep_mode();    // for ever",
        "}",
    )
    source.write_text("\n".join([*lines, ""]))
    subprocess.run(["avr-gcc", "-mmcu=atmega2560", source, "-o", tmp_path / "halt.elf"], check=True)
    link = start(tmp_path / "halt.elf", cache)
    try:
        with pytest.raises(LinkError, match=r"process ended with status 1: Error: the AVR stopped at 0x") as caught:
            Device(link, patience=PATIENCE).hello()
        assert "\n" not in str(caught.value)
    finally:
        link.close()
