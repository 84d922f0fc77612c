"""A host's run(): layer by layer over the whole window, where memory is no matter. Layer: codegen.

Columns one at a time save memory; a host has it, and a vector machine wants many columns for each weight it loads. Only
chains of convolutions that end in sums or kept columns go this way; push() stays as it is, and so do the bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ..graph.ir import Conv1D, DepthwiseConv1D
from ..graph.plan import Keep, Plan, Step, Sum
from .memory import Member, Memory
from .target import Target


@dataclass(frozen=True, slots=True)
class Whole:
    """How a window goes through its layers."""

    values: int  # of each of the two buffers that layers write in turn
    lines: list[str]
    last: str  # where the last layer's columns are, int8


def make_memory(plan: Plan, target: Target) -> tuple[Memory, Whole | None]:
    """All memory of an engine, and how its run() takes a window whole, if it does."""
    memory = Memory(plan, target)
    whole = _whole_window(plan, memory, target)
    if whole is not None:
        count = -(-whole.values // 4) * 4
        for index in (0, 1):
            declaration = f"ecg_wide_t whole{index}[{count}]"
            memory.members.append(Member(declaration, "columns of run()", 2 * count, plan.graph.ops[0].name))
    return memory, whole


def _whole_window(plan: Plan, memory: Memory, target: Target) -> Whole | None:
    """The statements, or None where the graph or the target goes column by column."""
    if target.kernels != "host" or len(plan.sections) != 1 or len(plan.graph.inputs) > 1:
        return None
    steps = plan.sections[0].steps
    chain, last = steps[:-1], steps[-1]
    if not chain or not isinstance(last, Sum | Keep):
        return None
    line = last.feeds[0].line
    if line is not None and line.before + line.after:
        return None
    source = plan.graph.input
    for step in chain:
        if not isinstance(step, Step) or not _is_whole(step, memory) or step.feeds[0].source.name != source.name:
            return None
        source = step.op.output
    return _Writer(plan, memory).write()


def _is_whole(step: Step, memory: Memory) -> bool:
    op = step.op
    if isinstance(op, Conv1D):
        return op.dilation == 1
    return isinstance(op, DepthwiseConv1D) and memory.layers[op.name].wide_out


class _Writer:
    def __init__(self, plan: Plan, memory: Memory) -> None:
        self._steps = [step for step in plan.sections[0].steps if isinstance(step, Step)]
        self._plan, self._memory = plan, memory
        self._values = 0

    def write(self) -> Whole:
        lines = self._enter()
        for index, step in enumerate(self._steps):
            lines += self._layer(index, step)
        return Whole(self._values, lines, f"(const int8_t *)s->whole{len(self._steps) % 2}")

    def _enter(self) -> list[str]:
        """The window, as the first layer wants it."""
        length, channels = self._plan.graph.input.shape
        place = self._place(0, len(self._pads(0)[0]) * channels)
        copy = "ecg_put_wide" if self._wide(0) else "memcpy"
        lines = [f"{copy}({place}, window, {length * channels}u);"]
        return lines + self._fill(0, length, channels)

    def _layer(self, index: int, step: Step) -> list[str]:
        op = step.op
        assert isinstance(op, Conv1D | DepthwiseConv1D)
        out_length, out = op.output.shape
        before, _ = self._pads(index + 1)
        wide = self._wide(index + 1)
        function = "ecg_matrix_columns" if isinstance(op, Conv1D) else "ecg_lanes_columns"
        source = f"{'' if isinstance(op, Conv1D) else '(const int8_t *)'}s->whole{index % 2}"
        step_values = op.stride * op.input.shape[1]
        flag = "true" if wide else "false"
        place = self._place(index + 1, len(before) * out)
        call = f"{function}(&{op.name}, {source}, {step_values}u, {place}, {out_length}u, {flag});"
        return [call, *self._fill(index + 1, out_length, out)]

    def _wide(self, index: int) -> bool:
        """Whether layer `index` reads ecg_wide_t; behind the last one there are bytes."""
        return index < len(self._steps) and isinstance(self._steps[index].op, Conv1D)

    def _pads(self, index: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        line = self._steps[index].feeds[0].line if index < len(self._steps) else None
        return (line.before, line.after) if line is not None else ((), ())

    def _place(self, index: int, values: int) -> str:
        buffer = f"s->whole{index % 2}"
        if self._wide(index):
            return f"{buffer} + {values}u" if values else buffer
        return f"(int8_t *){buffer} + {values}u" if values else f"(int8_t *){buffer}"

    def _fill(self, index: int, length: int, channels: int) -> list[str]:
        """Padding around what layer `index` reads; a value more for an odd depth."""
        before, after = self._pads(index)
        total = (len(before) + length + len(after)) * channels
        self._values = max(self._values, total + 1)
        lines: list[str] = []
        for at, values in ((0, before), ((len(before) + length) * channels, after)):
            for value, run in groupby(values):
                count = len(list(run)) * channels
                function = "fill_wide" if self._wide(index) else "memset"
                lines.append(f"{function}({self._place(index, at)}, {value}, {count}u);")
                at += count
        return lines
