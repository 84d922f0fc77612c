"""One backend in a process of its own: does it work here, how long does it take to load, how much memory. Layer: bench.

A process of its own, because peak memory does not go down, and because a runtime that kills its process must not end
the run. It imports little, so that what a backend needs is counted as the backend's.
"""

from __future__ import annotations

import contextlib
import gc
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime.backend import open_backend

_PROCESS = Path("/proc/self")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a backend."""

    problem: str = ""  # why it does not run here; empty: it does
    load_s: float | None = None  # to import and make it
    memory_bytes: int | None = None  # that it adds at its peak; None: this system does not tell


def try_backend(name: str, model: bytes, windows: NDArray[Any]) -> Trial:
    """Load a backend into a fresh process, and run it.

    Args:
        name: one of `runtime.backend.BACKENDS`.
        model: `.tflite` bytes that `graph.check` passed.
        windows: (n, length, leads), run one at a time.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        try:
            return fresh.submit(_trial, name, model, windows).result()
        except BrokenProcessPool:
            return Trial(problem="it kills the process that runs it")


def processes_work() -> bool:
    """Whether Python can start itself anew here: some emulators, and some service managers, do not let it."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            return fresh.submit(bool, 1).result()
    except (BrokenProcessPool, OSError, NotImplementedError):
        return False


def _trial(name: str, model: bytes, windows: NDArray[Any]) -> Trial:
    gc.collect()
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")  # Linux: the peak is what it is now
    before = _memory("VmRSS")
    start = time.perf_counter()
    try:
        backend = open_backend(name, model)
        load_s = time.perf_counter() - start
        for at in range(len(windows)):
            backend.run(windows[at : at + 1])
    except EcgEdgeError as error:
        return Trial(problem=str(error))
    after = _memory("VmHWM")
    return Trial(load_s=load_s, memory_bytes=None if before is None or after is None else max(0, after - before))


def _memory(what: str) -> int | None:
    """Bytes of VmRSS, or of its peak VmHWM. getrusage's peak will not do: Linux hands it on from the parent."""
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith(f"{what}:")), None)
