"""Write files and folders whole or not at all. Layer: files, beside errors; imports errors.

Everything is written under a temporary name beside its goal, flushed to the disk and renamed. When anything fails on
the way (disk full, Ctrl-C, a bug), the temporary name is removed and the goal is as it was.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecg_edge.errors import EcgEdgeError

_UMASK = threading.Lock()


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends well.

    The temporary name keeps the suffix of `path`, for writers that choose the format by it.
    """
    path = _goal(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp made it private
        _flush(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name_goal(error, path)
        raise


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before long work is done for it. Makes nothing.

    Raises:
        EcgEdgeError: names the folder, and what is in the way.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise EcgEdgeError(f"{folder}: cannot be written, since {there} is no folder that may be written")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole file as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, in the order of its keys. NaN is no JSON and raises ValueError."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Any) -> str:
    """JSON as every file and every `--json` of this project has it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


@contextmanager
def replacing_folder(path: Path, *, force: bool = False, marker: str = "manifest.json") -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when the block ends well.

    Args:
        path: the folder to make; an empty one is taken over.
        force: replace a folder that is not empty, but if it holds `marker`: `--out ~ --force` must not cost a home.
        marker: name of a file that every folder of this kind has.

    Raises:
        EcgEdgeError: `path` is there and may not be replaced.
    """
    path = _goal(path)
    _check_replaceable(path, force=force, marker=marker)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for file in sorted(temporary.rglob("*")):
            _flush(file)
        _swap(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name_goal(error, path)
        raise


def _goal(path: Path) -> Path:
    """The real path (links followed, so that they stay), with its parent folder made."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _check_replaceable(path: Path, *, force: bool, marker: str) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise EcgEdgeError(f"{path} is a file, not a folder")
    if not any(path.iterdir()):
        return
    if not force:
        raise EcgEdgeError(f"{path} is there and not empty; --force replaces it")
    if not (path / marker).is_file():
        raise EcgEdgeError(f"{path} holds no {marker}: it is not ours to replace, even with --force")


def _swap(temporary: Path, path: Path) -> None:
    """Rename over `path`, whose old content goes only after the new one is in place."""
    if not path.exists():
        temporary.rename(path)
    else:
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(old)  # POSIX: an empty folder may be renamed over
        try:
            temporary.rename(path)
        except BaseException:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    _flush(path.parent)


def _name_goal(error: BaseException, path: Path) -> None:
    """A write that fails (disk full) does not know its file; the user should."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _flush(path: Path) -> None:
    """fsync a file or a folder, so that a crash cannot leave a name without its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    with _UMASK:  # two threads at once could each take the other's 0 for the process's own, and leave it there
        mask = os.umask(0)
        os.umask(mask)
    return mask
