"""Recordings as CSV: a time column and one column a lead. Layer: signal; imports errors and files.

    time_s,II_uv          the first column is time_s or time_ms; a lead's name ends in its unit, _uv or _mv
    0.000,12
    0.004,15

Without a header there are two columns, seconds and microvolts.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.files import write_text
from ecg_edge.signal.resample import check_rate

_TIME_UNITS = {"time_s": 1.0, "time_ms": 1e-3}
_LEAD_UNITS = {"_uv": 1.0, "_mv": 1e3}


def read_csv(path: Path) -> tuple[int, dict[str, NDArray[np.float64]]]:
    """Read a recording.

    Returns:
        the rate in Hz, and for each lead (n,) uV.

    Raises:
        SignalError: a value that is no finite number, uneven time, an unknown unit, or a rate that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SignalError(f"{path}: not a text file") from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise SignalError(f"{path}: empty")
    headed = not _is_number(lines[0].split(",")[0])
    names = [name.strip() for name in lines[0].split(",")] if headed else ["time_s", "lead_uv"]
    units = _units(path, names)
    first = 1 if headed else 0
    values = _values(path, lines[first:], first_line=first + 1, columns=len(names)) * units
    fs_hz = _rate(path, values[:, 0], first_line=first + 1)
    return fs_hz, {name[:-3]: values[:, k] for k, name in enumerate(names) if k > 0}


def is_recording(path: Path) -> bool:
    """Whether a CSV file begins as a recording does, with a column of times; tables about recordings do not."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(1000).split(",")[0].strip()
    except (OSError, UnicodeDecodeError):
        return False
    return first.lower() in _TIME_UNITS or _is_number(first)


def write_csv(path: Path, fs_hz: int, leads: Mapping[str, NDArray[np.int16]]) -> None:
    """Write a recording, whole or not at all: time in seconds, leads (n,) in uV."""
    write_text(path, csv_text(fs_hz, leads))


def csv_text(fs_hz: int, leads: Mapping[str, NDArray[np.int16]], *, first: int = 0) -> str:
    """A recording as CSV: time in seconds, leads (n,) in uV; `first` is the index of the first sample."""
    columns = list(leads.values())
    rows = [",".join(["time_s", *(f"{name}_uv" for name in leads)])]
    for index, values in enumerate(zip(*(column.tolist() for column in columns), strict=True), first):
        rows.append(",".join([f"{index / fs_hz:.6f}", *map(str, values)]))
    return "\n".join(rows) + "\n"


def _units(path: Path, names: list[str]) -> NDArray[np.float64]:
    """Factor of each column to seconds and uV."""
    if names[0].lower() not in _TIME_UNITS:
        raise SignalError(f"{path}: the first column is {names[0]!r}, not time_s or time_ms")
    if len(names) < 2:
        raise SignalError(f"{path}: no lead beside the time column")
    for name in names[1:]:
        if name[-3:].lower() not in _LEAD_UNITS or len(name) == 3:
            raise SignalError(f"{path}: column {name!r} does not say its unit; a lead's name ends in _uv or _mv")
    return np.array([_TIME_UNITS[names[0].lower()], *(_LEAD_UNITS[name[-3:].lower()] for name in names[1:])])


def _values(path: Path, lines: list[str], *, first_line: int, columns: int) -> NDArray[np.float64]:
    """(n, columns), every value a finite number."""
    if len(lines) < 2:
        raise SignalError(f"{path}: {len(lines)} samples; at least 2 are needed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None)
    except (ValueError, UserWarning):
        values = np.empty((0, 0))
    if values.shape != (len(lines), columns) or not np.isfinite(values).all():
        raise SignalError(_complaint(path, lines, first_line=first_line, columns=columns))
    return values


def _complaint(path: Path, lines: list[str], *, first_line: int, columns: int) -> str:
    """Name the first line that is wrong, and what is wrong with it."""
    for number, line in enumerate(lines, first_line):
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != columns:
            return f"{path}, line {number}: {len(fields)} columns instead of {columns}"
        for field in fields:
            if not _is_number(field):
                return f"{path}, line {number}: {field!r} is not a number"
            if not np.isfinite(float(field)):
                return f"{path}, line {number}: {field} is not a finite number"
    raise AssertionError(f"{path}: every line is fine, yet it could not be read")


def _rate(path: Path, time_s: NDArray[np.float64], *, first_line: int) -> int:
    """The rate whose even grid every time lies on, within half a sample."""
    span = float(time_s[-1] - time_s[0])
    if span <= 0:
        raise SignalError(f"{path}: time does not rise from the first sample to the last")
    rate = (time_s.size - 1) / span
    # Times are often rounded to milliseconds: take the whole rate beside the measured one.
    fs_hz = check_rate(round(rate) if abs(rate - round(rate)) < 0.005 * rate else rate, str(path))
    off = np.abs(time_s - time_s[0] - np.arange(time_s.size) / fs_hz) * fs_hz
    if worst := int(np.argmax(off > 0.5)):  # never the first, which the grid starts at
        raise SignalError(f"{path}, line {first_line + worst}: time is not even; {fs_hz} Hz fits the rest of the file")
    return fs_hz


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
