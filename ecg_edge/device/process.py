"""A board that is a process: its last words, and its end. Layer: device."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import IO

from ecg_edge.errors import LinkError

STOP_TIMEOUT_S = 3.0
_TELLING = ("ERROR:", "runtime error:", "Error: ")  # of the sanitizers, and of Python


def death(name: str, process: subprocess.Popen[bytes], errors: IO[bytes], error: LinkError) -> LinkError:
    """`error`, or what the board's process said last if it died.

    Args:
        name: the board's URL.
        process: the board.
        errors: the file that is its stderr.
        error: what happened on the line.
    """
    try:
        status = process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return LinkError(f"{name}: {error}")
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in _TELLING)]
    words = telling[0] if telling else (lines or ["no last words"])[-1]
    return LinkError(f"{name}: the board's process ended with status {status}: {words}")


def end(process: subprocess.Popen[bytes], errors: IO[bytes], *, asked: bool) -> None:
    """Close its pipes, which some boards take as the end; terminate what is still there.

    Args:
        process: the board.
        errors: the file that is its stderr; closed.
        asked: whether closing the pipes is enough to ask for.
    """
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL) if asked else (signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
            break
    errors.close()
