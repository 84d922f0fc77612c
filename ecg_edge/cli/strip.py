"""The last seconds of ECG as characters: Braille dots on a scale that holds still. Layer: cli; knows no terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHOWN_S = 7.0  # about: a dot is a whole number of samples wide
_KEPT_S = 12  # of samples, for the widest terminal
_RANGES_MV = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0, 66.0)  # from the lowest to the highest row
_ROOM = 1.15  # of a new range, over what it has to show
_SHRINK_S = 6.0  # a smaller range must have been enough for that long
_UV_PER_MV = 1000.0
_DOTS_X, _DOTS_Y = 2, 4  # of a Braille character
# Bit of each dot of a Braille character, rows from the top. Source: Unicode, block U+2800.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint32)
_BRAILLE = 0x2800
_NOT_YET = np.float32(np.inf)  # in the buffer, before the first sample; a gap is NaN


@dataclass(frozen=True, slots=True)
class Drawn:
    """One lead, drawn."""

    rows: list[str]  # height strings of width characters
    missing: NDArray[np.bool_]  # (width,) characters in a gap
    seconds: NDArray[np.bool_]  # (width,) characters where a second begins
    top_mv: float
    bottom_mv: float
    shown_s: float


class Scale:
    """Which millivolts a strip shows. It grows at once, and shrinks and moves only when it has to."""

    def __init__(self) -> None:
        self.range_mv, self.center_mv = _RANGES_MV[2], 0.0
        self._smaller_since: int | None = None

    def fit(self, low_mv: float, high_mv: float, index: int, fs_hz: int) -> None:
        """Show these values; index is the time."""
        best = next((size for size in _RANGES_MV if size >= (high_mv - low_mv) * _ROOM), _RANGES_MV[-1])
        outside = max(high_mv - self.center_mv, self.center_mv - low_mv) > self.range_mv / 2
        if best >= self.range_mv:
            self._smaller_since = None
        elif self._smaller_since is None:
            self._smaller_since = index
        shrinks = self._smaller_since is not None and index - self._smaller_since > _SHRINK_S * fs_hz
        if outside or shrinks:
            self.range_mv = best if shrinks else max(best, self.range_mv)
            step = self.range_mv / 8
            self.center_mv = round((low_mv + high_mv) / 2 / step) * step
            self._smaller_since = None


class Strip:
    """Keeps the last samples of every lead, and draws them."""

    def __init__(self, fs_hz: int, leads: int) -> None:
        self._fs_hz = fs_hz
        self._kept = np.full((round(_KEPT_S * fs_hz), leads), _NOT_YET, np.float32)
        self._scales = [Scale() for _ in range(leads)]
        self._index = 0  # behind the last sample

    def add(self, samples_uv: NDArray[np.int16]) -> None:
        """(k, leads) uV."""
        self._append(samples_uv[-len(self._kept) :].astype(np.float32), len(samples_uv))

    def add_gap(self, samples: int) -> None:
        """Samples that never came."""
        shape = (min(samples, len(self._kept)), self._kept.shape[1])
        self._append(np.full(shape, np.nan, np.float32), samples)

    def draw(self, lead: int, width: int, height: int) -> Drawn:
        """Draw a lead.

        Args:
            lead: which.
            width: characters.
            height: rows.
        """
        dots = width * _DOTS_X
        per_dot = max(1, round(SHOWN_S * self._fs_hz / dots))
        columns = self._columns(lead, dots, per_dot)
        seen, gaps = np.isfinite(columns), np.isnan(columns)
        low = np.where(seen, columns, np.inf).min(axis=1) / _UV_PER_MV
        high = np.where(seen, columns, -np.inf).max(axis=1) / _UV_PER_MV
        there = np.isfinite(low)
        scale = self._scales[lead]
        if there.any():
            scale.fit(float(low[there].min()), float(high[there].max()), self._index, self._fs_hz)
        top, bottom = scale.center_mv + scale.range_mv / 2, scale.center_mv - scale.range_mv / 2
        last = self._index // per_dot * per_dot
        marks = np.arange(last - dots * per_dot, last, per_dot) % self._fs_hz < per_dot
        return Drawn(
            _braille(_levels(high, top, bottom, height), _levels(low, top, bottom, height), there, height),
            gaps.any(axis=1).reshape(width, _DOTS_X).any(axis=1),
            marks.reshape(width, _DOTS_X).any(axis=1),
            top,
            bottom,
            dots * per_dot / self._fs_hz,
        )

    def _columns(self, lead: int, dots: int, per_dot: int) -> NDArray[np.float32]:
        """(dots, per_dot) the samples of each dot, which begin at a multiple of per_dot: dots keep their look."""
        size, behind = dots * per_dot, self._index % per_dot
        values = self._kept[max(0, len(self._kept) - behind - size) : len(self._kept) - behind, lead]
        return np.pad(values, (size - len(values), 0), constant_values=_NOT_YET).reshape(dots, per_dot)

    def _append(self, rows: NDArray[np.float32], samples: int) -> None:
        self._index += samples
        if len(rows):
            self._kept = np.concatenate((self._kept[len(rows) :], rows))


def _levels(values_mv: NDArray[np.float32], top: float, bottom: float, height: int) -> NDArray[np.int64]:
    """Row of dots of each value, from the top; values outside lie on the edge."""
    dots = height * _DOTS_Y
    levels = (top - np.where(np.isfinite(values_mv), values_mv, bottom)) * (dots - 1) / (top - bottom)
    rows: NDArray[np.int64] = np.clip(np.rint(levels), 0, dots - 1).astype(np.int64)
    return rows


def _braille(high: NDArray[np.int64], low: NDArray[np.int64], there: NDArray[np.bool_], height: int) -> list[str]:
    """Rows of characters: in each column of dots, those from high to low."""
    # Each column is stretched to touch the one before it, so that a steep line has no holes.
    touching = there[1:] & there[:-1]
    upper = np.where(touching, np.minimum(high[1:], low[:-1] + 1), high[1:])
    lower = np.where(touching, np.maximum(low[1:], high[:-1] - 1), low[1:])
    high, low = np.append(high[:1], upper), np.append(low[:1], lower)
    y = np.arange(height * _DOTS_Y)[:, None]
    dots = (y >= high) & (y <= low) & there  # (dots y, dots x)
    cells = dots.reshape(height, _DOTS_Y, -1, _DOTS_X).transpose(0, 2, 1, 3)  # (rows, characters, 4, 2)
    codes = (cells * _BITS).sum(axis=(2, 3), dtype=np.uint32) + _BRAILLE
    codes[codes == _BRAILLE] = ord(" ")
    return [row.astype("<u4").tobytes().decode("utf-32-le") for row in codes]
