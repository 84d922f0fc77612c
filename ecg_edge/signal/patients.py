"""Synthetic patients made of a real one's beats: their own P waves and QRST, laid on the rhythm of another illness.

Layer: signal; imports its neighbours and numpy. 250 Hz, one lead, microvolts.

Few recorded patients have many supraventricular ectopic beats, and no two the same ones. So the sinus beats of a donor
are cut out and laid on a rhythm of ectopy.py: an atrial beat keeps the donor's QRS and T, and gets another P
wave or none; a ventricular one is what some real patient had, stretched; where atria fibrillate there are waves, no P.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.signal.ectopy import Origin, draw_rhythm

Floats = NDArray[np.float64]

FS_HZ = 250
BEFORE, LENGTH = 110, 260  # samples of a beat that is cut out: before its R peak, and in all
FEWEST = 100  # beats that make a donor
CLASS_OF = np.array([0, 1, 0, 2])  # Origin -> N, S, V
NOISE_UV = {"bw": 60.0, "ma": 12.0}  # rms of baseline wander and muscle, about

_P_END = BEFORE - 16  # where the QRS begins
_FIRST = 300  # sample of the first beat
_TIME = np.arange(LENGTH)


@dataclass(frozen=True, slots=True)
class SyntheticPatient:
    """A recording whose every beat is known."""

    samples_uv: NDArray[np.int16]  # (n,)
    at: NDArray[np.int64]  # (m,) R peaks
    label: NDArray[np.int64]  # (m,) 0 N, 1 S, 2 V


def sinus_beats(samples_uv: NDArray[np.int16], at: NDArray[np.int64]) -> Floats | None:
    """Cut the usual beats out of a recording.

    Args:
        samples_uv: (n,) the recording.
        at: (k,) R peaks of sinus beats whose neighbours are sinus beats, too.

    Returns:
        (k, LENGTH) uV without baseline, faded to 0 where the next beat's P wave might be; None where there are too few.
    """
    at = at[(at >= BEFORE) & (at < samples_uv.size - LENGTH + BEFORE)]
    if at.size < FEWEST:
        return None
    period = float(np.median(np.diff(at)))
    before, after = int(min(82.0, 0.42 * period)), int(min(145.0, 0.55 * period + 25))
    return _cut(samples_uv, at, BEFORE - before, BEFORE + after, fade=(8, 15))


def ventricular_beats(samples_uv: NDArray[np.int16], at: NDArray[np.int64], most: int = 60) -> Floats:
    """(k,) R peaks of ventricular beats -> (at most `most`, LENGTH) uV, without baseline and faded to 0."""
    at = at[(at >= BEFORE) & (at < samples_uv.size - LENGTH + BEFORE)]
    at = at[np.linspace(0, at.size - 1, min(at.size, most)).astype(np.int64)]
    return _cut(samples_uv, at, BEFORE - 45, BEFORE + 140, fade=(15, 25))


def _cut(samples_uv: NDArray[np.int16], at: NDArray[np.int64], start: int, stop: int, fade: tuple[int, int]) -> Floats:
    """Beats from column `start` to `stop`, less the line between their ends, which fade over so many samples."""
    beats = samples_uv[at[:, None] - BEFORE + _TIME].astype(np.float64)
    left = beats[:, start - 5 : start + 1].mean(axis=1, keepdims=True)
    right = beats[:, stop - 5 : stop + 1].mean(axis=1, keepdims=True)
    line = left + (right - left) * np.clip((_TIME - start) / (stop - start), 0, 1)
    rise, fall = (_TIME - start) / fade[0], (stop - _TIME) / fade[1]
    return np.asarray((beats - line) * np.clip(np.minimum(rise, fall), 0, 1))


def synthetic_patient(
    kind: str, sinus: Floats, ventricular: Floats, noise: dict[str, Floats], rng: np.random.Generator, count: int = 700
) -> SyntheticPatient:
    """Draw a patient.

    Args:
        kind: one of ectopy.KINDS.
        sinus: (k, LENGTH) uV, the donor's beats.
        ventricular: (v, LENGTH) uV, of any patients; v may be 0 where the kind needs none.
        noise: a name of NOISE_UV -> (n,) of unit rms.
        rng: draws everything.
        count: beats.
    """
    intervals_s, origin = draw_rhythm(kind, rng, count)
    at = _FIRST + np.cumsum(np.rint(intervals_s * FS_HZ).astype(np.int64))
    signal = np.zeros(int(at[-1]) + 600)
    heart = _Heart(sinus, ventricular, rng)
    for beat, where in zip(at, origin, strict=True):
        signal[beat - BEFORE : beat - BEFORE + LENGTH] += heart.beat(Origin(where))
    signal += _fibrillatory_waves(at, origin == Origin.FIBRILLATING, signal.size, rng)
    for name, level_uv in NOISE_UV.items():
        wave = noise[name]
        start = rng.integers(0, wave.size)
        signal += level_uv * rng.uniform(0.3, 2.0) * wave[(start + np.arange(signal.size)) % wave.size]
    samples_uv = np.clip(np.rint(signal), -32768, 32767).astype(np.int16)
    return SyntheticPatient(samples_uv, at, CLASS_OF[origin])


class _Heart:
    """One patient: which ectopic P wave, which ventricular beats."""

    def __init__(self, sinus: Floats, ventricular: Floats, rng: np.random.Generator) -> None:
        self._sinus, self._rng = sinus, rng
        self._p_gain, self._p_shift, self._bump = _ectopic_p(rng)
        self._ventricular = [_varied(beat, rng) for beat in rng.permutation(ventricular)[:3]]
        self._p_part = np.clip((_P_END - _TIME) / 6, 0, 1)

    def beat(self, origin: Origin) -> Floats:
        """(LENGTH,) uV, a little wider or narrower, larger or smaller than the last one.

        The same for all: a QRS that varied in ectopic beats alone would tell them, as it does in no real patient.
        """
        width, gain = self._rng.uniform(0.96, 1.04), self._rng.uniform(0.94, 1.06)
        return gain * _stretched(self._drawn(origin), width)

    def _drawn(self, origin: Origin) -> Floats:
        rng = self._rng
        if origin is Origin.VENTRICULAR:
            usual = rng.random() < 0.8 or len(self._ventricular) == 1
            chosen = self._ventricular[0 if usual else rng.integers(1, len(self._ventricular))]
            return np.asarray(chosen * rng.uniform(0.93, 1.07))
        beat = self._sinus[rng.integers(len(self._sinus))]
        p = beat * self._p_part
        rest = beat - p
        if origin is Origin.FIBRILLATING:
            return np.asarray(rest)
        if origin is Origin.ATRIAL:
            p = np.roll(p, self._p_shift) * self._p_gain + self._bump
        return np.asarray(p + rest)


def _ectopic_p(rng: np.random.Generator) -> tuple[float, int, Floats]:
    """How the P wave of atrial beats differs: gain, samples that it is moved by, and what comes on top."""
    kind = rng.choice(["none", "inverted", "small", "late", "early", "other"])
    gain = {
        "none": 0.0,
        "inverted": -rng.uniform(0.4, 1.1),
        "small": rng.uniform(0.2, 0.6),
        "late": rng.uniform(0.6, 1.1),
        "early": rng.uniform(0.6, 1.1),
        "other": rng.uniform(-0.8, 0.8),
    }[str(kind)]
    shift = {"late": rng.integers(4, 12), "early": -rng.integers(4, 14)}.get(str(kind), rng.integers(-4, 5))
    width = rng.integers(6, 15)
    bump = 80.0 * gain * np.exp(-0.5 * ((_TIME - (_P_END - 20)) / width) ** 2)
    return float(gain), int(shift), bump if kind == "other" else np.zeros(LENGTH)


def _varied(beat: Floats, rng: np.random.Generator) -> Floats:
    """A ventricular beat as another patient might have it: wider or narrower, larger or smaller, or upside down."""
    sign = -1.0 if rng.random() < 0.3 else 1.0
    return _stretched(beat, rng.uniform(0.85, 1.2)) * rng.uniform(0.6, 1.3) * sign


def _stretched(beat: Floats, width: float) -> Floats:
    """A beat, so many times as wide about its R peak."""
    return np.interp((_TIME - BEFORE) / width + BEFORE, _TIME, beat)


def _fibrillatory_waves(
    at: NDArray[np.int64], fibrillating: NDArray[np.bool_], length: int, rng: np.random.Generator
) -> Floats:
    """(length,) uV of waves at 5 to 8 Hz while the atria fibrillate, and none elsewhere."""
    height_uv, rate_hz = rng.uniform(20, 70), rng.uniform(5, 8)
    seconds = np.arange(length) / FS_HZ
    there = np.interp(np.arange(length), at, fibrillating.astype(np.float64))
    phase = 2 * np.pi * rate_hz * seconds + 1.5 * np.sin(2 * np.pi * 0.7 * seconds)
    return np.asarray(there * height_uv * np.sin(phase))
