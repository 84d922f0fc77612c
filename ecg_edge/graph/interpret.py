"""Run a graph in NumPy: the integer reference that everything else is compared with. Layer: graph.

Int8 graphs give the bits of the tflite-micro wheel (proven in tests/golden), float graphs float32 within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ir
from .interpret_float import FLOAT_KERNELS
from .interpret_int8 import INT8_KERNELS

# Windows run together as long as their largest tensor stays about this big: it then lives in the cache, and memory
# stays far below the 500 MB that a caller with 100,000 windows may still have.
CHUNK_BYTES = 2 << 20


def run(graph: ir.Graph, windows: NDArray[Any]) -> NDArray[Any]:
    """Run every window through the graph.

    Args:
        graph: a graph that `check` passed.
        windows: (n, length, leads) or, with one lead, (n, length); int8 or float32, as the graph's input is.

    Returns:
        (n, classes), of the type of the graph's output.

    Raises:
        ValueError: another shape or type (a bug of the caller: windows are cut by this package).
    """
    x = windows[..., None] if windows.ndim == 2 and graph.input.shape[-1] == 1 else windows
    if x.shape[1:] != graph.input.shape or x.dtype != graph.input.dtype:
        expected = f"(n, {', '.join(map(str, graph.input.shape))}) {graph.input.dtype}"
        raise ValueError(f"{graph.name} takes {expected}, not {windows.shape} {windows.dtype}")
    classes = int(np.prod(graph.output.shape))
    out = np.empty((len(x), classes), graph.output.dtype)
    for part in _chunks(graph, len(x)):
        out[part] = tensors(graph, x[part])[graph.output.name].reshape(-1, classes)
    return out


def tensors(graph: ir.Graph, windows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every tensor of a run, by name: for tests of an engine, op by op.

    Args:
        graph: a graph that `check` passed.
        windows: (n, length, leads), of the type of the graph's input; all at once in memory.

    Returns:
        (n, *shape) for each tensor of the graph, its input included.
    """
    kernels = INT8_KERNELS if graph.input.dtype == "int8" else FLOAT_KERNELS
    values = {graph.input.name: windows}
    for op in graph.ops:
        inputs = [values[op.input.name]]
        if isinstance(op, ir.Add):
            inputs.append(values[op.other.name])
        values[op.output.name] = kernels[type(op)](op, *inputs).reshape(-1, *op.output.shape)
    return values


def float_input(windows: NDArray[np.int8], *, scale: float, zero_point: int) -> NDArray[np.float32]:
    """What the float model takes for the same windows.

    Args:
        windows: (n, length, leads) columns, the int8 graph's input.
        scale, zero_point: of that input.
    """
    return (windows.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _chunks(graph: ir.Graph, n: int) -> Iterator[slice]:
    """Slices of windows that bound the memory at work."""
    largest = max((_work_bytes(op) for op in graph.ops), default=1)
    step = max(1, CHUNK_BYTES // largest)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _work_bytes(op: ir.Op) -> int:
    """Bytes of the largest intermediate of one window: unrolled columns in float32, or accumulators in int64."""
    size = int(np.prod(op.output.shape)) * 8
    if isinstance(op, ir.Conv1D):
        size = max(size, op.output.shape[0] * op.weights[0].size * 4)
    return size
