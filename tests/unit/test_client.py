"""The client against a device in Python, on a virtual clock: every answer once, in order, or one line why not."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.device import Answer, Device, FakeLink, Faults, FaultyLink, Hello, Patience, SampleFlag
from ecg_edge.device.fake import FakeDevice, FakeModel, fake_hello, mixing_scores
from ecg_edge.device.frame import Frame, FrameType, encode_frame
from ecg_edge.device.messages import ErrorReport
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkError

PATIENT = Patience(attempts=100_000, give_up_s=1e9)


def fake_model(**changes: object) -> FakeModel:
    hello = fake_hello(**changes)  # type: ignore[arg-type]
    return FakeModel(hello, mixing_scores(hello.classes))


def connect(*models: FakeModel, **options: Any) -> Device:
    board = FakeDevice(list(models) or [fake_model()])
    return Device(FakeLink(board.receive), **options)


def signal(n: int, leads: int = 1, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-2000, 2000, (n, leads)).astype(np.int16)


def expected_windows(model: FakeModel, windows: NDArray[np.int16]) -> list[list[int]]:
    """Scores of isolated windows, straight from the definition: the ends held for the filter's delay."""
    delay = model.hello.delay
    return [model.scores(np.pad(w, ((delay, delay), (0, 0)), mode="edge")).tolist() for w in windows]


def expected_stream(model: FakeModel, samples: NDArray[np.int16]) -> list[list[int]]:
    hello = model.hello
    held = np.pad(samples, ((hello.delay, hello.delay), (0, 0)), mode="edge")
    starts = range(0, len(samples) - hello.window + 1, hello.hop)
    return [model.scores(held[s : s + hello.window + 2 * hello.delay]).tolist() for s in starts]


def scores(answers: list[Answer]) -> list[list[int]]:
    return [answer.scores.tolist() for answer in answers]


# Greeting and refusing


def test_hello_names_every_model() -> None:
    device = connect(fake_model(name="a"), fake_model(name="b", sha256="cd" * 32))
    assert [(hello.model_index, hello.name) for hello in device.hello()] == [(0, "a"), (1, "b")]


def test_a_board_with_another_model_is_refused_with_both_names() -> None:
    device = connect(fake_model(name="a"))
    with pytest.raises(DeviceError, match=r"holds a abababababab\.\.\.; wanted efefefefefef\.\.\.") as caught:
        device.require("ef" * 32)
    assert "\n" not in str(caught.value)


def test_the_required_model_is_the_one_that_runs() -> None:
    first, second = fake_model(), fake_model(window=20, sha256="cd" * 32)
    device = connect(first, second)
    assert device.require("cd" * 32).model_index == 1
    window = signal(20)
    assert scores([device.classify(window)]) == expected_windows(second, window[None])


def test_a_silent_line_times_out_in_one_line() -> None:
    link = FakeLink(lambda data: b"", name="/dev/ttyX")
    with pytest.raises(DeviceTimeout, match=r"/dev/ttyX: no answer to HELLO in 12 s"):
        Device(link).hello()
    assert link.clock.now_s() == pytest.approx(12.0)


def test_babble_is_told_from_silence() -> None:
    with pytest.raises(DeviceTimeout, match="no frame: another baud rate, or no ecg-edge firmware"):
        Device(FakeLink(lambda data: b"ets Jun  8 2016 00:22:57\r\n")).hello()


def test_another_protocol_is_refused() -> None:
    with pytest.raises(DeviceError, match="speaks protocol 2, this host 1"):
        connect(fake_model(protocol=2)).hello()


def test_a_board_whose_selftest_failed_refuses_to_classify() -> None:
    with pytest.raises(DeviceError, match=r"refuses START: selftest_failed \(detail 1\)"):
        connect(fake_model(selftest=2)).classify(signal(16))


def test_windows_of_another_shape_or_type_are_refused() -> None:
    device = connect()
    with pytest.raises(DeviceError, match=r"windows of shape \(1, 17, 1\); fake3 takes \(n, 16, 1\)"):
        device.classify(signal(17))
    with pytest.raises(DeviceError, match="float64, wanted integers in uV"):
        device.classify(np.zeros(16))
    with pytest.raises(DeviceError, match="from 0 to 40000 uV, outside int16"):
        device.classify(np.arange(16) // 15 * 40_000)
    with pytest.raises(DeviceError, match=r"samples of shape \(40, 2\); fake3 takes \(n, 1\)"):
        list(device.stream(signal(40, 2)))
    with pytest.raises(DeviceError, match=r"flags of shape \(3,\) for 40 samples"):
        list(device.stream(signal(40), np.zeros(3)))


# A good line


def test_windows_are_answered_in_order_each_as_if_alone() -> None:
    model = fake_model()
    windows = signal(30 * 16).reshape(30, 16, 1)
    calls: list[tuple[int, int]] = []
    answers = connect(model).classify_many(windows, progress=lambda done, all_: calls.append((done, all_)))
    assert scores(answers) == expected_windows(model, windows)
    assert calls == [(k + 1, 30) for k in range(30)]
    assert {answer.last_index for answer in answers} == {15}
    assert connect(model).classify_many(np.empty((0, 16), np.int16)) == []


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 19, 20, 21, 100, 1000])
def test_a_stream_of_any_length_is_answered_window_by_window(n: int, leads: int) -> None:
    model = fake_model(leads=leads)
    samples = signal(n, leads)
    answers = list(connect(model).stream(samples))
    assert scores(answers) == (expected_stream(model, samples) if n else [])
    assert [answer.last_index for answer in answers] == list(range(15, n, 4))


def test_a_stream_in_chunks_is_the_same_stream() -> None:
    model = fake_model()
    samples = signal(500)
    chunks = [samples[at : at + size] for at, size in zip((0, 1, 1, 200), (1, 0, 199, 300), strict=True)]
    assert scores(list(connect(model).stream(iter(chunks)))) == expected_stream(model, samples)


def test_a_live_source_gets_each_verdict_before_its_next_chunk_is_taken() -> None:
    model = fake_model()
    samples = signal(200)
    answers: list[Answer] = []
    seen: list[int] = []

    def source() -> Any:
        for at in range(0, 200, 10):
            seen.append(len(answers))
            yield samples[at : at + 10]

    for answer in connect(model).stream(source()):
        answers.append(answer)
    assert seen[-1] == (190 - 5 - 16) // 4 + 1  # all that 190 samples complete, the filter's delay off


def test_device_and_host_times_are_both_reported() -> None:
    answer = connect().classify(signal(16))
    assert (answer.prepare_us, answer.inference_us) == (160, 320)
    late = FaultyLink(FakeLink(FakeDevice([fake_model()]).receive), Faults(delay=1.0, delay_s=0.25), 0)
    assert Device(late).classify(signal(16)).host_us >= 250_000


def test_flags_reach_the_state_of_the_windows_they_touch() -> None:
    model = fake_model()
    samples = signal(200)
    for flag, state in ((SampleFlag.GAP, 4), (SampleFlag.LEAD_OFF, 3), (SampleFlag.CLIPPED, 2)):
        flags = np.zeros(200, np.uint8)
        flags[100] = flag
        for answer in connect(model).stream(samples, flags):
            touched = answer.last_index - 15 - 5 <= 100 <= answer.last_index + 5
            assert answer.state == (state if touched else 0)
            assert (answer.verdict is None) == touched


def test_a_flat_line_is_a_state_too() -> None:
    answers = list(connect().stream(np.zeros(64, np.int16)))
    assert {answer.state for answer in answers} == {1}
    assert connect().classify(np.full(16, 32767)).state == 2


def test_selftest_and_stats_are_answered() -> None:
    device = connect()
    device.classify(signal(16))
    assert device.stats().results == 1
    assert device.selftest().passed


def test_a_stream_left_midway_does_not_disturb_what_comes_next() -> None:
    model = fake_model()
    device = connect(model)
    samples = signal(400)
    next(device.stream(samples))
    assert scores([device.classify(samples[:16])]) == expected_windows(model, samples[None, :16])
    assert scores(list(device.stream(samples))) == expected_stream(model, samples)


@pytest.mark.parametrize("first_index", [0, 2**31 - 100, 2**32 - 16, 2**32 - 1, 2**32 - 300])
def test_sample_indices_may_wrap(first_index: int) -> None:
    model = fake_model()
    device = connect(model, first_index=first_index)
    windows = signal(30 * 16).reshape(30, 16, 1)
    assert scores(device.classify_many(windows)) == expected_windows(model, windows)
    samples = signal(800)
    assert scores(list(device.stream(samples))) == expected_stream(model, samples)
    assert device.counters.repeats == 0


@pytest.mark.parametrize("credit", [1, 8, 22, 31, 32, 63, 64, 100, 126, 500])
@pytest.mark.parametrize("leads", [1, 3])
def test_the_host_never_sends_more_than_the_device_has_room_for(credit: int, leads: int) -> None:
    model = fake_model(window=70, hop=35, credit_samples=credit, leads=leads)
    overheads = -(-credit // 32)
    room_bytes = max(2 * leads * credit + 20 * overheads, 28)  # one START must fit in any case
    link = FakeLink(FakeDevice([model]).receive, room_bytes=room_bytes)
    device = Device(link)
    windows = signal(5 * 70, leads).reshape(5, 70, leads)
    assert scores(device.classify_many(windows)) == expected_windows(model, windows)
    assert scores(list(device.stream(signal(300, leads)))) == expected_stream(model, signal(300, leads))
    assert link.overrun_bytes == 0
    assert device.counters.repeats == 0


# A bad line


RATES = st.sampled_from([0.0, 0.0, 0.0005, 0.002, 0.005])
FAULTS = st.builds(
    Faults,
    drop=RATES,
    flip=RATES,
    double=RATES,
    noise=RATES,
    lose=st.sampled_from([0.0, 0.0, 0.02, 0.1]),
    delay=st.sampled_from([0.0, 0.1, 0.5]),
    delay_s=st.sampled_from([0.05, 0.9, 2.5]),
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
            rates[0], rates[1], rates[2], rates[3], lose=lose, delay=delay, delay_s=random.choice((0.05, 0.9, 2.5))
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
