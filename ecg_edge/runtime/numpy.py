"""The golden interpreter itself: NumPy, no other package, any machine. Layer: runtime; composes graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.graph.interpret import run
from ecg_edge.graph.tflite import read_graph
from ecg_edge.runtime.backend import check_windows


class NumpyBackend:
    """graph/interpret.py behind the interface of every backend."""

    name = "numpy"

    def __init__(self, model: bytes) -> None:
        """Read. Args: model, `.tflite` bytes. Raises GraphError: it is outside what the engines run."""
        self._graph = read_graph(model, name=self.name)
        self._dtype = np.dtype(np.float32 if self._graph.input.quant is None else np.int8)

    def run(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Scores of windows; see `Backend`."""
        shaped = check_windows(windows, self._graph.input.shape, self._dtype, self.name)
        scores: NDArray[Any] = run(self._graph, shaped)
        return scores.reshape(len(windows), -1)
