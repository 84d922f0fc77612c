"""Download a set of PhysioNet, whole files or none. Layer: signal; imports errors and files; wfdb's second door.

The requests, the addresses and the version of a set are wfdb's; it checks nothing and leaves what it was writing when
the line is cut, so a file goes under a temporary name first and gets its own once its SHA-256 is right. A download that
ended early goes on where it was: what lies there and is right is not asked for again, and a set that lies there whole
needs no network at all.
"""

import functools
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ecg_edge.errors import SignalError
from ecg_edge.files import replacing_file, write_bytes
from ecg_edge.signal.physionet import SETS
from ecg_edge.signal.recordset import segments_of

PHYSIONET = "https://physionet.org/files/"
SUMS = "SHA256SUMS.txt"
TRIES = 3  # of a file that comes cut or altered
CONNECTIONS = 2  # at once, as wfdb has it: more would be a burden on PhysioNet
PATIENCE_S = 60.0  # with a server that says nothing


class _SpoiltError(SignalError):
    """A file that came cut or altered: another try may mend it."""


class _AbsentError(SignalError):
    """The server has no such file."""


@dataclass(frozen=True, slots=True)
class Download:
    """What lies in a set's folder now."""

    name: str
    version: str
    folder: Path
    files: int
    bytes: int
    fetched: int  # of the files: those that were not there, or not right
    checked: int  # of the files: those whose SHA-256 the set tells, and which have it
    licence: str


def download(
    wanted: str,
    root: Path,
    *,
    records: Sequence[str] = (),
    source: str = PHYSIONET,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Download:
    """Make a set lie whole in root/NAME/VERSION.

    Args:
        wanted: a set's name, or NAME/VERSION; without a version the known one, and else PhysioNet's newest.
        root: where sets lie.
        records: names of records, or patterns as a shell has them; none: all. Files about the set come always.
        source: where sets are served, PhysioNet or a mirror of it.
        progress: called with (files done, files in all).

    Raises:
        SignalError: no such set, record or network, or a file that is not what the set says, TRIES times.
    """
    name, version = _name_and_version(wanted, source)
    folder, place = root / name / version, f"{source.rstrip('/')}/{name}/{version}"
    sums = _sums(place, folder)
    if sums is not None:
        chosen = _chosen(list(sums), records, what=f"{name} {version}")
        fetched = _fetch_all(place, folder, {path: sums[path] for path in chosen}, progress)
        parts = _segments(folder, chosen, sums) if records else []
        fetched += _fetch_all(place, folder, {path: sums[path] for path in parts}, progress)
        chosen += parts
    else:
        chosen, fetched = _without_sums(place, folder, records, progress)
    there = [folder / path for path in chosen if (folder / path).is_file()]
    return Download(
        name,
        version,
        folder,
        len(there),
        sum(path.stat().st_size for path in there),
        fetched,
        0 if sums is None else len(there),
        SETS[name].licence if name in SETS else _licence(folder),
    )


def _wfdb() -> Any:
    """wfdb's module of requests, with an end to its patience: on its own it waits forever for a server."""
    from wfdb.io import _url, download

    session = _url._get_session()
    if not isinstance(session.request, functools.partial):
        session.request = functools.partial(session.request, timeout=PATIENCE_S)
    return download


def _name_and_version(wanted: str, source: str) -> tuple[str, str]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(/[0-9][\w.]*)?", wanted):
        raise SignalError(f"{wanted!r} is no set of PhysioNet: a name is as in physionet.org/content/NAME/VERSION")
    name, _, version = wanted.partition("/")
    if not version and name not in SETS and source != PHYSIONET:
        raise SignalError(f"{name}: which version of it {source} has is not known here; give it, as in {name}/1.0.0")
    return name, version or (SETS[name].version if name in SETS else _newest(name))


def _newest(name: str) -> str:
    """The version that a set's page on PhysioNet tells; wfdb looks for it there."""
    try:
        found = str(_asked(_wfdb().get_version, name, what=f"https://physionet.org/content/{name}/")).strip()
    except _AbsentError:
        raise SignalError(f"PhysioNet has no set {name}; its sets: https://physionet.org/about/database/") from None
    except IndexError:
        found = ""
    if not re.fullmatch(r"[0-9][\w.]*", found):
        raise SignalError(f"PhysioNet's page of {name} tells no version; give it, as in {name}/1.0.0")
    return found


def _sums(place: str, folder: Path) -> dict[str, str] | None:
    """Path -> SHA-256 of every file of the set, as the set tells it; None where it does not."""
    kept = folder / SUMS
    try:
        text = kept.read_bytes() if kept.is_file() else _read(f"{place}/{SUMS}")
    except _AbsentError:
        return None
    sums = {}
    for number, line in enumerate(text.decode(errors="replace").rstrip().splitlines(), 1):
        found = re.fullmatch(r"([0-9a-fA-F]{64}) [ *]?(.+)", line)  # PhysioNet puts one space, sha256sum two
        if found is None or not _is_inside(found[2]):
            raise SignalError(f"{place}/{SUMS}, line {number}: no SHA-256 and path of a file")
        sums[found[2]] = found[1].lower()
    write_bytes(kept, text)
    return sums


def _is_inside(path: str) -> bool:
    """A set must not write outside its folder."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _chosen(paths: Sequence[str], patterns: Sequence[str], *, what: str) -> list[str]:
    """The files of the records wanted, and those about the set as a whole, which lie at its top."""
    if not patterns:
        return list(paths)
    names = [path.removesuffix(".hea") for path in paths if path.endswith(".hea")]
    wanted = set(_matching(names, patterns, what=what))
    about = {path for path in paths if "/" not in path and PurePosixPath(path).stem not in names}
    return [path for path in paths if path in about or str(PurePosixPath(path).with_suffix("")) in wanted]


def _segments(folder: Path, chosen: Sequence[str], paths: Iterable[str]) -> list[str]:
    """The files of segments that chosen records turn out to have, now that their headers are there."""
    wanted = {
        PurePosixPath(path).with_name(segment)
        for path in chosen
        if path.endswith(".hea")
        for segment in segments_of(folder / path)
    }
    return [path for path in paths if PurePosixPath(path).with_suffix("") in wanted and path not in chosen]


def _matching(names: Sequence[str], patterns: Sequence[str], *, what: str) -> list[str]:
    """Names of records that fit a pattern, with their folder or without."""
    found = []
    for pattern in patterns:
        own = [n for n in names if fnmatchcase(n, pattern) or fnmatchcase(PurePosixPath(n).name, pattern)]
        if not own:
            some = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            raise SignalError(f"{what} has no record {pattern}; it has {len(names)}: {some}")
        found += own
    return list(dict.fromkeys(found))


def _without_sums(
    place: str, folder: Path, patterns: Sequence[str], progress: Callable[[int, int], None]
) -> tuple[list[str], int]:
    """As wfdb finds a set's files: records by RECORDS, their files by their headers, annotators by ANNOTATORS.

    Returns:
        the files, some of which the set may not have, and how many were fetched.
    """
    names = _matching(_listed(place), patterns or ("*",), what=place)
    heads = dict.fromkeys(["RECORDS", *(f"{name}.hea" for name in names)])
    fetched = _fetch_all(place, folder, heads, progress)
    files = dict.fromkeys(file for name in names for file in _files_of(folder, name))
    fetched += _fetch_all(place, folder, files, progress)
    try:
        kinds = [
            line.split()[0] for line in _read(f"{place}/ANNOTATORS").decode("latin-1").splitlines() if line.strip()
        ]
    except _AbsentError:
        kinds = []
    marks = dict.fromkeys(["ANNOTATORS", "LICENSE.txt", *(f"{name}.{kind}" for name in names for kind in kinds)])
    fetched += _fetch_all(place, folder, marks, progress, optional=True)
    return [*heads, *files, *marks], fetched


def _listed(place: str, below: str = "") -> list[str]:
    try:
        lines = _read(f"{place}/{below}RECORDS").decode("latin-1").split()
    except _AbsentError:
        raise SignalError(f"{place}/{below}: no such set, version or folder: neither {SUMS} nor RECORDS") from None
    names = []
    for line in lines:
        if not _is_inside(line):
            raise SignalError(f"{place}/{below}RECORDS: {line} is no record of this set")
        names += _listed(place, below + line) if line.endswith("/") else [below + line]
    return names


def _files_of(folder: Path, name: str) -> list[str]:
    """Signal files that a header names; of a record of several segments, their headers and files: not offered here."""
    lines = (folder / f"{name}.hea").read_text(encoding="latin-1").splitlines()
    first, *signals = [line.split() for line in lines if line.strip() and not line.startswith("#")] or [[""]]
    if "/" in first[0]:
        raise SignalError(f"{name} has several segments, and its set no {SUMS}: wfdb.dl_database downloads it")
    files = dict.fromkeys((PurePosixPath(name).parent / fields[0]).as_posix() for fields in signals)
    if not all(map(_is_inside, files)):
        raise SignalError(f"{folder / name}.hea: its signals lie outside the set")
    return list(files)


def _fetch_all(
    place: str,
    folder: Path,
    files: Mapping[str, str | None],
    progress: Callable[[int, int], None],
    *,
    optional: bool = False,
) -> int:
    """Make files lie in a folder; returns how many did not before.

    Args:
        files: path -> SHA-256, None where nobody tells it.
        optional: a file that the set does not have is no error.
    """
    fetched = 0
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        jobs = [pool.submit(_fetch, f"{place}/{quote(path)}", folder / path, sha) for path, sha in files.items()]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                try:
                    fetched += job.result()
                except _AbsentError:
                    if not optional:
                        raise
                progress(done, len(jobs))
        except BaseException:  # Ctrl-C too: what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return fetched


def _fetch(url: str, path: Path, sha256: str | None) -> bool:
    """Make one file lie there; returns whether it had to be fetched.

    Raises:
        SignalError: it cannot be had, or is not what it should be.
    """
    if path.is_file() and sha256 in (None, _sha256(path)):
        return False
    for left in reversed(range(TRIES)):
        try:
            with replacing_file(path) as temporary:
                _asked(_wfdb().dl_full_file, url, str(temporary), what=url)
                if sha256 not in (None, _sha256(temporary)):
                    raise _SpoiltError(f"{url}: its SHA-256 is not the one in {SUMS}; nothing of it is kept")
            return True
        except _SpoiltError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _read(url: str) -> bytes:
    """A small file."""
    with tempfile.TemporaryDirectory(prefix="ecg-edge-") as temporary:
        path = Path(temporary) / "file"
        _fetch(url, path, None)
        return path.read_bytes()


def _asked(function: Callable[..., Any], *args: str, what: str) -> Any:
    """Call wfdb, which asks a server, and say in one line what goes wrong with that."""
    try:
        return function(*args)
    except FileNotFoundError as error:
        if error.errno is None:  # the server's
            raise _AbsentError(f"{what}: the server has no such file") from error
        raise
    except PermissionError as error:
        if error.errno is None:
            raise SignalError(f"{what}: not open to everybody; PhysioNet gives it to who signs in") from error
        raise
    except OSError as error:
        if error.errno is not None:  # this machine's: the disk is full
            raise
        kind, reason = _reason(error)
        raise kind(f"{what}: {reason}; what came before stays, and the same command goes on from it") from error


def _reason(error: OSError) -> tuple[type[SignalError], str]:
    """What a failed request says, in a few words. By name, since the exceptions are of a package of wfdb's own."""
    if (status := getattr(error, "status_code", None)) is not None:
        return SignalError, f"the server answers {status}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "ChunkedEncodingError" in kinds:
        return _SpoiltError, "the connection was cut"
    if "Timeout" in kinds or "timed out" in str(error):
        return SignalError, f"nothing came for {PATIENCE_S:g} s"
    told = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
    return SignalError, f"no network, or nobody there ({told[1].strip() if told else type(error).__name__})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _licence(folder: Path) -> str:
    """The first line of the set's own licence."""
    path = folder / "LICENSE.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    return next((line.strip() for line in lines if line.strip()), "not told; see the set's page on PhysioNet")
