"""Find heartbeats in a stream: integers only, the same beats as ecg_qrs.c.

Layer: signal; imports numpy.

In words, at 250 Hz; `>>` rounds towards minus infinity. A stream starts as if its first sample had been there for ever.

    d = 2 * (x[n-6] + ... + x[n-11]) - (x[n] + ... + x[n-5]) - (x[n-12] + ... + x[n-17])      the curve of 24 ms
    a = abs(d) >> 4
    y = a[n] + ... + a[n-17]

A *crest* is a y that no later y exceeds for 46 samples; the next search begins behind those. Its beat would lie at the
first largest a of the 18 in its y, less 8. Each crest, in order, is one of three:

    beat     y > threshold, unless it is a T wave: within 90 samples of the last beat, and y < half of that beat's
    noise    y <= threshold: one of the last 8 that make the noise level, their mean
    missed   all that is no beat: the latest 10 since the last beat are remembered

    threshold = max(noise + ((signal - noise) * 80 >> 8), 180)
    signal    = median of the last 8 beats' y
    interval  = median of the last 8 intervals between beats, of those from 47 to 499 samples; 200 at first

Before a crest is judged, where the last beat is over interval * 360 >> 8 samples ago, the largest missed crest at least
100 samples behind that beat and at most 560 ago is a beat if it exceeds half the threshold: search-back. Where the last
beat is over 1,250 samples ago, and again every 500, all levels of beats are halved: an electrode may have moved. Levels
begin as the largest and the mean y of the first 500 samples, whose crests are judged when these have come.

A beat is known 46 samples after the y that was judged, or with sample 500; where one sample makes two known, the second
one is known with the next sample: one a sample. So none is known over OLDEST samples late.

All medians are of 8: the mean of the middle two, rounded down. Levels adapt as in Hamilton and Tompkins 1986, IEEE
TBME 33(12):1157-1165.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FS_HZ = 250
DELAY = 72  # samples from an R peak to its crest's judgement, at most; search-back takes longer

_ARM = 6  # samples of each of the three sums in d
_SHIFT = 4
_SUM = 18  # values of a in y
_CREST = 46  # 184 ms: no two beats are nearer
_BACK = 8  # from the largest a to the middle of d
_LEARN = 500
_MEDIAN = 8
_BEATS_PART, _BEATS_PART_LOG2 = 80, 8  # of the way from noise to signal lies the threshold
_FLOOR = 180
_T_WAVE, _BEHIND, _RECENT = 90, 100, 560
_LATE, _LATE_LOG2 = 360, 8
_INTERVALS = range(47, 500)
_FIRST_INTERVAL = 200
_KEPT = 10
_LOST, _LOST_AGAIN = 1250, 500

OLDEST = _RECENT + _CREST + _SUM + _BACK  # samples from an R peak until it is known by search-back, at most


class Detection(NamedTuple):
    """A beat."""

    at: int  # index of its R peak; less than 0 where a stream begins in the middle of one
    known: int  # index of the sample that made it known


@dataclass(frozen=True, slots=True)
class _Crest:
    at: int  # index of its y
    level: int  # its y
    beat: int  # index of the R peak, if it is one


def _median(values: deque[int]) -> int:
    ordered = sorted(values)
    return (ordered[_MEDIAN // 2 - 1] + ordered[_MEDIAN // 2]) >> 1


class _Judge:
    """Which crests are beats."""

    def __init__(self, largest: int, mean: int) -> None:
        self._beats = deque([largest] * _MEDIAN, _MEDIAN)
        self._noise = deque([mean] * _MEDIAN, _MEDIAN)
        self._intervals = deque([_FIRST_INTERVAL] * _MEDIAN, _MEDIAN)
        self._missed: deque[_Crest] = deque(maxlen=_KEPT)
        self._last: _Crest | None = None
        self._lost_at = 0  # when the levels are halved next

    def judge(self, crest: _Crest) -> list[int]:
        """Take the next crest; the beats that are known by it, in order."""
        found = []
        if self._last is not None:
            if (missed := self._search_back(crest)) is not None:
                found.append(self._accept(missed))
            if crest.at > self._lost_at:
                self._beats = deque((level >> 1 for level in self._beats), _MEDIAN)
                self._lost_at += _LOST_AGAIN
        threshold = self._threshold()
        if crest.level > threshold and not self._is_t_wave(crest):
            self._missed.clear()
            found.append(self._accept(crest))
            return found
        if crest.level <= threshold:
            self._noise.append(crest.level)
        self._missed.append(crest)
        return found

    def _threshold(self) -> int:
        noise = sum(self._noise) >> 3
        signal = _median(self._beats)
        return max(noise + ((signal - noise) * _BEATS_PART >> _BEATS_PART_LOG2), _FLOOR)

    def _is_t_wave(self, crest: _Crest) -> bool:
        last = self._last
        return last is not None and crest.at - last.at < _T_WAVE and crest.level < last.level >> 1

    def _search_back(self, crest: _Crest) -> _Crest | None:
        last = self._last
        assert last is not None
        if crest.at - last.at <= _median(self._intervals) * _LATE >> _LATE_LOG2:
            return None
        able = [missed for missed in self._missed if missed.at - last.at >= _BEHIND and crest.at - missed.at <= _RECENT]
        best = max(able, key=lambda missed: missed.level, default=None)
        if best is None or best.level <= self._threshold() >> 1:
            return None
        self._missed = deque((missed for missed in self._missed if missed.at > best.at), _KEPT)
        return best

    def _accept(self, crest: _Crest) -> int:
        if self._last is not None and crest.at - self._last.at in _INTERVALS:
            self._intervals.append(crest.at - self._last.at)
        self._beats.append(crest.level)
        self._last, self._lost_at = crest, crest.at + _LOST
        return crest.beat


class QrsStream:
    """A detector of one lead, fed in pieces of any size."""

    def __init__(self) -> None:
        self._samples = np.empty(0, np.int64)  # the last 3 * _ARM
        self._slopes = np.empty(0, np.int64)  # a, from the first that a crest may need
        self._levels = np.empty(0, np.int64)  # y, from the one that may be a crest
        self._taken = 0  # samples so far
        self._early: list[_Crest] = []
        self._learnt = [0, 0]  # largest and sum of the first y
        self._judge: _Judge | None = None
        self._known = -1  # when the last beat was

    def push(self, samples_uv: NDArray[np.int16]) -> list[Detection]:
        """Take (n,) samples -> the beats that are known by them, in order."""
        if not len(samples_uv):
            return []
        levels = self._filter(samples_uv)
        self._learn(levels)
        self._levels = np.concatenate((self._levels, levels))
        self._taken += len(samples_uv)
        crests = self._crests()
        if self._judge is None:
            self._early += crests
            if self._taken < _LEARN:
                return []
            largest, total = self._learnt
            self._judge, crests = _Judge(largest, total // _LEARN), self._early
        return [self._told(beat, crest) for crest in crests for beat in self._judge.judge(crest)]

    def end(self) -> list[Detection]:
        """Hold the last sample for DELAY -> the last beats."""
        held = self._samples[-1:].astype(np.int16)
        return self.push(np.repeat(held, DELAY)) if len(held) else []

    def _told(self, beat: int, crest: _Crest) -> Detection:
        self._known = max(crest.at + _CREST, _LEARN - 1, self._known + 1)
        return Detection(beat, self._known)

    def _filter(self, samples_uv: NDArray[np.int16]) -> NDArray[np.int64]:
        """(n,) samples -> (n,) y."""
        if not len(self._samples):
            self._samples = np.full(3 * _ARM, samples_uv[0], np.int64)
            self._slopes = np.zeros(_SUM, np.int64)
        joined = np.concatenate((self._samples, samples_uv))
        sums = np.concatenate(([0], np.cumsum(joined)))
        newest, n = np.arange(3 * _ARM, len(joined)) + 1, _ARM
        middle = sums[newest - n] - sums[newest - 2 * n]
        sides = sums[newest] - sums[newest - n] + sums[newest - 2 * n] - sums[newest - 3 * n]
        slopes = np.abs(2 * middle - sides) >> _SHIFT
        self._samples = np.asarray(joined[-3 * _ARM :], np.int64)
        self._slopes = np.concatenate((self._slopes, slopes))
        sums = np.concatenate(([0], np.cumsum(self._slopes[-len(slopes) - _SUM :])))
        return np.asarray(sums[_SUM + 1 :] - sums[1:-_SUM], np.int64)

    def _learn(self, levels: NDArray[np.int64]) -> None:
        part = levels[: max(0, _LEARN - self._taken)]
        if len(part):
            self._learnt = [max(self._learnt[0], int(part.max())), self._learnt[1] + int(part.sum())]

    def _crests(self) -> list[_Crest]:
        """Those that are known by what came, in order; forgets what no later one needs."""
        levels, found, i = self._levels, [], 0
        first = self._taken - len(levels)  # index of levels[0]
        oldest = self._taken - len(self._slopes)
        while i + _CREST < len(levels):
            after = levels[i + 1 : i + 1 + _CREST]
            k = int(after.argmax())
            if after[k] > levels[i]:
                i += 1 + k
                continue
            at = first + i
            slopes = self._slopes[at - oldest - _SUM + 1 : at - oldest + 1]
            found.append(_Crest(at, int(levels[i]), at - _SUM + 1 + int(slopes.argmax()) - _BACK))
            i += _CREST + 1
        self._levels = levels[i:]
        self._slopes = self._slopes[max(0, first + i - oldest - _SUM) :]
        return found


def find_beats(samples_uv: NDArray[np.int16]) -> NDArray[np.int64]:
    """R peaks of a whole recording at FS_HZ: (n,) uV -> (k,) indices, ascending."""
    stream = QrsStream()
    return np.array([beat.at for beat in (*stream.push(samples_uv), *stream.end())], np.int64)
