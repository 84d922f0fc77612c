"""The recordings in a folder: what is one, and what only looks like one. Layer: signal; imports errors.

Sets from PhysioNet list theirs in a file RECORDS, and the list matters: beside MIT-BIH's 48 records lie headers of
others, which no figure on MIT-BIH counts. Source: WFDB Applications Guide, header(5), for records of several segments.
"""

from collections.abc import Iterator
from pathlib import Path

from ecg_edge.errors import SignalError
from ecg_edge.signal.csvfile import is_recording

_LIST = "RECORDS"


def find_records(folder: Path) -> list[Path]:
    """Every recording under a folder: the paths of WFDB headers and of CSV files.

    Where a folder has a file RECORDS, its lines are taken, in its order, and nothing else there or below; a line that
    ends in / is a folder. What is listed and not there is left out: a set may be downloaded in part. Elsewhere it is
    every header but the segments of another record, and every CSV file that begins with a time, in order of name.

    Raises:
        SignalError: the folder does not exist or holds none.
    """
    if not folder.is_dir():
        raise SignalError(f"{folder} is not a folder")
    found = list(dict.fromkeys(_records_in(folder)))
    if found:
        return found
    if (folder / _LIST).is_file():
        raise SignalError(f"{folder} holds none of the records that its file {_LIST} lists")
    raise SignalError(f"{folder} holds no record: no .hea, and no .csv whose first column is time_s or time_ms")


def segments_of(header: Path) -> list[str]:
    """The names that a header of several segments gives them; none where it is an ordinary one, or no header at all."""
    first, *rest = _lines(header) or [""]
    name, *_ = first.split() or [""]
    return [line.split()[0] for line in rest if line.split()[0] != "~"] if "/" in name else []


def _records_in(folder: Path) -> Iterator[Path]:
    """As find_records, but for one folder and those below, twice where it is listed twice."""
    if not (folder / _LIST).is_file():
        yield from _unlisted_in(folder)
        return
    for line in _lines(folder / _LIST):
        if line.endswith("/"):
            if (folder / line).is_dir():
                yield from _records_in(folder / line)
        elif (header := folder / f"{line}.hea").is_file():
            yield header


def _unlisted_in(folder: Path) -> Iterator[Path]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    headers = {path for path in entries if path.suffix.lower() == ".hea"}
    segments = {f"{name}.hea" for header in headers for name in segments_of(header)}
    for path in entries:
        if path.is_dir() and not path.is_symlink():  # a link may lead back up
            yield from _records_in(path)
        elif (path in headers and path.name not in segments) or (path.suffix.lower() == ".csv" and is_recording(path)):
            yield path


def _lines(path: Path) -> list[str]:
    """Lines of a file that are neither empty nor a comment; none where it cannot be read."""
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
