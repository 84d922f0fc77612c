"""The application core classifies as PROTOCOL.md says: boot, self-test, windows, streams, replay, states, live."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from core_bench import BOOT, Core, credit, error, kinds, results, signal, verdicts
from numpy.typing import NDArray
from toy import CLASSES, PREPARE, TOYS, expected_verdicts

from ecg_edge import __version__
from ecg_edge.device.frame import Frame, FrameType
from ecg_edge.device.messages import NO_INDEX, Credit, ErrorCode, Hello, Mode, Samples, SelfTest
from ecg_edge.signal.prepare import State

STREAM, KEPT, _ = TOYS

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


def test_the_firmware_has_the_version_of_the_package(core: Core) -> None:
    hello = Hello.unpack(core.ask(FrameType.HELLO)[0].payload)
    assert ".".join(map(str, hello.firmware)) == __version__


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


@pytest.mark.parametrize(
    ("status", "words"),
    [(-2, b"self-test: the engine has too little memory"), (-5, b"self-test: the engine failed")],
)
def test_an_engine_that_fails_fails_the_self_test_and_the_board_says_why(core: Core, status: int, words: bytes) -> None:
    ctypes.c_int.in_dll(core.library, "toy_status").value = status
    for frames in (core.start_up(), core.ask(FrameType.HELLO)):
        *hellos, log = frames
        assert [Hello.unpack(f.payload).selftest for f in hellos] == [1, 2, 1]
        assert (log.type, log.payload) == (FrameType.LOG, b"\x03" + words)


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


def push(core: Core, samples: NDArray[np.int16], flags: int = 0) -> list[Frame]:
    """Samples of the board's own, (n, leads) -> what it sends."""
    for sample in samples:
        row = np.ascontiguousarray(sample)
        assert core.library.ecg_edge_sample(core.library.harness_edge(), row.ctypes.data, flags, None) == 0
    return core.taken()


def own(frames: list[Frame]) -> list[tuple[int, int, list[int]]]:
    """(index, flags, values) of each SAMPLES."""
    assert {f.type for f in frames} <= {FrameType.SAMPLES}
    found = ((Samples.unpack(f.payload), f.flags) for f in frames)
    return [(samples.index, flags, samples.values.tolist()) for samples, flags in found]


def test_a_live_board_sends_its_own_samples_where_the_host_asks_for_them(core: Core) -> None:
    samples = signal(30, 2)
    assert error(core.start(1, Mode.OWN)) == (ErrorCode.BAD_MODE, 2)  # it has none
    core.library.ecg_edge_live(core.library.harness_edge(), 1)
    assert error(core.start(1, Mode.OWN, skip=1)) == (ErrorCode.BAD_MODE, 2)
    assert credit(core.start(1, Mode.OWN, first=0xFFFFFFFC)) == Credit(0xFFFFFFFC, 0)
    found = own(push(core, samples))
    assert (
        found
        == [
            (0xFFFFFFFC, 0, samples[:12].reshape(-1).tolist()),  # 24 numbers a frame
            (8, 0, samples[12:24].reshape(-1).tolist()),
        ]
    )
    assert credit(core.poll(NO_INDEX)).next_index == 26
    assert credit(core.start(1, Mode.OWN, first=500)).next_index == 500  # anew: what waited is gone
    assert [index for index, _, _ in own(push(core, samples[:12]))] == [500]
    core.start(1, Mode.STREAM)
    assert core.library.ecg_edge_sample(core.library.harness_edge(), samples.ctypes.data, 0, None) == -6


def test_flags_and_losses_of_its_own_samples_part_frames(core: Core) -> None:
    samples = signal(60, 2)
    core.library.ecg_edge_live(core.library.harness_edge(), 1)
    core.start(1, Mode.OWN)
    assert [(at, flags) for at, flags, _ in own(push(core, samples[:5]) + push(core, samples[5:18], 2))] == [
        (0, 0),
        (5, 2),
    ]
    core.library.ecg_edge_lost(core.library.harness_edge(), 100)
    before, *reported = core.taken()
    assert own([before]) == [(17, 2, samples[17:18].reshape(-1).tolist())]
    assert error(reported) == (ErrorCode.OVERRUN, 100)
    assert own(push(core, samples[18:30])) == [(118, 1, samples[18:30].reshape(-1).tolist())]
    assert core.stats().overruns == 100


def test_logs_are_frames_and_are_cut_to_one(core: Core) -> None:
    core.library.ecg_edge_log(core.library.harness_edge(), 2, b"x" * 400)
    (frame,) = core.taken()
    assert (frame.type, frame.payload) == (FrameType.LOG, b"\x02" + b"x" * 255)
