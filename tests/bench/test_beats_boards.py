"""`ecg-edge bench` with a model of beats: boards of this host, beat for beat. No hardware needed."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_edge.bench.beat_source import synthetic_recording
from ecg_edge.bench.beats_run import BeatsOrder, run_beats
from ecg_edge.bench.board import open_board
from ecg_edge.bench.source import Progress
from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device import Device
from ecg_edge.device.beats import BeatAnswer
from ecg_edge.report.bench_beats import beats_text
from ecg_edge.signal.record import Record, write_csv_record, write_wfdb
from ecg_edge.signal.synth import balanced_labels, synthesize

AAMI = Bundle.load("aami")
FS_HZ = AAMI.manifest.fs_hz

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: virtual boards are not tried"),
]
needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="no tflite-micro wheel: virtual:tflm is not tried"
)


def bench(*args: object) -> Any:
    return CliRunner().invoke(make_app(), ["bench", *map(str, args)])


def a_signal() -> NDArray[np.int16]:
    """A minute of five people, clipped in one place and flat in another."""
    parts = synthesize(balanced_labels(1), seed=3, length=12 * FS_HZ, fs_hz=FS_HZ)
    x: NDArray[np.int16] = np.concatenate([part.samples_uv.reshape(-1) for part in parts])
    x[4000:4003] = 32767
    x[9000:9900] = 40
    return x


@pytest.mark.parametrize("url", ["virtual:native", pytest.param("virtual:tflm", marks=needs_wheel)])
def test_every_beat_of_a_record_is_that_of_the_golden_model(url: str, tmp_path: Path) -> None:
    write_wfdb(tmp_path, [Record("r", FS_HZ, "I", a_signal())])
    np.memmap(tmp_path / "r.dat", "<i2", "r+")[12_000:12_040] = -32768  # no sample
    done = bench("aami", "--device", url, "--record", tmp_path / "r", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    beats = report["beats"]
    assert beats["golden"] == beats["device"] == beats["identical"] > 50
    assert report["answers"]["golden"] == report["answers"]["device"]
    assert min(report["states"][name] for name in ("clipped", "flat", "gap")) > 0
    assert report["answers"]["device"]["abstained"] > 3
    assert report["device"]["note"] == "virtual board on this host: not hardware"
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert "not hardware" in (tmp_path / "out" / "report.html").read_text()


class _Quiet:
    """Steps that nobody watches."""

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        yield lambda done, total: None


class _Spoilt:
    """A device that leaves a beat out, moves one, and scores one differently."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def beats(self, *args: Any) -> Iterator[BeatAnswer]:
        for number, answer in enumerate(self._device.beats(*args)):
            if number == 3:
                yield replace(answer, at=answer.at + 1)
            elif number == 5:
                yield replace(answer, scores=answer.scores + np.int8(1))
            elif number != 4:
                yield answer


@contextmanager
def spoilt_board(url: str, bundle: Bundle) -> Iterator[Any]:
    with open_board(url, bundle) as device:
        yield _Spoilt(device)


def test_a_device_that_differs_fails_and_the_report_says_where() -> None:
    def recording(progress: Progress) -> Any:
        return synthetic_recording(AAMI.manifest, 2, seed=1, snr_db=(20, 20), progress=progress)

    order = BeatsOrder(AAMI, "virtual:native", recording, "test")
    run, report = run_beats(order, _Quiet(), open_board=spoilt_board)
    golden = len(run.golden.at)
    assert not report["verdict"]["passed"]
    assert report["beats"] == {
        "golden": golden,
        "device": golden - 1,
        "identical": golden - 3,
        "missing": 2,
        "extra": 1,
        "differing": {"rr": 0, "state": 0, "scores": 1, "verdict": 0},
    }
    third = int(run.golden.at[3])
    assert [beat["at"] for beat in report["examples"]["beats"]] == sorted(
        [third, third + 1, *run.golden.at[[4, 5]].tolist()]
    )
    assert report["examples"]["beats"][1]["golden"] is None
    text = beats_text(report)
    assert text.startswith(f"FAIL  The device does not answer what the model answers: of {golden} beats {golden - 3}")
    assert text.count("no beat") == 3


def test_synthetic_people_are_asked_about_where_no_record_is_given() -> None:
    done = bench("aami", "--synthetic", 1, "--seed", 4, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["source"]["text"].startswith("synthetic ECG of 1 person, 12 s each")
    assert report["beats"]["identical"] > 8


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--host-engine"], "aami takes beats, and --host-engine is for"),
        (["--npz", "x.npz"], "aami takes beats, and --npz is for"),
        (["--synthetic", "0"], "0 synthetic people are too few"),
        (["--seed", "-1"], "seed -1"),
        (["--record", "nowhere/100"], "nowhere/100"),
    ],
)
def test_bad_input_exits_2_with_one_line_that_names_it(args: list[str], said: str) -> None:
    done = bench("aami", *args)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_recording_without_a_heartbeat_is_refused(tmp_path: Path) -> None:
    write_csv_record(tmp_path / "r.csv", [Record("r", FS_HZ, "I", np.zeros(2000, np.int16))])
    done = bench("aami", "--record", tmp_path / "r.csv")
    assert done.exit_code == 2
    assert "no heartbeat is found in it" in done.stderr
