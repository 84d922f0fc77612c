"""The heart rate of a live signal. Layer: live; composes signal."""

from __future__ import annotations

from collections import deque
from statistics import median

from ecg_edge.live.source import Chunk
from ecg_edge.signal.qrs import FS_HZ, QrsStream

_INTERVALS = 8
_FEWEST = 3  # intervals that tell a rate
_STALE_S = 4.0  # since the last beat


class Pulse:
    """Beats of the first lead, and their rate now."""

    def __init__(self, fs_hz: int) -> None:
        """Args: fs_hz, of the signal; at another rate than the detector's no beat is found."""
        self._able = fs_hz == FS_HZ
        self.restart(0)

    def restart(self, index: int) -> None:
        """Forget what came; the next sample has this index."""
        self._qrs = QrsStream()
        self._first = self._index = index
        self._last: int | None = None
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)

    def push(self, chunk: Chunk) -> None:
        """Take samples in a row."""
        self._index = chunk.index + len(chunk.samples_uv)
        if not self._able:
            return
        for beat in self._qrs.push(chunk.samples_uv[:, 0]):
            at = self._first + beat.at
            if self._last is not None:
                self._intervals.append(at - self._last)
            self._last = at

    @property
    def rate_bpm(self) -> int | None:
        """Beats a minute by the median of the last intervals; None: not known, or not any more."""
        if self._last is None or len(self._intervals) < _FEWEST or self._index - self._last > _STALE_S * FS_HZ:
            return None
        return round(60 * FS_HZ / median(self._intervals))
