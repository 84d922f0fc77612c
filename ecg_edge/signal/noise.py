"""Noise as wearables meet it: baseline wander, muscle, electrode motion, mains; mixed to a wanted SNR.

Layer: signal; imports numpy and scipy. SNR is the power of signal over noise in 0.5-40 Hz over the window.
Source for the kinds: Moody, Muldrow, Mark 1984, Computers in Cardiology 11:381-384 (MIT-BIH Noise Stress Test).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

BAND_HZ = (0.5, 40.0)
QUIET = 1e-3  # a spectrum weight below this share of the largest is left out


def band_power(signals: Floats, fs_hz: float) -> Floats:
    """(..., n) -> (...) mean power in 0.5-40 Hz over the window, in the signal's unit squared."""
    n = signals.shape[-1]
    half = scipy.fft.rfft(signals, axis=-1)
    spectrum = half.real**2 + half.imag**2
    f = np.fft.rfftfreq(n, 1.0 / fs_hz)
    inside = (f >= BAND_HZ[0]) & (f <= BAND_HZ[1])
    return np.asarray(2.0 * spectrum[..., inside].sum(axis=-1) / n**2)


def coloured(rng: np.random.Generator, n: int, length: int, fs_hz: float, weight: Floats) -> Floats:
    """n random signals of `length` samples, unit rms, whose amplitude spectrum is `weight` ((f,) or (n, f)).

    Drawn twice as long as wanted and cut, so that they do not repeat over the window. f = `spectrum_hz(length, fs_hz)`.
    """
    w = np.atleast_2d(weight).astype(np.float32)
    loud = np.flatnonzero(w.max(axis=0) > QUIET * w.max())
    bins = int(loud[-1]) + 1 if loud.size else 1  # slow noise needs few random numbers
    spectrum = rng.standard_normal((n, bins, 2), dtype=np.float32).view(np.complex64)[..., 0] * w[:, :bins]
    return _unit(scipy.fft.irfft(spectrum, 2 * length, axis=-1)[:, :length])


def _unit(x: Floats) -> Floats:
    """(n, length) scaled to unit power about its own mean."""
    x = x - x.mean(axis=-1, keepdims=True)
    power = np.einsum("ij,ij->i", x, x)[:, None] / x.shape[-1]
    return np.asarray(x / np.sqrt(np.maximum(power, 1e-18)))


def spectrum_hz(length: int, fs_hz: float) -> Floats:
    """The frequencies of `coloured`'s weights, (length + 1,) Hz."""
    return np.asarray(np.fft.rfftfreq(2 * length, 1.0 / fs_hz))


def baseline_wander(rng: np.random.Generator, n: int, length: int, fs_hz: float) -> Floats:
    """(n, length), unit rms: breathing and skin, steep below 0.5 Hz."""
    f = spectrum_hz(length, fs_hz)
    corner = rng.uniform(0.12, 0.45, n)[:, None]
    return coloured(rng, n, length, fs_hz, np.where(f > 0.03, 1.0 / (1.0 + (f / corner) ** 4), 0.0))


def muscle(rng: np.random.Generator, n: int, length: int, fs_hz: float) -> Floats:
    """(n, length), unit rms: broad-band above a few Hz, in bursts for half of them."""
    f = spectrum_hz(length, fs_hz)
    low, high = rng.uniform(2.0, 20.0, n)[:, None], rng.uniform(40.0, 120.0, n)[:, None]
    x = coloured(
        rng, n, length, fs_hz, 1.0 / np.sqrt(1.0 + (low / np.maximum(f, 0.1)) ** 4) / np.sqrt(1.0 + (f / high) ** 4)
    )
    envelope = np.exp(0.8 * coloured(rng, n, length, fs_hz, np.exp(-f / 0.5)))
    steady = rng.random(n)[:, None] < 0.5
    x = np.where(steady, x, x * envelope)
    return _unit(x)


def electrode_motion(rng: np.random.Generator, n: int, length: int, fs_hz: float) -> Floats:
    """(n, length), unit rms: slow drifts with bumps as wide as a T wave, the noise that looks most like ECG."""
    f = spectrum_hz(length, fs_hz)
    corner, slope = rng.uniform(0.5, 4.0, n)[:, None], rng.uniform(1.0, 2.0, n)[:, None]
    return coloured(rng, n, length, fs_hz, np.where(f > 0.1, 1.0 / (1.0 + (f / corner) ** (2 * slope)) ** 0.5, 0.0))


def mains(rng: np.random.Generator, n: int, length: int, fs_hz: float) -> Floats:
    """(n, length), unit rms: 50 or 60 Hz, slightly off, with a third harmonic where it fits below Nyquist."""
    t = np.arange(length, dtype=np.float32) / np.float32(fs_hz)
    f = (rng.choice([50.0, 60.0], n) + rng.normal(0.0, 0.1, n))[:, None].astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, (2, n, 1)).astype(np.float32)
    third = np.where(3 * f < fs_hz / 2, rng.uniform(0.0, 0.3, n)[:, None], 0.0).astype(np.float32)
    x = np.sin(2 * np.pi * f * t + phase[0]) + third * np.sin(6 * np.pi * f * t + phase[1])
    return _unit(x)


def draw_noise(rng: np.random.Generator, n: int, length: int, fs_hz: float) -> Floats:
    """(n, length) mixtures of every kind, arbitrary scale.

    Muscle, electrode motion and white noise share the power in the band, on average 50, 20 and 30 %. Wander and mains
    lie mostly outside the band that SNR counts, so they come on top, bounded by the others.
    """
    share = rng.dirichlet((1.5, 0.6, 0.9), n) ** 0.5
    x = share[:, :1] * muscle(rng, n, length, fs_hz) + share[:, 1:2] * electrode_motion(rng, n, length, fs_hz)
    x += share[:, 2:] * rng.standard_normal((n, length), dtype=np.float32)
    x += rng.uniform(0.0, 1.2, n)[:, None] * (rng.random(n) < 0.7)[:, None] * baseline_wander(rng, n, length, fs_hz)
    x += rng.uniform(0.0, 0.8, n)[:, None] * (rng.random(n) < 0.4)[:, None] * mains(rng, n, length, fs_hz)
    return np.asarray(x)


def at_snr(signals: Floats, noise: Floats, snr_db: Floats, fs_hz: float) -> Floats:
    """Scale each noise so that signal over noise in 0.5-40 Hz is `snr_db`.

    Args:
        signals: (n, length) clean ECG.
        noise: (n, length) any scale.
        snr_db: (n,) wanted ratio in dB.
        fs_hz: samples a second.

    Returns:
        (n, length) the noise to add, in the signals' unit.
    """
    ratio = band_power(signals, fs_hz) / np.maximum(band_power(noise, fs_hz), 1e-12)
    gain = np.sqrt(ratio * 10.0 ** (-snr_db / 10.0))
    return np.asarray(noise * gain[:, None])
