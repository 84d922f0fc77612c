"""EC57 on what a board answered: the same tables as from the Python pipeline, gaps included."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ecg_edge.bench.beats import classify_beats
from ecg_edge.bench.beats_device import beats_board, device_beats
from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.signal.record import Annotations, Record, write_wfdb

FS_HZ = 250
SECONDS = 340


def write_heart(folder: Path, name: str, seed: int) -> None:
    """A heart that beats early now and then; some of its beats are wide, and one stretch is lost, one too high."""
    random = np.random.default_rng(seed)
    intervals = np.where(random.random(2 * SECONDS) < 0.1, 120, random.integers(190, 215, 2 * SECONDS))
    at = 200 + np.cumsum(intervals)
    at = at[at < SECONDS * FS_HZ - 200]
    kinds = np.where(np.diff(at, prepend=0) == 120, "V", "N")
    time = np.arange(SECONDS * FS_HZ)
    level = random.normal(0, 15, time.size)
    for beat, kind in zip(at.tolist(), kinds.tolist(), strict=True):
        near = slice(beat - 100, beat + 150)
        wide = 16 if kind == "V" else 8
        level[near] += (-1500 if kind == "V" else 1000) * np.clip(1 - np.abs(time[near] - beat) / wide, 0, None)
        level[near] += 250 * np.exp(-0.5 * ((time[near] - beat - 70) / 14) ** 2)
    level[320 * FS_HZ : 320 * FS_HZ + 40] = 32767
    samples = np.rint(level).clip(-32767, 32767).astype(np.int16)
    marks = Annotations(at, tuple(kinds.tolist()), ("",) * at.size)
    header = write_wfdb(folder, [Record(name, FS_HZ, "II", samples, annotations=marks)])
    signal = np.fromfile(header.with_suffix(".dat"), "<i2")
    signal[310 * FS_HZ : 312 * FS_HZ] = -32768  # WFDB's value where there is none
    signal.tofile(header.with_suffix(".dat"))


pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: no board's answers are judged"),
]


def test_the_tables_of_a_board_are_those_of_the_python_pipeline(tmp_path: Path) -> None:
    write_heart(tmp_path, "first", 1)
    write_heart(tmp_path, "second", 2)
    args = ["evaluate", "aami", "--protocol", "ec57", str(tmp_path), "--json"]
    ours, theirs = (json.loads(run(args + more)) for more in ([], ["--device", "virtual:native"]))
    assert theirs["device"]["engine"] == "native"
    assert "virtual board on this host: not hardware" in theirs["answered_by"]
    for report in (ours, theirs):
        del report["device"], report["answered_by"]
        for row in report["records"]:
            del row["took_s"]
    assert theirs == ours
    assert ours["qrs"]["gross"]["se"] > 0.8
    assert ours["coverage"]["abstained"] > 0  # about the gap, and about what is clipped
    assert ours["coverage"]["answered"] > 40


def test_a_beat_that_is_seen_behind_the_end_of_the_signal_is_taken_from_a_board_too() -> None:
    """The end is held, and its edge may look like a beat."""
    bundle = Bundle.load("aami")
    samples = np.random.default_rng(272).normal(0, 40, 1500).cumsum().astype(np.int16)
    ours = classify_beats(bundle, samples)
    assert ours.at[-1] >= samples.size
    with beats_board("virtual:native", bundle) as device:
        theirs = device_beats(device, samples).beats
    assert theirs.at.tolist() == ours.at.tolist()
    assert theirs.scores.tolist() == ours.scores.tolist()


def run(args: list[str]) -> str:
    result = CliRunner().invoke(make_app(), args)
    assert result.exit_code == 0, result.output
    return result.stdout
