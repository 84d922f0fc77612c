"""The emulated Cortex-M4 gives the golden model's bits: windows, streams with every state, records, extreme samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import m4_identity
import numpy as np
import pytest
from board_bench import Reference
from m4 import board_cache, export_for_m4
from numpy.typing import NDArray

from ecg_edge.bench.answers import expect
from ecg_edge.bench.source import record_source, synthetic_source
from ecg_edge.bundle import Bundle
from ecg_edge.device.filerun import FileBoard, Mode
from ecg_edge.errors import DeviceError
from ecg_edge.signal.prepare import Prepare, prepare, window_states

pytestmark = pytest.mark.emulator
MINUTES = 3  # of each record; tools/m4_identity.py takes all of it


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture(scope="module")
def board(shipped: Bundle, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> FileBoard:
    return m4_identity.make_board(shipped, tmp_path_factory.mktemp("m4"), cache=cache)


def extreme_windows(length: int) -> NDArray[np.int16]:
    """(n, length, 1): noise at every scale up to the rails, steps, impulses, flat lines."""
    random = np.random.default_rng(5)
    scales = [1, 30, 300, 3000, 30000]
    noise = [np.clip(random.normal(0, scale, length), -32768, 32767) for scale in scales]
    rails = np.where(np.arange(length) // 100 % 2 == 0, 32767, -32768)
    impulse = np.zeros(length)
    impulse[length // 2] = 32767
    flat = np.full(length, -1234)
    late = np.where(np.arange(length) < length - 700, noise[2], 77)
    rows = [*noise, rails, -rails - 1, impulse, flat, late]
    windows: NDArray[np.int16] = np.stack(rows).astype(np.int16)[..., None]
    return windows


def test_windows_are_identical(shipped: Bundle, board: FileBoard) -> None:
    source = synthetic_source(shipped.manifest, 60, seed=3, snr_db=(0.0, 30.0), progress=lambda done, of: None)
    reply = m4_identity.ask(board, source)
    result = m4_identity.compare(shipped, source, reply)
    assert (result["windows"], result["identical_scores"], result["identical_states"]) == (60, 60, 60)
    assert reply.selftest_failed == 0


def test_a_comparison_counts_what_differs(shipped: Bundle, board: FileBoard) -> None:
    source = synthetic_source(shipped.manifest, 3, seed=4, snr_db=(12.0, 30.0), progress=lambda done, of: None)
    reply = m4_identity.ask(board, source)
    scores, states = reply.scores.copy(), reply.states.copy()
    scores[1] = np.roll(scores[1], 1)
    states[2] ^= 1
    result = m4_identity.compare(shipped, source, replace(reply, scores=scores, states=states))
    assert (result["identical_scores"], result["argmax_flips"], result["identical_states"]) == (2, 1, 2)


def test_extreme_windows_give_equal_columns_states_and_scores(shipped: Bundle, board: FileBoard) -> None:
    p = Prepare.from_manifest(shipped.manifest.prepare)
    windows = extreme_windows(shipped.manifest.window)
    columns = prepare(windows[..., 0], p)[..., None]
    states = window_states(windows[..., 0], p)
    assert len(set(states.tolist())) > 2
    prepared, whole, model = board.prepare(windows), board.windows(windows), board.model(columns)
    assert np.array_equal(prepared.columns, columns)
    assert np.array_equal(prepared.states, states)
    assert np.array_equal(whole.states, states)
    assert np.array_equal(whole.scores, model.scores)
    golden = [said.scores for said in Reference(shipped).windows(windows)]
    assert whole.scores.tolist() == golden


def test_a_stream_with_every_state_is_identical(shipped: Bundle, board: FileBoard) -> None:
    random = np.random.default_rng(6)
    n = 20_000
    samples = np.cumsum(random.normal(0, 30, n)).clip(-20000, 20000).astype(np.int16)
    samples[3000:4000] = 5
    samples[9000] = 32767
    flags = np.zeros(n, np.uint8)
    flags[6000], flags[12_000:12_100], flags[15_000] = 1, 2, 4
    reply = board.stream(samples[:, None], flags)
    expected = Reference(shipped).stream(samples[:, None], flags)
    assert {said.state for said in expected} == {0, 1, 2, 3, 4}
    assert reply.scores.tolist() == [said.scores for said in expected]
    assert reply.states.tolist() == [said.state for said in expected]
    assert reply.last_index.tolist() == [said.last_index for said in expected]


@pytest.mark.parametrize("name", m4_identity.RECORDS)
def test_the_first_minutes_of_a_real_record_are_identical(shipped: Bundle, board: FileBoard, name: str) -> None:
    path = m4_identity.data_folder() / "mitdb" / name
    if not path.with_suffix(".hea").is_file():
        # Like a board on the desk, recordings are not part of a clone: not even ECG_STRICT=1 can ask for them.
        pytest.skip(f"no {path}: MIT-BIH {name} is not compared on the Cortex-M4 (set ECG_EDGE_DATA)")
    m = shipped.manifest
    whole = record_source(m, path, lead=None, raw_uv=False)
    n = MINUTES * 60 * m.fs_hz
    starts = whole.starts[whole.starts + m.window <= n]
    source = replace(whole, signal_uv=whole.signal_uv[:n], clipped=whole.clipped[:n], starts=starts)
    result = m4_identity.compare(shipped, source, m4_identity.ask(board, source))
    assert result["windows"] == result["identical_scores"] == result["identical_states"] > 100


def test_other_models_are_identical_too(image: tuple[Bundle, ...], cache: Path, tmp_path: Path) -> None:
    """Two leads, no streaming, other quantization: each model of the conformance image by itself."""
    random = np.random.default_rng(7)
    for bundle in image:
        m = bundle.manifest
        firmware = export_for_m4(bundle, tmp_path / m.name)
        board = FileBoard(m4_identity.URL, firmware, m, cache=cache)
        windows = random.integers(-2000, 2000, (20, m.window, m.leads)).astype(np.int16)
        stream = random.integers(-2000, 2000, (m.window + 7 * m.hop + 3, m.leads)).astype(np.int16)
        reference = Reference(bundle)
        golden = reference.windows(windows), reference.stream(stream)
        replies = board.windows(windows), board.stream(stream, np.zeros(len(stream), np.uint8))
        for said, reply in zip(golden, replies, strict=True):
            assert reply.scores.tolist() == [one.scores for one in said]
            assert reply.states.tolist() == [one.state for one in said]


def test_instructions_are_counted_alike_every_time(shipped: Bundle, board: FileBoard) -> None:
    source = synthetic_source(shipped.manifest, 5, seed=8, snr_db=(12.0, 30.0), progress=lambda done, of: None)
    first, second = m4_identity.ask(board, source), m4_identity.ask(board, source)
    assert np.array_equal(first.instructions, second.instructions)
    assert first.selftest_instructions == second.selftest_instructions


def test_parts_cost_less_than_the_whole_and_all_use_little_stack(shipped: Bundle, board: FileBoard) -> None:
    source = synthetic_source(shipped.manifest, 4, seed=9, snr_db=(12.0, 30.0), progress=lambda done, of: None)
    counts = m4_identity.count_parts(board, source, expect(source, shipped.manifest))
    parts = counts["prepare"]["mean"] + counts["model"]["mean"]
    assert 100_000 < counts["prepare"]["mean"] < parts < counts["window"]["mean"] < 1.1 * parts
    assert 0 < counts["stack_bytes_used"] < 1024


def test_a_question_cut_short_is_one_line(board: FileBoard) -> None:
    with pytest.raises(DeviceError, match=r"file_main\.elf ended with status 13"):
        board._ask(Mode.WINDOWS, b"too short", 1)
