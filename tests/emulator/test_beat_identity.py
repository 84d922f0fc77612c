"""The emulated Cortex-M4 and the host program find and classify the beats that Python does, on real ECG."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import beat_identity
import numpy as np
import pytest
from board_rungs import missing
from m4 import board_cache
from m4_identity import data_folder, make_board

from ecg_edge.bench.beat_source import Recording
from ecg_edge.bench.beats import classify_beats
from ecg_edge.bench.beats_device import file_beats
from ecg_edge.bundle import Bundle
from ecg_edge.device.filerun import FileBoard
from ecg_edge.signal.prepare import State

pytestmark = pytest.mark.emulator
MINUTES = 1  # of each record; tools/beat_identity.py takes all of it, of all of DS1


@pytest.fixture(scope="module")
def aami() -> Bundle:
    return Bundle.load("aami")


@pytest.fixture(scope="module")
def board(aami: Bundle, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FileBoard:
    return make_board(aami, tmp_path_factory.mktemp("m4"), cache=board_cache(request))


def part_of(aami: Bundle, name: str) -> Recording:
    if not (data_folder() / "mitdb").is_dir():
        missing(f"no {data_folder() / 'mitdb'}: beats of boards are not compared on real ECG (ECG_EDGE_DATA)")
    return beat_identity.read_part(aami, name, MINUTES)


@pytest.mark.parametrize("name", ["119", "203", "208"])
def test_by_file_every_beat_of_a_record_is_identical(aami: Bundle, board: FileBoard, name: str) -> None:
    recording = part_of(aami, name)
    golden = classify_beats(aami, recording.samples_uv, recording.states)
    found, cost = beat_identity.ask_file(board, recording)
    result = beat_identity.compare(name, "file", golden, found)
    assert result["passed"]
    assert result["identical"] == result["beats"] > 50
    assert cost["selftest_failed"] == 0


def test_by_file_samples_that_are_bad_make_the_same_beats_abstain(aami: Bundle, board: FileBoard) -> None:
    recording = part_of(aami, "119")
    states = recording.states.copy()
    for at, state in ((3000, State.CLIPPED), (6000, State.LEAD_OFF), (9000, State.GAP)):
        states[at : at + 3] = state
    golden = classify_beats(aami, recording.samples_uv, states)
    found, _ = beat_identity.ask_file(board, replace(recording, states=states))
    assert beat_identity.compare("119", "file", golden, found)["passed"]
    assert {State.OK, State.CLIPPED, State.LEAD_OFF, State.GAP} <= set(found.state.tolist())


def test_a_signal_without_beats_has_no_answers(board: FileBoard) -> None:
    found = file_beats(board.stream(np.zeros((1000, 1), np.int16), np.zeros(1000, np.uint8)))
    assert len(found.at) == len(found.verdict) == 0


def test_the_tool_holds_host_file_and_uart_to_python(aami: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    part_of(aami, "119")
    report: dict[str, Any] = beat_identity.run(aami, ["119"], ["119"], 0.5)
    assert report["passed"]
    assert [row["board"] for row in report["results"]] == [
        "virtual:native, wire",
        "qemu:cortex-m4, file",
        "qemu:cortex-m4, UART",
    ]
    assert {total["identical"] for total in report["totals"].values()} == {report["results"][0]["beats"]}
    assert capsys.readouterr().out.count("beats identical, 0 missing, 0 extra") == 3


def test_a_record_that_is_not_there_fails(aami: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ECG_EDGE_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["beat_identity.py", "--records", "119", "--uart"])
    assert beat_identity.main() == 3
