"""Compile C for boards that run here, once: builds are kept under a hash of all that goes in. Layer: device."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ecg_edge.errors import DeviceError

CACHED_BUILDS = 96  # the newest are kept; a benchmark of three models on four cores makes 40


class Call(NamedTuple):
    """A step that another program does than the compiler, such as an archiver."""

    program: str
    arguments: Sequence[str]


Steps = Sequence[Sequence[str] | Call]
MakeSteps = Callable[[Path], Steps]  # given the folder that they run in; may write sources there


def build(
    name: str,
    compiler: str,
    files: Sequence[Path],
    steps: Steps | MakeSteps,
    *,
    flags: Sequence[str],
    cache: Path | None = None,
) -> Path:
    """Run the compiler's steps, unless the same was done before.

    Args:
        name: of what comes out; the end of the file's name.
        compiler: its path.
        files: every file that goes in, headers too.
        steps: arguments of each call, in an empty folder; the last one links, and is told where to. Or what makes
            them, called only where nothing is kept.
        flags: what of the steps makes a difference to what comes out.
        cache: where to keep it; None: the user's cache folder.

    Raises:
        DeviceError: it does not compile, or cannot be kept.
    """
    kept = cache or user_cache()
    goal = kept / f"{_key(compiler, flags, files)}-{name}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.utime(goal)  # used last; never made by this, as touch() would
            return goal
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build.", dir=kept) as work:
            calls = steps(Path(work)) if callable(steps) else steps
            for step in calls:
                program, arguments = step if isinstance(step, Call) else (compiler, step)
                to = ["-o", name] if step is calls[-1] else []
                _compile([program, *arguments, *to], work)
            (Path(work) / name).replace(goal)
        _prune(kept)
    except OSError as error:
        raise DeviceError(f"{kept}: cannot keep the virtual board there ({error.strerror})") from error
    return goal


def library_folder(firmware: Path) -> Path:
    """Where the C files of an exported folder are.

    Raises:
        DeviceError: it is no exported folder.
    """
    library = firmware / "EcgEdge" / "src"
    if not (library / "ecg_models.h").is_file():
        raise DeviceError(f"{firmware} is no exported firmware folder: it has no EcgEdge/src/ecg_models.h")
    return library.resolve()


def user_cache() -> Path:
    """Where builds are kept unless told."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-edge" / "boards"


def _key(compiler: str, flags: Sequence[str], files: Sequence[Path]) -> str:
    """What decides the outcome of a build, as a name."""
    there = Path(compiler).resolve()
    key = hashlib.sha256(repr((there, there.stat().st_mtime_ns, *flags)).encode())
    for path in files:
        key.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return key.hexdigest()[:32]


def _compile(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise DeviceError(f"{Path(command[0]).name} cannot build it: {first}")


def _prune(folder: Path) -> None:
    """Keep the builds that were used last. Others may be doing the same."""
    used: list[tuple[float, Path]] = []
    for path in folder.glob("[0-9a-f]*-*"):
        with contextlib.suppress(FileNotFoundError):
            used.append((path.stat().st_mtime, path))
    for _, old in sorted(used, reverse=True)[CACHED_BUILDS:]:
        old.unlink(missing_ok=True)
