"""From chunks to events: verdicts, gaps, and an account of every sample. Layer: live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ecg_edge.live.source import Chunk
from ecg_edge.live.stream import Stream, Verdict


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that never came."""

    index: int  # of the first that is missing
    samples: int


@dataclass(slots=True)
class Account:
    """What became of every sample."""

    received: int = 0
    missing: int = 0
    gaps: int = 0
    verdicts: int = 0
    abstained: int = 0


Event = Verdict | Gap


def run(chunks: Iterable[Chunk], stream: Stream, account: Account) -> Iterator[tuple[Chunk | None, list[Event]]]:
    """Feed chunks to a stream.

    Args:
        chunks: in the order of their indices.
        stream: at its beginning.
        account: counts on.

    Yields:
        each chunk with the events that it caused; in the end None with what the filter's delay still held.

    A gap ends the stream before it, and the next one begins behind it: nothing is bridged.
    """
    for chunk in chunks:
        events: list[Event] = []
        lost = chunk.index - stream.index
        if lost:
            events += stream.end()
            events.append(Gap(stream.index, lost))
            account.gaps += 1
            account.missing += lost
            stream.restart(chunk.index)
        events += stream.push(chunk.samples_uv, chunk.flags)
        account.received += len(chunk.samples_uv)
        yield chunk, _counted(events, account)
    yield None, _counted(stream.end(), account)


def _counted(events: list[Event] | list[Verdict], account: Account) -> list[Event]:
    for event in events:
        if isinstance(event, Verdict):
            account.verdicts += 1
            account.abstained += event.label is None
    return list(events)
