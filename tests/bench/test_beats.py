"""The whole beat pipeline in Python, with the shipped model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing

from ecg_edge.bench.beats import classify_beats
from ecg_edge.bundle import Bundle
from ecg_edge.errors import BundleError
from ecg_edge.report.metrics import ABSTAINED
from ecg_edge.signal.aami import aami_class
from ecg_edge.signal.prepare import State
from ecg_edge.signal.record import read_record

MITDB = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
NEAR = 38  # samples in 150 ms


def test_a_model_of_windows_is_refused() -> None:
    with pytest.raises(BundleError, match="bundle ecg5 takes windows, not beats"):
        classify_beats(Bundle.load("ecg5"), np.zeros(1000, np.int16))


def test_a_signal_without_beats_has_no_answers() -> None:
    beats = classify_beats(Bundle.load("aami"), np.zeros(1000, np.int16))
    assert len(beats.at) == len(beats.verdict) == 0
    assert beats.scores.shape == (0, 3)


def test_clear_ventricular_beats_of_a_real_record_are_called_so() -> None:
    """MIT-BIH 119 (ODC-By 1.0) has one shape of ventricular ectopy; the shipped model learnt from it."""
    if not MITDB.is_dir():
        missing(f"no {MITDB}: the beat pipeline is not tested on real ECG (ECG_EDGE_DATA)")
    bundle = Bundle.load("aami")
    record = read_record(MITDB / "119", fs_hz=250)
    assert record.annotations is not None
    states = np.zeros(len(record.samples_uv), np.uint8)
    states[50_000:50_100] = State.GAP
    beats = classify_beats(bundle, record.samples_uv, states)
    true_at, symbols = record.annotations.beats()
    nearest = np.abs(beats.at[:, None] - true_at[None, :]).argmin(axis=1)
    found = np.abs(true_at[nearest] - beats.at) <= NEAR
    truth = np.array([aami_class(symbols[k]) for k in nearest])
    said = np.array([*bundle.manifest.classes, "-"])[np.where(beats.verdict == ABSTAINED, 3, beats.verdict)]
    assert found.mean() > 0.995
    assert (said[found & (truth == "V")] == "V").mean() > 0.97
    assert (said[found & (truth == "N")] == "N").mean() > 0.97
    assert 2 <= (beats.verdict == ABSTAINED).sum() <= 8
    assert (beats.verdict[beats.state == State.OK] != ABSTAINED).all()
