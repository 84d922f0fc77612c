"""What lies where in the state of a generated engine. Layer: codegen.

Every member of the state takes whole words, so that the next one begins on a word. Columns that a convolution reads are
of ecg_wide_t, the type its core multiplies fastest; all others are int8_t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from ..graph.ir import AveragePool1D, Conv1D, DepthwiseConv1D, Tensor
from ..graph.plan import AnyStep, Feed, Keep, Line, Plan, Section, Step, Sum, VectorStep, constant_columns, sum_bytes
from . import ctext
from .kernels.choose import kernel_set
from .kernels.layer import Layer
from .target import Target

_POINTER_AND_COUNT = 8  # bytes of ecg_line_t on a 32-bit core
_SPEED_SLACK_BYTES = 48  # room in a line beyond what it must hold: it is moved less often


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the state."""

    declaration: str
    comment: str
    bytes: int  # on a 32-bit core
    op: str  # whose it is; what serves several ops is the first one's


@dataclass(frozen=True, slots=True)
class Output:
    """Where a step puts its column, and what then carries it to those who read it."""

    place: str
    wide: bool
    after: list[str]


@dataclass(slots=True)
class _Pool:
    """Columns on their way from one step to the next; each place serves again once it was read."""

    free_at: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    first: list[str] = field(default_factory=list)  # the op that each place was made for

    def take(self, start: int, end: int, size: int, op: str) -> int:
        """A place for `size` values from step `start` to step `end`, both included."""
        for index, free in enumerate(self.free_at):
            if free <= start:
                self.free_at[index], self.sizes[index] = end + 1, max(self.sizes[index], size)
                return index
        self.first.append(op)
        self.free_at.append(end + 1)
        self.sizes.append(size)
        return len(self.sizes) - 1


class Memory:
    """All memory of one engine."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target
        self.members: list[Member] = []
        self.layers: dict[str, Layer] = {}
        self.stand_in: str | None = None  # where a kept or summed tensor is, while run() has all of it
        self.summed: dict[str, bool] = {}  # means whose sums grow column by column, and whether they are int32_t
        self._lines: list[tuple[AnyStep, Line]] = []
        self._kept: dict[str, Line] = {}  # tensor -> its line
        self._columns: dict[tuple[str, bool], str] = {}  # (tensor, wide) -> member
        self._vectors: dict[str, str] = {}
        self._kernels = kernel_set(target)
        self._wide = self._kernels.WIDE_BYTES
        self._pools = {True: _Pool(), False: _Pool()}
        for section in plan.sections:
            self._plan_columns(section)
            for step in section.steps:
                self._plan_step(step)
        for wide, pool in self._pools.items():
            for index, (size, op) in enumerate(zip(pool.sizes, pool.first, strict=True)):
                kind, name = ("ecg_wide_t", "wide") if wide else ("int8_t", "column")
                self._array(kind, f"{name}{index}", size, op, comment="on its way")
        for item in plan.program:
            if isinstance(item, VectorStep):
                self._plan_vector(item.op.output)
        last = plan.graph.ops[-1].name
        if len(plan.graph.inputs) > 1:
            self.members.append(Member("const int8_t *inputs", "one after another", 4, last))
        if plan.streams:
            self.members.append(Member("int32_t until", "columns to the next verdict", 4, last))

    @property
    def bytes(self) -> int:
        """Of the state, on a 32-bit core."""
        return sum(member.bytes for member in self.members)

    def bytes_of(self, op: str) -> int:
        """What an op keeps, on a 32-bit core."""
        return sum(member.bytes for member in self.members if member.op == op)

    @property
    def line_count(self) -> int:
        """Lines of columns."""
        return len(self._lines)

    @property
    def other_bytes(self) -> int:
        """Of all but the lines' heads, which hold a pointer; a pointer counts 8."""
        pointers = 4 if len(self.plan.graph.inputs) > 1 else 0
        return self.bytes + pointers - _POINTER_AND_COUNT * self.line_count

    # --- planning -----------------------------------------------------------------------------------------------------

    def _array(self, kind: str, name: str, count: int, op: str, *, comment: str = "") -> None:
        width = {"ecg_wide_t": self._wide, "int8_t": 1, "int16_t": 2, "int32_t": 4}[kind]
        per_word = max(1, 4 // width)
        padded = -(-count // per_word) * per_word
        self.members.append(Member(f"{kind} {name}[{padded}]", comment, padded * width, op))

    def _plan_step(self, step: AnyStep) -> None:
        if isinstance(step, Sum):
            name, channels = step.op.name, step.op.input.shape[1]
            self.summed[name] = sum_bytes(step.block_columns) > 2
            self.members.append(Member(f"ecg_sums_t {name}", "", 4, name))
            self._array(
                "int32_t" if self.summed[name] else "int16_t",
                f"{name}_sums",
                step.blocks * channels,
                name,
                comment=f"({step.blocks}, {channels})",
            )
        for feed in step.feeds:
            if feed.line is not None:
                self._plan_line(step, feed.line)
        if isinstance(step, Step):
            self._plan_op(step)

    def _plan_line(self, step: AnyStep, line: Line) -> None:
        self._lines.append((step, line))
        if isinstance(step, Keep):
            self._kept[step.tensor.name] = line
        op = self.tensor_name(step.tensor) if isinstance(step, Keep) else step.op.name
        if op == "input":
            op = self.plan.graph.ops[0].name
        channels = line.source.shape[1]
        self.members.append(Member(f"ecg_line_t {line.name}", "", _POINTER_AND_COUNT, op))
        values = self._capacity(step, line) * channels + (1 if self._is_wide(step) and line.span * channels % 2 else 0)
        kind = "ecg_wide_t" if self._is_wide(step) else "int8_t"
        self._array(kind, f"{line.name}_columns", values, op, comment=f"({self._capacity(step, line)}, {channels})")

    def _capacity(self, step: AnyStep, line: Line) -> int:
        """Columns, with some room for speed."""
        if self.target.opt == "size" or isinstance(step, Keep) or len(step.feeds) > 1 or line.stride >= line.span:
            return line.columns
        move = line.stride * line.source.shape[1] * (self._wide if self._is_wide(step) else 1)
        return line.columns + line.stride * (_SPEED_SLACK_BYTES // move)

    def moves(self, step: AnyStep, line: Line, gone: int) -> tuple[int, int, bool]:
        """While a line lets go `gone` times: how often it moves to its beginning, bytes each, and if they are words."""
        column = line.source.shape[1] * (self._wide if self._is_wide(step) else 1)
        kept = max(0, line.span - line.stride)
        slack = (self._capacity(step, line) - line.span) // line.stride
        return gone // (slack + 1), kept * column, column % 4 == 0

    def _plan_op(self, step: Step) -> None:
        op = step.op
        if isinstance(op, Conv1D):
            channels, line = op.input.shape[1], step.feeds[0].line
            stride = line.stride if line is not None else 1
            apart = op.dilation > 1
            aligned = apart or line is None or stride * channels * self._wide % 4 == 0
            self.layers[op.name] = self._kernels.matrix(op.name, op, opt=self.target.opt, aligned=aligned)
            if apart:
                self._array("ecg_wide_t", f"{op.name}_taps", op.weights[0].size + 1, op.name)
        elif isinstance(op, DepthwiseConv1D):
            self.layers[op.name] = self._kernels.depthwise(op.name, op, opt=self.target.opt)
        elif constant_columns(op) or (isinstance(op, AveragePool1D) and op.pad_before + op.pad_after):
            self.members.append(Member(f"uint32_t {op.name}_given", "columns of this window", 4, op.name))

    def _plan_columns(self, section: Section) -> None:
        """Places for columns that pass."""
        for pool in self._pools.values():
            pool.free_at = [0] * len(pool.sizes)
        order = {id(step): index for index, step in enumerate(section.steps, 1)}
        made = [(0, source) for source in section.sources]
        made += [(order[id(step)], step.output) for step in section.steps if step.output is not None]
        for start, tensor in made:
            readers = list(self.readers(section, tensor))
            passing = [(step, feed) for step, feed in readers if feed.line is None]
            for wide in (True, False):
                ends = [order[id(step)] for step, _ in passing if self._is_wide(step) == wide]
                direct = len(readers) == 1 and start > 0
                needed = bool(ends) or (not wide and start > 0 and not direct)
                if direct and not wide and not ends:
                    needed = not self._writes_to(section, tensor, readers[0])
                if needed:
                    size = tensor.shape[1] + (1 if wide and tensor.shape[1] % 2 else 0)
                    index = self._pools[wide].take(start, max([start, *ends]), size, self.tensor_name(tensor))
                    self._columns[(tensor.name, wide)] = f"s->{'wide' if wide else 'column'}{index}"

    def _writes_to(self, section: Section, tensor: Tensor, reader: tuple[AnyStep, Feed]) -> bool:
        """Whether the step that makes a tensor can write it where its only reader wants it."""
        step = reader[0]
        maker = next(s for s in section.steps if s.output is not None and s.output.name == tensor.name)
        if len(step.feeds) > 1:
            return False
        return not self._is_wide(step) or self._can_widen(maker)

    def _can_widen(self, step: AnyStep) -> bool:
        if not isinstance(step, Step) or not isinstance(step.op, Conv1D | DepthwiseConv1D):
            return False
        if isinstance(step.op, Conv1D):
            return True
        return self._kernels.depthwise(step.op.name, step.op, opt=self.target.opt).wide_out

    def _plan_vector(self, tensor: Tensor) -> None:
        if tensor.name == self.plan.graph.output.name:
            self._vectors[tensor.name] = "scores"
            return
        op = self.tensor_name(tensor)
        name = f"{op}_out"
        self._array("int8_t", name, math.prod(tensor.shape), op, comment=f"({', '.join(map(str, tensor.shape))})")
        self._vectors[tensor.name] = f"s->{name}"

    # --- places -------------------------------------------------------------------------------------------------------

    def tensor_name(self, tensor: Tensor) -> str:
        """The op that gives it."""
        for index, source in enumerate(self.plan.graph.inputs):
            if source.name == tensor.name:
                return f"input{index or ''}"
        return next(op.name for op in self.plan.graph.ops if op.output.name == tensor.name)

    def place(self, tensor: Tensor) -> str:
        """Where a vector, or a tensor kept whole, lies."""
        tensor = self.plan.same.get(tensor.name, tensor)
        if tensor.name in self._vectors:
            return self._vectors[tensor.name]
        offset = 0
        for source in self.plan.graph.inputs if len(self.plan.graph.inputs) > 1 else ():
            if source.name == tensor.name:
                return f"s->inputs + {offset}" if offset else "s->inputs"
            offset += math.prod(source.shape)
        if self.stand_in is not None:
            return self.stand_in
        line = self._kept[tensor.name]
        if self.plan.overlaps:
            return f"(const int8_t *)ecg_line_window(&s->{line.name}, &{line.name}_reach)"
        return f"s->{line.name}_columns"

    def _is_wide(self, step: AnyStep) -> bool:
        return isinstance(step, Step) and isinstance(step.op, Conv1D)

    def readers(self, section: Section, tensor: Tensor) -> Iterator[tuple[AnyStep, Feed]]:
        """Who reads its columns in a section."""
        for step in section.steps:
            for feed in step.feeds:
                if feed.source.name == tensor.name:
                    yield step, feed

    def _next(self, step: AnyStep, line: Line) -> str:
        """Where a line's next column goes, as a pointer of its columns' type."""
        if len(step.feeds) > 1:
            return f"ecg_queue_place(&s->{line.name}, s->{line.name}_columns, &{line.name}_reach)"
        place = f"s->{line.name}.next"
        return f"(ecg_wide_t *)(void *){place}" if self._is_wide(step) else place

    def put_many(self, step: AnyStep, line: Line) -> str:
        """The beginning of a call that copies columns, many at once, to the line's next place."""
        return f"{'ecg_put_wide' if self._is_wide(step) else 'memcpy'}({self._next(step, line)}, "

    def puts(self, step: AnyStep, feed: Feed, column: str) -> list[str]:
        """Statements that give a reader a column that lies at `column`, int8."""
        wide = self._is_wide(step)
        place = self._next(step, feed.line) if feed.line is not None else self._columns[(feed.source.name, wide)]
        if place == column:
            return []
        return [f"{'ecg_put_wide' if wide else 'memcpy'}({place}, {column}, {feed.source.shape[1]}u);"]

    def input(self, step: AnyStep, feed: Feed) -> str:
        """Where a step finds the columns that are due."""
        if feed.line is None:
            return self._columns[(feed.source.name, self._is_wide(step))]
        name = feed.line.name
        if len(step.feeds) > 1:
            return f"ecg_queue_oldest(&s->{name}, &{name}_reach)"
        return f"ecg_line_window(&s->{name}, &{name}_reach)"

    def output(self, section: Section, step: Step) -> Output:
        """Where a step's column goes."""
        tensor = step.op.output
        readers = list(self.readers(section, tensor))
        if len(readers) == 1 and self._writes_to(section, tensor, readers[0]):
            reader, feed = readers[0]
            wide = self._is_wide(reader)
            if feed.line is None:
                return Output(self._columns[(tensor.name, wide)], wide, [])
            return Output(f"s->{feed.line.name}.next", wide, [])
        column = self._columns[(tensor.name, False)]
        after = [put for reader, feed in readers for put in self.puts(reader, feed, column)]
        return Output(column, False, after)

    def pad(self, step: AnyStep, feed: Feed, value: int) -> str:
        """Statement that puts a column of padding into a line."""
        assert feed.line is not None
        return self._fill(step, self._next(step, feed.line), value, feed.line.source.shape[1])

    def _fill(self, step: AnyStep, place: str, value: int, count: int) -> str:
        if self._is_wide(step):
            return f"fill_wide({place}, {value}, {count}u);"
        return f"memset({place}, {value}, {count}u);"

    def reach(self, step: AnyStep, line: Line) -> str:
        """The line's descriptor."""
        size = f"{line.source.shape[1]} * sizeof(ecg_wide_t)" if self._is_wide(step) else str(line.source.shape[1])
        values = self._capacity(step, line) * line.source.shape[1]
        count = f"{values} * sizeof(ecg_wide_t)" if self._is_wide(step) else str(values)
        return (
            f"{ctext.CONST} ecg_reach_t {line.name}_reach = {{.column = {size}, .span = {line.span}, "
            f".stride = {line.stride}, .bytes = {count}}};"
        )

    def resets(self) -> list[str]:
        """Statements that begin a window."""
        lines: list[str] = []
        for step, line in self._lines:
            place = f"s->{line.name}_columns"
            base = f"(int8_t *){place}" if self._is_wide(step) else place
            lines.append(f"ecg_line_reset(&s->{line.name}, {base}, &{line.name}_reach, {len(line.preset)});")
            at = 0
            for value, run in groupby(line.preset):
                count = len(list(run)) * line.source.shape[1]
                lines.append(self._fill(step, f"{place} + {at}u" if at else place, value, count))
                at += count
        for name in self.summed:
            lines += [f"memset(&s->{name}, 0, sizeof s->{name});", f"memset(s->{name}_sums, 0, sizeof s->{name}_sums);"]
        lines += [f"s->{m.declaration.split()[1]} = 0u;" for m in self.members if m.declaration.endswith("_given")]
        return lines

    def drops(self) -> list[str]:
        """Statements that let go of a window's first columns, where the next one overlaps it."""
        if not self.plan.overlaps:
            return []
        return [
            f"ecg_line_drop(&s->{line.name}, s->{line.name}_columns, &{line.name}_reach);"
            for line in self._kept.values()
        ]

    def pads_wide(self) -> bool:
        """Whether a line of ecg_wide_t is ever padded."""
        return any(self._is_wide(step) and (line.before or line.after) for step, line in self._lines)
