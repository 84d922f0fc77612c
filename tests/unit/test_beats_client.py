"""Beats from a device in Python, on a virtual clock: every one once, in order, or one line why not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from fake_bench import PATIENT, fake_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.device import Device, FakeLink, Faults, FaultyLink
from ecg_edge.device.beats import BeatAnswer
from ecg_edge.device.fake import FakeDevice, FakeModel, fake_hello, mixing_beats, mixing_scores
from ecg_edge.device.frame import Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.messages import ABSTAIN, Beat, Credit, ErrorCode, ErrorReport, Hello, Index, Mode, Samples, Start
from ecg_edge.errors import DeviceError, DeviceTimeout, FrameError

CLASSES = 3
LEAD_OFF = 2
Said = list[tuple[int, int, int, int | None, list[int]]]


def beats_model(*, apart: int = 50, **changes: object) -> FakeModel:
    hello = fake_hello(takes_beats=True, name="fakebeats", sha256="cd" * 32, **changes)  # type: ignore[arg-type]
    return FakeModel(hello, mixing_scores(CLASSES), finder=mixing_beats(CLASSES, apart=apart))


def heart(n: int, seed: int, apart: int = 50) -> NDArray[np.int16]:
    """(n,) uV: noise, and peaks at random distances."""
    random = np.random.default_rng(seed)
    samples = random.integers(-900, 900, n)
    samples[np.cumsum(random.integers(apart, 3 * apart, n // apart)) % max(1, n)] = 1200
    return samples.astype(np.int16) if n else np.empty(0, np.int16)


def connect(*models: FakeModel) -> Device:
    return Device(FakeLink(FakeDevice(list(models)).receive))


def said(answers: Iterator[BeatAnswer]) -> Said:
    return [(a.at, a.rr, a.state, a.verdict, a.scores.tolist()) for a in answers]


def expected(model: FakeModel, samples: NDArray[np.int16], off: int | None = None) -> Said:
    """Straight from the finder; `off` is a sample whose lead was off."""
    assert model.finder is not None
    out, before = [], 0
    for number, (at, scores) in enumerate(model.finder(samples, True)):
        state = 3 if off is not None and before <= off <= at else 0
        verdict = None if state else int(scores.argmax())
        out.append((at, at - before if number else 0, state, verdict, scores.tolist()))
        before = at
    return out


@pytest.mark.parametrize("n", [0, 1, 40, 700])
@pytest.mark.parametrize("first", [0, 2**32 - 300])
def test_every_beat_comes_once_and_in_order(n: int, first: int) -> None:
    model, samples = beats_model(), heart(n, 1)
    device = Device(FakeLink(FakeDevice([model]).receive), first_index=first)
    for _ in range(2):
        assert said(device.beats(samples)) == expected(model, samples)
    assert device.counters.repeats == 0


def test_flags_reach_the_device_with_their_sample() -> None:
    model, samples = beats_model(), heart(1000, 2)
    flags = np.zeros(1000, np.uint8)
    flags[333] = LEAD_OFF
    found = said(connect(model).beats(samples, flags))
    assert found == expected(model, samples, off=333)
    assert [answer[2] for answer in found].count(3) == 1


RATES = st.sampled_from([0.0, 0.0, 0.0005, 0.002])
FAULTS = st.builds(
    Faults,
    drop=RATES,
    flip=RATES,
    double=RATES,
    noise=RATES,
    lose=st.sampled_from([0.0, 0.0, 0.02, 0.05]),
    stall=st.sampled_from([0.0, 0.1, 0.5]),
    stall_s=st.sampled_from([0.05, 0.9, 2.5]),
)
RESETS = st.lists(st.integers(2, 60), max_size=3).map(lambda places: tuple(sorted(places)))


@given(
    FAULTS,
    RESETS,
    st.integers(0, 2**32 - 1),
    st.integers(0, 900),
    st.sampled_from([1, 40, 300]),
    st.sampled_from([9, 50]),
)
@settings(max_examples=60)
def test_beats_survive_any_line_and_any_reset(
    faults: Faults, resets: tuple[int, ...], seed: int, n: int, credit: int, apart: int
) -> None:
    """Beats 9 apart are more on the way than a device can repeat."""
    model, samples = beats_model(credit_samples=credit, apart=apart), heart(n, seed, apart)
    board = FakeDevice([fake_model(), model], reset_after=resets)
    device = Device(FaultyLink(FakeLink(board.receive), faults, seed), patience=PATIENT, first_index=seed)
    device.require(model.hello.sha256)
    assert said(device.beats(samples)) == expected(model, samples)


@given(FAULTS, st.integers(0, 2**32 - 1), st.lists(st.integers(0, 12), min_size=1, max_size=3))
@settings(max_examples=30)
def test_a_stream_that_was_left_does_not_leak_into_the_next(faults: Faults, seed: int, left: list[int]) -> None:
    model = beats_model()
    device = Device(FaultyLink(FakeLink(FakeDevice([model]).receive), faults, seed), patience=PATIENT)
    for number, count in enumerate(left):
        stream = device.beats(heart(800, seed + number))
        for _, _ in zip(range(count), stream, strict=False):
            pass
    samples = heart(600, seed + 77)
    assert said(device.beats(samples)) == expected(model, samples)


def test_a_line_that_loses_every_beat_is_given_up() -> None:
    board = FakeDevice([beats_model()])

    def without_beats(data: bytes) -> bytes:
        frames = FrameReader().feed(board.receive(data))
        return b"".join(encode_frame(frame) for frame in frames if frame.type != FrameType.BEAT)

    with pytest.raises(DeviceTimeout, match="fake:: "):
        list(Device(FakeLink(without_beats)).beats(heart(600, 3)))


def test_a_beat_of_another_model_or_shape_is_refused() -> None:
    board = FakeDevice([beats_model()])

    def another(data: bytes) -> bytes:
        out = b""
        for frame in FrameReader().feed(board.receive(data)):
            payload = frame.payload
            if frame.type == FrameType.BEAT:
                payload = bytes([payload[0] + 1]) + payload[1:]
            out += encode_frame(Frame(frame.type, payload, frame.flags, frame.boot, frame.seq))
        return out

    with pytest.raises(DeviceError, match="an answer of model 1 with 3 scores, wanted model 0 with 3"):
        list(Device(FakeLink(another)).beats(heart(600, 3)))


def test_each_model_is_asked_for_what_it_takes() -> None:
    device = connect(beats_model())
    with pytest.raises(DeviceError, match="fakebeats takes beats"):
        list(device.stream(heart(100, 1)))
    with pytest.raises(DeviceError, match="fakebeats takes beats"):
        device.classify(heart(16, 1))
    with pytest.raises(DeviceError, match="fake3 takes windows"):
        list(connect(fake_model()).beats(heart(100, 1)))


# The wire, of the device in Python itself


class Line:
    """Frames to a fake board, and all that it says to each."""

    def __init__(self, board: FakeDevice) -> None:
        self._board = board

    def ask(self, kind: FrameType, payload: bytes = b"") -> list[Frame]:
        frame = encode_frame(Frame(kind, payload, 0, self._board.boot, 1))
        return FrameReader().feed(self._board.receive(frame))


def beats_in(frames: list[Frame]) -> list[Beat]:
    return [Beat.unpack(frame.payload) for frame in frames if frame.type == FrameType.BEAT]


def started(samples: NDArray[np.int16], first: int = 100) -> tuple[Line, list[Frame]]:
    line = Line(FakeDevice([beats_model()]))
    line.ask(FrameType.START, Start(0, Mode.STREAM, first).pack())
    said = []
    for at in range(0, len(samples), 100):
        said += line.ask(FrameType.SAMPLES, Samples(first + at, samples[at : at + 100]).pack())
    return line, said


def test_beats_are_numbered_and_credit_counts_them() -> None:
    samples = heart(1000, 5)
    line, frames = started(samples)
    frames += line.ask(FrameType.END, Index(1100).pack())
    beats = beats_in(frames)
    assert [beat.number for beat in beats] == list(range(len(beats)))
    assert [(beat.at - 100, beat.rr) for beat in beats] == [answer[:2] for answer in expected(beats_model(), samples)]
    assert Credit.unpack(frames[-1].payload) == Credit(1100, 0, len(beats))


def test_the_last_four_beats_can_be_asked_for_by_number_and_by_a_repeated_end() -> None:
    samples = heart(1000, 5)
    line, frames = started(samples)
    frames += line.ask(FrameType.END, Index(1100).pack())
    last = beats_in(frames)[-1].number
    for number in range(last - 3, last + 1):
        (beat,) = beats_in(line.ask(FrameType.POLL, Index(number).pack()))
        assert beat.number == number
    error, credit = line.ask(FrameType.POLL, Index(last - 4).pack())
    report = ErrorReport.unpack(error.payload)
    assert (report.code, report.detail, credit.type) == (ErrorCode.NO_RESULT, last - 4, FrameType.CREDIT)
    again = beats_in(line.ask(FrameType.END, Index(1100).pack()))
    assert [beat.number for beat in again] == list(range(last - 3, last + 1))
    line.ask(FrameType.START, Start(0, Mode.STREAM, 0).pack())
    assert not beats_in(line.ask(FrameType.POLL, Index(last).pack()))


@pytest.mark.parametrize("start", [Start(0, Mode.WINDOW, 0), Start(0, Mode.STREAM, 0, 5)])
def test_windows_and_skips_are_a_bad_mode(start: Start) -> None:
    (frame,) = Line(FakeDevice([beats_model()])).ask(FrameType.START, start.pack())
    assert ErrorReport.unpack(frame.payload).code == ErrorCode.BAD_MODE


# Payloads


def test_a_beat_and_a_credit_are_laid_out_as_the_protocol_says() -> None:
    beat = Beat(1, ABSTAIN, 4, 7, 0x01020304, 500, 6, 9, np.array([-128, 0, 127], np.int8))
    packed = beat.pack()
    assert packed.hex() == "0103ff040700000004030201f4010000" + "0600000009000000" + "80007f"
    back = Beat.unpack(packed)
    assert back.pack() == packed
    assert Credit(5, 6, 7).pack().hex() == "0500000006000700"
    assert Hello.unpack(beats_model().hello.pack()).takes_beats
    assert beats_model().hello.pack()[23] == 1
    assert fake_hello().pack()[23] == 0


@pytest.mark.parametrize("payload", [b"", b"\0" * 23, bytes([0, 3]) + b"\0" * 24, bytes([0, 1]) + b"\0" * 24])
def test_a_beat_of_another_length_is_no_frame(payload: bytes) -> None:
    with pytest.raises(FrameError, match="BEAT"):
        Beat.unpack(payload)
