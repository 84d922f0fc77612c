"""The host's Python and the core's C over bad lines, on a virtual clock: right answers, all of them, and soon."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import pytest
from core_bench import HARNESS, declared, signal
from core_line import BAUD, Case, CoreBoard, Troubled, cases, fewest_bytes
from toolchain import SOURCES

from ecg_edge.device import Device, Faults, FaultyLink, LimitedLink
from ecg_edge.device.faults import BITS_PER_BYTE
from ecg_edge.device.replug import ReplugLink

SOAK = os.environ.get("ECG_SOAK") == "1"
FRAMES, SEEDS = (1_000_000, 3) if SOAK else (50_000, 1)
RESET_EVERY = 10_000  # frames
BAD = Faults(flip=1e-4, drop=1e-4, double=1e-4, reset_every=RESET_EVERY)
RECOVERY_S = 0.5  # from the moment that the line is quiet to the next answer


def case_of(samples: int, *, isolated: bool) -> Case:
    """A signal for the model that streams."""
    return next(case for case in cases(samples, seeds=range(1)) if case.isolated == isolated)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_over_a_bad_line_and_through_resets_no_answer_is_wrong_or_lost(
    core_library: ctypes.CDLL, seed: int, figure: Callable[[str], None]
) -> None:
    asked = [(case, case.expected) for case in cases(6_000, seeds=range(3))]
    board = CoreBoard(core_library)
    line = FaultyLink(board.link, BAD, seed, reset=board.reset)
    device = Device(line)
    answers = 0
    while line.frames < FRAMES:
        for case, expected in asked:
            assert case.ask(device) == expected
            answers += len(expected)
    counters = device.counters
    assert board.boots - 1 >= line.frames // RESET_EVERY - 1  # the last may be due with no frame left to lose
    assert min(counters.damaged, counters.losses, counters.repeats) > FRAMES // 1000
    figure(
        f"bad line, seed {seed}: {line.frames:,} frames, {counters.damaged:,} damaged on their way to the host, "
        f"{board.boots - 1} resets: {answers:,} of {answers:,} answers, all right"
    )


@pytest.mark.parametrize("isolated", [False, True], ids=["stream", "windows"])
@pytest.mark.parametrize("credit", [16, 1024])
@pytest.mark.parametrize("for_s", [0.0, 0.2, 3.0])
@pytest.mark.parametrize("kind", ["reset", "garbage", "noise", "unplug"])
def test_half_a_second_after_the_trouble_answers_come_again(
    core_library: ctypes.CDLL, kind: str, for_s: float, credit: int, isolated: bool, figure: Callable[[str], None]
) -> None:
    case = case_of(60_000, isolated=isolated)
    board = CoreBoard(core_library, credit=credit)
    line = Troubled(board, kind, every_s=1.0, for_s=for_s)
    device = Device(ReplugLink(lambda: LimitedLink(line.opened(), BAUD), wait_s=10.0))
    answered_s: list[float] = []
    assert case.ask(device, lambda: answered_s.append(line.clock.now_s())) == case.expected
    waits_s = [min((when for when in answered_s if when > end), default=end) - end for end in line.ended_s]
    assert len(waits_s) > 2
    assert max(waits_s) < RECOVERY_S
    mode = "windows" if isolated else "stream"
    figure(f"after {kind} of {for_s:g} s, credit {credit}, {mode}: an answer within {1000 * max(waits_s):.0f} ms")


# Speed: of a line at 115,200 baud, what the longest frames leave to the samples


@pytest.fixture(scope="module")
def ecg5(build_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    """The core with the shipped model in it."""
    return declared(build_library(*sorted(SOURCES.glob("*.c")), HARNESS))


@pytest.mark.parametrize("isolated", [False, True], ids=["stream", "windows"])
@pytest.mark.parametrize(
    ("credit", "compute_s", "share_of"),
    [
        (1024, 0.0, (0.95, 0.85)),
        (1024, 0.02, (0.95, 0.85)),
        (256, 0.0, (0.95, 0.85)),
        (96, 0.0, (0.85, 0.85)),
        (16, 0.0, (0.4, 0.4)),
    ],
)
def test_a_slow_line_carries_what_framing_leaves(
    ecg5: ctypes.CDLL,
    credit: int,
    compute_s: float,
    share_of: tuple[float, float],
    isolated: bool,
    figure: Callable[[str], None],
) -> None:
    board = CoreBoard(ecg5, credit=credit, compute_s=compute_s)
    device = Device(LimitedLink(board.link, BAUD))
    window = device.model.window
    samples = signal(20 * window)
    start_s = board.link.clock.now_s()
    if isolated:
        device.classify_many(samples.reshape(20, window))
    else:
        list(device.stream(samples))
    took_s = board.link.clock.now_s() - start_s
    share = fewest_bytes(samples, window if isolated else None) * BITS_PER_BYTE / BAUD / took_s
    assert share_of[isolated] <= share <= 1.0
    assert device.counters.repeats == 0
    mode, computing = "windows" if isolated else "stream", f"{1000 * compute_s:g} ms a verdict"
    figure(f"line of {BAUD} baud, credit {credit}, {computing}, {mode}: {100 * share:.1f} % of what framing leaves")


@pytest.mark.parametrize("baud", [1200, 2400, 9600])
def test_a_line_slower_than_the_first_silence_is_waited_for(core_library: ctypes.CDLL, baud: int) -> None:
    case = case_of(3_000, isolated=False)
    board = CoreBoard(core_library)
    device = Device(LimitedLink(board.link, baud))
    assert case.ask(device) == case.expected
    assert device.counters.repeats < 30
