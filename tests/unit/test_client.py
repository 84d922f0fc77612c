"""The client against a device in Python, over a good line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_bench import connect, expected_stream, expected_windows, fake_model, scores, signal

from ecg_edge.device import Answer, Device, FakeLink, Faults, FaultyLink, SampleFlag
from ecg_edge.device.fake import FakeDevice
from ecg_edge.errors import DeviceError, DeviceTimeout

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


def test_a_line_that_never_stops_talking_is_given_up_as_soon() -> None:
    class Flood(FakeLink):
        def read(self, timeout_s: float) -> bytes:
            self.clock.sleep_s(0.001)
            return b"x" * 50

    link = Flood(lambda data: b"")
    with pytest.raises(DeviceTimeout, match="another baud rate, or no ecg-edge firmware"):
        Device(link).hello()
    assert link.clock.now_s() < 14.0


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
    late = FaultyLink(FakeLink(FakeDevice([fake_model()]).receive), Faults(stall=1.0, stall_s=0.25), 0)
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
