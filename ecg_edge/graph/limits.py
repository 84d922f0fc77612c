"""What the native engine's counters hold, and which operands it reads. Layer: graph."""

from __future__ import annotations

import math
from typing import NoReturn

from ..errors import GraphError
from .ir import (
    AveragePool1D,
    Constant,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Graph,
    MaxPool1D,
    Op,
    Reshape,
    Softmax,
    Tensor,
    inputs_of,
)
from .ir import (
    Line as SlidingOp,
)

COLUMNS = 32767  # of a line, and channels: what int on a 16-bit core holds
_VALUES = 65534  # that one output reads, an odd one rounded up: uint16_t
_SOFTMAX_VALUES = 511  # a sum of more exponentials may be shifted right by more than 31 bits
_BYTE = 255  # classes and leads in ecg_model_t


def check_limits(graph: Graph) -> None:
    """Refuse what the engine cannot hold or read.

    Raises:
        GraphError: the first op or tensor that goes too far.
    """
    for op in graph.ops:
        _check_sizes(graph, op)
        _check_operands(graph, op)
    for what, count in (("classes", math.prod(graph.output.shape)), ("leads", graph.input.shape[1])):
        if count > _BYTE:
            raise GraphError(f"{graph.name}: has {count} {what}; the native engine takes at most {_BYTE}")


def _check_sizes(graph: Graph, op: Op) -> None:
    def fail(message: str) -> NoReturn:
        raise GraphError(f"{graph.name}: {label(op)} {message}")

    if max(op.output.shape + op.input.shape) > COLUMNS:
        fail(f"has {op.input.shape} -> {op.output.shape}; at most {COLUMNS} a dimension")
    if isinstance(op, SlidingOp) and span_of(op) > COLUMNS:
        fail(f"reaches over {span_of(op)} columns; at most {COLUMNS}")
    if (values := _values_read(op)) > _VALUES:
        fail(f"reads {values} values for each output; at most {_VALUES}")
    if isinstance(op, Softmax) and op.input.shape[-1] > _SOFTMAX_VALUES:
        fail(f"has {op.input.shape[-1]} values; at most {_SOFTMAX_VALUES}")


def _values_read(op: Op) -> int:
    """By one output; of a depthwise layer, from one tap to the next."""
    if isinstance(op, Conv1D | Dense):
        return int(op.weights[0].size)
    return op.dilation * op.input.shape[1] if isinstance(op, DepthwiseConv1D) else 0


def _check_operands(graph: Graph, op: Op) -> None:
    """Columns come from columns; a constant counts for every column alike, or has one for each."""
    shape = op.output.shape
    if len(shape) == 2 and not isinstance(op, Reshape) and all(len(t.shape) == 1 for t in inputs_of(op)):
        raise GraphError(
            f"{graph.name}: {label(op)} makes columns of vectors; the native engine needs columns to go by"
        )
    for operand in vector_operands(op):
        if isinstance(operand, Constant) and math.prod(operand.shape) not in (shape[-1], math.prod(shape)):
            raise GraphError(
                f"{graph.name}: {label(op)} reads a constant of shape {operand.shape}; "
                f"the native engine takes ({shape[-1]},) or {shape}"
            )


def label(op: Op) -> str:
    """How errors call an op."""
    return f"{type(op).__name__} {op.name}"


def span_of(op: SlidingOp) -> int:
    """Columns from an op's first tap to its last."""
    if isinstance(op, MaxPool1D | AveragePool1D):
        return op.pool
    taps = op.weights.shape[1] if isinstance(op, Conv1D) else op.weights.shape[0]
    return (int(taps) - 1) * op.dilation + 1


def vector_operands(op: Op) -> tuple[Tensor | Constant, ...]:
    """Operands of an elementwise op that are not columns of a stream: vectors, and constants."""
    return tuple(
        operand
        for operand in (getattr(op, "input", None), getattr(op, "other", None))
        if isinstance(operand, Constant) or (isinstance(operand, Tensor) and len(operand.shape) == 1)
    )
