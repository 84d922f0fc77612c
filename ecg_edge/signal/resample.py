"""Microvolts at one rate to int16 microvolts at another. Layer: signal; imports errors.

The host resamples before anything becomes a sample; the board never does.
"""

from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ecg_edge.errors import SignalError

# A QRS complex reaches 40 Hz, so its samples need 80 Hz; PTB-XL's 100 Hz is the lowest rate in common use.
MIN_FS_HZ = 100
MAX_FS_HZ = 100_000


def check_rate(fs_hz: float, what: str) -> int:
    """Return a rate as an integer, or say why it cannot be used.

    Args:
        fs_hz: samples per second.
        what: the object to name in the error.

    Raises:
        SignalError: the rate is not whole, or outside MIN_FS_HZ to MAX_FS_HZ.
    """
    if not MIN_FS_HZ <= fs_hz <= MAX_FS_HZ:
        raise SignalError(f"{what}: {fs_hz:g} Hz; a rate from {MIN_FS_HZ} to {MAX_FS_HZ} Hz is needed")
    if fs_hz != int(fs_hz):
        raise SignalError(f"{what}: {fs_hz:g} Hz is not a whole number of hertz")
    return int(fs_hz)


def resample(samples_uv: ArrayLike, from_hz: int, to_hz: int) -> NDArray[np.float64]:
    """Resample along the last axis with a linear-phase anti-alias filter; the ends are held, as a stream's are.

    Args:
        samples_uv: (..., n), uV.
        from_hz: its rate.
        to_hz: the wanted rate.

    Returns:
        (..., ceil(n * to_hz / from_hz)), uV.
    """
    values = np.asarray(samples_uv, np.float64)
    if from_hz == to_hz:
        return values
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    filter_ = _anti_alias(up, down)
    half, taps = filter_.size // 2, -(-filter_.size // up)
    held = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(taps, taps)], mode="edge")
    seen = sliding_window_view(held, taps, axis=-1)
    out = np.empty((*values.shape[:-1], -(-values.shape[-1] * up // down)))
    for first in range(min(up, out.shape[-1])):  # every up-th value comes by the same taps of the filter
        newest, phase = divmod(first * down + half, up)
        weights = np.zeros(taps)
        own = filter_[phase::up][::-1]
        weights[taps - own.size :] = own
        part = out[..., first::up]
        part[...] = seen[..., newest + 1 :: down, :][..., : part.shape[-1], :] @ weights
    return out


def _anti_alias(up: int, down: int) -> NDArray[np.float64]:
    """A low pass at the lower of both rates' limits, for a signal with up - 1 zeros put after each value.

    Source: the filter that scipy.signal.resample_poly designs (Kaiser window, beta 5, ten zero crossings a side). Done
        here because to import scipy.signal takes half a second, and before a live run's first verdict that is long.
    """
    slow = max(up, down)
    at = np.arange(-10 * slow, 10 * slow + 1)
    taps = np.sinc(at / slow) * np.kaiser(at.size, 5.0)
    return np.asarray(taps * (up / taps.sum()))


def to_int16(uv: ArrayLike) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Round to whole uV, half to even, and saturate.

    Args:
        uv: (..., n), finite.

    Returns:
        samples, and which of them did not fit; both (..., n).
    """
    rounded = np.rint(uv)
    limits = np.iinfo(np.int16)
    return np.clip(rounded, limits.min, limits.max).astype(np.int16), (rounded < limits.min) | (rounded > limits.max)


def resample_marks(marks: NDArray[np.bool_], from_hz: int, to_hz: int) -> NDArray[np.bool_]:
    """Carry marks on samples (n,) to another rate: a new sample is marked when a marked one is within its reach."""
    if from_hz == to_hz:
        return marks
    count = -(-marks.size * to_hz // from_hz)
    marked = np.flatnonzero(marks)
    edges = np.zeros(count + 2, np.int64)  # +1 where a marked stretch begins, -1 after its end
    np.add.at(edges, np.minimum(marked * to_hz // from_hz, count), 1)
    np.add.at(edges, np.minimum(-(-(marked + 1) * to_hz // from_hz) + 1, count + 1), -1)
    return np.cumsum(edges)[:count] > 0
