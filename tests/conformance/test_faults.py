"""Every board, over a line that damages, loses and delays, and through resets: still every answer, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from board_bench import Reference, said
from board_rungs import Rung

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Faults, FaultyLink, Hello, Patience
from ecg_edge.errors import DeviceTimeout, LinkError

QUICK = Patience(repeat_s=0.1, give_up_s=30.0, attempts=1000)
LINES = {
    "noisy": Faults(drop=2e-4, flip=2e-4, double=2e-4, noise=2e-4),
    "lossy": Faults(lose=0.05),
    "late": Faults(stall=0.05, stall_s=0.15),
    "all": Faults(drop=1e-4, flip=1e-4, double=1e-4, noise=1e-4, lose=0.02, stall=0.02, stall_s=0.15),
}
References = Callable[[Bundle], Reference]


def signal(hello: Hello, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """(n, leads) uV, flat in the middle."""
    values = np.random.default_rng(n).integers(-3000, 3000, (n, hello.leads)).astype(np.int16)
    values[n // 3 : n // 2] = 10
    return values


@pytest.mark.parametrize("line", LINES)
def test_windows_come_through(rung: Rung, reference_of: References, line: str) -> None:
    device = Device(FaultyLink(rung.link, LINES[line], seed=1), patience=QUICK)
    for hello in device.hello():
        reference = reference_of(rung.bundle(device.require(hello.sha256).sha256))
        windows = signal(hello, 25 * hello.window).reshape(25, hello.window, hello.leads)
        assert said(device.classify_many(windows)) == reference.windows(windows)
    if line != "late":
        assert device.counters.repeats > 0


@pytest.mark.parametrize("line", LINES)
def test_streams_come_through(rung: Rung, reference_of: References, line: str) -> None:
    device = Device(FaultyLink(rung.link, LINES[line], seed=2), patience=QUICK)
    for hello in device.hello():
        reference = reference_of(rung.bundle(device.require(hello.sha256).sha256))
        samples = signal(hello, 4 * hello.history + hello.window)
        assert said(list(device.stream(samples))) == reference.stream(samples)


def test_a_reset_midway_is_replayed_with_equal_bits_and_states(rung: Rung, reference_of: References) -> None:
    if rung.reset is None:
        pytest.skip("this board's reset button cannot be pressed from here")
    device = Device(rung.link, patience=QUICK)
    for hello in device.hello():
        reference = reference_of(rung.bundle(device.require(hello.sha256).sha256))
        samples = signal(hello, 5 * hello.history + hello.window)
        expected = reference.stream(samples)
        resets = device.counters.resets
        answers = []
        for answer in device.stream(samples):
            answers.append(answer)
            if len(answers) in (1, len(expected) // 2, len(expected) - 1):
                rung.reset()
        assert said(answers) == expected
        assert device.counters.resets > resets


def test_resets_between_windows_cost_no_answer(rung: Rung, reference_of: References) -> None:
    if rung.reset is None:
        pytest.skip("this board's reset button cannot be pressed from here")
    reset, calls = rung.reset, count(1)

    def progress(done: int, _: int) -> None:
        if next(calls) % 10 == 0 and done < 40:
            reset()

    device = Device(rung.link, patience=QUICK)
    hello = device.hello()[0]
    windows = signal(hello, 40 * hello.window).reshape(40, hello.window, hello.leads)
    answers = device.classify_many(windows, progress=progress)
    assert said(answers) == reference_of(rung.bundle(hello.sha256)).windows(windows)
    assert device.counters.resets > 0


def test_a_live_source_that_pauses_is_no_fault(rung: Rung, reference_of: References) -> None:
    device = Device(rung.link, patience=Patience(repeat_s=0.2, give_up_s=0.6))
    hello = device.hello()[0]
    samples = signal(hello, hello.window + hello.delay + 40)

    def source() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.int16]]]:
        for at, chunk in enumerate(np.array_split(samples, 4)):
            rung.link.clock.sleep_s(0.7 if at == 2 else 0.0)
            yield chunk

    assert said(list(device.stream(source()))) == reference_of(rung.bundle(hello.sha256)).stream(samples)
    assert device.counters.repeats == 0


def test_a_line_that_is_cut_is_one_line_of_text(rung: Rung) -> None:
    device = Device(FaultyLink(rung.link, Faults(cut_after_bytes=3000), seed=0), patience=QUICK)
    hello = device.hello()[0]
    with pytest.raises(LinkError, match="the port is gone"):
        list(device.stream(signal(hello, 20_000)))


def test_a_line_that_loses_everything_times_out(rung: Rung) -> None:
    patience = Patience(repeat_s=0.05, give_up_s=0.3)
    with pytest.raises(DeviceTimeout, match=r"no answer to HELLO in 0\.3 s"):
        Device(FaultyLink(rung.link, Faults(lose=1.0), seed=0), patience=patience).hello()
