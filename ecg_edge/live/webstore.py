"""What the web page shows and lets be downloaded: the last hour, in memory. Layer: live.

One thread puts moments in, any number take out what is new to them since their last visit. So no client has a queue
that could fill: who is slow finds the newest seconds when it comes again, and what it missed is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from threading import Event as Flag
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.live.run import Account, Event, Gap, Moment
from ecg_edge.live.source import Notice
from ecg_edge.live.stream import Verdict

KEEPS_S = 3600  # of signal, for downloads: 1.8 MB a lead at 250 Hz
SHOWN_S = 12  # what a client gets at most in one go: a strip, and a little for smooth motion
AROUND_S = 3  # of a window, on each side, in its download
BESIDE_S = 5  # of a gap or a notice, on each side
HISTORY = 500  # events
_RECENT = 64  # verdicts


class Ring:
    """The last samples there were, by their index; what never came has no place in it."""

    def __init__(self, capacity: int, leads: int) -> None:
        self._samples = np.zeros((capacity, leads), np.int16)
        self._runs: deque[list[int]] = deque()  # [start, stop) of what came without a break
        self.end = 0  # index behind the newest

    def push(self, index: int, samples_uv: NDArray[np.int16]) -> None:
        """Take (k, leads) samples from an index on, never one before `end`."""
        if not len(samples_uv):
            return
        if not self._runs or self._runs[-1][1] != index:
            self._runs.append([index, index])
        self._runs[-1][1] = self.end = index + len(samples_uv)
        kept = samples_uv[-len(self._samples) :]
        self._samples[np.arange(self.end - len(kept), self.end) % len(self._samples)] = kept
        while self._runs[0][1] <= self.end - len(self._samples):
            self._runs.popleft()

    def runs(self, start: int, stop: int) -> list[tuple[int, NDArray[np.int16]]]:
        """What there is of [start, stop): (index, (k, leads) copy) of each unbroken run, in order."""
        low, found = max(start, self.end - len(self._samples), 0), []
        for first, behind in reversed(self._runs):
            if behind <= low:
                break
            here = np.arange(max(first, low), min(behind, stop))
            if len(here):
                found.append((int(here[0]), self._samples[here % len(self._samples)]))
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as the page tells it."""

    serial: int
    event: Event
    wall_s: float  # seconds since 1970
    latency_s: float  # of a verdict: since the chunk that brought it came


@dataclass(frozen=True, slots=True)
class Update:
    """What is new to a client."""

    now_s: float  # of this machine's steady clock
    idle_s: float  # since the last sample came
    end: int  # index of the next sample
    skipped: int  # samples that came, and that this client was too slow for
    runs: list[tuple[int, NDArray[np.int16]]]
    verdicts: list[Happening]
    history: list[Happening]
    account: dict[str, Any]
    rate_bpm: int | None  # of the heart
    ended: bool


class Store:
    """The memory between the run and its page."""

    def __init__(self, manifest: Manifest, *, keeps_s: int = KEEPS_S) -> None:
        """Args: manifest, of the model that runs; keeps_s, how many seconds of signal to keep."""
        self.manifest, self.keeps_s = manifest, keeps_s
        self.ended = Flag()
        self._lock = Lock()
        self._ring = Ring(keeps_s * manifest.fs_hz, manifest.leads)
        self._verdicts: deque[Happening] = deque(maxlen=_RECENT)
        self._history: deque[Happening] = deque(maxlen=HISTORY)
        self._serial = self._end = 0
        self._said: tuple[Any, ...] | None = None  # label and state of the last verdict
        self._account: dict[str, Any] = asdict(Account())
        self._rate_bpm: int | None = None
        self._came_s = time.monotonic()

    def take(self, moment: Moment, account: Account) -> None:
        """Take a moment; never waits for a client."""
        chunk, wall_s = moment.chunk, time.time()
        with self._lock:
            self._end = chunk.index + len(chunk.samples_uv)
            self._ring.push(chunk.index, chunk.samples_uv)
            if len(chunk.samples_uv):
                self._came_s = time.monotonic()
            for event in moment.events:
                self._keep(event, wall_s, moment.latency_s)
            self._account, self._rate_bpm = asdict(account), moment.rate_bpm

    def close(self) -> None:
        """Nothing more comes."""
        self.ended.set()

    def since(self, index: int, serial: int) -> Update:
        """What came from a sample (-1: none was told yet) and an event on; of samples, the last `SHOWN_S` at most."""
        ended = self.ended.is_set()  # asked first: what is told as the last must be the last
        with self._lock:
            start = max(index, self._end - SHOWN_S * self.manifest.fs_hz)
            now_s = time.monotonic()
            return Update(
                now_s=now_s,
                idle_s=now_s - self._came_s,
                end=self._end,
                skipped=sum(len(run) for _, run in self._ring.runs(index, start)) if index >= 0 else 0,
                runs=self._ring.runs(start, self._end),
                verdicts=_from(self._verdicts, serial),
                history=_from(self._history, serial),
                account=self._account,
                rate_bpm=self._rate_bpm,
                ended=ended,
            )

    def happening(self, serial: int) -> Happening | None:
        """An event of the history, while it is kept."""
        with self._lock:
            return next((kept for kept in self._history if kept.serial == serial), None)

    def ecg(self, event: Event, part: str) -> tuple[int, NDArray[np.int16]] | None:
        """The unbroken ECG around an event.

        Args:
            event: one of the history.
            part: one of `parts(event)`.

        Returns:
            index of the first sample and (k, leads) uV, or None where nothing is kept of it.
        """
        low, must_hold, high = _stretch(event, part, self.manifest.fs_hz)
        with self._lock:
            runs = self._ring.runs(low, high)
        return next(((first, part) for first, part in runs if first <= must_hold < first + len(part)), None)

    def _keep(self, event: Event, wall_s: float, latency_s: float) -> None:
        happening = Happening(self._serial, event, wall_s, latency_s)
        self._serial += 1
        if isinstance(event, Verdict):
            self._verdicts.append(happening)
            said = (event.label, event.state)
            if said == self._said:
                return
            self._said = said
        self._history.append(happening)


def parts(event: Event) -> tuple[str, ...]:
    """The downloads of an event: a gap has two sides, and nothing leads over it."""
    return ("before", "after") if isinstance(event, Gap) else ("ecg",)


def _stretch(event: Event, part: str, fs_hz: int) -> tuple[int, int, int]:
    """(low, must hold, high): indices that a download lies between, and one that it must hold."""
    around, beside = AROUND_S * fs_hz, BESIDE_S * fs_hz
    if isinstance(event, Verdict):
        return event.first_index - around, event.first_index, event.last_index + 1 + around
    if isinstance(event, Notice):
        return event.index - beside, event.index - 1, event.index + beside
    if part == "before":
        return event.index - beside, event.index - 1, event.index
    behind = event.index + event.samples
    return behind, behind, behind + beside


def _from(kept: deque[Happening], serial: int) -> list[Happening]:
    """Those from a serial on, in order."""

    def newest_first() -> Iterator[Happening]:
        for happening in reversed(kept):
            if happening.serial < serial:
                return
            yield happening

    return list(newest_first())[::-1]
