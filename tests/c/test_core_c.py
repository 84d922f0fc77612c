"""The application core answers as PROTOCOL.md says: right orders, wrong orders, repeats, resets, noise."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from conftest import SOURCES
from numpy.typing import NDArray
from toy import CLASSES, PREPARE, TOYS, Verdict, expected_verdicts, toy_image

from ecg_edge.device.frame import Frame, FrameReader, FrameType, cobs_encode, encode_frame
from ecg_edge.device.messages import (
    NO_INDEX,
    Credit,
    ErrorCode,
    ErrorReport,
    Hello,
    Index,
    Mode,
    Result,
    Samples,
    SelfTest,
    Start,
    Stats,
)
from ecg_edge.signal.prepare import State

BOOT = 0x1234
STREAM, KEPT, SPARSE = TOYS
CORE = tuple(SOURCES / f"ecg_{name}.c" for name in ("edge", "frame", "prepare", "selftest", "stream"))
HARNESS = Path(__file__).parent / "harness.c"


@dataclass
class Core:
    """A core on the bench: frames in, frames out."""

    library: ctypes.CDLL
    boot: int = BOOT
    reader: FrameReader = field(default_factory=FrameReader)
    out: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << 20, np.uint8))
    seq: int = 0

    def start_up(self, boot: int = BOOT) -> list[Frame]:
        """Boot -> the frames it sends unasked."""
        self.library.harness_output(self.out.ctypes.data, self.out.size)
        self.boot = boot
        self.status = self.library.harness_boot(boot)
        return self.taken()

    def taken(self) -> list[Frame]:
        frames = self.reader.feed(self.out[: self.library.harness_taken()].tobytes())
        assert self.reader.counters.damaged == 0
        return frames

    def receive(self, data: bytes) -> list[Frame]:
        self.library.ecg_edge_receive(self.library.harness_edge(), data, len(data))
        return self.taken()

    def ask(self, kind: int, payload: bytes = b"", *, flags: int = 0, boot: int | None = None) -> list[Frame]:
        self.seq = (self.seq + 1) & 0xFFFF
        frame = Frame(kind, payload, flags, self.boot if boot is None else boot, self.seq)
        return self.receive(encode_frame(frame))

    def start(self, model: int, mode: Mode, *, first: int = 0, skip: int = 0) -> list[Frame]:
        return self.ask(FrameType.START, Start(model, mode, first, skip).pack())

    def samples(self, index: int, samples_uv: NDArray[np.int16], *, flags: int = 0) -> list[Frame]:
        return self.ask(FrameType.SAMPLES, Samples(index, samples_uv.reshape(-1)).pack(), flags=flags)

    def end(self, index: int) -> list[Frame]:
        return self.ask(FrameType.END, Index(index).pack())

    def poll(self, last_index: int) -> list[Frame]:
        return self.ask(FrameType.POLL, Index(last_index).pack())

    def stats(self) -> Stats:
        (frame,) = self.ask(FrameType.STATS)
        return Stats.unpack(frame.payload)

    def send_all(self, samples_uv: NDArray[np.int16], *, first: int = 0, per_frame: int = 30) -> list[Frame]:
        """(n, leads) samples in frames -> everything answered."""
        answers = []
        for at in range(0, len(samples_uv), per_frame):
            answers += self.samples((first + at) & 0xFFFFFFFF, samples_uv[at : at + per_frame])
        return answers


@pytest.fixture(scope="session")
def core_library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("toy")
    library = build_library(toy_image(folder), HARNESS, *CORE, include=folder)
    library.harness_output.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.harness_clock.argtypes = [ctypes.c_uint32, ctypes.c_uint32]
    library.harness_taken.restype = library.harness_edge_bytes.restype = ctypes.c_size_t
    library.harness_edge.restype = library.harness_config.restype = ctypes.c_void_p
    library.ecg_edge_receive.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.ecg_edge_sample.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p]
    library.ecg_edge_live.argtypes = [ctypes.c_void_p, ctypes.c_uint8]
    library.ecg_edge_lost.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.ecg_edge_log.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_char_p]
    return library


@pytest.fixture
def core(core_library: ctypes.CDLL) -> Iterator[Core]:
    """A core that has booted and said HELLO; whatever a test breaks is mended after it."""
    answers = (ctypes.c_int8 * 12).in_dll(core_library, "toy_answers")
    kept = bytes(answers)
    core_library.harness_clock(0, 0)
    core_library.harness_config()
    core = Core(core_library)
    core.start_up()
    yield core
    ctypes.memmove(answers, kept, len(kept))
    ctypes.c_int.in_dll(core_library, "toy_status").value = 0
    ctypes.c_uint32.in_dll(core_library, "toy_late").value = 0


def signal(n: int, leads: int = 1, seed: int = 0) -> NDArray[np.int16]:
    """(n, leads): lively, in range, nowhere flat."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 400, (n, leads)) + 3000 * np.sin(np.arange(n) / 50)[:, None]).astype(np.int16)


def kinds(frames: list[Frame]) -> list[str]:
    return [FrameType(f.type).name for f in frames]


def results(frames: list[Frame]) -> list[Result]:
    return [Result.unpack(f.payload) for f in frames if f.type == FrameType.RESULT]


def verdicts(frames: list[Frame], first: int = 0) -> list[Verdict]:
    """What RESULTs say, with indices as if the stream had begun at 0."""
    return [
        Verdict((r.last_index - first) & 0xFFFFFFFF, r.verdict, r.state, r.scores.tolist()) for r in results(frames)
    ]


def credit(frames: list[Frame]) -> Credit:
    assert frames[-1].type == FrameType.CREDIT
    return Credit.unpack(frames[-1].payload)


def error(frames: list[Frame]) -> tuple[ErrorCode, int]:
    """The one ERROR that is the whole answer: code and detail."""
    assert kinds(frames) == ["ERROR"]
    report = ErrorReport.unpack(frames[0].payload)
    return ErrorCode(report.code), report.detail


# ---- boot ----------------------------------------------------------------------------------------------------------


def test_a_board_says_hello_once_for_each_model_when_it_boots(core: Core) -> None:
    frames = core.start_up(boot=0x4321)
    assert kinds(frames) == ["HELLO"] * 3
    assert [f.boot for f in frames] == [0x4321] * 3
    assert [f.seq for f in frames] == [0, 1, 2]
    hellos = [Hello.unpack(f.payload) for f in frames]
    for number, (hello, toy) in enumerate(zip(hellos, TOYS, strict=True)):
        assert (hello.name, hello.window, hello.hop, hello.leads) == (toy.name, toy.window, toy.hop, toy.leads)
        assert (hello.model_index, hello.model_count, hello.classes, hello.streams) == (number, 3, CLASSES, toy.streams)
        assert (hello.delay, hello.history) == (PREPARE.delay, PREPARE.history)
        assert (hello.board, hello.engine_version, hello.engine, hello.selftest) == ("a toy board", "toy 1", 2, 1)
        assert hello.sha256 == f"{number + 1:02x}0203" + "00" * 29
        assert hello.credit_samples == 256 // toy.leads
        assert (hello.fs_hz, hello.in_scale, hello.in_zero, hello.out_scale) == (250, 1 / 64, -4, 1 / 256)
        assert (hello.out_zero, hello.arena_used, hello.firmware) == (-128, 0, (0, 1, 0))


def test_hello_is_answered_whatever_boot_the_host_believes_in(core: Core) -> None:
    for boot in (0, BOOT, 0x9999):
        assert kinds(core.ask(FrameType.HELLO, boot=boot)) == ["HELLO"] * 3


def test_a_boot_of_zero_is_never_used(core: Core) -> None:
    assert core.start_up(boot=0)[0].boot == 1


@pytest.mark.parametrize("kind", [FrameType.START, FrameType.SAMPLES, FrameType.END, FrameType.POLL, FrameType.STATS])
def test_a_request_from_before_a_reset_is_refused(core: Core, kind: FrameType) -> None:
    assert error(core.ask(kind, bytes(12), boot=0x1111)) == (ErrorCode.STALE_BOOT, 0x1111)


# ---- self-test -----------------------------------------------------------------------------------------------------


def spoil_answer(core: Core, at: int) -> None:
    (ctypes.c_int8 * 12).in_dll(core.library, "toy_answers")[at] ^= 1


def test_the_self_test_passes_and_may_be_asked_for_again(core: Core) -> None:
    report = SelfTest.unpack(core.ask(FrameType.SELFTEST)[0].payload)
    assert (report.passed, report.ran, report.first_failed, report.expected.size) == (True, 3, None, 0)
    assert core.status == 0


@pytest.mark.parametrize("at", range(12))
def test_one_bit_of_a_known_answer_makes_a_board_refuse_to_classify(core: Core, at: int) -> None:
    spoil_answer(core, at)
    hellos = [Hello.unpack(f.payload) for f in core.start_up()]
    assert core.status == -7
    assert [h.selftest for h in hellos] == [2 if number == at // 4 else 1 for number in range(3)]
    for model in range(3):
        assert error(core.start(model, Mode.STREAM)) == (ErrorCode.SELFTEST_FAILED, 1)
    report = SelfTest.unpack(core.ask(FrameType.SELFTEST)[0].payload)
    assert (report.passed, report.ran, report.first_failed, report.model) == (False, 3, at // 4, at // 4)
    assert np.flatnonzero(report.expected != report.got).tolist() == [at % 4]
    assert error(core.samples(0, signal(4))) == (ErrorCode.NOT_STARTED, 0)
    assert core.library.ecg_edge_live(core.library.harness_edge(), 0) == -7
    assert core.stats().results == 0


def test_an_engine_that_fails_fails_the_self_test(core: Core) -> None:
    ctypes.c_int.in_dll(core.library, "toy_status").value = -5
    hellos = [Hello.unpack(f.payload) for f in core.start_up()]
    assert [h.selftest for h in hellos] == [1, 2, 1]


def test_a_self_test_ends_the_stream(core: Core) -> None:
    core.start(0, Mode.STREAM)
    core.samples(0, signal(10))
    core.ask(FrameType.SELFTEST)
    assert error(core.samples(10, signal(4))) == (ErrorCode.NOT_STARTED, 10)


# ---- windows and streams -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", range(3))
@pytest.mark.parametrize("per_frame", [1, 7, 63])
def test_an_isolated_window_is_its_samples_pushed_and_ended(core: Core, model: int, per_frame: int) -> None:
    toy = TOYS[model]
    samples = signal(64, toy.leads, seed=model)
    first = 5000
    frames = core.start(model, Mode.WINDOW, first=first)
    assert credit(frames) == Credit(first, min(256 // toy.leads, 64))
    frames = core.send_all(samples, first=first, per_frame=per_frame)
    assert set(kinds(frames)) == {"CREDIT"}
    assert credit(frames) == Credit(first + 64, 0)
    frames = core.end(first + 64)
    assert kinds(frames) == ["RESULT", "CREDIT"]
    assert verdicts(frames, first) == expected_verdicts(toy, samples)
    assert results(frames)[0].model == model


@pytest.mark.parametrize("model", range(3))
@pytest.mark.parametrize("n", [64, 65, 81, 500])
def test_a_stream_gives_every_window_when_it_falls_due(core: Core, model: int, n: int) -> None:
    toy = TOYS[model]
    samples = signal(n, toy.leads, seed=n)
    core.start(model, Mode.STREAM)
    during = core.send_all(samples, per_frame=17)
    after = core.end(n)
    assert verdicts(during + after) == expected_verdicts(toy, samples)
    for r in results(during):  # only the last windows needed the end
        assert r.last_index + PREPARE.delay < n
    assert credit(after) == Credit(n, 0)


def test_a_short_stream_ends_without_a_verdict(core: Core) -> None:
    core.start(0, Mode.STREAM)
    core.send_all(signal(20))
    assert kinds(core.end(20)) == ["CREDIT"]
    core.start(0, Mode.STREAM)
    assert kinds(core.end(0)) == ["CREDIT"]


def test_windows_one_after_another_do_not_influence_each_other(core: Core) -> None:
    wild = np.where(np.arange(64) % 2, 32767, -32768).astype(np.int16)[:, None]
    calm = signal(64)
    for number, samples in enumerate([calm, wild, calm]):
        first = 64 * number
        core.start(0, Mode.WINDOW, first=first)
        core.send_all(samples, first=first)
        frames = core.end(first + 64)
        assert verdicts(frames, first) == expected_verdicts(STREAM, samples)


@pytest.mark.parametrize("model", range(3))
@pytest.mark.parametrize("first", [0xFFFFFFFF - 40, 0xFFFFFFFF - 300, 0x7FFFFFFF - 100])
def test_indices_wrap(core: Core, model: int, first: int) -> None:
    toy = TOYS[model]
    samples = signal(500, toy.leads, seed=9)
    core.start(model, Mode.STREAM, first=first)
    frames = core.send_all(samples, first=first, per_frame=29)
    frames += core.samples((first + 450) & 0xFFFFFFFF, samples[450:480])  # a repeat across the wrap
    frames += core.end((first + 500) & 0xFFFFFFFF)
    assert verdicts(frames, first) == expected_verdicts(toy, samples)
    assert credit(frames).next_index == (first + 500) & 0xFFFFFFFF
    assert core.stats().duplicates == 1


@pytest.mark.parametrize("model", range(3))
def test_a_replay_after_a_reset_gives_the_bits_of_a_stream_never_interrupted(core: Core, model: int) -> None:
    toy = TOYS[model]
    samples = signal(700, toy.leads, seed=4)
    samples[150:260] = samples[150]  # a flat line whose end the replay must know of
    whole = expected_verdicts(toy, samples)
    for number, verdict in enumerate(whole):
        s = number * toy.hop
        first = max(0, s - PREPARE.history)
        core.start_up(boot=100 + number)
        core.start(model, Mode.STREAM, first=first, skip=s - first)
        frames = core.send_all(samples[first:], first=first, per_frame=50)
        frames += core.end(700)
        assert verdicts(frames) == whole[number:], f"replayed from window {number}, {verdict}"


# ---- states --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "state", "whole_frame"), [(1, State.GAP, False), (2, State.LEAD_OFF, True), (4, State.CLIPPED, True)]
)
def test_a_flagged_frame_makes_the_windows_it_touches_abstain(
    core: Core, flag: int, state: State, whole_frame: bool
) -> None:
    samples, states = signal(600), np.zeros(600, np.uint8)
    states[300 : 320 if whole_frame else 301] = state
    core.start(0, Mode.STREAM)
    frames = core.send_all(samples[:300])
    frames += core.samples(300, samples[300:320], flags=flag)
    frames += core.send_all(samples[320:], first=320)
    frames += core.end(600)
    expected = expected_verdicts(STREAM, samples, states)
    assert verdicts(frames) == expected
    assert {(v.state, v.verdict) for v in expected if v.state} == {(state, 255)}


def test_flat_and_clipped_samples_are_noticed_by_the_board_itself(core: Core) -> None:
    samples = signal(900, 2, seed=8)
    samples[200:300, 1] = 12
    samples[600, 0] = 32767
    core.start(1, Mode.STREAM)
    frames = core.send_all(samples) + core.end(900)
    assert verdicts(frames) == expected_verdicts(KEPT, samples)
    assert {v.state for v in verdicts(frames)} == {State.OK, State.FLAT, State.CLIPPED}


# ---- wrong orders and repeats --------------------------------------------------------------------------------------


def test_samples_end_before_start_are_refused(core: Core) -> None:
    assert error(core.samples(0, signal(4))) == (ErrorCode.NOT_STARTED, 0)
    assert error(core.end(0)) == (ErrorCode.NOT_STARTED, 0)
    assert credit(core.poll(NO_INDEX)) == Credit(0, 0)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (Start(3, Mode.WINDOW, 0).pack(), (ErrorCode.BAD_MODEL, 3)),
        (Start(255, Mode.STREAM, 0).pack(), (ErrorCode.BAD_MODEL, 3)),
        (Start(0, 2, 0).pack(), (ErrorCode.BAD_MODE, 2)),
        (Start(0, Mode.WINDOW, 0, skip=1).pack(), (ErrorCode.BAD_MODE, 0)),
    ],
)
def test_a_refused_start_changes_nothing(core: Core, payload: bytes, expected: tuple[ErrorCode, int]) -> None:
    samples = signal(64)
    core.start(0, Mode.WINDOW)
    core.send_all(samples[:40])
    assert error(core.ask(FrameType.START, payload)) == expected
    core.send_all(samples[40:], first=40)
    assert verdicts(core.end(64)) == expected_verdicts(STREAM, samples)


def test_a_jump_ahead_takes_nothing_and_names_the_index_wanted(core: Core) -> None:
    samples = signal(200)
    core.start(0, Mode.STREAM)
    frames = core.send_all(samples[:50])
    assert error(core.samples(80, samples[80:100])) == (ErrorCode.INDEX_GAP, 50)
    assert error(core.end(200)) == (ErrorCode.INDEX_GAP, 50)
    frames += core.send_all(samples[50:], first=50) + core.end(200)
    assert verdicts(frames) == expected_verdicts(STREAM, samples)
    assert core.stats().gaps == 2


def test_samples_that_the_board_had_already_are_skipped(core: Core) -> None:
    samples = signal(300, 2)
    core.start(1, Mode.STREAM)
    frames = []
    for at in range(0, 300, 20):
        frames += core.samples(max(0, at - 30), samples[max(0, at - 30) : at + 20])
        frames += core.samples(at, samples[at : at + 20])
    frames += core.end(300)
    assert verdicts(frames) == expected_verdicts(KEPT, samples)
    assert core.stats().duplicates == 15 + 14


def test_a_gap_flag_on_samples_already_had_does_not_move_the_gap(core: Core) -> None:
    samples, states = signal(400), np.zeros(400, np.uint8)
    states[100] = State.GAP
    core.start(0, Mode.STREAM)
    frames = core.send_all(samples[:100])
    frames += core.samples(100, samples[100:110], flags=1)
    frames += core.samples(100, samples[100:150], flags=1)  # the host repeats it, with more
    frames += core.send_all(samples[150:], first=150) + core.end(400)
    assert verdicts(frames) == expected_verdicts(STREAM, samples, states)


def test_a_window_takes_no_more_samples_than_it_has(core: Core) -> None:
    samples = signal(64)
    core.start(0, Mode.WINDOW)
    core.send_all(samples[:60])
    frames = core.samples(60, signal(5))
    assert error(frames) == (ErrorCode.BAD_LENGTH, 14)
    assert credit(core.samples(60, samples[60:])) == Credit(64, 0)
    assert error(core.samples(64, signal(1))) == (ErrorCode.BAD_LENGTH, 6)
    assert verdicts(core.end(64)) == expected_verdicts(STREAM, samples)


def test_an_end_before_the_window_is_whole_is_refused_and_may_come_later(core: Core) -> None:
    samples = signal(64)
    core.start(0, Mode.WINDOW)
    core.send_all(samples[:63])
    assert error(core.end(63)) == (ErrorCode.INCOMPLETE, 63)
    core.send_all(samples[63:], first=63)
    assert verdicts(core.end(64)) == expected_verdicts(STREAM, samples)


def test_a_repeated_end_gives_its_results_again(core: Core) -> None:
    samples = signal(112)  # two windows fall due during the flush
    core.start(0, Mode.STREAM)
    core.send_all(samples)
    first = core.end(112)
    assert kinds(first) == ["RESULT", "RESULT", "CREDIT"]
    again = core.end(112)
    assert [f.payload for f in again] == [f.payload for f in first]
    stats = core.stats()
    assert (stats.results, stats.duplicates) == (4, 1)
    assert kinds(core.end(60)) == ["CREDIT"]  # a late one of before
    assert error(core.end(113)) == (ErrorCode.NOT_STARTED, 112)


def test_samples_after_the_end_want_a_start_unless_they_are_repeats(core: Core) -> None:
    samples = signal(64)
    core.start(0, Mode.WINDOW, first=640)
    core.send_all(samples, first=640)
    core.end(704)
    assert credit(core.samples(694, samples[54:])) == Credit(704, 0)
    # So a START that was lost between two windows shows itself.
    assert error(core.samples(704, samples[:10])) == (ErrorCode.NOT_STARTED, 704)
    assert error(core.samples(700, samples[:10])) == (ErrorCode.NOT_STARTED, 704)


def test_a_repeated_start_begins_again(core: Core) -> None:
    samples = signal(64)
    core.start(0, Mode.WINDOW)
    core.send_all(signal(30, seed=77))
    core.start(0, Mode.WINDOW)
    core.send_all(samples)
    assert verdicts(core.end(64)) == expected_verdicts(STREAM, samples)


# ---- kept results --------------------------------------------------------------------------------------------------


def test_the_last_four_results_can_be_asked_for_again(core: Core) -> None:
    samples = signal(64 + 16 * 6)
    core.start(0, Mode.STREAM)
    sent = [f for f in core.send_all(samples) + core.end(len(samples)) if f.type == FrameType.RESULT]
    assert len(sent) == 7
    for frame in sent[-4:]:
        again = core.poll(Result.unpack(frame.payload).last_index)
        assert kinds(again) == ["RESULT", "CREDIT"]
        assert again[0].payload == frame.payload
    for frame in sent[:3]:
        last_index = Result.unpack(frame.payload).last_index
        again = core.poll(last_index)
        assert kinds(again) == ["ERROR", "CREDIT"]
        assert error(again[:1]) == (ErrorCode.NO_RESULT, last_index)
    assert core.stats().results == 7


def test_results_outlive_a_start_further_on_but_not_one_that_begins_again(core: Core) -> None:
    core.start(0, Mode.WINDOW, first=0)
    core.send_all(signal(64))
    core.end(64)
    core.start(0, Mode.WINDOW, first=64)
    assert kinds(core.poll(63)) == ["RESULT", "CREDIT"]
    core.start(0, Mode.WINDOW, first=0)
    assert kinds(core.poll(63)) == ["ERROR", "CREDIT"]


# ---- engines that fail ---------------------------------------------------------------------------------------------


def test_an_engine_that_fails_is_reported_and_ends_the_stream(core: Core) -> None:
    samples = signal(64, 2)
    core.start(1, Mode.WINDOW)
    core.send_all(samples)
    ctypes.c_int.in_dll(core.library, "toy_status").value = -5
    assert error(core.end(64)) == (ErrorCode.ENGINE, 5)
    assert error(core.samples(64, samples[:2])) == (ErrorCode.NOT_STARTED, 64)
    ctypes.c_int.in_dll(core.library, "toy_status").value = 0
    core.start(1, Mode.WINDOW)
    core.send_all(samples)
    assert verdicts(core.end(64)) == expected_verdicts(KEPT, samples)


def test_an_engine_that_judges_at_another_column_is_not_believed(core: Core) -> None:
    core.start(0, Mode.WINDOW)
    core.send_all(signal(64))
    ctypes.c_uint32.in_dll(core.library, "toy_late").value = 1
    assert error(core.end(64)) == (ErrorCode.ENGINE, 5)


# ---- times, credit, counters ---------------------------------------------------------------------------------------


def test_times_are_those_of_the_board_and_add_up_over_the_columns_waited_for(core: Core) -> None:
    core.library.harness_clock(0xFFFFFF00, 3)  # every look at the clock takes 3 us, and it wraps
    core.start(0, Mode.STREAM)
    frames = core.send_all(signal(64 + 16)) + core.end(64 + 16)
    first, second = results(frames)
    assert (first.prepare_us, first.inference_us) == (3 * (64 + PREPARE.delay), 3 * 64)
    assert (second.prepare_us, second.inference_us) == (3 * 16, 3 * 16)


def test_times_of_skipped_columns_do_not_count(core: Core) -> None:
    core.library.harness_clock(0, 5)
    core.start(0, Mode.STREAM, first=0, skip=30)
    (result,) = results(core.send_all(signal(94)) + core.end(94))
    assert result.last_index == 93
    assert (result.prepare_us, result.inference_us) == (5 * 64, 5 * 64)


def test_credit_of_a_window_is_what_it_still_needs(core: Core) -> None:
    core.library.harness_config()
    ctypes.c_uint16.from_address(core.library.harness_config() + CREDIT_AT).value = 40
    core.start_up()
    assert credit(core.start(0, Mode.WINDOW)) == Credit(0, 40)
    assert credit(core.samples(0, signal(30))) == Credit(30, 34)
    assert credit(core.start(1, Mode.STREAM)) == Credit(0, 20)


CREDIT_AT = 4 * 8 + 8 + 4  # offset of credit_samples in ecg_edge_config_t on this machine


def test_statistics_count_what_happened(core: Core) -> None:
    core.library.harness_clock(0, 0)
    core.start_up()
    hello = core.ask(FrameType.HELLO)
    core.receive(b"\0\x05abc\0" + b"\x03ab\0" + b"\x02" * 300 + b"\0")
    damaged = bytearray(encode_frame(Frame(FrameType.STATS, b"", 0, BOOT, 1)))
    damaged[2] ^= 64  # its type: no code byte of COBS
    core.receive(bytes(damaged))
    core.library.harness_clock(2_500_700, 0)
    stats = core.stats()
    assert (stats.frames_in, stats.frames_out) == (2, 3 + len(hello))
    assert (stats.crc_errors, stats.cobs_errors, stats.length_errors) == (1, 1, 2)
    assert stats.uptime_ms == 2500
    again = core.stats()
    assert (again.frames_out, again.bytes_out - stats.bytes_out) == (7, 48 + 13 + 2)


def test_uptime_survives_the_wrap_of_its_clock(core: Core) -> None:
    for now in range(0, 3 * 2**32, 2**31):
        core.library.harness_clock(now & 0xFFFFFFFF, 0)
        stats = core.stats()
    assert stats.uptime_ms == (5 * 2**31) // 1000


# ---- wrong frames --------------------------------------------------------------------------------------------------

RIGHT_LENGTHS = {
    FrameType.HELLO: {0}, FrameType.START: {12}, FrameType.END: {4}, FrameType.POLL: {4}, FrameType.SELFTEST: {0},
    FrameType.STATS: {0}, FrameType.SAMPLES: set(range(6, 257, 2)),
}  # fmt: skip


@pytest.mark.parametrize("running", [False, True])
def test_every_type_with_every_wrong_length_is_refused(core: Core, running: bool) -> None:
    for kind, right in RIGHT_LENGTHS.items():
        for length in set(range(257)) - right:
            if running:
                core.start(0, Mode.STREAM)
            code, detail = error(core.ask(kind, bytes(length)))
            if kind == FrameType.SAMPLES and not running and length > 4:
                assert code == ErrorCode.NOT_STARTED
            else:
                assert (code, detail) == (ErrorCode.BAD_LENGTH, length)


def test_types_of_later_versions_are_refused_by_name(core: Core) -> None:
    for kind in (0, FrameType.BEAT, FrameType.PROFILE, 14, 200, 255):
        for length in (0, 8, 256):
            assert error(core.ask(kind, bytes(length))) == (ErrorCode.UNSUPPORTED, kind)


def test_another_protocol_version_is_refused(core: Core) -> None:
    body = bytes((2, FrameType.HELLO, 0, 0, 0, 7, 0, 0, 0))
    frames = core.receive(cobs_encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0")
    assert error(frames) == (ErrorCode.BAD_VERSION, 2)


def test_an_error_names_the_frame_it_answers(core: Core) -> None:
    core.seq = 0xBEEE
    report = ErrorReport.unpack(core.samples(0, signal(4))[0].payload)
    assert (report.type, report.seq) == (FrameType.SAMPLES, 0xBEEF)


def test_an_echoed_answer_is_never_answered(core: Core) -> None:
    for kind in (FrameType.RESULT, FrameType.CREDIT, FrameType.LOG, FrameType.ERROR):
        for boot in (BOOT, 7):
            assert core.ask(kind, bytes(8), boot=boot) == []
    echo = core.ask(FrameType.HELLO)
    for _ in range(5):  # a line that echoes everything comes to rest
        echo = [f for frame in echo for f in core.receive(encode_frame(frame))]
    assert echo == []


def test_a_zero_byte_resynchronises(core: Core) -> None:
    half = encode_frame(Frame(FrameType.STATS, b"", 0, BOOT, 1))[:-3]
    assert core.receive(half) == []
    assert kinds(core.receive(b"\0" + encode_frame(Frame(FrameType.STATS, b"", 0, BOOT, 1)))) == ["STATS"]


# ---- the board's own samples ---------------------------------------------------------------------------------------


def test_a_live_board_sends_the_verdicts_of_its_own_samples(core: Core) -> None:
    samples = signal(300, 2)
    edge, due, frames = core.library.harness_edge(), ctypes.c_bool(), []
    assert core.library.ecg_edge_sample(edge, samples.ctypes.data, 0, ctypes.byref(due)) == -6
    assert core.library.ecg_edge_live(edge, 1) == 0
    for sample in samples:
        row = np.ascontiguousarray(sample)
        assert core.library.ecg_edge_sample(edge, row.ctypes.data, 0, ctypes.byref(due)) == 0
        answer = core.taken()
        assert kinds(answer) == (["RESULT"] if due.value else [])
        frames += answer
    expected = [v for v in expected_verdicts(KEPT, samples) if v.last_index + PREPARE.delay < 300]
    assert verdicts(frames) == expected
    assert error(core.samples(300, samples[:2])) == (ErrorCode.NOT_STARTED, 300)
    core.start(0, Mode.WINDOW)  # the host takes over
    assert core.library.ecg_edge_sample(edge, samples.ctypes.data, 0, None) == -6


def test_lost_live_samples_are_counted_reported_and_make_the_next_windows_abstain(core: Core) -> None:
    samples = signal(100)
    edge = core.library.harness_edge()
    core.library.ecg_edge_live(edge, 0)
    frames = []
    for number, sample in enumerate(samples):
        if number == 50:
            core.library.ecg_edge_lost(edge, 12)
            assert error(core.taken()) == (ErrorCode.OVERRUN, 12)
        core.library.ecg_edge_sample(edge, np.ascontiguousarray(sample).ctypes.data, 0, None)
        frames += core.taken()
    assert {r.state for r in results(frames)} == {State.GAP}
    assert core.stats().overruns == 12


def test_logs_are_frames_and_are_cut_to_one(core: Core) -> None:
    core.library.ecg_edge_log(core.library.harness_edge(), 2, b"x" * 400)
    (frame,) = core.taken()
    assert (frame.type, frame.payload) == (FrameType.LOG, b"\x02" + b"x" * 255)


# ---- size ----------------------------------------------------------------------------------------------------------


def test_the_core_keeps_to_its_ram(core: Core) -> None:
    # 4 KB in all for one lead, 1,068 bytes of it the lead's rings; pointers are twice as wide here as on a board.
    assert core.library.harness_edge_bytes() + 1068 <= 4096
