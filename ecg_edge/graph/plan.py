"""Graph -> column steps: what each layer keeps, when it gives a column, what stops a stream. Layer: graph.

A layer over time keeps the columns it will need again in a line of `span` columns: it gives a column when the line is
full, then lets `stride` columns go. Steps run in a chain up to the gather, where time ends (the mean over a window, or
the window's columns themselves); the head turns what was gathered into scores, once a window.

In a stream, windows begin every `hop` columns. Where they overlap, a column is computed once for all of them: that
needs every layer's stride to keep in step with the hop, and no padding, since a window's edge lies in the middle of its
neighbour. Where they do not overlap (hop = window) every graph streams: each window is a fresh start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import GraphError, UnsupportedOpError
from .ir import (
    AveragePool1D,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Graph,
    Logistic,
    MaxPool1D,
    Mean,
    Op,
    Relu,
    Softmax,
    Tensor,
)

LineOp = Conv1D | DepthwiseConv1D | MaxPool1D | AveragePool1D
TableOp = Relu | Logistic  # any function of one int8
HeadOp = Dense | Softmax | Relu | Logistic

SUPPORTED = ("Conv1D", "DepthwiseConv1D", "MaxPool1D", "AveragePool1D", "Mean", "Dense", "Softmax", "Logistic", "Relu")
VECTOR_OPS = ("Dense", "Softmax", "Logistic", "Relu")
_KINDS = {
    "Conv1D": "conv",
    "DepthwiseConv1D": "depthwise",
    "MaxPool1D": "max_pool",
    "AveragePool1D": "average_pool",
}
LIMIT = 32767  # columns of a line, channels: what int16_t counts hold


@dataclass(frozen=True, slots=True)
class LineStep:
    """A layer over time, and the elementwise ops that follow it."""

    op: LineOp
    span: int  # columns the line holds, channels of the input each
    stride: int  # columns let go after each column given
    pad_before: int  # columns of padding a window begins with
    pad_after: int
    pad_value: int
    tables: tuple[TableOp, ...]


@dataclass(frozen=True, slots=True)
class MeanGather:
    """Sums of the columns of a window, in blocks of one hop each: windows that overlap share blocks."""

    op: Mean
    blocks: int
    block_columns: int


@dataclass(frozen=True, slots=True)
class WindowGather:
    """The window's columns themselves, flat."""

    source: Tensor  # (length, channels)
    stride: int  # columns let go after each window


@dataclass(frozen=True, slots=True)
class Plan:
    """How a graph runs column by column."""

    graph: Graph
    hop: int
    lines: tuple[LineStep, ...]
    gather: MeanGather | WindowGather
    head: tuple[HeadOp, ...]
    overlaps: bool  # the plan serves overlapping windows: run() and push() without a reset between windows
    obstacle: str | None  # why the model cannot stream

    @property
    def streams(self) -> bool:
        """Whether push() exists."""
        return self.obstacle is None


def make_plan(graph: Graph, *, hop: int) -> Plan:
    """Lower a checked int8 graph to column steps.

    Args:
        graph: a chain of ops over (length, channels) that ends in (classes,).
        hop: columns from one window to the next in a stream; 1 to the graph's length.

    Raises:
        UnsupportedOpError: an op that column steps cannot run.
        GraphError: the graph is no chain, or a size is beyond the engine's counters.
    """
    _check_chain(graph)
    time, end, head = _split(graph)
    overlap_obstacle = _overlap_obstacle(time, hop)
    abuts = hop == graph.input.shape[0]
    overlaps = not abuts and overlap_obstacle is None
    lines: list[LineStep] = []
    period = hop if overlaps else 0  # columns a hop at the current depth
    for op in time:
        if isinstance(op, Relu | Logistic):
            lines[-1] = replace(lines[-1], tables=(*lines[-1].tables, op))
            continue
        lines.append(_line(op, stride=period if overlaps and op.output.shape[0] == 1 else op.stride))
        period //= lines[-1].stride
    gather: MeanGather | WindowGather
    length = end.shape[0] if isinstance(end, Tensor) else end.input.shape[0]
    columns = period if overlaps else length
    if isinstance(end, Mean):
        gather = MeanGather(end, blocks=-(-length // columns), block_columns=columns)
    else:
        gather = WindowGather(end, stride=columns)
    return Plan(graph, hop, tuple(lines), gather, head, overlaps, None if abuts else overlap_obstacle)


def line_count(plan: Plan) -> int:
    """Layers that keep columns, the window's own line included."""
    return len(plan.lines) + (0 if isinstance(plan.gather, MeanGather) else 1)


def buffers(plan: Plan) -> list[tuple[str, tuple[int, ...], int]]:
    """(name, shape, bytes) of all memory behind lines, sums and vectors: columns and vectors of int8, sums of int32.

    Each takes whole words, so that the next one begins on a word.
    """
    found: list[tuple[str, tuple[int, ...], int]] = []

    def add(name: str, *shape: int, width: int = 1) -> None:
        found.append((name, shape, _up4(math.prod(shape) * width)))

    gather = plan.gather
    if isinstance(gather, MeanGather):
        add("mean_sums", gather.blocks, gather.op.input.shape[1], width=4)
    for name, step in zip(line_names(plan), plan.lines, strict=True):
        add(f"{name}_columns", step.span, step.op.input.shape[1])
    if isinstance(gather, MeanGather):
        add("column", gather.op.input.shape[1])
    else:
        add("window_columns", *gather.source.shape)
    for name, op in results(plan)[:-1]:  # the last one is the caller's
        add(f"{name}_out", *op.output.shape)
    return found


def line_names(plan: Plan) -> list[str]:
    """conv1, depthwise1, ...: an op has one name everywhere."""
    return [step.op.name for step in plan.lines]


def line_kind(step: LineStep) -> str:
    """The op's name in C: ecg_<kind>_push_s8."""
    return _KINDS[type(step.op).__name__]


def results(plan: Plan) -> list[tuple[str, Mean | Dense | Softmax]]:
    """(name, op) of what gives a vector, in order; elementwise ops change the vector before them in place."""
    ops: list[Mean | Dense | Softmax] = [plan.gather.op] if isinstance(plan.gather, MeanGather) else []
    ops += [op for op in plan.head if isinstance(op, Dense | Softmax)]
    return [("mean" if isinstance(op, Mean) else op.name, op) for op in ops]


def _up4(count: int) -> int:
    """Rounded up to whole words: every buffer begins on one."""
    return -(-count // 4) * 4


def _check_chain(graph: Graph) -> None:
    previous = graph.input.name
    for index, op in enumerate(graph.ops):
        if type(op).__name__ not in SUPPORTED:
            raise UnsupportedOpError(_label(op), index, supported=SUPPORTED)
        where = f"{graph.name}: {_label(op)}"
        if op.input.name != previous:
            raise GraphError(f"{where} reads {op.input.name}, not the op before it; the native engine runs chains")
        if max(op.input.shape + op.output.shape) > LIMIT:
            raise GraphError(f"{where} has {op.input.shape} -> {op.output.shape}; at most {LIMIT} a dimension")
        previous = op.output.name


def _split(graph: Graph) -> tuple[list[LineOp | TableOp], Mean | Tensor, tuple[HeadOp, ...]]:
    """Ops over time, the op where time ends (or the tensor that is taken flat), ops over vectors."""
    time: list[LineOp | TableOp] = []
    end: Mean | Tensor = graph.input
    head: list[HeadOp] = []
    for index, op in enumerate(graph.ops):
        if head or isinstance(end, Mean):
            if not isinstance(op, HeadOp):
                raise UnsupportedOpError(f"{_label(op)} after the end of time", index, supported=VECTOR_OPS)
            head.append(op)
        elif isinstance(op, Mean):
            end = op
        elif isinstance(op, Dense | Softmax):
            head.append(op)
        else:
            if isinstance(op, TableOp) and not time:
                raise UnsupportedOpError(f"{_label(op)} on the input", index, supported=SUPPORTED)
            assert isinstance(op, LineOp | TableOp), "_check_chain refused it"
            if isinstance(op, AveragePool1D) and op.pad_before + op.pad_after:
                raise UnsupportedOpError(f"{_label(op)} with SAME padding", index, supported=SUPPORTED)
            time.append(op)
            end = op.output
    return time, end, tuple(head)


def _overlap_obstacle(time: list[LineOp | TableOp], hop: int) -> str | None:
    """Why overlapping windows cannot share columns; names the op."""
    period, total = hop, 1
    for op in time:
        if isinstance(op, TableOp):
            continue
        total *= op.stride
        if op.pad_before + op.pad_after:
            return f"{_label(op)} pads the window's edges (SAME); a stream has no edge there, VALID does without"
        if op.output.shape[0] == 1:  # the rest of the window's columns at this depth, taken at once
            spare = op.input.shape[0] - _span(op)
            if spare >= period:
                return f"{_label(op)} leaves {spare} columns unread, and a hop is {period} there"
            period = 1
        elif period % op.stride:
            return f"{_label(op)} brings the stride to {total}, which does not divide the hop {hop}"
        else:
            period //= op.stride
    return None


def _line(op: LineOp, *, stride: int) -> LineStep:
    # Padding counts for nothing: the input's zero point, or the least value where the maximum is taken.
    pad_value = op.input_zero if isinstance(op, Conv1D | DepthwiseConv1D) else -128
    return LineStep(op, _span(op), stride, op.pad_before, op.pad_after, pad_value, ())


def _span(op: LineOp) -> int:
    if isinstance(op, MaxPool1D | AveragePool1D):
        return op.pool
    taps = op.weights.shape[1] if isinstance(op, Conv1D) else op.weights.shape[0]
    return (int(taps) - 1) * op.dilation + 1


def _label(op: Op) -> str:
    return f"{type(op).__name__} {op.name}"
