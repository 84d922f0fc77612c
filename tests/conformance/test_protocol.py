"""Every board says to every frame what firmware/PROTOCOL.md says it does. Sections are named after that page's."""

from __future__ import annotations

import struct
from itertools import count

import numpy as np
import pytest
from board_bench import Wire
from board_rungs import Rung
from numpy.typing import NDArray

from ecg_edge.device import Frame, FrameType, Hello
from ecg_edge.device.messages import (
    NO_INDEX,
    Credit,
    ErrorCode,
    ErrorReport,
    Index,
    Mode,
    Result,
    Samples,
    SelfTest,
    Start,
)

_FIRST = count(100_000, 100_000)  # every test has indices of its own


def signal(hello: Hello, n: int) -> NDArray[np.int16]:
    """(n, leads) uV."""
    return np.random.default_rng(n).integers(-1000, 1000, (n, hello.leads)).astype(np.int16)


def samples_frames(hello: Hello, first: int, values: NDArray[np.int16]) -> list[bytes]:
    """Payloads of SAMPLES."""
    size = 120 // hello.leads
    return [Samples(first + at, values[at : at + size].reshape(-1)).pack() for at in range(0, len(values), size)]


def kinds(frames: list[Frame]) -> list[str]:
    return [FrameType(frame.type).name for frame in frames]


def error(frames: list[Frame]) -> ErrorReport:
    """The one ERROR that is the whole answer."""
    assert kinds(frames) == ["ERROR"]
    return ErrorReport.unpack(frames[0].payload)


def start(wire: Wire, hello: Hello, mode: Mode = Mode.WINDOW, skip: int = 0) -> int:
    """Begin a run; gives its first index."""
    first = next(_FIRST)
    answer = wire.ask(FrameType.START, Start(hello.model_index, mode, first, skip).pack())
    assert kinds(answer) == ["CREDIT"]
    assert Credit.unpack(answer[0].payload).next_index == first
    return first


def run_window(wire: Wire, hello: Hello) -> tuple[int, list[Frame]]:
    """A whole window: its first index, and what END was answered."""
    first = start(wire, hello)
    for payload in samples_frames(hello, first, signal(hello, hello.window)):
        assert kinds(wire.ask(FrameType.SAMPLES, payload)) == ["CREDIT"]
    return first, wire.ask(FrameType.END, Index(first + hello.window).pack())


# What a board answers, in order


def test_hello_is_answered_whatever_its_boot_once_a_model(wire: Wire) -> None:
    for boot in (0, 1, wire.boot, 65535):
        answer = wire.ask(FrameType.HELLO, boot=boot)
        assert kinds(answer) == ["HELLO"] * len(wire.hellos)
        hellos = [Hello.unpack(frame.payload) for frame in answer]
        assert [hello.model_index for hello in hellos] == list(range(len(hellos)))
        assert {frame.boot for frame in answer} == {wire.boot} != {0}


def test_sequence_numbers_of_the_board_count_up(wire: Wire) -> None:
    first, second = wire.ask(FrameType.HELLO)[0].seq, wire.ask(FrameType.HELLO)[0].seq
    assert second == (first + len(wire.hellos) + 1) % 65536  # the barrier's answer lies between


def test_a_frame_of_another_boot_is_stale(wire: Wire) -> None:
    for kind in (
        FrameType.START,
        FrameType.SAMPLES,
        FrameType.END,
        FrameType.POLL,
        FrameType.SELFTEST,
        FrameType.STATS,
    ):
        report = error(wire.ask(kind, boot=wire.boot ^ 0x5555))
        assert (report.code, report.type, report.detail) == (ErrorCode.STALE_BOOT, kind, wire.boot ^ 0x5555)


@pytest.mark.parametrize("kind", [0, 9, 14, 200, 255])
def test_an_unknown_type_is_unsupported(wire: Wire, kind: int) -> None:
    report = error(wire.ask(kind))
    assert (report.code, report.type, report.seq, report.detail) == (ErrorCode.UNSUPPORTED, kind, wire.seq, kind)


@pytest.mark.parametrize("kind", [FrameType.RESULT, FrameType.CREDIT, FrameType.BEAT, FrameType.LOG, FrameType.ERROR])
def test_what_boards_say_is_never_answered(wire: Wire, kind: FrameType) -> None:
    assert wire.ask(kind, bytes(8)) == []


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (FrameType.HELLO, 1),
        (FrameType.START, 11),
        (FrameType.START, 13),
        (FrameType.SAMPLES, 0),
        (FrameType.SAMPLES, 4),
        (FrameType.SAMPLES, 7),
        (FrameType.END, 3),
        (FrameType.POLL, 5),
        (FrameType.SELFTEST, 1),
        (FrameType.STATS, 2),
    ],
)
def test_a_payload_of_the_wrong_length_is_refused(wire: Wire, kind: FrameType, size: int) -> None:
    start(wire, wire.hellos[0])
    report = error(wire.ask(kind, bytes(size)))
    assert (report.code, report.type, report.detail) == (ErrorCode.BAD_LENGTH, kind, size)


def test_noise_and_broken_frames_are_dropped_and_the_next_is_answered(wire: Wire) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        noise = random.integers(0, 256, random.integers(1, 600)).astype(np.uint8).tobytes()
        assert wire.send(noise + b"\0") == []
    broken = bytearray(wire.frame(FrameType.HELLO))
    broken[3] ^= 0x10
    assert wire.send(bytes(broken)) == []
    assert kinds(wire.ask(FrameType.HELLO)) == ["HELLO"] * len(wire.hellos)


def test_frames_may_come_byte_by_byte_and_many_at_once(wire: Wire, rung: Rung) -> None:
    for byte in wire.frame(FrameType.HELLO):
        rung.link.write(bytes((byte,)))
    assert kinds(wire.send(b"")) == ["HELLO"] * len(wire.hellos)
    polls = b"".join(wire.frame(FrameType.POLL, Index(NO_INDEX).pack()) for _ in range(20))
    assert kinds(wire.send(polls)) == ["CREDIT"] * 20


# START


def test_an_unknown_model_or_mode_is_refused(wire: Wire) -> None:
    models = len(wire.hellos)
    report = error(wire.ask(FrameType.START, Start(models, Mode.WINDOW, 0).pack()))
    assert (report.code, report.detail) == (ErrorCode.BAD_MODEL, models)
    report = error(wire.ask(FrameType.START, Start(0, 2, 0).pack()))
    assert (report.code, report.detail) == (ErrorCode.BAD_MODE, 2)
    assert error(wire.ask(FrameType.START, Start(0, Mode.WINDOW, 0, skip=1).pack())).code == ErrorCode.BAD_MODE


# SAMPLES


def test_a_gap_names_the_sample_expected_and_takes_nothing(wire: Wire) -> None:
    hello = wire.hellos[0]
    first = start(wire, hello)
    late = Samples(first + 1, signal(hello, 3).reshape(-1)).pack()
    for _ in range(2):
        report = error(wire.ask(FrameType.SAMPLES, late))
        assert (report.code, report.seq, report.detail) == (ErrorCode.INDEX_GAP, wire.seq, first)


def test_samples_that_came_before_are_skipped_and_the_rest_is_taken(wire: Wire) -> None:
    hello = wire.hellos[0]
    first = start(wire, hello)
    values = signal(hello, 20)
    for begin, end, standing in ((0, 10, 10), (0, 10, 10), (5, 12, 12), (0, 3, 12), (11, 20, 20)):
        answer = wire.ask(FrameType.SAMPLES, Samples(first + begin, values[begin:end].reshape(-1)).pack())
        assert kinds(answer) == ["CREDIT"]
        assert Credit.unpack(answer[0].payload).next_index == first + standing


def test_repeats_and_overlaps_do_not_change_the_answer(wire: Wire) -> None:
    for hello in wire.hellos:
        _, plain = run_window(wire, hello)
        first = start(wire, hello)
        values = signal(hello, hello.window)
        for at in range(0, hello.window, 5):
            begin = max(0, at - 4)
            wire.ask(FrameType.SAMPLES, Samples(first + begin, values[begin : at + 5].reshape(-1)).pack())
        answer = wire.ask(FrameType.END, Index(first + hello.window).pack())
        assert scores(answer[0]) == scores(plain[0])


def scores(frame: Frame) -> list[int]:
    assert frame.type == FrameType.RESULT
    return [int(score) for score in Result.unpack(frame.payload).scores]


def test_a_window_takes_no_more_than_a_window(wire: Wire) -> None:
    hello = wire.hellos[0]
    first = start(wire, hello)
    values = signal(hello, hello.window + 1)
    *most, last = samples_frames(hello, first, values)
    for payload in most:
        wire.ask(FrameType.SAMPLES, payload)
    assert error(wire.ask(FrameType.SAMPLES, last)).code == ErrorCode.BAD_LENGTH


def test_samples_without_a_start_are_not_started(wire: Wire) -> None:
    hello = wire.hellos[0]
    wire.ask(FrameType.SELFTEST)  # ends a running stream
    report = error(wire.ask(FrameType.SAMPLES, Samples(0, signal(hello, 3).reshape(-1)).pack()))
    assert (report.code, report.type) == (ErrorCode.NOT_STARTED, FrameType.SAMPLES)
    first, _ = run_window(wire, hello)
    beyond = Samples(first + hello.window, signal(hello, 3).reshape(-1)).pack()
    report = error(wire.ask(FrameType.SAMPLES, beyond))
    assert (report.code, report.detail) == (ErrorCode.NOT_STARTED, first + hello.window)


def test_credit_is_what_hello_said_and_at_most_the_rest_of_the_window(wire: Wire) -> None:
    hello = wire.hellos[0]
    first = start(wire, hello)
    taken = 0
    for payload in samples_frames(hello, first, signal(hello, hello.window)):
        credit = Credit.unpack(wire.ask(FrameType.SAMPLES, payload)[-1].payload)
        taken += (len(payload) - 4) // (2 * hello.leads)
        assert credit.next_index == first + taken
        assert credit.credit_samples == min(hello.credit_samples, hello.window - taken)


# END, RESULT, POLL


def test_an_end_is_answered_by_result_then_credit_and_so_is_its_repeat(wire: Wire) -> None:
    for hello in wire.hellos:
        first, answer = run_window(wire, hello)
        assert kinds(answer) == ["RESULT", "CREDIT"]
        result = Result.unpack(answer[0].payload)
        assert (result.model, result.last_index) == (hello.model_index, first + hello.window - 1)
        assert len(result.scores) == hello.classes
        assert result.verdict == result.scores.argmax()
        credit = Credit.unpack(answer[1].payload)
        assert (credit.next_index, credit.credit_samples) == (first + hello.window, 0)
        again = wire.ask(FrameType.END, Index(first + hello.window).pack())
        assert [frame.payload for frame in again] == [frame.payload for frame in answer]


def test_an_end_too_early_or_too_late_says_what_is_expected(wire: Wire) -> None:
    hello = wire.hellos[0]
    first = start(wire, hello)
    wire.ask(FrameType.SAMPLES, Samples(first, signal(hello, 10).reshape(-1)).pack())
    report = error(wire.ask(FrameType.END, Index(first + 10).pack()))
    assert (report.code, report.detail) == (ErrorCode.INCOMPLETE, first + 10)
    report = error(wire.ask(FrameType.END, Index(first + hello.window).pack()))
    assert (report.code, report.detail) == (ErrorCode.INDEX_GAP, first + 10)
    assert kinds(wire.ask(FrameType.END, Index(first + 5).pack())) == ["CREDIT"]
    wire.ask(FrameType.SELFTEST)
    assert error(wire.ask(FrameType.END, Index(first).pack())).code == ErrorCode.NOT_STARTED


def test_the_last_four_results_can_be_asked_for_again(wire: Wire) -> None:
    hello = wire.hellos[0]
    runs = [run_window(wire, hello) for _ in range(5)]
    for age, (first, answer) in enumerate(reversed(runs)):
        again = wire.ask(FrameType.POLL, Index(first + hello.window - 1).pack())
        if age < 4:
            assert kinds(again) == ["RESULT", "CREDIT"]
            assert again[0].payload == answer[0].payload
        else:
            assert kinds(again) == ["ERROR", "CREDIT"]
            report = ErrorReport.unpack(again[0].payload)
            assert (report.code, report.detail) == (ErrorCode.NO_RESULT, first + hello.window - 1)


def test_a_start_forgets_results_at_or_after_its_first_index(wire: Wire) -> None:
    hello = wire.hellos[0]
    first, _ = run_window(wire, hello)
    wire.ask(FrameType.START, Start(0, Mode.WINDOW, first).pack())
    assert kinds(wire.ask(FrameType.POLL, Index(first + hello.window - 1).pack())) == ["ERROR", "CREDIT"]


def test_a_stream_gives_results_as_they_fall_due_and_the_rest_at_its_end(wire: Wire) -> None:
    for hello in wire.hellos:
        first = start(wire, hello, Mode.STREAM)
        n = hello.window + hello.delay + 3 * hello.hop
        got: list[int] = []
        for payload in samples_frames(hello, first, signal(hello, n)):
            answer = wire.ask(FrameType.SAMPLES, payload)
            assert kinds(answer)[-1] == "CREDIT"
            got += [Result.unpack(frame.payload).last_index - first for frame in answer[:-1]]
        assert got == list(range(hello.window - 1, n - hello.delay, hello.hop))
        answer = wire.ask(FrameType.END, Index(first + n).pack())
        got += [Result.unpack(frame.payload).last_index - first for frame in answer[:-1]]
        assert got == list(range(hello.window - 1, n, hello.hop))


@pytest.mark.parametrize("first", [2**32 - 30, 2**32 - 1])
def test_sample_indices_wrap(wire: Wire, first: int) -> None:
    hello = wire.hellos[0]
    wire.ask(FrameType.START, Start(0, Mode.WINDOW, first).pack())
    values = signal(hello, hello.window)
    for payload in samples_frames(hello, 0, values):
        (at,) = struct.unpack_from("<I", payload)
        wire.ask(FrameType.SAMPLES, struct.pack("<I", (first + at) % 2**32) + payload[4:])
    answer = wire.ask(FrameType.END, Index((first + hello.window) % 2**32).pack())
    assert Result.unpack(answer[0].payload).last_index == (first + hello.window - 1) % 2**32


# SELFTEST


def test_a_selftest_names_nothing_when_all_passed(wire: Wire) -> None:
    answer = wire.ask(FrameType.SELFTEST)
    assert kinds(answer) == ["SELFTEST"]
    outcome = SelfTest.unpack(answer[0].payload)
    assert (outcome.passed, outcome.first_failed, outcome.expected.size) == (True, None, 0)
