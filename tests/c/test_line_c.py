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
def test_over_a_bad_line_and_through_resets_no_answer_is_wrong_or_lost(core_library: ctypes.CDLL, seed: int) -> None:
    asked = [(case, case.expected) for case in cases(6_000, seeds=range(3))]
    board = CoreBoard(core_library)
    line = FaultyLink(board.link, BAD, seed, reset=board.reset)
    device = Device(line)
    while line.frames < FRAMES:
        for case, expected in asked:
            assert case.ask(device) == expected
    counters = device.counters
    assert counters.resets >= line.frames // RESET_EVERY - 1  # one may fall between two runs
    assert min(counters.damaged, counters.losses, counters.repeats) > FRAMES // 1000


@pytest.mark.parametrize("isolated", [False, True], ids=["stream", "windows"])
@pytest.mark.parametrize("credit", [16, 1024])
@pytest.mark.parametrize("for_s", [0.0, 0.2, 3.0])
@pytest.mark.parametrize("kind", ["reset", "garbage", "unplug"])
def test_half_a_second_after_the_trouble_answers_come_again(
    core_library: ctypes.CDLL, kind: str, for_s: float, credit: int, isolated: bool
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


# Speed: of a line at 115,200 baud, what the longest frames leave to the samples


@pytest.fixture(scope="module")
def ecg5(build_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    """The core with the shipped model in it."""
    return declared(build_library(*sorted(SOURCES.glob("*.c")), HARNESS))


@pytest.mark.parametrize(
    ("credit", "windows", "stream"), [(1024, 0.85, 0.95), (256, 0.85, 0.95), (96, 0.85, 0.85), (16, 0.40, 0.40)]
)
def test_a_slow_line_carries_what_framing_leaves(ecg5: ctypes.CDLL, credit: int, windows: float, stream: float) -> None:
    for isolated, wanted in ((True, windows), (False, stream)):
        board = CoreBoard(ecg5, credit=credit)
        clock = board.link.clock
        device = Device(LimitedLink(board.link, BAUD))
        window = device.model.window
        samples = signal(20 * window)
        start_s = clock.now_s()
        if isolated:
            device.classify_many(samples.reshape(20, window))
        else:
            list(device.stream(samples))
        limit_s = fewest_bytes(len(samples), window if isolated else None) * BITS_PER_BYTE / BAUD
        share = limit_s / (clock.now_s() - start_s)
        assert wanted <= share < 1.01  # a frame with zeros in it is a byte shorter
        assert device.counters.repeats == 0
