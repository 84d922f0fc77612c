"""A live stream of beats: what the pipeline says of the whole recording, whatever the chunks, and where it goes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from recordings import read
from typer.testing import CliRunner

from ecg_edge.bench.beats import classify_beats
from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.live.beatstream import Beats, BeatVerdict, open_stream
from ecg_edge.live.source import synthetic_chunks
from ecg_edge.live.stream import Stream
from ecg_edge.runtime.numpy import NumpyBackend

BUNDLE = Bundle.load("aami")


def ecg(seed: int) -> NDArray[np.int16]:
    """(n, 1) uV, a minute of some people."""
    return np.concatenate([part.samples_uv for part in synthetic_chunks(BUNDLE.manifest, seed=seed, windows=5)])


def stream() -> Stream | Beats:
    return open_stream(BUNDLE.manifest, NumpyBackend(BUNDLE.model))


@given(st.integers(0, 1000), st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_any_chunks_give_the_beats_of_the_whole_recording(seed: int, cuts: int) -> None:
    samples = ecg(seed)
    places = np.sort(np.random.default_rng(seed).integers(0, len(samples) + 1, cuts))
    live = stream()
    said = [verdict for part in np.split(samples, places) for verdict in live.push(part)] + list(live.end())
    whole = classify_beats(BUNDLE, samples[:, 0])
    assert [(v.at, v.rr, int(v.state)) for v in said if isinstance(v, BeatVerdict)] == list(
        zip(whole.at, whole.rr, whole.state, strict=True)
    )
    assert [v.scores.tolist() for v in said] == whole.scores.tolist()
    assert [v.label for v in said] == whole.verdict.tolist()


def test_a_gap_begins_a_new_acquaintance() -> None:
    samples, live = ecg(3), stream()
    live.push(ecg(4))
    live.end()
    live.restart(50_000)
    said = [*live.push(samples), *live.end()]
    whole = classify_beats(BUNDLE, samples[:, 0])
    assert [v.at - 50_000 for v in said if isinstance(v, BeatVerdict)] == whole.at.tolist()
    assert live.index == 50_000 + len(samples)


def test_a_recording_has_every_beat_as_wfdb_marks_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        make_app(),
        ["run", "aami", "--synthetic", "--seconds", "60", "--speed", "max", "--json", "--out", str(tmp_path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    beats = [line for line in lines if line["kind"] == "verdict"]
    [recording] = read(tmp_path)
    marks = [(at, symbol) for at, symbol, _, _ in recording.marks if symbol in "NSVFQ"]
    assert len(beats) > 40
    assert marks == [
        (line["beat"]["index"], {"N": "N", "S": "S", "V": "V", None: "Q"}[line["label"]]) for line in beats
    ]
    assert beats[0]["beat"]["rr_s"] is None
    assert beats[5]["beat"]["rr_s"] == pytest.approx(
        (beats[5]["beat"]["index"] - beats[4]["beat"]["index"]) / 250, abs=0.001
    )
    assert lines[-1]["verdicts"] == len(beats)


def test_memory_does_not_grow_with_the_stream() -> None:
    live, kept = stream(), []
    assert isinstance(live, Beats)
    for seed in range(6):
        live.push(ecg(seed))
        beats = live._beats
        kept.append(len(beats._columns) + len(beats._states) + len(beats._ats) + len(beats._pending))
    assert max(kept[2:]) <= max(kept[:2]) + 50
