"""The application core answers what it must refuse, repeat or count as PROTOCOL.md says."""

from __future__ import annotations

import ctypes
import zlib

import numpy as np
import pytest
from core_bench import BOOT, Core, credit, error, kinds, results, signal, verdicts
from toy import PREPARE, TOYS, expected_verdicts

from ecg_edge.device.frame import Frame, FrameType, cobs_encode, encode_frame
from ecg_edge.device.messages import NO_INDEX, Credit, ErrorCode, ErrorReport, Mode, Result, Start
from ecg_edge.signal.prepare import State

STREAM, KEPT, _ = TOYS
CREDIT_AT = 4 * 8 + 8 + 4  # offset of credit_samples in ecg_edge_config_t on this machine

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
    for kind in (0, FrameType.PROFILE, 14, 200, 255):
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
    for kind in (FrameType.RESULT, FrameType.CREDIT, FrameType.BEAT, FrameType.LOG, FrameType.ERROR):
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
