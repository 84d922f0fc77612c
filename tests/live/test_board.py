"""A live board, end to end: the firmware as a process with a file for electrodes, to verdicts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from board_bench import Reference

from ecg_edge.bundle import Bundle
from ecg_edge.live.open import Wanted, open_source
from ecg_edge.live.run import Account, Moment, drive, run
from ecg_edge.live.source import first_samples, synthetic_chunks
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.runtime.numpy import NumpyBackend

SENSOR = "virtual:sensor"
COMMAND = [str(Path(sys.executable).with_name("ecg-edge")), "run", "ecg5", "--backend", "numpy", "--json"]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def take(self, moment: Moment, account: Account) -> None:
        self.moments.append(moment)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.emulator
def test_a_virtual_board_samples_and_its_verdicts_are_those_of_the_definition(bundle: Bundle) -> None:
    kept, account = Kept(), Account()
    stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
    with open_source(Wanted(device=SENSOR, seed=4), bundle) as source:
        drive(run(first_samples(source.items, 1500), stream, account), [kept], account)
    samples = np.concatenate([moment.chunk.samples_uv for moment in kept.moments])
    assert (len(samples), account.missing) == (1500, 0)
    ecg = np.concatenate([chunk.samples_uv for chunk in synthetic_chunks(bundle.manifest, seed=4, windows=15)])
    assert ecg.tobytes().find(samples.tobytes()) % 2 == 0  # -1 is odd: it is a part of what lies at the electrodes
    verdicts = [event for moment in kept.moments for event in moment.events if isinstance(event, Verdict)]
    assert [verdict.scores.tolist() for verdict in verdicts] == [
        said.scores for said in Reference(bundle).stream(samples)
    ]
    assert len(verdicts) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_its_account(number: int) -> None:
    command = [*COMMAND, "--synthetic", "--speed", "20"]
    source = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert source.stdout is not None
    first = json.loads(source.stdout.readline())
    source.send_signal(number)
    *_, end = [first, *map(json.loads, source.stdout)]
    assert source.wait() == 0
    assert first["kind"] == "verdict"
    assert end["kind"] == "end"
    assert end["received"] >= 1024


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    command = ["nohup", *COMMAND, "--synthetic", "--speed", "20"]
    source = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert source.stdout is not None
    first = json.loads(source.stdout.readline())
    source.send_signal(signal.SIGHUP)
    told = [first, *(json.loads(source.stdout.readline()) for _ in range(20))]
    assert {one["kind"] for one in told} == {"verdict"}
    source.send_signal(signal.SIGTERM)
    *_, end = map(json.loads, source.stdout)
    assert (source.wait(), end["kind"]) == (0, "end")


def test_a_signal_ends_a_run_that_waits_for_standard_input() -> None:
    reader, writer = os.pipe()
    source = subprocess.Popen([*COMMAND, "--stdin"], stdin=reader, stdout=subprocess.PIPE, text=True)
    assert source.stdout is not None
    os.write(writer, b"".join(b"%d\n" % (n % 700) for n in range(1600)))
    assert json.loads(source.stdout.readline())["kind"] == "verdict"
    source.send_signal(signal.SIGTERM)
    *_, end = map(json.loads, source.stdout)
    os.close(writer)
    assert source.wait() == 0
    assert 1024 < end["received"] <= 1600


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--device", "virtual:native"], "virtual:native has no samples of its own; virtual:sensor has"),
        (["--device", "/dev/no-such-port"], "/dev/no-such-port"),
        (["--device", SENSOR, "--synthetic"], "give one source"),
    ],
)
def test_a_device_that_cannot_be_had_is_one_line(tmp_path: Path, options: list[str], complaint: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[-1]
