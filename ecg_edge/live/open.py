"""Open the source that a user wants. Layer: live; composes recipes and device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ecg_edge.bundle import Bundle
from ecg_edge.device.link import BAUD, SystemClock
from ecg_edge.errors import DeviceError
from ecg_edge.live import source

if TYPE_CHECKING:
    from ecg_edge.live.board import BoardSource

_SENSOR_WINDOWS = 15  # of synthetic ECG at a virtual board's electrodes, three a class
_EMULATED = ("virtual:", "qemu:", "simavr:")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where samples are to come from: of device, record and text at most one; none of them: synthetic ECG."""

    device: str | None = None  # what pyserial opens, as /dev/ttyUSB0; or SENSOR
    baud: int = BAUD
    record: Path | None = None
    lead: str | None = None  # of the record
    raw_uv: bool = False
    text: TextIO | None = None
    seed: int = 1  # of synthetic ECG, at a virtual board's electrodes too
    speed: float | None = 1.0  # times real time, of a record or synthetic ECG; None: as fast as can be


@dataclass(frozen=True, slots=True)
class Source:
    """An open source."""

    name: str
    items: Iterable[source.Chunk | source.Notice]
    leads: tuple[str, ...] = ()  # their names, where they have some


@contextmanager
def open_source(wanted: Wanted, bundle: Bundle) -> Iterator[Source]:
    """Open it; it is closed at the end.

    Args:
        wanted: what.
        bundle: the model that its samples are for.

    Raises:
        SignalError: the record cannot be read.
        DeviceError: no board answers there, it has no samples of its own, or a virtual one cannot be built.
    """
    m, chunk_s = bundle.manifest, source.chunk_seconds(wanted.speed)
    if wanted.device is not None:
        with _open_board(wanted.device, wanted, bundle) as board:
            yield Source(board.name, board.items())
    elif wanted.text is not None:
        yield Source("standard input", source.text_chunks(m, wanted.text))
    elif wanted.record is not None:
        record = source.open_record(m, wanted.record, lead=wanted.lead, raw_uv=wanted.raw_uv)
        chunks = source.record_chunks(record, chunk_s=chunk_s)
        yield Source(f"record {record.name}, lead {record.lead}", _paced(chunks, wanted, m.fs_hz), (record.lead,))
    else:
        chunks = source.synthetic_chunks(m, seed=wanted.seed, chunk_s=chunk_s)
        yield Source("synthetic ECG", _paced(chunks, wanted, m.fs_hz))


def _paced(chunks: Iterable[source.Chunk], wanted: Wanted, fs_hz: int) -> Iterable[source.Chunk]:
    return chunks if wanted.speed is None else source.paced(chunks, fs_hz, SystemClock(), speed=wanted.speed)


@contextmanager
def _open_board(url: str, wanted: Wanted, bundle: Bundle) -> Iterator[BoardSource]:
    from ecg_edge.device.emulator import SENSOR, start_sensor  # what builds a board, a recording need not wait for
    from ecg_edge.device.replug import port_opener
    from ecg_edge.live.board import BoardSource
    from ecg_edge.recipes.firmware import export

    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        if url == SENSOR:
            firmware, samples = Path(folder) / "firmware", Path(folder) / "samples"
            export(bundle, firmware, engine="native", board="host")
            chunks = source.synthetic_chunks(bundle.manifest, seed=wanted.seed, windows=_SENSOR_WINDOWS)
            samples.write_bytes(b"".join(chunk.samples_uv.astype("<i2").tobytes() for chunk in chunks))
            board = BoardSource(bundle.manifest, lambda: start_sensor(firmware, samples))
            board.name += " (emulated)"
        elif url.startswith(_EMULATED):
            raise DeviceError(f"{url} has no samples of its own; {SENSOR} has")
        else:
            board = BoardSource(bundle.manifest, port_opener(url, baud=wanted.baud))
        try:
            yield board
        finally:
            board.close()
