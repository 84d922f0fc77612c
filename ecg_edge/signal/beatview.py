"""What a model of beats is shown of each heartbeat: integers only, the same bits as ecg_beats.c.

Layer: signal; imports numpy.

The *view* of a beat is an int8 tensor of COLUMNS x CHANNELS: 0.84 s of the prepared signal about its R peak, twice its
difference from the patient's usual beat, and 12 features of rhythm and shape that are the same in every column, so that
one small network takes both. Everything is causal and adapts to the patient without labels.

In words, where `>>` rounds towards minus infinity, as `//` does; c[n] are prepared columns (prepare.py), 0 outside the
signal.

    lg(v)  = 64 * e + LOG[(v << 6 >> e) - 64], e = floor(log2(v)): 64 times log2, from a table of 64
    part(q)[k] = ((c[o-1] + c[o] + c[o+1]) * 85 + 128) >> 8, o = q - 90 + 3 * k, k = 0..69
    QRS = columns 23..39, P = columns 2..23

Beats are taken in order, each when the column 133 behind its R peak came. Of the beat at q, with t = (usual + 8) >> 4:

    lag    of -12, -10, ..., 12: the first with the smallest sum over QRS of abs(part(q + lag) - t), plus 2 * abs(lag)
    x      = part(q + lag)
    size   = sum over QRS of abs(t), plus 8
    shape  = sum over QRS of abs(d - (sum(d) * 15 >> 8)), d = x - t over QRS
    u, w   = x and t over P, each less (its sum * 12 >> 8)
    near   = smallest of the sums over j = 2..19 of abs(u[j - s] - w[j]), s = -1, 0, 1
    alike  = 127 * sum(u * w) / ((root(sum(u*u)) * root(sum(w*w)) >> 8) + 1), root(v) = floor(sqrt(v << 8)); towards 0
    gain   = 28 * 17 * 256 // size, at least 64 and at most 1024

and of its rhythm, intervals in samples, at most 1,000 each: r0 before it (200 for the first beat), r-1 before that
(as r0 for the first two), r1 and r2 behind it (where the signal ends before: as r0, as r1); `mean` is the long mean of
intervals, `recent` the mean of the last 8, both 200 at first.

    features = r0/mean, r1/mean, r-1/mean, r2/mean, recent/mean, 2 * (irregular - 32), lg(shape + 1) - lg(size),
               lg(near + 1) - lg(sum(abs(w)) + 8), alike, usual P, recent P, lg(since P + 1) // 4
    where a/b is lg(a) - lg(b)
    view[k] = x[k] * gain >> 8,  ((x[k] << 4) - usual[k]) * gain >> 11,  features     all limited to -127..127

A beat whose state is OK then changes what is known of the patient; the interval of the first beat counts for nothing.
`late` is r0/mean >= -4, `like` is 2 * shape < size.

    recent      the last 8 intervals
    irregular   mean (>> 4) of the last 16 abs(lg(r0) - lg(r0 before)), each at most 127
    mean        += (256 * r0 - mean) // n, in 1/256 of a sample, n = 1, 2, ... 256
    recent P    += alike - (recent P >> 4), in 1/16; from 100
    usual P     += alike - (usual P >> 5), in 1/32, if late and like; from 100
    since P     0 if late, like and alike > 80; else one more, 63 at most
    usual       in 1/16; at first the first beat. If late and like it moves towards x as a mean of up to 32 beats:
                usual += ((x << 4) - usual) // n

A late beat that is not like may be the rival's, the second kind of beat that is kept: if the smallest sum over QRS of
abs(part(q + lag) - r), r = (rival + 8) >> 4, is less than half of the sum over QRS of abs(r), plus 8, the rival moves
towards it in the same way and gains one of its up to 64 lives, and else it loses one, and without lives this beat, at
lag 0, is the rival, with one life. Each beat like the usual one is a vote for it, up to 128, each of the rival's is one
against; below 0 votes they change places, with 1 vote and 64 lives (Boyer and Moore 1981: the majority survives).

A view is given when two more beats are known, or the signal is over.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ecg_edge.signal.prepare import Prepare, PrepareStream, State, sample_states
from ecg_edge.signal.qrs import Detection, QrsStream

COLUMNS, CHANNELS = 70, 14
FEATURES = ("r0", "r1", "r-1", "r2", "recent", "irregular", "shape", "near", "alike", "usual_p", "recent_p", "since_p")
TAIL = 140  # samples held behind a stream's end, beside prepare's delay: the last beat's columns, and what waits

_STEP, _BEFORE = 3, 90
_REACH = 133  # from an R peak to the last column of its view, at any lag
_LAGS = np.arange(-12, 13, 2)
_QRS, _P = slice(23, 40), slice(2, 24)
_R1, _R2 = 3, 5  # channels
_LONGEST = 1000
_FIRST_INTERVAL = 200
_STATE_COLUMNS = 2000  # over which a state is looked for, at most
_RING = 512  # columns kept for beats that are found late: OLDEST, less prepare's delay, and a view's reach fit
_LOG = [round(64 * float(np.log2(1 + f / 64))) for f in range(64)]
_OFFSETS = (_LAGS[:, None] - _BEFORE + _STEP * np.arange(COLUMNS)[None, :]).astype(np.int64)
_SPAN = int(_OFFSETS[-1, -1] - _OFFSETS[0, 0]) + 3


def lg(v: int) -> int:
    """64 * log2(v), v >= 1, within 2."""
    e = v.bit_length() - 1
    return 64 * e + _LOG[(v << 6 >> e) - 64]


@dataclass(frozen=True, slots=True)
class BeatView:
    """One beat, ready for a model."""

    at: int  # sample of its R peak
    rr: int  # samples since the beat before; 0 of the first
    state: State  # the worst since the beat before, to the end of the view
    tensor: NDArray[np.int8]  # (COLUMNS, CHANNELS)


@dataclass(slots=True)
class _Template:
    """A kind of beat: the mean of up to 32, in 1/16 of a column's unit."""

    sum16: NDArray[np.int64]
    count: int = 1

    @property
    def level(self) -> NDArray[np.int64]:
        return np.asarray((self.sum16 + 8) >> 4, np.int64)

    def move(self, part: NDArray[np.int64]) -> None:
        self.count = min(self.count + 1, 32)
        self.sum16 = self.sum16 + ((part << 4) - self.sum16) // self.count


@dataclass(slots=True)
class _Pending:
    """A beat seen, whose next two are not known yet."""

    number: int
    view: BeatView  # without r1 and r2
    mean_lg: int


@dataclass(slots=True)
class _Rhythm:
    recent: deque[int] = field(default_factory=lambda: deque([_FIRST_INTERVAL] * 8, 8))
    jumps: deque[int] = field(default_factory=lambda: deque([0] * 16, 16))
    mean256: int = _FIRST_INTERVAL << 8
    count: int = 0
    before_lg: int = lg(_FIRST_INTERVAL)

    @property
    def mean_lg(self) -> int:
        return lg(self.mean256 >> 8)

    def take(self, interval: int) -> None:
        self.recent.append(interval)
        self.count = min(self.count + 1, 256)
        self.mean256 += ((interval << 8) - self.mean256) // self.count
        self.jumps.append(min(abs(lg(interval) - self.before_lg), 127))
        self.before_lg = lg(interval)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a beat looks beside the usual one."""

    part: NDArray[np.int64]
    size: int
    shape: int
    near: int
    energy: int  # of the usual P wave
    alike: int

    @property
    def like(self) -> bool:
        return 2 * self.shape < self.size


class _Patient:
    """What is known of the patient, and how a beat differs from it."""

    def __init__(self) -> None:
        self.rhythm = _Rhythm()
        self._usual: _Template | None = None
        self._rival: _Template | None = None
        self._lives = self._votes = 0
        self._usual_p32, self._recent_p16, self._since_p = 100 << 5, 100 << 4, 0

    def see(self, parts: NDArray[np.int64], r_before: int, r0: int, *, counts: bool, good: bool) -> NDArray[np.int8]:
        """(lags, COLUMNS) parts of a beat, its intervals -> its view but for r1 and r2; learns from a good one."""
        if self._usual is None:
            self._usual = _Template(parts[len(_LAGS) // 2] << 4)
        usual = self._usual
        shape = _compare(parts, usual.level)
        gain = min(max(28 * 17 * 256 // shape.size, 64), 1024)
        rhythm = self.rhythm
        mean = rhythm.mean_lg
        features = (
            *(lg(r0) - mean, 0, lg(r_before) - mean, 0, lg(sum(rhythm.recent) >> 3) - mean),
            2 * ((sum(rhythm.jumps) >> 4) - 32),
            lg(shape.shape + 1) - lg(shape.size),
            lg(shape.near + 1) - lg(shape.energy),
            *(shape.alike, self._usual_p32 >> 5, self._recent_p16 >> 4, lg(self._since_p + 1) // 4),
        )
        view = np.empty((COLUMNS, CHANNELS), np.int64)
        view[:, 0] = shape.part * gain >> 8
        view[:, 1] = ((shape.part << 4) - usual.sum16) * gain >> 11
        view[:, 2:] = features
        if good:
            self._learn(parts, shape, late=lg(r0) - mean >= -4)
            if counts:
                rhythm.take(r0)
        return np.clip(view, -127, 127).astype(np.int8)

    def _learn(self, parts: NDArray[np.int64], shape: _Shape, *, late: bool) -> None:
        usual = late and shape.like
        self._recent_p16 += shape.alike - (self._recent_p16 >> 4)
        self._usual_p32 += shape.alike - (self._usual_p32 >> 5) if usual else 0
        self._since_p = 0 if usual and shape.alike > 80 else min(self._since_p + 1, 63)
        if usual:
            assert self._usual is not None
            self._usual.move(shape.part)
            self._votes = min(self._votes + 1, 128)
        elif late:
            self._vote_for_rival(parts)

    def _vote_for_rival(self, parts: NDArray[np.int64]) -> None:
        if self._rival is not None and self._lives > 0:
            level = self._rival.level
            costs = np.abs(parts[:, _QRS] - level[_QRS]).sum(axis=1)
            best = int(costs.argmin())
            if 2 * int(costs[best]) < int(np.abs(level[_QRS]).sum()) + 8:
                self._rival.move(parts[best])
                self._lives, self._votes = min(self._lives + 1, 64), self._votes - 1
                if self._votes < 0:
                    self._usual, self._rival = self._rival, self._usual
                    self._lives, self._votes = 64, 1
                return
        self._lives -= 1
        if self._lives <= 0:
            self._rival, self._lives = _Template(parts[len(_LAGS) // 2] << 4), 1


def _compare(parts: NDArray[np.int64], t: NDArray[np.int64]) -> _Shape:
    """A beat at every lag, (lags, COLUMNS), beside the usual one's level, (COLUMNS,)."""
    costs = np.abs(parts[:, _QRS] - t[_QRS]).sum(axis=1) + 2 * np.abs(_LAGS)
    x = parts[int(costs.argmin())]
    d = x[_QRS] - t[_QRS]
    d = d - (int(d.sum()) * 15 >> 8)
    u, w = (v - (int(v.sum()) * 12 >> 8) for v in (x[_P], t[_P]))
    near = min(int(np.abs(u[2 - s : 20 - s] - w[2:20]).sum()) for s in (-1, 0, 1))
    product = 127 * int((u * w).sum())
    roots = isqrt(int((u * u).sum()) << 8) * isqrt(int((w * w).sum()) << 8)
    alike = abs(product) // ((roots >> 8) + 1) * (1 if product >= 0 else -1)
    size, energy = int(np.abs(t[_QRS]).sum()) + 8, int(np.abs(w).sum()) + 8
    return _Shape(x, size, int(np.abs(d).sum()), near, energy, alike)


class BeatStream:
    """Views of the beats of one lead at 250 Hz, fed in pieces of any size."""

    def __init__(self, prepare: Prepare) -> None:
        self._p = prepare
        self._qrs, self._columns_of = QrsStream(), PrepareStream(prepare)
        self._patient = _Patient()
        self._columns = np.zeros(_BEFORE - int(_LAGS[0]) + 1, np.int8)  # from _start on
        self._start = -self._columns.size
        self._states = np.empty(0, np.uint8)  # of the samples from _states_start on
        self._states_start = self._taken = 0
        self._found: list[Detection] = []  # beats not seen yet
        self._ats: dict[int, int] = {}  # number of a beat -> its R peak; as long as intervals need it
        self._count = 0  # beats found
        self._last_uv = np.int16(0)
        self._pending: deque[_Pending] = deque()
        self._seen = 0
        self._free = 0  # the first sample whose step has seen no beat

    def push(self, samples_uv: NDArray[np.int16], states: NDArray[np.uint8]) -> list[BeatView]:
        """Take samples.

        Args:
            samples_uv: (k,), uV, at 250 Hz.
            states: (k,) State of each.

        Returns:
            the views that fell due, in order.
        """
        self._states = np.concatenate((self._states, states))
        return self._take(samples_uv)

    def end(self) -> list[BeatView]:
        """Hold the last sample for prepare's delay and TAIL -> the last views. The stream is over."""
        if self._taken == 0:
            return []
        return self._take(np.full(self._p.delay + TAIL, self._last_uv, np.int16)) + self._due(ended=True)

    def _take(self, samples_uv: NDArray[np.int16]) -> list[BeatView]:
        if not len(samples_uv):
            return []
        self._last_uv = samples_uv[-1]
        for beat in self._qrs.push(samples_uv):
            self._found.append(beat._replace(at=max(beat.at, 0)))
            self._ats[self._count] = self._found[-1].at
            self._count += 1
        self._columns = np.concatenate((self._columns, self._columns_of.push(samples_uv)))
        self._taken += len(samples_uv)
        while self._found and self._see(self._found[0]):
            del self._found[0]
        self._forget()
        return self._due()

    def _see(self, beat: Detection) -> bool:
        """Take the next beat, if its columns came."""
        step = max(beat.at + _REACH + self._p.delay, beat.known, self._free)
        if step >= self._taken:
            return False
        self._free = step + 1
        number = self._seen
        at, before, further = beat.at, self._ats.get(number - 1), self._ats.get(number - 2)
        rr = at - before if before is not None else 0
        r0 = min(rr, _LONGEST) if before is not None else _FIRST_INTERVAL
        r_before = min(before - further, _LONGEST) if before is not None and further is not None else r0
        state = self._state(at - _BEFORE if before is None else before, step)
        parts = self._parts(at)
        mean_lg = self._patient.rhythm.mean_lg  # before this beat changes it
        tensor = self._patient.see(parts, r_before, r0, counts=before is not None, good=state is State.OK)
        self._pending.append(_Pending(number, BeatView(at, rr, state, tensor), mean_lg))
        self._seen += 1
        return True

    def _parts(self, at: int) -> NDArray[np.int64]:
        """(lags, COLUMNS) about an R peak."""
        first = at - self._start + int(_OFFSETS[0, 0]) - 1
        c = self._columns[first : first + _SPAN].astype(np.int64)
        o = _OFFSETS - _OFFSETS[0, 0] + 1
        return np.asarray(((c[o - 1] + c[o] + c[o + 1]) * 85 + 128) >> 8)

    def _state(self, since: int, step: int) -> State:
        """The worst of what the columns from `since` to the one of this step have seen; 2,000 of them at most."""
        low = max(since, step - self._p.delay - _STATE_COLUMNS + 1) - self._p.delay - self._states_start
        states = self._states[max(0, low) : step + 1 - self._states_start]
        return State(int(states.max(initial=0)))

    def _due(self, *, ended: bool = False) -> list[BeatView]:
        given = []
        while self._pending and (ended or self._pending[0].number + 2 < self._count):
            waiting = self._pending.popleft()
            view, number = waiting.view, waiting.number
            first, second = self._ats.get(number + 1), self._ats.get(number + 2)
            r0 = min(view.rr, _LONGEST) or _FIRST_INTERVAL
            r1 = min(first - view.at, _LONGEST) if first is not None else r0
            r2 = min(second - first, _LONGEST) if first is not None and second is not None else r1
            for channel, interval in ((_R1, r1), (_R2, r2)):
                view.tensor[:, channel] = min(max(lg(interval) - waiting.mean_lg, -127), 127)
            given.append(view)
        return given

    def _forget(self) -> None:
        """What no later beat needs."""
        self._start += max(0, len(self._columns) - _RING)
        self._columns = self._columns[-_RING:]
        span = _STATE_COLUMNS + 2 * self._p.delay
        drop = max(0, self._taken - span - self._states_start)
        self._states, self._states_start = self._states[drop:], self._states_start + drop
        for number in [number for number in self._ats if number < self._seen - 3 - len(self._pending)]:
            del self._ats[number]


def beat_views(samples_uv: NDArray[np.int16], p: Prepare, states: NDArray[np.uint8] | None = None) -> list[BeatView]:
    """The views of a whole recording's beats.

    Args:
        samples_uv: (n,), uV, at 250 Hz.
        p: the preparation.
        states: (n,) State of each sample; by default what the samples say by themselves.
    """
    stream = BeatStream(p)
    return [*stream.push(samples_uv, sample_states(samples_uv, p) if states is None else states), *stream.end()]
