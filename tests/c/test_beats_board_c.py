"""A board whose image holds a model of windows and one of beats: BEAT frames, as PROTOCOL.md says, equal to Python."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from core_bench import HARNESS, Core, credit, declared, error, kinds, results
from m4 import edit
from numpy.typing import NDArray

from ecg_edge.bench.beats import Beats, classify_beats
from ecg_edge.bundle import Bundle
from ecg_edge.device.frame import Frame, FrameType
from ecg_edge.device.messages import Beat, ErrorCode, Mode, SelfTest
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare, sample_states

WINDOWS, BEATS = 0, 1  # models of the image
KEPT = 4
GAP = 1  # flag of SAMPLES
BAD_MODEL = -4  # ECG_STATUS_


def beats_of(frames: list[Frame]) -> list[Beat]:
    return [Beat.unpack(frame.payload) for frame in frames if frame.type == FrameType.BEAT]


def given(frames: list[Frame]) -> int:
    """CREDIT's count of beats."""
    assert frames[-1].type == FrameType.CREDIT
    return int.from_bytes(frames[-1].payload[6:8], "little")


@pytest.fixture(scope="module")
def library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("beats")
    export((Bundle.load("ecg5"), Bundle.load("aami")), folder / "firmware")
    sources = folder / "firmware" / "EcgEdge" / "src"
    return declared(build_library(HARNESS, *sorted(sources.glob("*.c")), include=sources))


def booted(library: ctypes.CDLL) -> Core:
    library.harness_clock(0, 0)
    library.harness_config()
    board = Core(library)
    board.start_up()
    return board


@pytest.fixture
def board(library: ctypes.CDLL) -> Core:
    board = booted(library)
    assert board.status == 0
    return board


def ecg(seconds: float, *, seed: int = 0, bpm: float = 80) -> NDArray[np.int16]:
    """(n, 1) uV: beats with P and T, every fifth early and wide, and noise."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * 250)) / 250
    signal, peak, number = random.normal(0, 15, t.size), 0.4, 0
    while peak < seconds:
        wide = number % 5 == 4
        waves = (
            [(0.0, 0.03, -1500), (0.3, 0.06, 400)] if wide else [(-0.17, 0.02, 120), (0, 0.01, 1100), (0.28, 0.05, 250)]
        )
        for at, width, uv in waves:
            signal += uv * np.exp(-0.5 * ((t - peak - at) / width) ** 2)
        number += 1
        peak += 60 / bpm * (0.65 if number % 5 == 4 else 1.35 if wide else 1.0) * random.normal(1, 0.02)
    return signal.astype(np.int16)[:, None]


def golden(signal: NDArray[np.int16], states: NDArray[np.uint8] | None = None) -> Beats:
    return classify_beats(Bundle.load("aami"), signal[:, 0], states)


def assert_same(found: list[Beat], wanted: Beats, *, first: int = 0) -> None:
    assert [beat.number for beat in found] == list(range(len(wanted.at)))
    assert [(beat.at - first) & 0xFFFFFFFF for beat in found] == wanted.at.tolist()
    assert [beat.rr for beat in found] == wanted.rr.tolist()
    assert [beat.state for beat in found] == wanted.state.tolist()
    assert [beat.scores.tolist() for beat in found] == wanted.scores.tolist()
    best = [int(beat.scores.argmax()) if beat.state == 0 else 255 for beat in found]
    assert [beat.verdict for beat in found] == best
    assert all((beat.model, beat.scores.size) == (BEATS, 3) for beat in found)


def test_hello_says_what_each_model_takes(board: Core) -> None:
    windows, beats = (frame.payload for frame in board.ask(FrameType.HELLO))
    assert (windows[23], beats[23]) == (0, 1)
    assert struct.unpack_from("<2H", beats, 12) == (70, 70)
    assert (beats[20], beats[21], beats[22]) == (1, 3, 1)  # leads, classes, streams


def test_the_self_test_runs_both_models(board: Core) -> None:
    (frame,) = board.ask(FrameType.SELFTEST)
    report = SelfTest.unpack(frame.payload)
    assert report.passed
    assert report.ran == 5


@pytest.mark.parametrize("first", [0, 0xFFFFFF00])
@pytest.mark.parametrize("per_frame", [17, 125])
def test_every_beat_of_a_stream_is_that_of_python(board: Core, first: int, per_frame: int) -> None:
    signal = ecg(20)
    frames = board.start(BEATS, Mode.STREAM, first=first)
    frames += board.send_all(signal, first=first, per_frame=per_frame)
    before = len(beats_of(frames))
    frames += board.end((first + len(signal)) & 0xFFFFFFFF)
    wanted = golden(signal)
    assert_same(beats_of(frames), wanted, first=first)
    assert 20 < before < len(wanted.at)  # the last ones waited for the end
    assert given(frames) == len(wanted.at)
    assert board.stats().results == len(wanted.at)


@pytest.mark.parametrize("n", [1, 200, 600, 700, 1000])
def test_a_short_stream_gives_what_python_gives(board: Core, n: int) -> None:
    signal = ecg(8)[:n]
    frames = board.start(BEATS, Mode.STREAM) + board.send_all(signal) + board.end(n)
    assert_same(beats_of(frames), golden(signal))


def test_an_end_without_samples_gives_nothing(board: Core) -> None:
    board.start(BEATS, Mode.STREAM)
    assert kinds(board.end(0)) == ["CREDIT"]


def test_beats_at_an_end_are_all_given_and_the_last_four_again(board: Core) -> None:
    signal = ecg(12, bpm=180)
    before = beats_of(board.start(BEATS, Mode.STREAM) + board.send_all(signal))
    last = board.end(len(signal))
    again = board.end(len(signal))
    assert len(beats_of(last)) > KEPT
    assert [frame.payload for frame in again[:-1]] == [frame.payload for frame in last[-1 - KEPT : -1]]
    assert given(again) == len(before) + len(beats_of(last))


def test_a_beat_can_be_asked_for_again_by_its_number(board: Core) -> None:
    frames = board.start(BEATS, Mode.STREAM) + board.send_all(ecg(10))
    kept = beats_of(frames)[-KEPT:]
    for beat in kept:
        again = board.poll(beat.number)
        assert kinds(again) == ["BEAT", "CREDIT"]
        assert again[0].payload == beat.pack()
    refused = board.poll(kept[0].number - 1)
    assert kinds(refused) == ["ERROR", "CREDIT"]
    assert kinds(board.poll(kept[0].at)) == ["ERROR", "CREDIT"]  # no number
    assert kinds(board.poll(0xFFFFFFFF)) == ["CREDIT"]


def test_a_start_forgets_the_beats_of_the_stream_before(board: Core) -> None:
    signal = ecg(10)
    board.start(BEATS, Mode.STREAM)
    newest = beats_of(board.send_all(signal))[-1].number
    assert given(board.start(BEATS, Mode.STREAM, first=50_000)) == 0
    assert kinds(board.poll(newest)) == ["ERROR", "CREDIT"]


def test_numbers_of_beats_and_indices_of_windows_are_not_taken_for_one_another(board: Core) -> None:
    signal = ecg(10)
    board.start(WINDOWS, Mode.STREAM)
    (window, *_) = results(board.send_all(signal))
    board.start(BEATS, Mode.STREAM, first=50_000)
    assert kinds(board.poll(window.last_index)) == ["ERROR", "CREDIT"]
    newest = beats_of(board.send_all(signal, first=50_000))[-1].number
    assert kinds(board.poll(newest)) == ["BEAT", "CREDIT"]
    assert given(board.start(WINDOWS, Mode.STREAM, first=90_000)) == 0
    assert kinds(board.poll(newest)) == ["ERROR", "CREDIT"]


def test_both_models_take_turns_without_influencing_each_other(board: Core) -> None:
    signal = ecg(15)
    alone = results(board.start(WINDOWS, Mode.STREAM) + board.send_all(signal))
    first = 10_000
    assert_same(
        beats_of(
            board.start(BEATS, Mode.STREAM, first=first)
            + board.send_all(signal, first=first)
            + board.end(first + len(signal))
        ),
        golden(signal),
        first=first,
    )
    again = results(board.start(WINDOWS, Mode.STREAM, first=20_000) + board.send_all(signal, first=20_000))
    assert [r.scores.tolist() for r in again] == [r.scores.tolist() for r in alone]


@pytest.mark.parametrize(("mode", "skip"), [(0, 0), (1, 7), (2, 0), (3, 0)])
def test_beats_are_only_streamed_whole(board: Core, mode: int, skip: int) -> None:
    frames = board.ask(FrameType.START, struct.pack("<BBHII", BEATS, mode, 0, 0, skip))
    assert error(frames) == (ErrorCode.BAD_MODE, mode)


def test_a_gap_makes_the_beats_near_it_abstain_and_teaches_nothing(board: Core) -> None:
    signal = ecg(30)
    p = Prepare.from_manifest(Bundle.load("aami").manifest.prepare)
    states = sample_states(signal[:, 0], p)
    states[3000:3020] = 4
    frames = board.start(BEATS, Mode.STREAM) + board.send_all(signal[:3000], per_frame=100)
    frames += [f for at in range(3000, 3020) for f in board.samples(at, signal[at : at + 1], flags=GAP)]
    frames += board.send_all(signal[3020:], first=3020, per_frame=100) + board.end(len(signal))
    found = beats_of(frames)
    assert_same(found, golden(signal, states))
    assert {beat.state for beat in found} == {0, 4}


def test_a_live_board_sends_its_own_beats(board: Core) -> None:
    signal = ecg(20)
    assert board.library.ecg_edge_live(board.library.harness_edge(), BEATS) == 0
    due, told = ctypes.c_bool(), 0
    for sample in signal[:, 0]:
        value = ctypes.c_int16(int(sample))
        board.library.ecg_edge_sample(board.library.harness_edge(), ctypes.byref(value), 0, ctypes.byref(due))
        told += due.value
    found = beats_of(board.taken())
    wanted = golden(signal)
    assert told == len(found) > 15
    assert [beat.at for beat in found] == wanted.at[: len(found)].tolist()
    assert [beat.scores.tolist() for beat in found] == wanted.scores[: len(found)].tolist()


def test_a_live_board_of_beats_forwards_its_samples(board: Core) -> None:
    board.library.ecg_edge_live(board.library.harness_edge(), BEATS)
    assert given(board.start(BEATS, Mode.OWN, first=500)) == 0
    signal = np.ascontiguousarray(ecg(1))
    board.library.harness_samples(signal.ctypes.data, len(signal), 1)
    (frame,) = board.taken()
    assert (frame.type, frame.payload[:4]) == (FrameType.SAMPLES, (500).to_bytes(4, "little"))
    assert np.frombuffer(frame.payload[4:], "<i2").tolist() == signal[: len(frame.payload) // 2 - 2, 0].tolist()


def test_times_of_a_beat_are_those_since_the_beat_before(board: Core) -> None:
    board.library.harness_clock(0, 1)  # each look at the clock
    signal = ecg(12)
    frames = board.start(BEATS, Mode.STREAM)
    fell_due, found = [], []
    for at in range(len(signal)):
        beats = beats_of(board.samples(at, signal[at : at + 1]))
        fell_due += [at] * len(beats)
        found += beats
    assert kinds(frames) == ["CREDIT"]
    assert [beat.prepare_us for beat in found] == np.diff([-1, *fell_due]).tolist()
    assert [beat.inference_us for beat in found] == [1] * len(found)
    assert credit(board.end(len(signal))).next_index == len(signal)


def exported_aami(folder: Path) -> Path:
    export(Bundle.load("aami"), folder / "firmware")
    return folder / "firmware" / "EcgEdge" / "src"


def test_an_engine_that_takes_whole_views_gives_the_same(
    build_library: Callable[..., ctypes.CDLL], tmp_path: Path
) -> None:
    """As that of TensorFlow Lite Micro does."""
    sources = exported_aami(tmp_path)
    edit(
        sources / "ecg_model_aami_native.c",
        ".push = push,",
        ".push = sizeof(push(NULL, NULL, NULL)) == 0u ? push : NULL,",
    )
    edit(sources / "ecg_model_aami.h", "ECG_MODEL_AAMI_WINDOW_BYTES 1u", "ECG_MODEL_AAMI_WINDOW_BYTES 980u")
    library = declared(build_library(HARNESS, *sorted(sources.glob("*.c")), include=sources))
    board, signal = booted(library), ecg(12)
    assert board.status == 0
    frames = board.start(0, Mode.STREAM) + board.send_all(signal) + board.end(len(signal))
    assert [beat.scores.tolist() for beat in beats_of(frames)] == golden(signal).scores.tolist()


def test_a_core_built_without_beats_refuses_a_model_of_them(
    build_library: Callable[..., ctypes.CDLL], tmp_path: Path
) -> None:
    sources = exported_aami(tmp_path)
    options = ("-DECG_WITH_BEATS=0",)
    library = declared(build_library(HARNESS, *sorted(sources.glob("*.c")), include=sources, options=options))
    assert booted(library).status == BAD_MODEL
