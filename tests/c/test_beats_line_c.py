"""Beats over bad lines: the host's Python and the core's C on a virtual clock, an image of ecg5 and aami."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import numpy as np
import pytest
from core_bench import HARNESS, declared
from core_line import BAUD, CoreBoard, Troubled
from numpy.typing import NDArray

from ecg_edge.bench.beats import Beats, classify_beats
from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Faults, FaultyLink, LimitedLink
from ecg_edge.device.beats import BeatAnswer
from ecg_edge.device.replug import ReplugLink
from ecg_edge.errors import DeviceError, DeviceTimeout
from ecg_edge.live.source import synthetic_chunks
from ecg_edge.recipes.firmware import export

SOAK = os.environ.get("ECG_SOAK") == "1"
FRAMES, SEEDS = (300_000, 3) if SOAK else (20_000, 1)
BAD = Faults(flip=1e-4, drop=1e-4, double=1e-4, reset_every=4_001)
AAMI = Bundle.load("aami")


@pytest.fixture(scope="module")
def library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    firmware = tmp_path_factory.mktemp("beats") / "firmware"
    export((Bundle.load("ecg5"), AAMI), firmware)
    sources = firmware / "EcgEdge" / "src"
    return declared(build_library(HARNESS, *sorted(sources.glob("*.c")), include=sources))


@pytest.fixture(scope="module")
def ecg() -> NDArray[np.int16]:
    """(n,) uV, two minutes of some people."""
    parts = [part.samples_uv[:, 0] for part in synthetic_chunks(AAMI.manifest, seed=5, windows=10)]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def golden(ecg: NDArray[np.int16]) -> Beats:
    return classify_beats(AAMI, ecg)


def said(answers: list[BeatAnswer]) -> list[tuple[int, int, int, list[int]]]:
    return [(answer.at, answer.rr, answer.state, answer.scores.tolist()) for answer in answers]


def wanted(beats: Beats) -> list[tuple[int, int, int, list[int]]]:
    return list(zip(beats.at.tolist(), beats.rr.tolist(), beats.state.tolist(), beats.scores.tolist(), strict=True))


def device_of(line: object, **options: int) -> Device:
    device = Device(line, **options)  # type: ignore[arg-type]
    device.require(AAMI.model_sha256)
    return device


@pytest.mark.parametrize("credit", [8, 40, 96, 1024])
@pytest.mark.parametrize("first", [0, 2**32 - 5000])
def test_every_beat_of_a_clean_line_is_that_of_python(
    library: ctypes.CDLL, ecg: NDArray[np.int16], golden: Beats, credit: int, first: int
) -> None:
    device = device_of(CoreBoard(library, credit=credit).link, first_index=first)
    assert said(list(device.beats(ecg))) == wanted(golden)
    assert device.counters.repeats == 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_over_a_bad_line_and_through_resets_no_beat_is_wrong_or_lost(
    library: ctypes.CDLL, ecg: NDArray[np.int16], golden: Beats, seed: int, figure: Callable[[str], None]
) -> None:
    board = CoreBoard(library, credit=256)
    line = FaultyLink(board.link, BAD, seed, reset=board.reset)
    device = device_of(line)
    beats = 0
    while line.frames < FRAMES:
        assert said(list(device.beats(ecg))) == wanted(golden)
        beats += len(golden.at)
    counters = device.counters
    assert board.boots > 2
    assert min(counters.damaged, counters.losses, counters.repeats) > FRAMES // 2000
    figure(
        f"beats over a bad line, seed {seed}: {line.frames:,} frames, {counters.damaged:,} damaged on their way to the "
        f"host, {board.boots - 1} resets: {beats:,} of {beats:,} beats, all right"
    )


@pytest.mark.parametrize("kind", ["reset", "garbage", "noise", "unplug"])
def test_a_stream_of_beats_outlives_trouble(
    library: ctypes.CDLL, ecg: NDArray[np.int16], golden: Beats, kind: str
) -> None:
    board = CoreBoard(library)
    line = Troubled(board, kind, every_s=9.0, for_s=0.5)
    device = device_of(ReplugLink(lambda: LimitedLink(line.opened(), BAUD), wait_s=10.0))
    for _ in range(3):
        assert said(list(device.beats(ecg))) == wanted(golden)
    assert len(line.ended_s) >= 2


def test_a_stream_that_was_left_does_not_leak_into_the_next(
    library: ctypes.CDLL, ecg: NDArray[np.int16], golden: Beats
) -> None:
    device = device_of(CoreBoard(library).link)
    for count in (1, 3, 20):
        stream = device.beats(ecg[1000:])
        for _ in range(count):
            next(stream)
        assert said(list(device.beats(ecg))) == wanted(golden)


def test_a_line_that_resets_faster_than_a_recording_is_given_up(library: ctypes.CDLL, ecg: NDArray[np.int16]) -> None:
    board = CoreBoard(library)
    device = device_of(FaultyLink(board.link, Faults(reset_every=301), 1, reset=board.reset))
    with pytest.raises(DeviceTimeout, match="the line is too bad"):
        list(device.beats(ecg))


def test_windows_and_beats_are_not_asked_of_the_wrong_model(library: ctypes.CDLL, ecg: NDArray[np.int16]) -> None:
    device = device_of(CoreBoard(library).link)
    with pytest.raises(DeviceError, match="aami takes beats"):
        list(device.stream(ecg))
    with pytest.raises(DeviceError, match="aami takes beats"):
        device.classify(ecg[:70])
    device = Device(CoreBoard(library).link)
    with pytest.raises(DeviceError, match="ecg5 takes windows"):
        list(device.beats(ecg))
