"""Recordings of a live run as the WFDB project's own reader has them, and what to record in tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device.link import VirtualClock
from ecg_edge.live.recorder import Recorder
from ecg_edge.live.recording import ANNOTATOR
from ecg_edge.live.run import Account, Event, Moment
from ecg_edge.live.source import Chunk

FS_HZ = 250
INVALID = -32768
BEGIN = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
MANIFEST = Bundle.load("ecg5").manifest


@dataclass(frozen=True)
class Read:
    """One recording."""

    name: str
    index: int  # of its first sample in the run
    samples: NDArray[np.int64]  # (n, leads)
    marks: list[tuple[int, str, int, str]]  # index in the run, symbol, subtype, text
    lines: list[dict[str, Any]]
    begin: datetime
    record: Any


def read(folder: Path) -> list[Read]:
    """Every recording in a folder, in the order of the run; fails where a checksum or a rate is wrong."""
    import wfdb  # takes a second, which a child that only records need not

    found = []
    for header in folder.glob("*.hea"):
        base = str(header.with_suffix(""))
        record = wfdb.rdrecord(base, physical=False)
        marks = wfdb.rdann(base, ANNOTATOR)
        assert marks.fs == record.fs == FS_HZ
        assert [checksum % 0x10000 for checksum in record.checksum] == record.calc_checksum()
        assert record.init_value == record.d_signal[0].tolist()
        index = int(re.findall(r"sample 0 is number (\d+)", " ".join(record.comments))[0])
        notes = zip(marks.sample.tolist(), marks.symbol, marks.subtype.tolist(), marks.aux_note, strict=True)
        told = [(index + at, symbol, subtype, note) for at, symbol, subtype, note in notes]
        lines = [json.loads(line) for line in header.with_suffix(".jsonl").read_text().splitlines()]
        found.append(Read(header.stem, index, record.d_signal, told, lines, record.base_datetime, record))
    return sorted(found, key=lambda one: one.index)


def recorder(folder: Path, **options: Any) -> Recorder:
    """One whose time passes only when told."""
    options = {"say": print, "clock": VirtualClock(), "unix_s": BEGIN.timestamp, "manifest": MANIFEST, **options}
    return Recorder(folder, **options)


def noise(n: int, *, leads: int = 1, seed: int = 1) -> NDArray[np.int16]:
    """(n, leads) all of int16, the value that stands for "no sample" too."""
    samples: NDArray[np.int16] = np.random.default_rng(seed).integers(-32768, 32768, (n, leads)).astype(np.int16)
    samples[:3] = INVALID
    return samples


def chunk(index: int, samples: NDArray[np.int16]) -> Chunk:
    """Samples without flags."""
    return Chunk(index, samples, np.zeros(len(samples), np.uint8))


def feed(sink: Recorder, parts: Iterable[tuple[Chunk, tuple[Event, ...]]]) -> Account:
    """Give a recorder chunks with their events, as a run does."""
    account = Account()
    for part, events in parts:
        account.count(events)
        account.received += len(part.samples_uv)
        sink.take(Moment(part, events), account)
    return account
