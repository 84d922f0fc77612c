"""What LiteRT and tflite-runtime have in common: the same Interpreter class under two names. Layer: runtime."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import GraphError
from ecg_edge.runtime.backend import check_windows, run_one_by_one


class LiteBackend:
    """A TensorFlow Lite interpreter with one input and one output, batch 1."""

    def __init__(self, interpreter: Any, name: str) -> None:
        """Allocate.

        Args:
            interpreter: of `ai_edge_litert` or `tflite_runtime`, with its model loaded.
            name: the backend's.

        Raises:
            GraphError: the runtime cannot prepare the model.
        """
        self.name = name
        self._interpreter = interpreter
        try:
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise GraphError(f"{name} cannot prepare the model: {first_line(error)}") from error
        (self._input,) = interpreter.get_input_details()
        (self._output,) = interpreter.get_output_details()

    def run(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Scores of windows; see `Backend`."""
        shaped = check_windows(windows, tuple(self._input["shape"]), np.dtype(self._input["dtype"]), self.name)
        classes = int(np.prod(self._output["shape"]))
        return run_one_by_one(shaped, classes, np.dtype(self._output["dtype"]), self._invoke)

    def prepared(self, window: NDArray[Any]) -> Callable[[], object]:
        """Put one window, (length, leads), into the interpreter: what comes back runs it, and no more. For timing."""
        shape, dtype = tuple(self._input["shape"]), np.dtype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], check_windows(window[None], shape, dtype, self.name)[0])
        invoke: Callable[[], object] = self._interpreter.invoke
        return invoke

    def _invoke(self, window: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input["index"], window)
        self._interpreter.invoke()
        scores: NDArray[Any] = self._interpreter.get_tensor(self._output["index"])
        return scores


def first_line(error: BaseException) -> str:
    """An exception's first line, for a message of one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def glibc_lack(name: str, error: BaseException) -> str | None:
    """Advice where a runtime was built for a newer C library than this system's; None: that is not what failed."""
    found = re.search(r"version `GLIBC_([\d.]+)' not found", str(error))
    if found is None:
        return None
    return f"{name} needs glibc {found[1]}, which Debian 12 has and this system has not; native and numpy do without"
