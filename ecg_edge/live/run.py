"""From what a source gives to events, an account of every sample, and the sinks. Layer: live.

source --> Chunk, Notice --> run() --> Moment (chunk, events) --> each sink: lines, view, recorder, page
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from ecg_edge.live.beatstream import Beats
from ecg_edge.live.pulse import Pulse
from ecg_edge.live.source import Chunk, Notice
from ecg_edge.live.stream import Stream, Verdict


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that never came."""

    index: int  # of the first that is missing
    samples: int
    exact: bool = True  # counted by the board; else measured by this machine's clock


Event = Verdict | Gap | Notice


@dataclass(slots=True)
class Account:
    """What became of every sample: received + missing is all there were."""

    received: int = 0
    missing: int = 0
    gaps: int = 0
    verdicts: int = 0
    abstained: int = 0

    def count(self, events: Iterable[Event]) -> None:
        """Add what happened."""
        for event in events:
            if isinstance(event, Verdict):
                self.verdicts += 1
                self.abstained += event.label is None
            elif isinstance(event, Gap):
                self.gaps += 1
                self.missing += event.samples


@dataclass(frozen=True, slots=True)
class Moment:
    """A chunk, and what it caused: a gap lies before its samples, verdicts end in them."""

    chunk: Chunk  # may be empty: nothing came for a while, something was said, or the end
    events: tuple[Event, ...]
    rate_bpm: int | None = None  # of the heart, at the end of the chunk; None: not known
    latency_s: float = 0.0  # from the chunk's arrival to its verdicts


class Sink(Protocol):
    """Where a run goes. One thread calls it, in order."""

    def take(self, moment: Moment, account: Account) -> None:
        """Take a moment; account has it counted."""

    def close(self) -> None:
        """The run is over, by its end or by an error."""


def run(items: Iterable[Chunk | Notice], stream: Stream | Beats, account: Account) -> Iterator[Moment]:
    """Feed a stream.

    Args:
        items: chunks in the order of their indices, and notices between them.
        stream: at its beginning.
        account: counts on.

    Yields:
        a moment for each; in the end one more with what the filter's delay still held.

    A gap ends the stream before it, and the next one begins behind it: nothing is bridged.
    """
    pulse = Pulse(stream.fs_hz)
    for item in items:
        if isinstance(item, Notice):
            yield Moment(Chunk.empty(stream.index, stream.leads), (item,), pulse.rate_bpm)
            continue
        arrived_s = time.monotonic()
        events: list[Event] = []
        lost = item.index - stream.index
        if lost:
            events += stream.end()
            events.append(Gap(stream.index, lost, exact=item.exact))
            stream.restart(item.index)
            pulse.restart(item.index)
        events += stream.push(item.samples_uv, item.flags)
        pulse.push(item)
        account.received += len(item.samples_uv)
        account.count(events)
        yield Moment(item, tuple(events), pulse.rate_bpm, time.monotonic() - arrived_s)
    ended_s = time.monotonic()
    last = stream.end()
    account.count(last)
    yield Moment(Chunk.empty(stream.index, stream.leads), tuple(last), pulse.rate_bpm, time.monotonic() - ended_s)


def drive(moments: Iterable[Moment], sinks: Iterable[Sink], account: Account) -> None:
    """Give every sink every moment; close them all, whatever happens."""
    given = list(sinks)
    with ExitStack() as closing:
        for sink in given:
            closing.callback(sink.close)
        for moment in moments:
            for sink in given:
                sink.take(moment, account)
