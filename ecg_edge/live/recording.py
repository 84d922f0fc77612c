"""One recording on disk while it grows: a WFDB record, its annotations, its events as JSON lines. Layer: live.

The header is the last to be written, over itself in place, and says how many samples there are. So whatever ends a
run (kill -9, a pulled plug, a full disk), what the header promises is there, and every file can be read as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.files import write_bytes
from ecg_edge.signal.wfdbformat import (
    ANNOTATIONS_END,
    annotation_bytes,
    header_text,
    invalid_bytes,
    sample_bytes,
    time_resolution_bytes,
)

ANNOTATOR = "edge"  # "atr" is for reference annotations, made by people


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a recording has come."""

    samples: int = 0  # of each lead, those of gaps too
    received: int = 0  # of these, there in truth
    annotated: int = 0  # sample of the last annotation
    first: tuple[int, ...] = ()  # value of each lead's first sample
    sums: tuple[int, ...] = ()  # of each lead
    sizes: tuple[int, int, int] = (0, 0, 0)  # bytes of samples, annotations and lines


@dataclass(slots=True)
class _Files:
    samples: FileIO
    annotations: FileIO
    lines: FileIO
    header: FileIO | None = None  # it comes last, and whole

    def growing(self) -> tuple[FileIO, FileIO, FileIO]:
        """In the order of Extent.sizes."""
        return self.samples, self.annotations, self.lines

    def close(self) -> None:
        for file in (*self.growing(), self.header):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def remove(self) -> None:
        for file in (*self.growing(), self.header):
            if file is not None:
                Path(str(file.name)).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Mark:
    index: int
    code: int
    text: str
    subtype: int


class Recording:
    """The files of one stretch of signal; they appear with the first `commit` that has samples.

    What is added waits in memory for `commit`. When that raises OSError, `cut` goes back to the one before.
    """

    def __init__(
        self,
        stem: Path,
        fs_hz: int,
        leads: Sequence[str],
        *,
        index: int,
        begin: datetime,
        comments: Sequence[str],
        late: int = 0,
    ) -> None:
        """Nothing is made yet.

        Args:
            stem: path and name of the files, without suffix; a number is added where there are some already.
            fs_hz: the rate.
            leads: names of the leads.
            index: of the first sample; every other index counts from where this one does.
            begin: when it was taken, UTC.
            comments: lines for the header.
            late: samples by which a mark may come later than its sample; a later one still is moved.
        """
        self._stem, self._fs_hz, self._leads, self._begin = stem, fs_hz, leads, begin
        self._comments, self._late, self.index = comments, late, index
        self._files: _Files | None = None
        self._samples: list[bytes] = []
        self._marks: list[_Mark] = []
        self._lines: list[bytes] = []
        self.safe = self._now = Extent(first=(0,) * len(leads), sums=(0,) * len(leads))

    @property
    def name(self) -> str:
        """Of the record."""
        return self._stem.name

    @property
    def size(self) -> int:
        """Bytes on disk, the header apart."""
        return sum(self.safe.sizes)

    @property
    def end(self) -> int:
        """Index behind the last sample, or gap."""
        return self.index + self._now.samples

    @property
    def samples(self) -> int:
        """How many it has taken, of each lead, those of gaps too."""
        return self._now.samples

    @property
    def received(self) -> int:
        """How many of these are there in truth."""
        return self._now.received

    def add_samples(self, samples_uv: NDArray[np.int16]) -> None:
        """(n, leads) uV."""
        self._add(sample_bytes(samples_uv), len(samples_uv), received=len(samples_uv))

    def add_gap(self, samples: int) -> None:
        """Samples that never came."""
        self._add(invalid_bytes(samples, len(self._leads)), samples, received=0)

    def annotate(self, index: int, code: int, text: str, *, subtype: int = 0) -> None:
        """Mark a sample."""
        self._marks.append(_Mark(index, code, text, subtype))

    def add_line(self, line: str) -> None:
        """A line of JSON, without its end."""
        self._lines.append(line.encode() + b"\n")

    def commit(self, *, last: bool = False) -> None:
        """Have what was added on the disk: a plug pulled from here on loses nothing of it.

        Args:
            last: there will be no more; marks that wait for earlier ones go too.

        Raises:
            OSError: the disk is full, or gone.
        """
        if not self._now.samples:
            return
        if self._files is None:
            self._stem, self._files = _make(self._stem)
        samples, annotations, lines = self.safe.sizes
        marks, annotated = self._ripe_marks(last=last)
        samples += _append(self._files.samples, samples, b"".join(self._samples))
        if self._now.samples != self.safe.samples:
            self._write_header(self._files, self._now)
        # In one write with the mark of the file's end, which the next ones will replace.
        annotations += _append(self._files.annotations, annotations, marks, ANNOTATIONS_END)
        lines += _append(self._files.lines, lines, b"".join(self._lines))
        if not self.safe.samples:
            _sync_folder(self._stem.parent)
        self._now = self.safe = replace(self._now, annotated=annotated, sizes=(samples, annotations, lines))
        self._marks = [mark for mark in self._marks if not self._ripe(mark, last=last)]
        self._samples, self._lines = [], []

    def cut(self) -> None:
        """After an error: back to the last commit, and close. Needs no space; with the disk gone it does nothing."""
        if self._files is None:
            return
        with suppress(OSError):  # else the header on the disk is an earlier one, and as true
            if not self.safe.samples:
                self._files.remove()
            else:
                self._write_header(self._files, self.safe)
                for file, size in zip(self._files.growing(), self.safe.sizes, strict=True):
                    file.truncate(size)
                _append(self._files.annotations, self.safe.sizes[1], ANNOTATIONS_END)
                for file in self._files.growing():
                    os.fsync(file.fileno())
        self.close()

    def close(self) -> None:
        """Close the files; what is not committed is lost."""
        if self._files is not None:
            self._files.close()
            self._files = None

    def _ripe(self, mark: _Mark, *, last: bool) -> bool:
        """Whether no mark before it can come any more."""
        return last or mark.index <= self.end - self._late

    def _ripe_marks(self, *, last: bool) -> tuple[bytes, int]:
        """Bytes of the marks whose turn has come, and the sample of the last of them."""
        data = [] if self.safe.sizes[1] else [time_resolution_bytes(self._fs_hz)]
        at = self._now.annotated
        ripe = [mark for mark in self._marks if self._ripe(mark, last=last)]
        for mark in sorted(ripe, key=lambda mark: mark.index):  # those of one sample as they came
            # wfdb-python takes a note on sample 0 for a definition, and drops it.
            sample = max(at, 1, min(mark.index - self.index, self._now.samples - 1))
            data.append(annotation_bytes(sample - at, mark.code, mark.text, subtype=mark.subtype))
            at = sample
        return b"".join(data), at

    def _add(self, data: bytes, samples: int, *, received: int) -> None:
        self._samples.append(data)
        values = np.frombuffer(data, "<i2").reshape(samples, len(self._leads))
        now, sums = self._now, values.sum(axis=0, dtype=np.int64).tolist()
        self._now = replace(
            now,
            samples=now.samples + samples,
            received=now.received + received,
            first=now.first if now.samples or not samples else tuple(values[0].tolist()),
            sums=tuple(a + b for a, b in zip(now.sums, sums, strict=True)),
        )

    def _write_header(self, files: _Files, extent: Extent) -> None:
        text = header_text(
            self.name,
            self._fs_hz,
            self._leads,
            self._begin,
            samples=extent.samples,
            first=extent.first,
            sums=extent.sums,
            comments=self._comments,
        ).encode("ascii", "replace")
        if files.header is None:
            write_bytes(self._stem.with_suffix(".hea"), text)
            files.header = FileIO(self._stem.with_suffix(".hea"), "r+")
        else:
            _append(files.header, 0, text)


def utc(unix_s: float) -> datetime:
    """A time of this machine's clock."""
    return datetime.fromtimestamp(unix_s, UTC)


def _make(stem: Path) -> tuple[Path, _Files]:
    """New files under a name that nothing has yet."""
    made: list[FileIO] = []
    name, number = stem, 1
    while not made:
        try:
            made.append(FileIO(name.with_suffix(".dat"), "x"))
        except FileExistsError:
            number += 1
            name = stem.with_name(f"{stem.name}-{number}")
    try:
        made += [FileIO(name.with_suffix(suffix), "w") for suffix in (f".{ANNOTATOR}", ".jsonl")]
    except OSError:
        name.with_suffix(".dat").unlink(missing_ok=True)
        raise
    return name, _Files(*made)


def _append(file: FileIO, at: int, data: bytes, closing: bytes = b"") -> int:
    """Write at a place, and have it on the disk; after a short write it goes on until the system says why.

    Returns:
        the bytes of data; closing is to be written over by the next.
    """
    view = memoryview(data + closing)
    if not data and at:
        return 0
    file.seek(at)
    while len(view):
        view = view[file.write(view) or 0 :]
    os.fsync(file.fileno())
    return len(data)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
