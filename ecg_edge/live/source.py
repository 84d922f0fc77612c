"""Where live samples come from: a recording, synthetic ECG, standard input. Layer: live; composes signal.

A source is an iterator of chunks, with notices between them. Indices count every sample there was, those that were lost
too: a jump is a gap.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, pairwise
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.device.frame import SampleFlag
from ecg_edge.device.link import Clock
from ecg_edge.errors import BundleError, SignalError
from ecg_edge.signal.record import Record, read_record

HEARTBEAT_S = 0.25  # at the latest a live source gives something
CHUNK_S = 0.1
_CHUNK_MOST_S = 10.0  # of signal
_SYNTHETIC_WINDOWS = 5  # drawn at a time, a class each
_SYNTHETIC_BEATS_S = 12  # of one subject, for a model of beats: as long as synthesis makes them
_MOST_UV = 10**9  # what a line can mean
_LINE_MOST, _LINE_SHOWN = 1000, 40  # characters: of a sample, and of what is none in its complaint
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_READ_BYTES = 65536
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples in a row."""

    index: int  # of the first, counted from the first sample of all
    samples_uv: NDArray[np.int16]  # (k, leads)
    flags: NDArray[np.uint8]  # (k,) SampleFlag
    exact: bool = True  # a jump of the index before it was counted, and not measured by a clock

    @classmethod
    def empty(cls, index: int, leads: int) -> Chunk:
        """Nothing came; the next sample has this index."""
        return cls(index, np.empty((0, leads), np.int16), np.empty(0, np.uint8))


@dataclass(frozen=True, slots=True)
class Notice:
    """What a source says of itself: its line is gone, or back."""

    index: int  # of the next sample
    text: str


def chunk_seconds(speed: float | None) -> float:
    """How much signal a chunk holds at a speed (None: as fast as can be): a tenth of a second of the user's time."""
    return _CHUNK_MOST_S if speed is None else min(_CHUNK_MOST_S, CHUNK_S * max(1.0, speed))


def open_record(manifest: Manifest, path: Path, *, lead: str | None = None, raw_uv: bool = False) -> Record:
    """One lead of a recording at the model's rate; see read_record.

    Raises:
        BundleError: the model takes several leads.
        SignalError: the record cannot be read.
    """
    if manifest.leads != 1:
        raise BundleError(f"bundle {manifest.name} takes {manifest.leads} leads; a record gives one")
    return read_record(path, lead=lead, fs_hz=manifest.fs_hz, raw_uv=raw_uv, annotator=None, gaps=True)


def record_chunks(record: Record, *, chunk_s: float = CHUNK_S) -> Iterator[Chunk]:
    """A recording in chunks of so much signal; what is missing in it is a gap."""
    flags = np.zeros(len(record.samples_uv), np.uint8)
    flags[record.clipped] = SampleFlag.CLIPPED
    size = round(chunk_s * record.fs_hz)
    return chain.from_iterable(
        _cut(record.samples_uv[first:stop, None], flags[first:stop], first, size)
        for first, stop in _unbroken(len(record.samples_uv), record.missing)
    )


def _unbroken(n: int, missing: NDArray[np.int64]) -> list[tuple[int, int]]:
    """[first, stop) of each stretch of n samples without a missing one."""
    edges = np.concatenate(([-1], missing, [n]))
    return [(int(before) + 1, int(after)) for before, after in pairwise(edges) if after - before > 1]


def synthetic_chunks(
    manifest: Manifest, *, seed: int = 1, windows: int | None = None, chunk_s: float = CHUNK_S
) -> Iterator[Chunk]:
    """Synthetic ECG of the five classes in turn, each window another person; without end unless told.

    Args:
        manifest: of the model.
        seed: the same seed gives the same.
        windows: how many; None: without end.
        chunk_s: signal of a chunk, a window at most.
    """
    from ecg_edge.signal.synth import balanced_labels, synthesize  # SciPy, for which a recording need not wait

    length = manifest.window if manifest.takes == "windows" else _SYNTHETIC_BEATS_S * manifest.fs_hz
    at = 0
    for turn in count():
        left = _SYNTHETIC_WINDOWS if windows is None else min(_SYNTHETIC_WINDOWS, windows - turn * _SYNTHETIC_WINDOWS)
        if left <= 0:
            return
        labels = balanced_labels(1)[:left]
        subjects = np.random.default_rng((seed, turn)).integers(2**31)
        for part in synthesize(labels, seed=int(subjects), length=length, fs_hz=manifest.fs_hz):
            samples = np.repeat(part.samples_uv.reshape(-1, 1), manifest.leads, axis=1)
            yield from _cut(samples, np.zeros(len(samples), np.uint8), at, round(chunk_s * manifest.fs_hz))
            at += len(samples)


def text_chunks(manifest: Manifest, text: TextIO) -> Iterator[Chunk]:
    """A line a sample, passed on as they come: whole microvolts, one number a lead, parted by commas or blanks.

    While none come, an empty chunk at least every HEARTBEAT_S, where the system can tell.

    Raises:
        SignalError: a line that is no sample; names its number.
    """
    at = 0
    for lines in _pieces(text):
        values, problem = [], None
        for n, line in enumerate(lines):
            try:
                values.append(_sample(line, at + n, manifest.leads))
            except SignalError as error:  # what came before it counts
                problem = error
                break
        samples = np.array(values, np.int64).reshape(-1, manifest.leads)
        fits = np.clip(samples, _INT16.min, _INT16.max)
        flags = np.where((fits != samples).any(axis=1), SampleFlag.CLIPPED, 0).astype(np.uint8)
        yield Chunk(at, fits.astype(np.int16), flags)
        at += len(samples)
        if problem is not None:
            raise problem


def _sample(line: str, at: int, leads: int) -> list[int]:
    words = line.replace(",", " ").split()
    if len(line) > _LINE_MOST or not all(_WHOLE.fullmatch(word) for word in words):
        told = line.strip()
        shown = repr(told[:_LINE_SHOWN]) + ("..." if len(told) > _LINE_SHOWN else "")
        raise SignalError(f"line {at + 1} is {shown}, not whole microvolts")
    if len(words) != leads:
        raise SignalError(f"line {at + 1} has {len(words)} numbers; the model takes {leads} leads")
    values = [int(word) for word in words]
    if any(abs(value) > _MOST_UV for value in values):
        raise SignalError(f"line {at + 1} is {line.strip()!r}, beyond {_MOST_UV} uV")
    return values


def _pieces(text: TextIO) -> Iterator[list[str]]:
    """Whole lines as they come, all that are there at once; none: a heartbeat."""
    try:
        descriptor = text.fileno()
        select.select([descriptor], [], [], 0.0)
    except (OSError, ValueError):  # no file of the system's, or one that it cannot wait for
        for line in text:
            yield [line]
        return
    rest = b""
    while True:
        if not select.select([descriptor], [], [], HEARTBEAT_S)[0]:
            yield []
            continue
        data = os.read(descriptor, _READ_BYTES)
        *lines, rest = (rest + data).split(b"\n")
        if not data or len(rest) > _LINE_MOST:  # the end, or a line without one, which is no sample
            lines, rest = [*lines, rest] if rest else [], b""
        yield [line.decode(errors="replace") for line in lines]
        if not data:
            return


def first_samples(items: Iterable[Chunk | Notice], samples: int) -> Iterator[Chunk | Notice]:
    """What comes up to that many samples, those that were lost counted."""
    for item in items:
        if isinstance(item, Notice):
            yield item
            continue
        room = max(0, samples - item.index)
        if room > len(item.samples_uv):
            yield item
            continue
        if room:
            yield Chunk(item.index, item.samples_uv[:room], item.flags[:room], item.exact)
        return


def paced(chunks: Iterable[Chunk], fs_hz: int, clock: Clock, *, speed: float = 1.0) -> Iterator[Chunk]:
    """Each chunk when its last sample would have been taken.

    Args:
        chunks: as fast as they come.
        fs_hz: their rate.
        clock: what to wait by.
        speed: how many times real time.
    """
    start_s = clock.now_s()
    for chunk in chunks:
        due_s = start_s + (chunk.index + len(chunk.samples_uv)) / fs_hz / speed
        clock.sleep_s(due_s - clock.now_s())
        yield chunk


def _cut(samples: NDArray[np.int16], flags: NDArray[np.uint8], first: int, size: int) -> Iterator[Chunk]:
    size = max(1, size)
    for at in range(0, len(samples), size):
        yield Chunk(first + at, samples[at : at + size], flags[at : at + size])
