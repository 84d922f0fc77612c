"""Remove the baseline, limit the band, scale to int8: integers only, the same bits as ecg_prepare.c.

Layer: signal; imports errors and numpy.

In words, for one lead. `L = 2**average_log2`, `T = len(fir)`; `>>` rounds towards minus infinity. A stream starts as
if its first sample had been there for ever, so every ring begins filled with it.

    s1 = sum of the last L samples x               m1 = (s1 + L/2) >> average_log2
    s2 = sum of the last L values m1               b  = (s2 + L/2) >> average_log2
    h  = saturate_int16(x[n - (L-1)] - b)          the sample at the centre of both averages, minus the baseline
    a  = sum over j of fir[j] * h[n - j]           h before the start is that of a constant stream: 0
    column = saturate_int8(zero_point + ((a * multiplier + 2**(shift-1)) >> shift))

Two moving averages in a row make a triangle of 2L-1 samples: linear phase, and 8 uV of ST distortion where one alone
makes 37 uV. The first `delay` samples give no column; at the end the last one is held for `delay` pushes. So n samples
give n columns, and column c depends on samples c-delay .. c+delay only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError

AVERAGE_LOG2_MAX = 8  # rings of 256 samples; 2**16 * int16 is the most that an int32 sum of sums holds
TAPS_MAX = 15
FIR_SUM_MAX = 1024

# Zeros near 50, 60 and 125 Hz at 250 Hz, sum 32: mains falls to about 1 %, 10 Hz keeps 91 %.
FIR_250_HZ = (3, 4, 5, 8, 5, 4, 3)


class State(IntEnum):
    """What a verdict's samples looked like; the largest wins, and anything but OK is an abstention."""

    OK = 0
    FLAT = 1
    CLIPPED = 2
    LEAD_OFF = 3
    GAP = 4


@dataclass(frozen=True, slots=True)
class Prepare:
    """The parameters of one preparation; a bundle's manifest holds them."""

    average_log2: int = 8
    fir: tuple[int, ...] = FIR_250_HZ
    multiplier: int = 1
    shift: int = 9  # 32 (the sum of the taps) * 16 uV per LSB
    zero_point: int = 0
    flat_samples: int = 600
    flat_uv: int = 2

    def __post_init__(self) -> None:
        taps = len(self.fir)
        limits = (
            (1 <= self.average_log2 <= AVERAGE_LOG2_MAX, f"average_log2 is {self.average_log2}, not 1..8"),
            (taps % 2 == 1 and taps <= TAPS_MAX, f"{taps} fir taps, not an odd number up to {TAPS_MAX}"),
            (self.fir == self.fir[::-1] and min(self.fir) >= 0, "fir is not symmetric and non-negative"),
            (0 < sum(self.fir) <= FIR_SUM_MAX, f"fir sums to {sum(self.fir)}, not 1..{FIR_SUM_MAX}"),
            (0 < self.multiplier < 2**31, f"multiplier is {self.multiplier}, not 1..2**31-1"),
            (1 <= self.shift <= 62, f"shift is {self.shift}, not 1..62"),
            (-128 <= self.zero_point <= 127, f"zero_point is {self.zero_point}, not int8"),
            (1 <= self.flat_samples <= 65535, f"flat_samples is {self.flat_samples}, not 1..65535"),
            (0 <= self.flat_uv <= 32767, f"flat_uv is {self.flat_uv}, not 0..32767"),
        )
        for holds, complaint in limits:
            if not holds:
                raise SignalError(f"prepare: {complaint}")

    @property
    def delay(self) -> int:
        """Samples between a sample and its column."""
        return (1 << self.average_log2) - 1 + (len(self.fir) - 1) // 2

    @property
    def history(self) -> int:
        """Samples before a window that a replay needs for equal bits, states included."""
        return self.delay + self.flat_samples

    @classmethod
    def from_manifest(cls, fields: Mapping[str, Any]) -> Prepare:
        """The manifest's `prepare` object -> Prepare. Raises SignalError where a field is missing or out of range."""
        try:
            return cls(**{**fields, "fir": tuple(fields["fir"])})
        except (KeyError, TypeError) as error:
            raise SignalError(f"prepare: the manifest's parameters do not fit: {error}") from error

    def to_manifest(self) -> dict[str, Any]:
        """-> the JSON object of a manifest."""
        return {**asdict(self), "fir": list(self.fir)}


def average_log2_of(fs_hz: float) -> int:
    """A moving average of about a second, as a power of two: 256 samples at 250 and 360 Hz, 128 at 100 Hz."""
    return min(AVERAGE_LOG2_MAX, max(1, round(float(np.log2(fs_hz)))))


def scaled_prepare(*, uv_per_lsb: float, zero_point: int, average_log2: int = 8) -> Prepare:
    """The preparation whose int8 steps are `uv_per_lsb` microvolts wide.

    Args:
        uv_per_lsb: width of one input step of the model, in uV.
        zero_point: the model's input zero point.
        average_log2: log2 of the moving averages' length in samples; about one second.

    Raises:
        SignalError: the scale is not a positive number that fits a 31-bit multiplier.
    """
    if not 1e-3 <= uv_per_lsb <= 1e6:
        raise SignalError(f"prepare: {uv_per_lsb:g} uV per input step is outside 0.001 .. 1,000,000")
    mantissa, exponent = np.frexp(1.0 / (uv_per_lsb * sum(FIR_250_HZ)))
    multiplier, shift = round(float(mantissa) * 2**30), 30 - int(exponent)
    while multiplier % 2 == 0 and shift > 1:
        multiplier, shift = multiplier // 2, shift - 1
    return Prepare(average_log2, FIR_250_HZ, multiplier, shift, zero_point)


def _moving_sum(x: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """(..., n) -> (..., n - length + 1) sums of `length` neighbours."""
    total = np.cumsum(x, axis=-1)
    head = total[..., length - 1 : length]
    return np.concatenate([head, total[..., length:] - total[..., :-length]], axis=-1)


def _columns(held: NDArray[np.int16], p: Prepare) -> NDArray[np.int8]:
    """Samples with 2*delay of context, (..., n + 2*delay) -> (..., n) columns.

    Before the stream's start m1 equals the held sample, as the average of a constant does: so context is all it takes.
    """
    length, half = 1 << p.average_log2, 1 << (p.average_log2 - 1)
    x = held.astype(np.int64)
    m1 = (_moving_sum(x, length) + half) >> p.average_log2
    baseline = (_moving_sum(m1, length) + half) >> p.average_log2
    centred = x[..., length - 1 : x.shape[-1] - (length - 1)]
    h = np.clip(centred - baseline, -32768, 32767)
    n = h.shape[-1] - (len(p.fir) - 1)
    a = np.zeros((*h.shape[:-1], n), np.int64)
    for j, tap in enumerate(p.fir):
        a += tap * h[..., j : j + n]
    scaled = (a * p.multiplier + (1 << (p.shift - 1))) >> p.shift
    return np.clip(scaled + p.zero_point, -128, 127).astype(np.int8)


def prepare(samples_uv: NDArray[np.int16], p: Prepare) -> NDArray[np.int8]:
    """Prepare isolated windows: reset, push every sample, end.

    Args:
        samples_uv: (..., n), uV, n >= 1.
        p: the parameters.

    Returns:
        (..., n) columns.

    Raises:
        SignalError: no samples, or not int16.
    """
    if samples_uv.dtype != np.int16 or samples_uv.shape[-1] == 0:
        raise SignalError(f"prepare: wants int16 microvolts, got {samples_uv.dtype} of shape {samples_uv.shape}")
    width = [(0, 0)] * (samples_uv.ndim - 1) + [(p.delay, p.delay)]
    return _columns(np.pad(samples_uv, width, mode="edge"), p)


def _flat_samples(samples_uv: NDArray[np.int16], p: Prepare) -> NDArray[np.bool_]:
    """(..., n) -> (..., n): the last `flat_samples` differences up to here are all `flat_uv` at most."""
    still = np.abs(np.diff(samples_uv.astype(np.int32), axis=-1)) <= p.flat_uv
    flat = np.zeros(samples_uv.shape, np.bool_)
    if still.shape[-1] >= p.flat_samples:
        runs = _moving_sum(still.astype(np.int64), p.flat_samples)
        flat[..., p.flat_samples :] = runs == p.flat_samples
    return flat


def sample_states(samples_uv: NDArray[np.int16], p: Prepare) -> NDArray[np.uint8]:
    """The state that each sample raises by itself, (..., n) -> (..., n); lead-off and gaps are the caller's to add."""
    clipped = (samples_uv == 32767) | (samples_uv == -32768)
    flat = _flat_samples(samples_uv, p)
    return np.where(clipped, State.CLIPPED, np.where(flat, State.FLAT, State.OK)).astype(np.uint8)


def window_states(samples_uv: NDArray[np.int16], p: Prepare) -> NDArray[np.uint8]:
    """The state of isolated windows, (..., n) -> (...)."""
    states: NDArray[np.uint8] = sample_states(samples_uv, p).max(axis=-1)
    return states


def stream_states(states: NDArray[np.uint8], p: Prepare, *, window: int, hop: int) -> NDArray[np.uint8]:
    """The state of each window of a whole stream.

    A window carries the worst state of every sample that its columns have seen: `delay` more on both sides.

    Args:
        states: (n,) State of each sample, n >= window.
        p: the parameters.
        window: samples per window.
        hop: samples between windows.

    Returns:
        ((n - window) // hop + 1,) State per window.
    """
    starts = np.arange(0, states.size - window + 1, hop)
    reach = [states[max(0, s - p.delay) : s + window + p.delay].max() for s in starts]
    return np.array(reach, np.uint8)


class PrepareStream:
    """One lead, chunk by chunk: the same columns as `prepare` over the whole stream."""

    def __init__(self, p: Prepare) -> None:
        self._p = p
        self._context: NDArray[np.int16] = np.zeros(0, np.int16)

    def push(self, samples_uv: NDArray[np.int16]) -> NDArray[np.int8]:
        """(k,) samples, uV -> (m,) columns, m <= k: the first `delay` samples give none."""
        if samples_uv.size == 0:
            return np.zeros(0, np.int8)
        if self._context.size == 0:
            self._context = np.full(self._p.delay, samples_uv[0], np.int16)
        held = np.concatenate([self._context, samples_uv])
        span = 2 * self._p.delay
        self._context = held[-span:]
        return _columns(held, self._p) if held.size > span else np.zeros(0, np.int8)

    def end(self) -> NDArray[np.int8]:
        """Hold the last sample for the filter's delay -> the columns still owed."""
        if self._context.size == 0:
            return np.zeros(0, np.int8)
        return self.push(np.full(self._p.delay, self._context[-1], np.int16))
