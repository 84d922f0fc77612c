"""Synthetic ECG keeps its promises: millivolt grades, evidence in the window, the SNR asked for, no surprises."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal import synth
from ecg_edge.signal.noise import at_snr, band_power, draw_noise
from ecg_edge.signal.rhythm import RHYTHMS, Beat
from ecg_edge.signal.synth import CLASSES, Synthetic, balanced_labels, collect, synthesize

CLEAN_DB = (60.0, 60.0)


@pytest.fixture(scope="module")
def clean() -> Synthetic:
    return collect(synthesize(balanced_labels(100), seed=5, snr_db=CLEAN_DB))


def of(made: Synthetic, name: str) -> NDArray[np.bool_]:
    return np.asarray(made.label == CLASSES.index(name))


def test_severities_are_graded_and_uniform(clean: Synthetic) -> None:
    for name, sign in (("ST Depression", -1), ("ST Elevation", 1), ("T Wave Inversion", -1)):
        severity = sign * clean.severity_mv[of(clean, name)]
        assert (severity > 0.099).all()
        assert (severity < 0.401).all()
        assert np.histogram(severity, 3, (0.1, 0.4))[0].min() > 15  # of 100, 33 expected in each third


def test_the_grey_zone_is_empty(clean: Synthetic) -> None:
    normal = of(clean, "Normal")
    assert (np.abs(clean.st_mv[normal]) < 0.05).all()
    assert (clean.t_mv[normal] > -0.05).all()
    assert (np.abs(clean.st_mv[of(clean, "T Wave Inversion")]) < 0.05).all()


def test_the_truth_is_what_the_samples_show(clean: Synthetic) -> None:
    """ST level at J+60 ms against the PR segment, read from the emitted samples at the emitted fiducials."""
    for i in np.flatnonzero(~of(clean, "Arrhythmia")):
        on, j = clean.qrs_on[i], clean.j[i]
        inside = (on > 5) & (j >= 0) & (clean.t[i] >= 0) & (clean.t[i] + 20 < 1024)
        x = clean.samples_uv[i] / 1000.0
        levels = x[j[inside] + 15] - x[on[inside] - 2]
        assert abs(levels.mean() - clean.st_mv[i]) < 0.025  # noise at 60 dB, ADC steps


def test_an_arrhythmia_has_its_evidence_inside_the_window() -> None:
    made = collect(synthesize(np.ones(400, np.int64), seed=9, snr_db=CLEAN_DB))
    for i in range(400):
        event = RHYTHMS[made.event[i]]
        seen = (made.r[i] >= 0) & (made.kind[i] != Beat.BLOCKED_P)
        kinds, beats = made.kind[i][seen], np.sort(made.r[i][seen])
        intervals = np.diff(beats) / 250.0
        if event in ("pac", "atrial run"):
            assert (kinds == Beat.ATRIAL).any()
            assert intervals.min() < 0.9 * intervals.max()
        elif event in ("pvc", "bigeminy", "ventricular run"):
            assert np.isin(kinds, (Beat.VENTRICULAR, Beat.ATRIAL)).any()
        elif event == "fibrillation":
            assert (kinds == Beat.FIBRILLATION).all()
            assert intervals.max() / intervals.min() > 1.15
        else:
            assert event == "pause"
            assert intervals.max() > 1.8


def test_sinus_rhythm_stays_within_its_rates(clean: Synthetic) -> None:
    for i in np.flatnonzero(~of(clean, "Arrhythmia")):
        intervals = np.diff(np.sort(clean.r[i][clean.r[i] >= 0])) / 250.0
        assert intervals.min() > 60 / 185
        assert intervals.max() < 60 / 34
        assert intervals.max() < 1.35 * intervals.min()


def test_the_snr_is_the_one_asked_for() -> None:
    rng = np.random.default_rng(3)
    ecg = rng.standard_normal((50, 1024)).cumsum(axis=1)
    wanted = rng.uniform(-6, 30, 50)
    noise = at_snr(ecg, draw_noise(rng, 50, 1024, 250.0), wanted, 250.0)
    found = 10 * np.log10(band_power(ecg, 250.0) / band_power(noise, 250.0))
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # float32 noise


def test_band_power_counts_a_sine_inside_the_band_and_not_outside() -> None:
    t = np.arange(1000) / 250.0
    for f, power in ((10.0, 0.5), (39.75, 0.5), (50.0, 0.0), (0.25, 0.0)):
        assert band_power(np.sin(2 * np.pi * f * t)[None], 250.0)[0] == pytest.approx(power, abs=1e-9)


def test_a_seed_gives_the_same_windows_and_another_seed_others() -> None:
    one, two, other = (collect(synthesize(balanced_labels(4), seed=s)) for s in (1, 1, 2))
    assert (one.samples_uv == two.samples_uv).all()
    assert (one.samples_uv != other.samples_uv).any(axis=1).all()


def test_subjects_are_different_and_numbered() -> None:
    made = collect(synthesize(balanced_labels(150), seed=4))
    assert made.subject.tolist() == list(range(750))
    assert len(np.unique(made.samples_uv, axis=0)) == 750


def test_labels_come_in_the_order_asked_for() -> None:
    labels = np.array([4, 0, 3, 1, 1, 2], np.int64)
    assert collect(synthesize(labels, seed=1)).label.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"fs_hz": 10.0}, "10 Hz is outside"),
        ({"length": 100}, "0.40 s is outside"),
        ({"labels": np.array([7])}, "labels run from 7 to 7"),
    ],
)
def test_arguments_outside_their_limits_are_refused(wrong: dict[str, object], line: str) -> None:
    arguments = {"labels": np.array([0]), "seed": 1, **wrong}
    with pytest.raises(SignalError, match=line):
        next(synthesize(**arguments))  # type: ignore[arg-type]
    with pytest.raises(SignalError, match="no windows"):
        collect(synth.synthesize(np.zeros(0, np.int64), seed=1))
