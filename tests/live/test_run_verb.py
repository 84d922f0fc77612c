"""The verb run, end to end: a record, standard input, synthetic ECG; verdicts, gaps and an account of every sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from board_bench import Reference
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device.frame import SampleFlag
from ecg_edge.device.link import VirtualClock
from ecg_edge.errors import SignalError
from ecg_edge.live.recorder import Recorder
from ecg_edge.live.run import Account, Gap, drive, run
from ecg_edge.live.source import Chunk, Notice, open_record, paced, record_chunks, synthetic_chunks, text_chunks
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.runtime.numpy import NumpyBackend
from ecg_edge.signal.csvfile import write_csv
from ecg_edge.signal.record import read_record


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


def signal(n: int) -> NDArray[np.int16]:
    """(n, 1) uV."""
    steps = np.random.default_rng(4).normal(0, 40, n)
    samples: NDArray[np.int16] = np.clip(np.cumsum(steps), -9000, 9000).astype(np.int16)
    return samples[:, None]


def invoke(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(make_app(), ["run", "ecg5", "--backend", "numpy", *words], input=stdin)


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_standard_input_is_answered_as_the_definition_says(bundle: Bundle) -> None:
    samples = signal(2000)
    result = invoke("--stdin", "--json", stdin="".join(f"{value}\n" for value in samples[:, 0]))
    assert result.exit_code == 0, result.output
    *verdicts, end = lines(result)
    expected = Reference(bundle).stream(samples)
    assert [verdict["scores"] for verdict in verdicts] == [said.scores for said in expected]
    assert [verdict["last_index"] for verdict in verdicts] == [said.last_index for said in expected]
    assert (end["received"], end["missing"], end["verdicts"]) == (2000, 0, len(expected))


def test_a_recording_is_read_and_told_in_words(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine.csv", 250, {"II": signal(1500)[:, 0]})
    result = invoke("--record", str(tmp_path / "mine.csv"), "--speed", "max")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("   0:04.096  ")
    assert "0 gaps, 0 of 1500 samples missing" in result.stdout.splitlines()[-1]


def test_lines_are_taken_as_they_come_and_their_absence_is_told(bundle: Bundle) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as text:
        chunks = text_chunks(bundle.manifest, text)
        assert len(next(chunks).samples_uv) == 0  # a heartbeat: nobody wrote
        os.write(writer, b"1\n-2\n40000\n5")
        first = next(chunks)
        os.write(writer, b"6\n7")
        second = next(chunks)
        os.close(writer)
        third = next(chunks)
    assert [chunk.index for chunk in (first, second, third)] == [0, 3, 4]
    assert [chunk.samples_uv[:, 0].tolist() for chunk in (first, second, third)] == [[1, -2, 32767], [56], [7]]
    assert first.flags.tolist() == [0, 0, SampleFlag.CLIPPED]


def test_what_came_before_a_bad_line_counts(bundle: Bundle) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"1\n2\nx\n3\n")
    os.close(writer)
    with os.fdopen(reader) as text:
        chunks = text_chunks(bundle.manifest, text)
        assert next(chunks).samples_uv[:, 0].tolist() == [1, 2]
        with pytest.raises(SignalError, match="line 3 is 'x', not whole microvolts"):
            next(chunks)


def test_a_gap_is_marked_and_never_bridged(bundle: Bundle) -> None:
    samples = signal(4000)
    marks = np.zeros(4000, np.uint8)
    chunks = [Chunk(0, samples[:1800], marks[:1800]), Chunk(2000, samples[2000:], marks[2000:])]
    account = Account()
    stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
    events = [event for moment in run(chunks, stream, account) for event in moment.events]
    assert [event for event in events if isinstance(event, Gap)] == [Gap(1800, 200)]
    verdicts = [event for event in events if isinstance(event, Verdict)]
    assert all(verdict.last_index < 1800 or verdict.first_index >= 2000 for verdict in verdicts)
    before, after = Reference(bundle).stream(samples[:1800]), Reference(bundle).stream(samples[2000:])
    assert [verdict.scores.tolist() for verdict in verdicts] == [said.scores for said in (*before, *after)]
    assert (account.received, account.missing, account.gaps) == (3800, 200, 1)


def test_a_recording_with_a_gap_is_replayed_with_it(bundle: Bundle, tmp_path: Path) -> None:
    chunks = (Chunk(at, signal(6000)[at : at + 500], np.zeros(500, np.uint8)) for at in (0, 500, 1250))
    recorder = Recorder(tmp_path, bundle.manifest, say=lambda _: None)
    account = Account()
    drive(
        run((Notice(0, "begins"), *chunks), Stream(bundle.manifest, NumpyBackend(bundle.model)), account),
        [recorder],
        account,
    )
    (header,) = tmp_path.glob("*.hea")
    again = list(record_chunks(open_record(bundle.manifest, header)))
    received = np.concatenate([signal(6000)[:1000], signal(6000)[1250:1750]])
    assert np.array_equal(np.concatenate([item.samples_uv for item in again]), received)
    replayed = Account()
    events = [
        event
        for moment in run(again, Stream(bundle.manifest, NumpyBackend(bundle.model)), replayed)
        for event in moment.events
    ]
    assert [event for event in events if isinstance(event, Gap)] == [Gap(1000, 250)]
    assert replayed == account


def test_samples_come_no_sooner_than_they_were_taken(bundle: Bundle) -> None:
    clock = VirtualClock()
    chunks = synthetic_chunks(bundle.manifest, seed=1, windows=1)
    for chunk in paced(chunks, 250, clock, speed=2.0):
        assert clock.now_s() == pytest.approx((chunk.index + len(chunk.samples_uv)) / 250 / 2.0)


@pytest.mark.parametrize(
    ("words", "stdin", "complaint"),
    [
        (("--stdin", "--synthetic"), "", "give one source"),
        (("--stdin",), "12\n1.5\n", "line 2 is '1.5', not whole microvolts"),
        (("--stdin",), "1,2\n", "line 1 has 2 numbers; the model takes 1 leads"),
        (("--stdin",), "1_000\n", "line 1 is '1_000', not whole microvolts"),
        (("--stdin",), "7\n" + "\0" * 5000, "line 2 is '" + "\\x00" * 40 + "'..., not whole microvolts"),
        (("--synthetic", "--seconds", "nan"), None, "--seconds is nan; at most 1e+09"),
        (("--synthetic", "--rotate", "nan"), None, "--rotate is nan; hours from 0.01 to 277778"),
        (("--synthetic", "--seconds", "inf"), None, "--seconds is inf; at most 1e+09"),
        (("--synthetic", "--speed", "0"), None, "--speed is 0; a positive number, or max"),
        (("--record", "nosuch"), None, "nosuch"),
        (("--stdin", "--backend", "tpu"), "", "no backend 'tpu'; there are: auto, native"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], stdin: str | None, complaint: str) -> None:
    result = invoke(*words, stdin=stdin)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3  # which backend runs, on what, and the complaint


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(bundle: Bundle) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"1\n2\n" + b"3" * 5000)  # and the writer stays: no end comes
    with os.fdopen(reader) as text, pytest.raises(SignalError, match=r"line 3 is '3{40}'\.\.\., not whole"):
        for chunk in text_chunks(bundle.manifest, text):
            assert chunk.samples_uv[:, 0].tolist() == [1, 2]
    os.close(writer)


def test_closed_standard_streams_are_no_bug(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine.csv", 250, {"II": signal(1500)[:, 0]})
    command = f"{sys.executable} -c 'from ecg_edge.cli.app import main; main()' run ecg5 --backend numpy"
    options = ("--speed max --record mine.csv >&-", "--stdin <&-")
    quiet, closed = (
        subprocess.run(["sh", "-c", f"{command} {words}"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        for words in options
    )
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert (closed.returncode, closed.stdout) == (2, "")  # and not synthetic ECG in its place
    assert closed.stderr == "ecg-edge: --stdin: standard input is closed\n"


def test_the_lead_of_a_recording_is_said_and_recorded(tmp_path: Path) -> None:
    leads = {"V1": signal(1500)[:, 0], "MLII": signal(1600)[100:, 0]}
    write_csv(tmp_path / "two.csv", 250, leads)
    for words, lead in (((), "MLII"), (("--lead", "V5,V1"), "V1")):
        out = tmp_path / lead
        result = invoke("--record", str(tmp_path / "two.csv"), "--speed", "max", "--out", str(out), *words)
        assert result.exit_code == 0, result.output
        assert f"signal: record two, lead {lead}\n" in result.stderr
        (header,) = out.glob("*.hea")
        again = read_record(header)
        assert (again.lead, again.samples_uv.tolist()) == (lead, leads[lead].tolist())
