"""Whatever a line or a host does to the emulated Cortex-M4, it says what was wrong and goes on with the right bits.

Every line of the protocol page is in tests/conformance; here it is the abuse in bulk, over the emulated UART.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from board_bench import Reference, Wire
from m4 import URL, board_cache, export_for_m4
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Frame, FrameType, Patience
from ecg_edge.device.messages import (
    Credit,
    ErrorCode,
    ErrorReport,
    Index,
    Mode,
    Result,
    Samples,
    SelfTest,
    SelfTestState,
    Start,
    Stats,
)
from ecg_edge.device.qemu import QemuLink, start_qemu
from ecg_edge.errors import DeviceError

pytestmark = pytest.mark.emulator
PATIENCE = Patience(repeat_s=3.0, give_up_s=60.0)
PER_FRAME = 100
NOISE_BYTES = 100_000
_FIRST = count(1_000_000, 1_000_000)  # every run has indices of its own

# Lengths that are right, of those tried below; of SAMPLES the odd rest of a sample is wrong, and so is none at all.
SIZES = (0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 48, 152, 255, 256)
RIGHT = {
    FrameType.HELLO: {0},
    FrameType.START: {12},
    FrameType.SAMPLES: {12, 48, 152, 256},
    FrameType.END: {4},
    FrameType.POLL: {4},
    FrameType.SELFTEST: {0},
    FrameType.STATS: {0},
}


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture(scope="module")
def link(shipped: Bundle, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QemuLink]:
    firmware = export_for_m4(shipped, tmp_path_factory.mktemp("m4") / "firmware")
    board = start_qemu(URL, firmware, cache=cache)
    yield board
    board.close()


@pytest.fixture
def line(link: QemuLink) -> Wire:
    """A bare line to a board that was just reset."""
    link.reset()
    return Wire(link)


@pytest.fixture(scope="module")
def window(shipped: Bundle) -> NDArray[np.int16]:
    """(window,) uV."""
    return np.random.default_rng(0).integers(-800, 800, shipped.manifest.window).astype(np.int16)


@pytest.fixture(scope="module")
def scores(shipped: Bundle, window: NDArray[np.int16]) -> list[int]:
    return Reference(shipped).windows(window[None, :, None])[0].scores


def kinds(frames: list[Frame]) -> list[str]:
    return [FrameType(frame.type).name for frame in frames]


def report(frames: list[Frame]) -> ErrorReport:
    assert kinds(frames) == ["ERROR"]
    return ErrorReport.unpack(frames[0].payload)


def start(line: Wire, mode: Mode = Mode.WINDOW) -> int:
    first = next(_FIRST)
    assert kinds(line.ask(FrameType.START, Start(0, mode, first).pack())) == ["CREDIT"]
    return first


def assert_classifies(line: Wire, window: NDArray[np.int16], scores: list[int]) -> None:
    """The board is as good as new."""
    first = start(line)
    for at in range(0, window.size, PER_FRAME):
        line.ask(FrameType.SAMPLES, Samples(first + at, window[at : at + PER_FRAME]).pack())
    answer = line.ask(FrameType.END, Index(first + window.size).pack())
    assert kinds(answer) == ["RESULT", "CREDIT"]
    assert Result.unpack(answer[0].payload).scores.tolist() == scores


def stats(link: QemuLink) -> Stats:
    device = Device(link, patience=PATIENCE)
    device.hello()
    return device.stats()


@pytest.mark.parametrize("kind", RIGHT, ids=lambda kind: kind.name)
def test_every_wrong_length_is_refused_and_harms_nothing(
    line: Wire, window: NDArray[np.int16], scores: list[int], kind: FrameType
) -> None:
    start(line)
    for size in SIZES:
        if size not in RIGHT[kind]:
            said = report(line.ask(kind, bytes(size)))
            assert (said.code, said.type, said.detail) == (ErrorCode.BAD_LENGTH, kind, size)
    assert_classifies(line, window, scores)


def test_answers_and_unknown_types_of_every_length_are_not_taken(
    line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    for kind in (FrameType.RESULT, FrameType.CREDIT, FrameType.BEAT, FrameType.LOG, FrameType.ERROR):
        for size in SIZES:
            assert line.ask(kind, bytes(size)) == []
    for unknown in (0, FrameType.PROFILE, 14, 255):
        for size in SIZES:
            assert report(line.ask(unknown, bytes(size))).code == ErrorCode.UNSUPPORTED
    assert_classifies(line, window, scores)


def test_every_order_but_start_first_is_refused(line: Wire, window: NDArray[np.int16], scores: list[int]) -> None:
    samples, end = Samples(0, window[:10]).pack(), Index(10).pack()
    for kind, payload in ((FrameType.SAMPLES, samples), (FrameType.END, end), (FrameType.SAMPLES, samples)):
        said = report(line.ask(kind, payload))
        assert (said.code, said.type, said.detail) == (ErrorCode.NOT_STARTED, kind, 0)
    assert kinds(line.ask(FrameType.POLL, Index(9).pack())) == ["ERROR", "CREDIT"]
    assert_classifies(line, window, scores)
    assert kinds(line.ask(FrameType.SELFTEST)) == ["SELFTEST"]
    assert report(line.ask(FrameType.SAMPLES, samples)).code == ErrorCode.NOT_STARTED
    assert_classifies(line, window, scores)


def test_every_wrong_model_is_refused_and_what_ran_goes_on(
    line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    first = start(line)
    line.ask(FrameType.SAMPLES, Samples(first, window[:PER_FRAME]).pack())
    for model in (1, 2, 7, 127, 128, 254, 255):
        said = report(line.ask(FrameType.START, Start(model, Mode.WINDOW, 0).pack()))
        assert (said.code, said.detail) == (ErrorCode.BAD_MODEL, 1)
    for at in range(PER_FRAME, window.size, PER_FRAME):
        line.ask(FrameType.SAMPLES, Samples(first + at, window[at : at + PER_FRAME]).pack())
    answer = line.ask(FrameType.END, Index(first + window.size).pack())
    assert Result.unpack(answer[0].payload).scores.tolist() == scores


def test_index_jumps_take_nothing_and_do_not_change_the_answer(
    link: QemuLink, line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    random = np.random.default_rng(1)
    first, at, gaps = start(line), 0, 0
    while at < window.size:
        jump = int(random.choice([1, 2, 57, 1000, 2**30, 2**31 - 2048]))
        said = report(line.ask(FrameType.SAMPLES, Samples((first + at + jump) % 2**32, window[:5]).pack()))
        assert (said.code, said.detail) == (ErrorCode.INDEX_GAP, first + at)
        gaps += 1
        back = int(random.integers(0, min(at, 40) + 1))
        to = min(at + PER_FRAME, window.size)
        answer = line.ask(FrameType.SAMPLES, Samples(first + at - back, window[at - back : to][:120]).pack())
        at = min(to, at - back + 120)
        assert kinds(answer) == ["CREDIT"]
        assert Credit.unpack(answer[0].payload).next_index == first + at
    answer = line.ask(FrameType.END, Index(first + window.size).pack())
    assert Result.unpack(answer[0].payload).scores.tolist() == scores
    assert stats(link).gaps == gaps


def test_a_host_that_ignores_credit_is_held_back_and_answered_in_full(
    link: QemuLink, line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    """Ten windows and their ends in one write: ten times the credit on the way."""
    data, firsts = b"", [next(_FIRST) for _ in range(10)]
    for first in firsts:
        data += line.frame(FrameType.START, Start(0, Mode.WINDOW, first).pack())
        for at in range(0, window.size, PER_FRAME):
            data += line.frame(FrameType.SAMPLES, Samples(first + at, window[at : at + PER_FRAME]).pack())
        data += line.frame(FrameType.END, Index(first + window.size).pack())
    frames = line.send(data)
    results = [Result.unpack(frame.payload) for frame in frames if frame.type == FrameType.RESULT]
    assert [result.last_index for result in results] == [first + window.size - 1 for first in firsts]
    assert all(result.scores.tolist() == scores for result in results)
    assert {"RESULT", "CREDIT"} == set(kinds(frames))
    assert stats(link).crc_errors == 0


def test_noise_is_counted_and_not_answered(
    link: QemuLink, line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    random, before = np.random.default_rng(2), stats(link)
    for _ in range(NOISE_BYTES // 5000):
        noise = random.integers(0, 256, 5000).astype(np.uint8).tobytes()
        assert line.send(noise + b"\0") == []
    after = stats(link)
    assert after.bytes_in - before.bytes_in > NOISE_BYTES
    damaged = after.crc_errors + after.cobs_errors + after.length_errors
    assert damaged > 300  # a zero comes every 256 bytes
    assert_classifies(line, window, scores)


def test_frames_with_one_bit_flipped_are_never_answered_as_what_they_were(
    line: Wire, window: NDArray[np.int16], scores: list[int]
) -> None:
    good = line.frame(FrameType.START, Start(0, Mode.STREAM, 5).pack())
    for at in range(len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        assert line.send(bytes(bad)) == []
    assert_classifies(line, window, scores)


def test_a_selftest_vector_altered_by_one_bit_refuses_to_classify(
    shipped: Bundle, cache: Path, tmp_path: Path, window: NDArray[np.int16]
) -> None:
    firmware = export_for_m4(shipped, tmp_path / "firmware")
    source = firmware / "EcgEdge" / "src" / "ecg_model_ecg5_selftest.c"
    text = source.read_text(encoding="utf-8")
    found = re.search(r"int8_t scores1\[\d+\] = \{(-?\d+)", text)
    assert found is not None
    wrong = str(int(found[1]) ^ 1)
    source.write_text(text[: found.start(1)] + wrong + text[found.end(1) :], encoding="utf-8")
    link = start_qemu(URL, firmware, cache=cache)
    try:
        line = Wire(link)
        assert {hello.selftest for hello in line.hellos} == {SelfTestState.FAILED}
        said = report(line.ask(FrameType.START, Start(0, Mode.WINDOW, 0).pack()))
        assert (said.code, said.detail) == (ErrorCode.SELFTEST_FAILED, 1)
        outcome = SelfTest.unpack(line.ask(FrameType.SELFTEST)[0].payload)
        assert (outcome.passed, outcome.first_failed) == (False, 0)
        difference = np.bitwise_xor(outcome.expected, outcome.got)
        assert difference.tolist() == [1, 0, 0, 0, 0]
        with pytest.raises(DeviceError, match="selftest_failed"):
            Device(link, patience=PATIENCE).classify(window)
    finally:
        link.close()
