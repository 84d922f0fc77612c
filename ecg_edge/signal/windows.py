"""Windows with labels: cut from records, read and written as .npz. Layer: signal; imports errors and files."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.files import write_bytes
from ecg_edge.signal.record import Record, read_record
from ecg_edge.signal.resample import check_rate, resample, to_int16


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one lead, all of one rate and length."""

    samples_uv: NDArray[np.int16]  # (n, length)
    fs_hz: int
    labels: NDArray[np.str_]  # (n,) class names; empty texts where nobody knows


def cut_windows(record: Record, *, length: int, hop: int, label: str = "") -> tuple[Windows, NDArray[np.int64]]:
    """Cut every whole window, `hop` samples apart; what is left at the end is dropped, never padded.

    Args:
        record: the lead to cut.
        length: samples per window.
        hop: samples from one window's start to the next.
        label: class name of every window.

    Returns:
        the windows, and (n,) index of each one's first sample in the record.

    Raises:
        SignalError: the record is shorter than one window.
    """
    size = record.samples_uv.size
    if size < length:
        raise SignalError(f"{record.name}: {size} samples at {record.fs_hz} Hz; a window needs {length}")
    samples = sliding_window_view(record.samples_uv, length)[::hop].copy()  # (n, length)
    labels = np.full(len(samples), label)
    return Windows(samples, record.fs_hz, labels), np.arange(len(samples), dtype=np.int64) * hop


def read_windows(path: Path, *, fs_hz: int, length: int, classes: Sequence[str] | None = None) -> Windows:
    """Read labelled windows: `samples_uv` int16 (n, length), `fs_hz`, `label` (n,) class names; more is ignored.

    Args:
        path: the .npz.
        fs_hz: the wanted rate; windows at another are resampled.
        length: the wanted samples per window, at `fs_hz`.
        classes: the names that a label may have; None allows any.

    Raises:
        SignalError: an array is missing, or is not what is said above.
    """
    samples, rate, labels = _read_arrays(path)
    if classes is not None and (unknown := sorted(set(labels.tolist()) - set(classes))):
        raise SignalError(f"{path}: label {unknown[0]!r} is no class of the model; it has: {', '.join(classes)}")
    # 1,024 samples at 250 Hz are 1,474.56 at 360 Hz: the whole number on either side will do.
    wanted = length * rate / fs_hz
    if abs(samples.shape[1] - wanted) >= 1:
        raise SignalError(f"{path}: windows of {samples.shape[1]} samples at {rate} Hz; the model's need {wanted:g}")
    if rate != fs_hz:
        samples = _resampled(samples, rate, fs_hz, length)
    return Windows(samples, fs_hz, labels)


def write_windows(path: Path, windows: Windows, *, extra: Mapping[str, NDArray[np.generic]] | None = None) -> None:
    """Write windows as read_windows() reads them, and more arrays beside them, whole or not at all."""
    arrays: dict[str, NDArray[np.generic]] = {
        **(extra or {}),
        "samples_uv": windows.samples_uv,
        "fs_hz": np.array(windows.fs_hz),
        "label": windows.labels,
    }
    archive = io.BytesIO()  # in memory first: on a full disk zipfile would complain a second time
    np.savez_compressed(archive, **arrays)
    write_bytes(path, archive.getvalue())


def read_label_file(path: Path) -> list[tuple[str, float, float, str]]:
    """Read which stretch of which record has which class.

    A CSV with the columns record and label, and start_s and stop_s where a label holds for a part only.

    Returns:
        (record, start in s, stop in s or infinity, label) of each line.

    Raises:
        SignalError: a column is missing, or a line is not what is said above.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except UnicodeDecodeError:
        raise SignalError(f"{path}: not a text file") from None
    if not rows:
        raise SignalError(f"{path}: no labels")
    if not {"record", "label"} <= rows[0].keys():
        raise SignalError(f"{path}: columns {', '.join(map(str, rows[0]))}; record and label are needed")
    labels = []
    for number, row in enumerate(rows, 2):
        if not row["record"] or not row["label"]:
            raise SignalError(f"{path}, line {number}: record or label is empty")
        try:
            start, stop = float(row.get("start_s") or 0), float(row.get("stop_s") or "inf")
        except ValueError:
            raise SignalError(f"{path}, line {number}: start_s or stop_s is not a number") from None
        if not 0 <= start < stop:
            raise SignalError(f"{path}, line {number}: from {start:g} s to {stop:g} s is no stretch of time")
        labels.append((row["record"], start, stop, row["label"]))
    return labels


def labelled_windows(
    folder: Path, labels: Path, *, fs_hz: int, length: int, hop: int, lead: str | None = None, raw_uv: bool = False
) -> tuple[Windows, NDArray[np.str_]]:
    """Cut labelled windows from the records of a folder: every window that lies whole in a labelled stretch.

    Args:
        folder: where the records are.
        labels: a file for read_label_file(); a record is named by its path under `folder`, without suffix or as a .csv.
        fs_hz: the wanted rate.
        length: samples per window, at `fs_hz`.
        hop: samples from one window's start to the next.
        lead: see read_record().
        raw_uv: see read_record().

    Returns:
        the windows, and (n,) the record of each, which is what keeps patients apart.

    Raises:
        SignalError: a record cannot be read, or no stretch has room for a window.
    """
    parts, sources = [], []
    records: dict[str, Record] = {}
    for name, start_s, stop_s, label in read_label_file(labels):
        if name not in records:
            records[name] = read_record(folder / name, lead=lead, fs_hz=fs_hz, raw_uv=raw_uv)
        start, stop = round(start_s * fs_hz), stop_s * fs_hz
        stretch = records[name].samples_uv[start : None if np.isinf(stop) else round(stop)]
        if stretch.size >= length:
            part, _ = cut_windows(Record(name, fs_hz, records[name].lead, stretch), length=length, hop=hop, label=label)
            parts.append(part)
            sources.append(np.full(len(part.labels), name))
    if not parts:
        raise SignalError(f"{labels}: no labelled stretch holds a window of {length} samples at {fs_hz} Hz")
    samples = np.concatenate([part.samples_uv for part in parts])
    return Windows(samples, fs_hz, np.concatenate([part.labels for part in parts])), np.concatenate(sources)


def _read_arrays(path: Path) -> tuple[NDArray[np.int16], int, NDArray[np.str_]]:
    """samples_uv (n, length), fs_hz, label (n,), each checked on its own and against the others."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise SignalError(f"{path}: one array; a .npz with samples_uv, fs_hz and label is needed")
        with archive:
            if missing := [key for key in ("samples_uv", "fs_hz", "label") if key not in archive.files]:
                raise SignalError(f"{path}: no array {missing[0]}; it has: {', '.join(archive.files)}")
            samples, rate, labels = archive["samples_uv"], archive["fs_hz"], archive["label"]
    except FileNotFoundError:
        raise SignalError(f"{path} is missing") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SignalError(f"{path}: no .npz of plain arrays ({error})") from error
    if samples.dtype != np.int16 or samples.ndim != 2 or not samples.size:
        raise SignalError(f"{path}: samples_uv is {samples.dtype} {samples.shape}; int16 (n, length) in uV is needed")
    if rate.size != 1 or rate.dtype.kind not in "iuf":
        raise SignalError(f"{path}: fs_hz is {rate.dtype} {rate.shape}; one number is needed")
    if labels.dtype.kind != "U" or labels.shape != (len(samples),):
        raise SignalError(f"{path}: label is {labels.dtype} {labels.shape}; {len(samples)} class names are needed")
    return samples, check_rate(float(rate.reshape(())), str(path)), labels


def _resampled(samples: NDArray[np.int16], from_hz: int, to_hz: int, length: int) -> NDArray[np.int16]:
    """(n, length) at the new rate; a fraction of a sample that is lacking holds the last one."""
    uv = resample(samples, from_hz, to_hz)[:, :length]
    uv = np.pad(uv, ((0, 0), (0, length - uv.shape[1])), mode="edge")
    return to_int16(uv)[0]
