"""TensorFlow Lite Micro on this machine: the golden reference. Layer: runtime; the one door to `tflite_micro`.

The wheel exists for x86-64 Linux only, as pre-releases. It trusts its model: bytes that `graph.check` has not passed
can crash the process.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError, GraphError
from ecg_edge.runtime.backend import RuntimeMissingError, check_windows, run_one_by_one

ARENA_LIMIT = 4 << 20  # more than any microcontroller's RAM


class TflmBackend:
    """One interpreter of the tflite-micro wheel."""

    name = "tflm"

    def __init__(self, model: bytes, *, arena_bytes: int = ARENA_LIMIT, keep_tensors: bool = False) -> None:
        """Allocate.

        Args:
            model: `.tflite` bytes that `graph.check` passed.
            arena_bytes: memory the interpreter may use.
            keep_tensors: keep every intermediate tensor readable after a run, for tests; costs arena.

        Raises:
            RuntimeMissingError: the wheel is not installed, or not for this machine.
            GraphError: TFLM cannot run the model, or not in this arena.
        """
        runtime = _runtime()
        config = runtime.InterpreterConfig
        # from_bytes() prints to stdout, and the C++ core logs to stderr: only an error deserves either.
        with contextlib.redirect_stdout(io.StringIO()), _captured_stderr() as log:
            try:
                self._interpreter = runtime.Interpreter.from_bytes(
                    model,
                    arena_size=arena_bytes,
                    intrepreter_config=config.kPreserveAllTensors if keep_tensors else config.kAllocationRecording,
                )
            except RuntimeError as error:
                raise GraphError(f"TFLM cannot run the model in {arena_bytes} bytes of arena: {log()}") from error
            self._inputs: tuple[dict[str, Any], ...] = tuple(self._input_details())
        self._output: dict[str, Any] = self._interpreter.get_output_details(0)

    def run(self, windows: NDArray[Any] | tuple[NDArray[Any], ...]) -> NDArray[Any]:
        """Scores of windows; see `Backend`. A model of several inputs takes a tuple: (n, ...) of each, in order."""
        given = windows if isinstance(windows, tuple) else (windows,)
        shaped = [
            check_windows(x, tuple(details["shape"]), np.dtype(details["dtype"]), self.name)
            for x, details in zip(given, self._inputs, strict=True)
        ]
        first, others = shaped[0], shaped[1:]
        rows = iter(zip(*others, strict=True)) if others else itertools.repeat(())

        def invoke(window: NDArray[Any]) -> NDArray[Any]:
            return self._invoke(window, *next(rows))

        classes = int(np.prod(self._output["shape"]))
        return run_one_by_one(first, classes, np.dtype(self._output["dtype"]), invoke)

    def prepared(self, window: NDArray[Any]) -> Callable[[], object]:
        """Put one window, (length, leads), into the interpreter: what comes back runs it, and no more. For timing."""
        details = self._inputs[0]
        shape, dtype = tuple(details["shape"]), np.dtype(details["dtype"])
        self._interpreter.set_input(check_windows(window[None], shape, dtype, self.name)[0], 0)
        invoke: Callable[[], object] = self._interpreter.invoke
        return invoke

    def tensor(self, index: int) -> NDArray[Any]:
        """A tensor of the last run, by its index in the file; needs `keep_tensors`."""
        value: NDArray[Any] = self._interpreter.GetTensor(index, 0)["tensor_data"]
        return value

    def _input_details(self) -> Iterator[dict[str, Any]]:
        """Of every input: the wheel tells their number only by refusing the next one."""
        with contextlib.suppress(IndexError):
            for index in itertools.count():
                yield self._interpreter.get_input_details(index)

    def _invoke(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        for index, values in enumerate(inputs):
            self._interpreter.set_input(values, index)
        self._interpreter.invoke()
        scores: NDArray[Any] = self._interpreter.get_output(0)
        return scores


def arena_bytes(model: bytes) -> int:
    """The smallest arena in which TFLM allocates and runs the model on this machine, by bisection, exact to the byte.

    With 64-bit pointers: a 32-bit core needs less (bench_a: 7,936 here, 6,852 on a Cortex-M4 with reference kernels),
    so this is a safe bound for reference kernels. CMSIS-NN and ESP-NN take scratch of their own on top.

    Raises:
        RuntimeMissingError, GraphError: as `TflmBackend`.
    """
    TflmBackend(model)  # fails with the true reason, if it is not the arena
    too_small, enough = 0, ARENA_LIMIT
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if _fits(model, middle):
            enough = middle
        else:
            too_small = middle
    return enough


def tflm_version() -> str:
    """Version of the installed wheel.

    Raises:
        RuntimeMissingError: not installed.
    """
    _runtime()
    return metadata.version("tflite-micro")


def _fits(model: bytes, size: int) -> bool:
    try:
        backend = TflmBackend(model, arena_bytes=size)
        with _captured_stderr():
            backend.run(tuple(np.zeros(tuple(x["shape"]), np.dtype(x["dtype"])) for x in backend._inputs))
    except (GraphError, RuntimeError):
        return False
    return True


def _runtime() -> Any:
    try:
        from tflite_micro import runtime
    except ImportError as error:
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise RuntimeMissingError(
                "the tflite-micro wheel exists for x86-64 Linux only; native and numpy equal it"
            ) from error
        raise RuntimeMissingError(
            "the tflite-micro wheel is not installed (x86-64 Linux only): pip install 'ecg-edge[tflm]'"
        ) from error
    return runtime


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Any]:
    """Send the process's file descriptor 2, which C++ writes to, into a file; yields a reader of its first line."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError as error:
        raise EcgEdgeError("standard error is closed; TFLM's messages cannot be read") from error
    with tempfile.TemporaryFile() as file:

        def log() -> str:
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").splitlines()
            return lines[0] if lines else "no reason given"

        os.dup2(file.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(saved, 2)
            os.close(saved)
