"""Run a graph in NumPy: the integer reference that everything else is compared with. Layer: graph.

Int8 graphs give the bits of the tflite-micro wheel (proven in tests/golden), float graphs float32 within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ir
from .interpret_float import FLOAT_KERNELS
from .interpret_int8 import INT8_KERNELS

# Windows run together as long as their largest tensor stays about this big: it then lives in the cache, and memory
# stays far below the 500 MB that a caller with 100,000 windows may still have.
CHUNK_BYTES = 2 << 20


Windows = NDArray[Any] | tuple[NDArray[Any], ...]


def run(graph: ir.Graph, windows: Windows) -> NDArray[Any]:
    """Run every window through the graph.

    Args:
        graph: a graph that `check` passed.
        windows: (n, length, leads) or, with one lead, (n, length); int8 or float32, as the graph's input is. For a
            graph of several inputs, a tuple of (n, *shape) in the order of the graph's inputs.

    Returns:
        (n, classes), of the type of the graph's output.

    Raises:
        ValueError: another shape or type (a bug of the caller: windows are cut by this package).
    """
    inputs = _inputs(graph, windows)
    classes = int(np.prod(graph.output.shape))
    out = np.empty((len(inputs[0]), classes), graph.output.dtype)
    last = {tensor.name: op.name for op in graph.ops for tensor in ir.inputs_of(op)}
    for part in _chunks(graph, len(out)):
        values = {tensor.name: x[part] for tensor, x in zip(graph.inputs, inputs, strict=True)}
        for op in graph.ops:
            values[op.output.name] = _result(op, values)
            for tensor in ir.inputs_of(op):
                if last[tensor.name] == op.name and tensor.name != graph.output.name:
                    values.pop(tensor.name, None)  # what nobody reads again would fill the memory
        out[part] = values[graph.output.name].reshape(-1, classes)
    return out


def tensors(graph: ir.Graph, windows: Windows) -> dict[str, NDArray[Any]]:
    """Every tensor of a run, by name: for tests of an engine, op by op.

    Args:
        graph: a graph that `check` passed.
        windows: as of `run`; all at once in memory.

    Returns:
        (n, *shape) for each tensor of the graph, its inputs included.
    """
    values = {tensor.name: x for tensor, x in zip(graph.inputs, _inputs(graph, windows), strict=True)}
    for op in graph.ops:
        values[op.output.name] = _result(op, values)
    return values


def _inputs(graph: ir.Graph, windows: Windows) -> tuple[NDArray[Any], ...]:
    """One (n, *shape) for each input of the graph."""
    given = windows if isinstance(windows, tuple) else (windows,)
    if given and given[0].ndim == 2 and graph.input.shape[-1] == 1:
        given = (given[0][..., None], *given[1:])
    wanted = [(tensor.shape, np.dtype(tensor.dtype), len(given[0])) for tensor in graph.inputs]
    if [(x.shape[1:], x.dtype, len(x)) for x in given] != wanted:
        expected = ", ".join(f"(n, {', '.join(map(str, t.shape))}) {t.dtype}" for t in graph.inputs)
        raise ValueError(f"{graph.name} takes {expected}, not {', '.join(f'{x.shape} {x.dtype}' for x in given)}")
    return given


def _result(op: ir.Op, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """(n, *shape) that the op gives."""
    kernels = INT8_KERNELS if op.output.dtype == "int8" else FLOAT_KERNELS
    operands = (op.input, op.other) if isinstance(op, ir.Add | ir.Sub | ir.Mul) else ir.inputs_of(op)
    inputs = (values[x.name] if isinstance(x, ir.Tensor) else x.values[None] for x in operands)
    return kernels[type(op)](op, *inputs).reshape(-1, *op.output.shape)


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
