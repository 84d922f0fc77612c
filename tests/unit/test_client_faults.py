"""The client against a device in Python, on a virtual clock: every answer once, in order, or one line why not."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from fake_bench import PATIENT, connect, expected_stream, expected_windows, fake_model, scores, signal
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_edge.device import Answer, Device, FakeLink, Faults, FaultyLink, Hello
from ecg_edge.device.fake import FakeDevice, fake_hello
from ecg_edge.device.frame import Frame, FrameType, encode_frame
from ecg_edge.device.messages import ErrorReport
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkError

# A bad line


RATES = st.sampled_from([0.0, 0.0, 0.0005, 0.002, 0.005])
FAULTS = st.builds(
    Faults,
    drop=RATES,
    flip=RATES,
    double=RATES,
    noise=RATES,
    lose=st.sampled_from([0.0, 0.0, 0.02, 0.1]),
    stall=st.sampled_from([0.0, 0.1, 0.5]),
    stall_s=st.sampled_from([0.05, 0.9, 2.5]),
)
RESETS = st.lists(st.integers(2, 120), max_size=3).map(lambda places: tuple(sorted(places)))


@given(FAULTS, RESETS, st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([10, 40, 126, 300]))
@settings(max_examples=60, deadline=None)
def test_windows_survive_any_line_and_any_reset(
    faults: Faults, resets: tuple[int, ...], seed: int, count: int, credit: int
) -> None:
    model = fake_model(credit_samples=credit)
    board = FakeDevice([model], reset_after=resets)
    device = Device(FaultyLink(FakeLink(board.receive), faults, seed), patience=PATIENT, first_index=seed)
    windows = signal(count * 16, seed=seed).reshape(count, 16, 1)
    answers = device.classify_many(windows)
    assert scores(answers) == expected_windows(model, windows)


@given(FAULTS, RESETS, st.integers(0, 2**32 - 1), st.integers(0, 150), st.sampled_from([10, 40, 126, 300]))
@settings(max_examples=60, deadline=None)
def test_a_stream_survives_any_line_and_any_reset(
    faults: Faults, resets: tuple[int, ...], seed: int, n: int, credit: int
) -> None:
    model = fake_model(credit_samples=credit)
    samples = signal(n, seed=seed)
    samples[n // 3 : n // 2] = 77  # a flat stretch: replay must find the same state
    flags = (np.random.default_rng(seed).random(n) < 0.02).astype(np.uint8) * (1 + seed % 7)
    perfect = list(connect(model).stream(samples, flags))
    board = FakeDevice([model], reset_after=resets)
    device = Device(FaultyLink(FakeLink(board.receive), faults, seed), patience=PATIENT, first_index=seed)
    answers = list(device.stream(samples, flags))
    assert scores(answers) == scores(perfect) == (expected_stream(model, samples) if n else [])
    assert [(a.state, a.verdict, a.last_index) for a in answers] == [
        (a.state, a.verdict, a.last_index) for a in perfect
    ]


@pytest.mark.slow
def test_thousands_of_bad_lines_are_survived() -> None:
    def draw(random: Random) -> tuple[Faults, tuple[int, ...], int]:
        rates = [random.choice((0.0, 0.0, 0.0005, 0.002, 0.005)) for _ in range(4)]
        lose, delay = random.choice((0.0, 0.02, 0.1)), random.choice((0.0, 0.1, 0.5))
        faults = Faults(
            rates[0], rates[1], rates[2], rates[3], lose=lose, stall=delay, stall_s=random.choice((0.05, 0.9, 2.5))
        )
        return faults, tuple(sorted(random.choices(range(2, 120), k=random.randrange(3)))), random.getrandbits(32)

    windows = test_windows_survive_any_line_and_any_reset.hypothesis.inner_test  # type: ignore[attr-defined]
    stream = test_a_stream_survives_any_line_and_any_reset.hypothesis.inner_test  # type: ignore[attr-defined]
    for seed in range(500):
        random = Random(seed)
        windows(*draw(random), random.randrange(12), random.choice((10, 40, 126, 300)))
        stream(*draw(random), random.randrange(300), random.choice((10, 40, 126, 300)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_a_hopeless_line_ends_in_one_line_never_in_a_wrong_answer(seed: int, rate: float) -> None:
    model = fake_model()
    faults = Faults(drop=rate, flip=rate, double=rate, noise=rate, lose=rate)
    device = Device(FaultyLink(FakeLink(FakeDevice([model]).receive), faults, seed))
    samples = signal(200)
    got: list[Answer] = []
    try:
        got.extend(device.stream(samples))
    except DeviceTimeout as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are allowed
    assert scores(got) == expected_stream(model, samples)[: len(got)]


def test_a_device_that_resets_is_greeted_again_and_the_stream_goes_on_bit_equal() -> None:
    model = fake_model()
    samples = signal(1000)
    device = Device(FakeLink(FakeDevice([model], reset_after=(4, 9)).receive))
    assert scores(list(device.stream(samples))) == expected_stream(model, samples)
    assert device.counters.resets == 2


def test_a_reset_that_draws_the_same_nonce_is_survived() -> None:
    model = fake_model()
    board = FakeDevice([model])
    received = 0

    def answer(data: bytes) -> bytes:
        nonlocal received
        received += 1
        if received == 6:
            boot = board.boot
            board.reset()
            board.boot = boot
        return board.receive(data)

    samples = signal(1000)
    assert scores(list(Device(FakeLink(answer)).stream(samples))) == expected_stream(model, samples)


def test_a_board_that_holds_another_model_after_a_reset_is_refused() -> None:
    board = FakeDevice([fake_model()])
    other = FakeDevice([fake_model(sha256="cd" * 32)], boot=77)
    boards = [board] * 4 + [other] * 100
    device = Device(FakeLink(lambda data: boards.pop(0).receive(data)))
    device.require("ab" * 32)
    with pytest.raises(DeviceError, match=r"holds fake3 cdcdcdcdcdcd\.\.\.; wanted abababababab"):
        list(device.stream(signal(1000)))


def test_a_device_that_goes_silent_midway_times_out_and_says_how_far_it_came() -> None:
    board = FakeDevice([fake_model()])
    budget = 7

    def answer(data: bytes) -> bytes:
        nonlocal budget
        budget -= 1
        return board.receive(data) if budget > 0 else b""

    link = FakeLink(answer, name="/dev/ttyX")
    with pytest.raises(DeviceTimeout, match=r"/dev/ttyX: silent for 1\d\.\d s, \d+ answers came before"):
        list(Device(link).stream(signal(1000)))


def test_a_port_that_vanishes_midway_is_a_link_error_that_names_it() -> None:
    link = FakeLink(FakeDevice([fake_model()]).receive, name="/dev/ttyX")
    with pytest.raises(LinkError, match="/dev/ttyX: the port is gone"):
        list(Device(FaultyLink(link, Faults(cut_after_bytes=1500), 0)).stream(signal(2000)))


def test_answers_of_an_earlier_process_do_not_pass_for_ours() -> None:
    model = fake_model()
    board = FakeDevice([model])
    abandoned = FakeLink(board.receive)
    Device(abandoned, first_index=0).classify(signal(16, seed=1))
    leftover = encode_frame(Frame(FrameType.RESULT, bytes(16) + bytes(3), 0, board.boot, 1))
    pending = [leftover * 3]

    def answer(data: bytes) -> bytes:
        return (pending.pop() if pending else b"") + board.receive(data)

    window = signal(16, seed=2)
    device = Device(FakeLink(answer), first_index=500)
    assert scores([device.classify(window)]) == expected_windows(model, window[None])


def test_a_slow_pause_between_chunks_is_not_silence() -> None:
    model = fake_model()
    link = FakeLink(FakeDevice([model]).receive)
    samples = signal(200)

    def source() -> Any:
        for at in range(0, 200, 20):
            link.clock.sleep_s(3600.0)
            yield samples[at : at + 20]

    assert scores(list(Device(link).stream(source()))) == expected_stream(model, samples)


def test_a_caller_that_takes_its_time_is_not_silence() -> None:
    model = fake_model()
    link = FakeLink(FakeDevice([model]).receive)
    device = Device(FaultyLink(link, Faults(lose=0.2), 3))
    samples = signal(400)
    answers: list[Answer] = []
    for answer in device.stream(samples):
        answers.append(answer)
        link.clock.sleep_s(3600.0)
    assert scores(answers) == expected_stream(model, samples)
    assert device.counters.repeats > 0


def test_losses_damage_and_repeats_are_counted() -> None:
    model = fake_model()
    link = FakeLink(FakeDevice([model]).receive)
    device = Device(FaultyLink(link, Faults(flip=0.003, lose=0.02), 5), patience=PATIENT)
    list(device.stream(signal(3000)))
    counters = device.counters
    assert min(counters.damaged, counters.losses, counters.repeats) > 0
    stats = device.stats()
    assert stats.crc_errors + stats.cobs_errors + stats.length_errors > 0


def test_a_good_line_costs_no_repeat() -> None:
    device = connect()
    list(device.stream(signal(3000)))
    device.classify_many(signal(160).reshape(10, 16))
    counters = device.counters
    assert (counters.damaged, counters.losses, counters.repeats, counters.resets) == (0, 0, 0, 0)


def test_an_engine_that_fails_ends_the_run_with_its_reason() -> None:
    board = FakeDevice([fake_model()])

    def answer(data: bytes) -> bytes:
        frames = board._reader.feed(data)
        if frames and frames[0].type == FrameType.SAMPLES:
            report = ErrorReport(10, FrameType.SAMPLES, frames[0].seq, 3)
            return encode_frame(Frame(FrameType.ERROR, report.pack(), 0, board.boot, 9))
        return b"".join(board._answer(frame) for frame in frames)

    with pytest.raises(DeviceError, match=r"refuses SAMPLES: engine \(detail 3\)"):
        list(Device(FakeLink(answer)).stream(signal(100)))


def test_hello_is_a_value() -> None:
    hello: Hello = fake_hello()
    assert replace(hello, name="x") != hello
