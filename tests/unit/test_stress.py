"""Recordings of the noise stress test: noise where it should be, as loud as asked, joined without a step."""

import os
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.record import Annotations, Record, read_record
from ecg_edge.signal.stress import add_noise, noise_gain, noise_rms, noisy_spans, qrs_amplitude_uv

DATA = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data"))
FS_HZ = 250
MINUTE = 60 * FS_HZ


def beating(minutes: float, *, height_uv: int = 1600, symbols: str = "N") -> Record:
    """Triangles of a known height on a flat line, one a second, each a beat."""
    samples = np.zeros(round(minutes * MINUTE), np.int16)
    at = np.arange(FS_HZ, samples.size - FS_HZ, FS_HZ)
    for offset, part in zip(range(-5, 6), (0, 0.2, 0.4, 0.6, 0.8, 1, 0.8, 0.6, 0.4, 0.2, 0), strict=True):
        samples[at + offset] = round(height_uv * part)
    marks = Annotations(at, tuple(symbols[k % len(symbols)] for k in range(at.size)), ("",) * at.size)
    return Record("clean", FS_HZ, "II", samples, annotations=marks)


def humming(seconds: int, *, seed: int = 1) -> Record:
    """Noise whose every second is the same, and so as loud as any other."""
    second = np.random.default_rng(seed).normal(0, 200, FS_HZ)
    return Record("hum", FS_HZ, "noise1", np.rint(np.tile(second, seconds)).astype(np.int16))


def added(noisy: Record, clean: Record) -> NDArray[np.float64]:
    return noisy.samples_uv.astype(np.float64) - clean.samples_uv


def test_noise_comes_after_five_minutes_two_of_every_four() -> None:
    spans = [(start / MINUTE, stop / MINUTE) for start, stop in noisy_spans(30 * MINUTE, FS_HZ)]
    assert spans == [(5, 7), (9, 11), (13, 15), (17, 19), (21, 23), (25, 27), (29, 30)]
    assert noisy_spans(5 * MINUTE, FS_HZ) == []
    assert noisy_spans(5 * MINUTE + 1, FS_HZ) == [(5 * MINUTE, 5 * MINUTE + 1)]


@settings(deadline=None, max_examples=20)
@given(snr_db=st.floats(-6, 24), height_uv=st.integers(500, 4000), seed=st.integers(0, 99))
def test_the_snr_measured_back_is_the_snr_asked_for(snr_db: float, height_uv: int, seed: int) -> None:
    clean, noise = beating(10, height_uv=height_uv), humming(700, seed=seed)
    noisy = add_noise(clean, noise, noise_gain(clean, noise, snr_db))
    loud = added(noisy, clean)[5 * MINUTE : 7 * MINUTE].reshape(-1, FS_HZ)
    power = loud.var(axis=1).mean()
    # Whole microvolts: their rounding adds 1/12 uV^2, and where there is little noise it tells.
    assert 10 * np.log10(height_uv**2 / 8 / power) == pytest.approx(snr_db, abs=0.02)


def test_noise_is_heard_in_its_spans_and_nowhere_else() -> None:
    clean = beating(12)
    change = np.diff(added(add_noise(clean, humming(800), 2.0), clean))
    heard = np.zeros(clean.samples_uv.size - 1, np.bool_)
    for start, stop in noisy_spans(clean.samples_uv.size, FS_HZ):
        heard[start - 1 : stop - 1] = True
    assert not change[~heard].any()
    assert (change[heard] != 0).mean() > 0.99


def test_no_step_is_longer_than_one_of_the_noise_itself() -> None:
    clean, hum = beating(12), humming(100)
    noisy = add_noise(clean, hum, 3.0)
    longest = 3.0 * np.abs(np.diff(hum.samples_uv.astype(np.float64))).max()
    assert np.abs(np.diff(added(noisy, clean))).max() <= longest + 1  # each sample is rounded to a whole uV


def test_noise_that_ends_begins_again_without_a_step() -> None:
    clean, end = beating(8), 6 * MINUTE
    noise = np.cumsum(np.random.default_rng(5).integers(-3, 4, end)).astype(np.int16)  # far from where it began
    change = np.diff(added(add_noise(clean, Record("walk", FS_HZ, "noise1", noise), 1.0), clean))
    assert change[end - 1] == 0
    assert change[end : end + 1000].tolist() == np.diff(noise.astype(int))[:1000].tolist()


def test_what_does_not_fit_is_marked_as_clipped() -> None:
    clean = beating(6)
    noisy = add_noise(clean, humming(400), 100.0)
    over = np.flatnonzero(np.abs(noisy.samples_uv.astype(int)) >= 32767)
    assert over.size > 100
    assert set(over) <= set(noisy.clipped.tolist()) | {int(i) for i in over if abs(int(noisy.samples_uv[i])) == 32767}
    assert noisy.clipped.min() >= 5 * MINUTE


def test_the_signal_is_measured_by_its_normal_beats() -> None:
    assert qrs_amplitude_uv(beating(6)) == 1600
    tall = beating(6, symbols="NV")
    assert tall.annotations is not None
    ectopic = tall.annotations.samples[1::2]
    for offset in range(-5, 6):
        tall.samples_uv[ectopic + offset] *= 3
    assert qrs_amplitude_uv(tall) == 1600
    outlier = beating(6)
    outlier.samples_uv[FS_HZ] = 30_000  # among the highest 5 %
    assert qrs_amplitude_uv(outlier) == 1600


@pytest.mark.parametrize("symbols", ["V", "+"])
def test_a_recording_without_a_normal_beat_has_no_snr(symbols: str) -> None:
    with pytest.raises(SignalError, match="clean: no normal beat to measure the signal by"):
        qrs_amplitude_uv(beating(6, symbols=symbols))


@pytest.mark.parametrize("samples", [np.zeros(5000, np.int16), np.ones(100, np.int16)])
def test_silence_is_no_noise(samples: NDArray[np.int16]) -> None:
    with pytest.raises(SignalError, match="still: no noise of a second or more"):
        noise_rms(Record("still", FS_HZ, "noise1", samples))


def test_the_noise_of_nstdb_is_read_in_raw_units_and_calibrated_as_nst_has_it() -> None:
    if not (DATA / "nstdb").is_dir():
        missing(f"no {DATA / 'nstdb'}: the noise of NSTDB is not tested (ECG_EDGE_DATA)")
    noise = read_record(DATA / "nstdb" / "em", raw_uv=True)
    clean = read_record(DATA / "mitdb" / "118")
    assert (noise.fs_hz, noise.samples_uv[0], noise.lead) == (360, 5, "noise1")
    rms, amplitude = noise_rms(noise), qrs_amplitude_uv(clean)
    assert noise_gain(clean, noise, 0.0) == pytest.approx(amplitude / np.sqrt(8) / rms)
    assert noise_gain(clean, noise, -6.0) / noise_gain(clean, noise, 24.0) == pytest.approx(10**1.5)
    noisy = add_noise(clean, noise, noise_gain(clean, noise, 6.0))
    spans = noisy_spans(clean.samples_uv.size, 360)
    start, stop = spans[0]
    ratio = added(noisy, clean)[start:stop].std() / noise.samples_uv[start:stop].astype(float).std()
    assert ratio == pytest.approx(noise_gain(clean, noise, 6.0), rel=0.001)
