"""Synthetic patients: rhythms of each kind, and beats that stay where they were laid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.signal.ectopy import KINDS, LONGEST_S, SHORTEST_S, Origin, draw_rhythm
from ecg_edge.signal.patients import (
    BEFORE,
    FEWEST,
    LENGTH,
    NOISE_UV,
    sinus_beats,
    synthetic_patient,
    ventricular_beats,
)
from ecg_edge.signal.qrs import find_beats

ALLOWED = {
    "isolated": {Origin.SINUS, Origin.ATRIAL},
    "bigeminy": {Origin.SINUS, Origin.ATRIAL},
    "runs": {Origin.SINUS, Origin.ATRIAL},
    "sick": {Origin.SINUS, Origin.ATRIAL},
    "sinus": {Origin.SINUS},
    "fibrillation": {Origin.FIBRILLATING},
    "paroxysms": {Origin.SINUS, Origin.FIBRILLATING},
    "ventricular": {Origin.SINUS, Origin.VENTRICULAR},
    "mixed": set(Origin) - {Origin.FIBRILLATING},
    "fibrillation_ventricular": {Origin.FIBRILLATING, Origin.VENTRICULAR},
}


def recording(at: NDArray[np.int64], *, wide: bool = False) -> NDArray[np.int16]:
    """P, QRS and T at each beat, on a baseline that wanders."""
    time = np.arange(int(at[-1]) + 400)
    signal = 300 * np.sin(2 * np.pi * time / 1500)
    for beat in at:
        signal += 1000 * np.clip(1 - np.abs(time - beat) / (14 if wide else 5), 0, None)
        signal += 200 * np.exp(-0.5 * ((time - beat - 70) / 14) ** 2)
        signal += 0 if wide else 120 * np.exp(-0.5 * ((time - beat + 42) / 6) ** 2)
    return np.asarray(np.rint(signal), np.int16)


AT = np.arange(300, 300 + 200 * (FEWEST + 5), 200)
SILENCE = {name: np.zeros(1000) for name in NOISE_UV}


@pytest.fixture(scope="module")
def donor() -> NDArray[np.float64]:
    beats = sinus_beats(recording(AT), AT)
    assert beats is not None
    return beats


@pytest.fixture(scope="module")
def ventricular() -> NDArray[np.float64]:
    return ventricular_beats(recording(AT, wide=True), AT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rhythm_has_the_beats_of_its_kind_and_no_others(kind: str) -> None:
    seen = set()
    for seed in range(8):
        intervals_s, origin = draw_rhythm(kind, np.random.default_rng(seed), 600)
        assert intervals_s.shape == origin.shape == (600,)
        assert intervals_s.min() >= SHORTEST_S
        assert intervals_s.max() <= LONGEST_S
        seen |= set(map(Origin, origin))
    assert seen == ALLOWED[kind]


@pytest.mark.parametrize("kind", ["isolated", "bigeminy", "runs", "sick"])
def test_an_atrial_beat_comes_early(kind: str) -> None:
    intervals_s, origin = draw_rhythm(kind, np.random.default_rng(3), 600)
    atrial = origin == Origin.ATRIAL
    assert np.median(intervals_s[atrial]) < 0.85 * np.median(intervals_s[~atrial])


def test_in_a_sick_sinus_atrial_beats_outnumber_the_others() -> None:
    shares = [(draw_rhythm("sick", np.random.default_rng(seed), 600)[1] == Origin.ATRIAL).mean() for seed in range(20)]
    assert np.mean(shares) > 0.55


def test_beats_are_cut_out_without_baseline_and_fade_to_nothing(donor: NDArray[np.float64]) -> None:
    assert donor.shape == (FEWEST + 5, LENGTH)
    assert np.abs(donor[:, [0, 20, -1]]).max() == 0
    assert donor[:, BEFORE].mean() == pytest.approx(1000, abs=60)
    assert donor[:, BEFORE - 42].mean() == pytest.approx(120, abs=30)


def test_a_recording_with_few_sinus_beats_is_no_donor() -> None:
    assert sinus_beats(recording(AT), AT[: FEWEST - 1]) is None


def test_no_more_ventricular_beats_are_taken_than_wanted() -> None:
    assert len(ventricular_beats(recording(AT, wide=True), AT, most=7)) == 7
    assert ventricular_beats(recording(AT), AT[:0]).shape == (0, LENGTH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_finds_the_beats_where_they_were_laid(
    kind: str, donor: NDArray[np.float64], ventricular: NDArray[np.float64]
) -> None:
    patient = synthetic_patient(kind, donor, ventricular, SILENCE, np.random.default_rng(5), count=120)
    assert patient.at.shape == patient.label.shape == (120,)
    found = np.asarray(find_beats(patient.samples_uv))
    apart = np.abs(found[:, None] - patient.at[None, 10:]).min(axis=0)
    assert (apart <= 37).mean() > 0.95


def test_a_patient_depends_on_the_seed_alone(donor: NDArray[np.float64], ventricular: NDArray[np.float64]) -> None:
    one, two, other = (
        synthetic_patient("mixed", donor, ventricular, SILENCE, np.random.default_rng(seed), count=60)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.samples_uv, two.samples_uv)
    np.testing.assert_array_equal(one.label, two.label)
    assert other.samples_uv.size != one.samples_uv.size


def test_fibrillating_atria_make_no_p_wave(donor: NDArray[np.float64], ventricular: NDArray[np.float64]) -> None:
    """On average over the beats: f-waves stand in no fixed relation to the QRS."""
    heights = {}
    for kind in ("sinus", "fibrillation"):
        patient = synthetic_patient(kind, donor, ventricular, SILENCE, np.random.default_rng(2), count=300)
        late = patient.at[1:][np.diff(patient.at) > 180]  # where no T wave of the beat before is in the way
        beats = patient.samples_uv[late[:, None] + np.arange(-60, -20)]
        heights[kind] = np.ptp(beats.mean(axis=0))
    assert heights["fibrillation"] < 0.35 * heights["sinus"]
