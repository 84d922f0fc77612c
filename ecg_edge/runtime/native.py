"""The generated C engine, compiled for this machine and called through ctypes. Layer: runtime; composes codegen.

The bits are those of the golden interpreter. What is compiled is kept under a hash of the model, of the generator and
of the compiler, so that the second start costs no more than opening a library.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import package_data
from ecg_edge.device import toolchain
from ecg_edge.device.build import build
from ecg_edge.errors import DeviceError
from ecg_edge.runtime.backend import RuntimeMissingError, check_windows

NAME, FS_HZ = "model", 250  # of the descriptor: nobody here looks
SCRATCH_ALIGNMENT = 64  # bytes; what the widest vectors load
_PACKAGE = Path(__file__).resolve().parents[1]
_Run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Descriptor(ctypes.Structure):
    """ecg_model_t of ecg_model.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_uint8 * 32),
        ("fs_hz", ctypes.c_uint16),
        ("window", ctypes.c_uint16),
        ("hop", ctypes.c_uint16),
        ("leads", ctypes.c_uint8),
        ("classes", ctypes.c_uint8),
        ("scratch_bytes", ctypes.c_size_t),
        ("reset", ctypes.c_void_p),
        ("push", ctypes.c_void_p),
        ("run", _Run),
    )


class NativeBackend:
    """A model's generated engine as a shared library."""

    name = "native"

    def __init__(self, model: bytes, *, cache: Path | None = None) -> None:
        """Compile, unless that was done before, and load.

        Args:
            model: `.tflite` bytes that `graph.check` passed.
            cache: where to keep what is compiled; the user's cache folder by default.

        Raises:
            RuntimeMissingError: no C compiler, or what it makes cannot be loaded from where it is kept.
            GraphError: the native engine cannot run the model; names the op.
            DeviceError: it does not compile, or cannot be kept.
        """
        path = native_library(model, cache=cache)
        try:
            self._library: Any = ctypes.CDLL(str(path))
        except OSError as error:  # such as a home mounted noexec
            raise RuntimeMissingError(f"the native engine is compiled and cannot be loaded: {error}") from error
        found = Descriptor.in_dll(self._library, f"ecg_model_{NAME}")
        # A function of the library itself: ctypes calls those in half the time of one with a prototype of its own.
        run = self._library._FuncPtr(ctypes.cast(found.run, ctypes.c_void_p).value or 0)
        run.argtypes = (ctypes.c_void_p,) * 3
        self._memory = np.zeros(found.scratch_bytes + SCRATCH_ALIGNMENT, np.int8)
        scratch = -(-self._memory.ctypes.data // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT
        self._window = np.zeros((found.window, found.leads), np.int8)
        self._scores = np.zeros(found.classes, np.int8)
        # From and to the same two places: to copy a window is quicker than to ask NumPy where it is.
        places = scratch, self._window.ctypes.data, self._scores.ctypes.data
        self._run: Callable[[], int] = partial(run, *map(ctypes.c_void_p, places))

    def run(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Scores of windows; see `Backend`."""
        rows = check_windows(windows, (1, *self._window.shape), self._window.dtype, self.name)
        scores = np.empty((len(rows), self._scores.size), np.int8)
        for row, out in zip(rows, scores, strict=True):
            self._window[:] = row[0]
            status = self._run()
            assert status == 0, status  # the generator proved the sizes
            out[:] = self._scores
        return scores

    def prepared(self, window: NDArray[np.int8]) -> Callable[[], object]:
        """What runs the engine on one window, (length, leads), and no more. For timing."""
        self._window[:] = window
        return self._run


def native_library(model: bytes, *, cache: Path | None = None) -> Path:
    """Generate and compile a model's engine for this machine, unless that was done before.

    Raises:
        RuntimeMissingError: no C compiler.
        GraphError: the native engine cannot run the model; names the op.
        DeviceError: it does not compile, or cannot be kept.
    """
    compiler = toolchain.find("cc")
    if compiler is None:
        raise RuntimeMissingError(f"the native engine needs a C compiler: {toolchain.TOOLS['cc'].mend}")
    from ecg_edge.codegen.target import Target, flags

    target = Target("host", "speed")
    options = ("-std=c99", *flags(target), "-fPIC", "-shared")

    def steps(folder: Path) -> list[list[str]]:
        from ecg_edge.codegen.bare import bare_files, plan_of

        for file, text in bare_files(plan_of(model, NAME), name=NAME, fs_hz=FS_HZ, target=target).items():
            (folder / file).write_text(text, encoding="utf-8")
        return [[*options, *(path.name for path in sorted(folder.glob("*.c")))]]

    told = (*options, hashlib.sha256(model).hexdigest(), platform.machine(), _processor())
    try:
        return build("native.so", compiler, _generator(), steps, flags=told, cache=cache)
    except DeviceError as error:
        if toolchain.compiles("cc"):
            raise
        raise RuntimeMissingError(
            f"the native engine needs the C library's headers: {toolchain.TOOLS['cc'].mend}"
        ) from error


def _generator() -> list[Path]:
    """Every file that decides what C a model becomes."""
    python = [path for layer in ("graph", "codegen") for path in sorted((_PACKAGE / layer).rglob("*.*"))]
    c = sorted((package_data("firmware") / "EcgEdge" / "src").glob("*.[ch]"))
    return [path for path in (*python, *c) if path.suffix in (".py", ".j2", ".c", ".h")]


def _processor() -> str:
    """What -march=native means here: a cache may lie in a home that several machines share."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
