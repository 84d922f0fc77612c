"""Graph -> column steps: what each layer keeps, when it gives a column, what stops a stream. Layer: graph.

A layer over time keeps the columns it will need again in a line of `span` columns: it gives a column when the line is
full, then lets `stride` columns go. A layer that needs one column at a time keeps none: columns pass. An op with
several operands keeps a queue for each, since one may come earlier than the other (a residual connection).

Steps stand in the order of the graph. A column of the signal goes through all of them before the next one comes. Where
an op needs the whole window first (a squeeze-excite's gate, a flat dense layer), the tensor is kept whole, and a
new section of steps begins behind it. Vector ops run between sections, once a window.

In a stream, windows begin every `hop` columns. Where they overlap, a column is computed once for all of them: that
needs one section, every layer's stride in step with the hop, and no padding, since a window's edge lies in the middle
of its neighbour. Where they do not overlap (hop = window) every graph of one section streams: each window is a fresh
start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .ir import (
    Constant,
    Conv1D,
    DepthwiseConv1D,
    Graph,
    Mean,
    Op,
    Pad,
    Reshape,
    Tensor,
    inputs_of,
)
from .ir import (
    Line as SlidingOp,
)
from .limits import check_limits, label, span_of, vector_operands
from .queues import queue_columns


@dataclass(frozen=True, slots=True)
class Line:
    """The columns that a step keeps of one input."""

    name: str
    source: Tensor
    span: int  # columns from the first tap to the last
    stride: int  # columns let go after each column given
    before: tuple[int, ...]  # value of each column of padding that a window begins with
    after: tuple[int, ...]
    queue: bool  # it waits for other inputs of the step; span and stride are 1
    columns: int  # held at most

    @property
    def preset(self) -> tuple[int, ...]:
        """Padding that is there from the start; the rest of it comes column by column before the signal does."""
        return self.before if self.queue else self.before[: self.span - 1]

    @property
    def excess(self) -> tuple[int, ...]:
        """That rest."""
        return self.before[len(self.preset) :]


@dataclass(frozen=True, slots=True)
class Feed:
    """One input over time of a step."""

    source: Tensor
    line: Line | None  # None: each column is read when it comes, and forgotten


@dataclass(frozen=True, slots=True)
class Step:
    """One op over time: takes columns, gives columns."""

    op: Op
    feeds: tuple[Feed, ...]  # inputs over time, in the op's order; vectors and constants are not among them

    @property
    def output(self) -> Tensor | None:
        """What it gives."""
        return self.op.output


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums the columns of a window for the mean, in blocks of one hop each: windows that overlap share blocks."""

    op: Mean
    feeds: tuple[Feed, ...]  # one
    blocks: int
    block_columns: int

    @property
    def output(self) -> Tensor | None:
        """Nothing over time."""
        return None


@dataclass(frozen=True, slots=True)
class Keep:
    """Keeps the columns of a window, all of them."""

    tensor: Tensor  # which; of a padded one, the feed's source is what it pads
    feeds: tuple[Feed, ...]  # one; its line is as long as the tensor

    @property
    def output(self) -> Tensor | None:
        """Nothing over time."""
        return None


AnyStep = Step | Sum | Keep


@dataclass(frozen=True, slots=True)
class Section:
    """Steps that run column by column, from whole tensors to others."""

    sources: tuple[Tensor, ...]  # each gives one column a round, as long as it has any
    steps: tuple[AnyStep, ...]


@dataclass(frozen=True, slots=True)
class VectorStep:
    """An op that runs once a window: on vectors, or on a tensor kept whole."""

    op: Op


@dataclass(frozen=True, slots=True)
class Plan:
    """How a graph runs column by column."""

    graph: Graph
    hop: int
    program: tuple[Section | VectorStep, ...]
    same: Mapping[str, Tensor]  # a reshaped tensor -> the tensor that holds its numbers
    overlaps: bool  # the plan serves overlapping windows: run() and push() without a reset between windows
    obstacle: str | None  # why the model cannot stream

    @property
    def streams(self) -> bool:
        """Whether push() exists."""
        return self.obstacle is None

    @property
    def sections(self) -> tuple[Section, ...]:
        """Those of the program."""
        return tuple(item for item in self.program if isinstance(item, Section))


def make_plan(graph: Graph, *, hop: int) -> Plan:
    """Lower a checked int8 graph to column steps.

    Args:
        graph: ops that end in (classes,).
        hop: columns from one window to the next in a stream; 1 to the graph's length.

    Raises:
        GraphError: a size is beyond the engine's counters, or an operand of no kind that it reads.
    """
    check_limits(graph)
    levels = _Levels(graph)
    obstacle = levels.obstacle()
    abuts = hop == graph.input.shape[0]
    periods: dict[str, int] = {}
    if not abuts and obstacle is None:
        found = _periods(graph, hop)
        periods, obstacle = ({}, found) if isinstance(found, str) else (found, None)
    program = _Program(graph, levels, periods).build()
    same = {name: levels.root(tensor) for name, tensor in levels.same.items()}
    return Plan(graph, hop, program, same, bool(periods), obstacle)


def constant_columns(op: Op) -> bool:
    """Whether an op over time reads a constant that has a column for each of the signal's."""
    size = math.prod(op.output.shape)
    return len(op.output.shape) == 2 and any(
        isinstance(operand, Constant) and math.prod(operand.shape) == size and op.output.shape[0] > 1
        for operand in vector_operands(op)
    )


class _Levels:
    """Which section a tensor over time is computed in, and after which one a vector is known."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # With several inputs there is no stream: all of them are in memory whole, as the caller gives them.
        self._there = graph.inputs if len(graph.inputs) > 1 else ()
        self.of: dict[str, int] = {t.name: 0 if len(t.shape) == 2 else -1 for t in graph.inputs}
        self.kept: dict[str, Tensor] = {}  # tensors over time that are needed whole
        self.same: dict[str, Tensor] = {}  # a reshape's output -> what holds its numbers
        self._late: Op | None = None  # the first op that waits for the end of a window
        for op in graph.ops:
            self.of[op.output.name] = self._level(op)
        if len(graph.output.shape) == 2:
            self.keep(graph.output)

    def _level(self, op: Op) -> int:
        sources = inputs_of(op)
        over_time = [t for t in sources if len(t.shape) == 2]
        if len(op.output.shape) == 1 or isinstance(op, Reshape):
            for source in over_time:
                if not isinstance(op, Mean):
                    self.keep(source)
            level = max(self.of[t.name] for t in sources)
            if isinstance(op, Reshape):
                self.same[op.output.name] = sources[0]
                return level + 1 if len(op.output.shape) == 2 else level
            return level
        level = max(self.of[t.name] + (len(t.shape) == 1) for t in sources)
        for source in over_time:
            if self.of[source.name] < level and source not in self._there:
                self.keep(source)
        if level > 0 and self._late is None:
            self._late = op
        return level

    def keep(self, tensor: Tensor) -> None:
        """It must be in memory whole; of a reshaped one, what holds its numbers."""
        tensor = self.root(tensor)
        if tensor not in self._there and len(tensor.shape) == 2:
            self.kept[tensor.name] = tensor

    def root(self, tensor: Tensor) -> Tensor:
        """The tensor that holds its numbers."""
        while tensor.name in self.same:
            tensor = self.same[tensor.name]
        return tensor

    def obstacle(self) -> str | None:
        """Why push() cannot be: what needs more than columns of one signal."""
        if len(self.graph.inputs) > 1:
            return f"it has {len(self.graph.inputs)} inputs; a stream is one"
        if self._late is not None:
            return f"{label(self._late)} waits for the end of the window"
        return None


def _periods(graph: Graph, hop: int) -> dict[str, int] | str:
    """Columns a hop of every tensor over time; or why overlapping windows cannot share them, which names the op."""
    period, total = {graph.input.name: hop}, {graph.input.name: 1}
    for op in graph.ops:
        if len(op.output.shape) != 2 or isinstance(op, Reshape):  # only whole windows are reshaped
            continue
        sources = [t for t in inputs_of(op) if len(t.shape) == 2]
        step, strides = period[sources[0].name], total[sources[0].name]
        if any(period[t.name] != step for t in sources):  # column i of one is not of the time of column i of another
            steps = ", ".join(str(period[t.name]) for t in sources)
            return f"{label(op)} joins branches of several strides: a hop is {steps} columns there"
        if isinstance(op, Pad) or (isinstance(op, SlidingOp) and op.pad_before + op.pad_after):
            return f"{label(op)} pads the window's edges (SAME); a stream has no edge there, VALID does without"
        if constant_columns(op):
            return f"{label(op)} adds a constant of its own to each column of the window"
        if isinstance(op, SlidingOp):
            strides *= op.stride
            if op.output.shape[0] == 1:  # the rest of the window's columns at this depth, taken at once
                spare = op.input.shape[0] - span_of(op)
                if spare >= step:
                    return f"{label(op)} leaves {spare} columns unread, and a hop is {step} there"
                step = 1
            elif step % op.stride:
                return f"{label(op)} brings the stride to {strides}, which does not divide the hop {hop}"
            else:
                step //= op.stride
        period[op.output.name], total[op.output.name] = step, strides
    return period


class _Program:
    """Sections and vector steps, in the order they run."""

    def __init__(self, graph: Graph, levels: _Levels, periods: dict[str, int]) -> None:
        self._graph, self._levels, self._periods = graph, levels, periods
        self._pads: dict[str, Pad] = {}  # of the section in the making; those of earlier ones are kept, padded

    def build(self) -> tuple[Section | VectorStep, ...]:
        """All of it."""
        last = max(self._levels.of.values())
        program: list[Section | VectorStep] = list(self._vectors(-1))
        for level in range(last + 1):
            section = self._section(level)
            if section.steps:
                program.append(section)
            program += self._vectors(level)
        return tuple(program)

    def _vectors(self, level: int) -> list[VectorStep]:
        return [
            VectorStep(op)
            for op in self._graph.ops
            if len(op.output.shape) == 1 and not isinstance(op, Reshape) and self._levels.of[op.output.name] == level
        ]

    def _section(self, level: int) -> Section:
        levels = self._levels
        self._pads = {
            op.output.name: op for op in self._graph.ops if isinstance(op, Pad) and levels.of[op.output.name] == level
        }
        steps: list[AnyStep] = []
        if level == 0:
            steps += self._sinks(self._graph.input)
        for op in self._graph.ops:
            if len(op.output.shape) == 2 and levels.of[op.output.name] == level and not isinstance(op, Reshape):
                if not isinstance(op, Pad):
                    steps.append(self._step(op))
                steps += self._sinks(op.output)
        given = {step.output.name for step in steps if step.output is not None}
        sources = {
            feed.source.name: feed.source for step in steps for feed in step.feeds if feed.source.name not in given
        }
        lengths = tuple(sources.values())
        return Section(lengths, queue_columns(lengths, tuple(steps)))

    def _sinks(self, tensor: Tensor) -> list[AnyStep]:
        """What the end of time makes of a tensor: sums for means, or all of its columns."""
        steps: list[AnyStep] = []
        length = tensor.shape[0]
        period = self._periods.get(tensor.name, length)
        blocks = -(-length // period)
        means = [op for op in self._graph.ops if isinstance(op, Mean) and op.input.name == tensor.name]
        padded = tensor.name in self._pads
        keeps = tensor.name in self._levels.kept or (means and (padded or sum_bytes(period) * blocks > length))
        if keeps:
            feed = self._feed(f"keep_{self._name(tensor)}", tensor, length, period, held=True)
            steps.append(Keep(tensor, (feed,)))
        else:
            steps += [Sum(op, (self._feed("", tensor, 1, 1),), blocks, period) for op in means]
        return steps

    def _name(self, tensor: Tensor) -> str:
        return next((op.name for op in self._graph.ops if op.output.name == tensor.name), "input")

    def _step(self, op: Op) -> Step:
        sources = [t for t in inputs_of(op) if len(t.shape) == 2]
        if isinstance(op, SlidingOp):
            stride = op.stride
            if self._periods and op.output.shape[0] == 1:
                stride = self._periods[sources[0].name]
            return Step(op, (self._feed(op.name, sources[0], span_of(op), stride, op=op),))
        several = len(sources) > 1
        names = [f"{op.name}_{chr(ord('a') + i)}" for i in range(len(sources))]
        return Step(op, tuple(self._feed(n, t, 1, 1, held=several) for n, t in zip(names, sources, strict=True)))

    def _feed(
        self, name: str, source: Tensor, span: int, stride: int, *, op: SlidingOp | None = None, held: bool = False
    ) -> Feed:
        """An input; what a Pad op gives is read from what it pads, with the padding on the line."""
        before: tuple[int, ...] = ()
        after: tuple[int, ...] = ()
        if op is not None:
            # Padding counts for nothing: the input's zero point, or the least value where the maximum is taken.
            value = op.input_zero if isinstance(op, Conv1D | DepthwiseConv1D) else -128
            before, after = (value,) * op.pad_before, (value,) * op.pad_after
        while source.name in self._pads:
            pad = self._pads[source.name]
            before, after, source = (
                before + (pad.value,) * pad.before,
                (pad.value,) * pad.after + after,
                pad.input,
            )
        passes = span == 1 and stride == 1 and not before and not after and not held
        line = None if passes else Line(name, source, span, stride, before, after, held, span)
        return Feed(source, line)


def sum_bytes(columns: int) -> int:
    """Of the sum of so many int8: what ecg_mean_push_s8() or ecg_mean_push_wide_s8() takes."""
    return 2 if columns * 128 < 1 << 15 else 4
