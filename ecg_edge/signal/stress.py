"""The noise stress test's recordings: calibrated noise in a clean one, two minutes of every four. Layer: signal.

The convention of nst(1), so that a figure stands beside others': S is the square of the QRS complexes' peak-to-peak
amplitude over 8, N the mean square of one-second pieces of noise, each about its own mean, and noise is scaled by `a`
so that the SNR is 10 log10(S / (N a^2)) dB. Both amplitudes are means of the first 300 without the highest and lowest
5 %. The first five minutes are clean, then two minutes with noise and two without take turns; where a stretch of noise
begins and ends, the level goes on from where it was, without a step. Beside nst itself (WFDB 10.7) on 118 and 119 the
gains are 0.6 % (em) to 2.4 % (ma) lower, 0.2 dB at most: it drops the fractions of units as it measures noise.

Source: Moody, Muldrow, Mark 1984, Computers in Cardiology 11:381-384; WFDB Applications Guide, nst(1) and sigamp(1).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.record import BEAT_SYMBOLS, Record
from ecg_edge.signal.resample import to_int16

CLEAN_S = 300
TURN_S = 120
MEASURED = 300  # beats, and seconds of noise
_NOT_NORMAL = frozenset("VFEr?")  # what sigamp counts among other than normal beats
_AROUND_QRS_S = 0.05


def noisy_spans(length: int, fs_hz: int) -> list[tuple[int, int]]:
    """(start, stop) sample of each stretch that gets noise, in a recording of `length` samples."""
    starts = range(CLEAN_S * fs_hz, length, 2 * TURN_S * fs_hz)
    return [(start, min(start + TURN_S * fs_hz, length)) for start in starts]


def qrs_amplitude_uv(record: Record) -> float:
    """Peak-to-peak amplitude of a recording's normal QRS complexes, by its annotations.

    Raises:
        SignalError: no normal beat is annotated, or all are flat.
    """
    reach = round(_AROUND_QRS_S * record.fs_hz)
    at, symbols = (np.empty(0, np.int64), ()) if record.annotations is None else record.annotations.beats()
    normal = at[[symbol in BEAT_SYMBOLS - _NOT_NORMAL for symbol in symbols]] if symbols else at
    inside = normal[(normal >= reach) & (normal + reach < record.samples_uv.size)][:MEASURED]
    around = record.samples_uv[inside[:, None] + np.arange(-reach, reach + 1)].astype(np.float64)
    amplitude = _middle_mean(np.ptp(around, axis=1)) if len(around) else 0.0
    if not amplitude:
        raise SignalError(f"{record.name}: no normal beat to measure the signal by")
    return amplitude


def noise_rms(noise: Record) -> float:
    """Root mean square of noise, in its own unit, by pieces of one second.

    Raises:
        SignalError: it is shorter than a second, or silent.
    """
    pieces = noise.samples_uv[: noise.samples_uv.size // noise.fs_hz * noise.fs_hz].reshape(-1, noise.fs_hz)[:MEASURED]
    rms = _middle_mean(pieces.astype(np.float64).std(axis=1)) if len(pieces) else 0.0
    if not rms:
        raise SignalError(f"{noise.name}: no noise of a second or more in it")
    return rms


def noise_gain(record: Record, noise: Record, snr_db: float) -> float:
    """uV that a unit of the noise must become."""
    return qrs_amplitude_uv(record) / math.sqrt(8) / noise_rms(noise) * 10 ** (-snr_db / 20)


def add_noise(record: Record, noise: Record, gain: float) -> Record:
    """A recording with noise in its noisy spans; noise that ends before it begins again.

    Args:
        record: a clean one.
        noise: at the same rate, sample for sample beside it, as nst has it.
        gain: uV a unit of it.

    Returns:
        the same lead and annotations; what does not fit int16 is marked as clipped.
    """
    assert record.fs_hz == noise.fs_hz, (record.fs_hz, noise.fs_hz)
    length = record.samples_uv.size
    heard = np.zeros(length, np.bool_)
    for start, stop in noisy_spans(length, record.fs_hz):
        heard[start:stop] = True
    place = np.arange(length) % noise.samples_uv.size
    units = noise.samples_uv.astype(np.float64)[place]
    steps = np.diff(units, prepend=units[:1])
    added = gain * np.cumsum(np.where(heard & (place > 0), steps, 0.0))
    samples, overshoot = to_int16(record.samples_uv + added)
    clipped = np.union1d(record.clipped, np.flatnonzero(overshoot))
    return replace(record, samples_uv=samples, clipped=clipped)


def _middle_mean(values: NDArray[np.float64]) -> float:
    """Mean without the highest and lowest 5 %."""
    cut = values.size // 20
    return float(np.sort(values)[cut : values.size - cut].mean())
