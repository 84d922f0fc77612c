"""What an engine does for one verdict, and what it holds, in counts that a core's costs multiply. Layer: codegen.

Counts are exact and come of the plan: products, outputs, columns, bytes moved, by the kernel that the generator chose.
What each of them costs on a core is measured (`tools/costs.py`) and lies in costs.json.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from ..graph.ir import (
    Add,
    AveragePool1D,
    Concat,
    Constant,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    MaxPool1D,
    Mean,
    Mul,
    Op,
    Reshape,
    Softmax,
    Sub,
    Tensor,
)
from ..graph.ir import Line as SlidingOp
from ..graph.ir import Table as TableOp
from ..graph.plan import AnyStep, Keep, Line, Plan, Step, Sum, VectorStep
from .memory import Memory

Counts = Counter[str]
_WIDTHS = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}
_ARRAY = re.compile(r"(\w+) \w+\[[^\]]*\] = \{(.*?)\};", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*")
_VECTOR = 16  # values of a vector: MVE
_BLOCK = 4  # outputs that every kernel set computes together


def work(plan: Plan, memory: Memory, *, hop: bool = False) -> Counts:
    """What one verdict takes.

    Args:
        plan: of the model.
        memory: of its engine, for the core in question.
        hop: of a stream whose windows overlap, behind its first verdict; else of a window by itself.
    """
    hop = hop and plan.overlaps
    columns = dict(_columns(plan, hop=hop))
    counts: Counts = Counter(verdicts=1, signal_columns=plan.hop if hop else plan.graph.input.shape[0])
    for section in plan.sections:
        for step in section.steps:
            counts += _step(memory, step, columns)
        if not _is_chain(section.steps):
            rounds = max(columns[source.name] for source in section.sources)
            counts["offers"] += rounds * len(section.steps)
    for item in plan.program:
        if isinstance(item, VectorStep):
            counts += _vector(item.op, memory)
    return counts


def code(plan: Plan, memory: Memory) -> Counts:
    """What of an engine takes code: kinds of ops that are there, and steps written out."""
    counts: Counts = Counter(engine=1, steps=sum(len(section.steps) for section in plan.sections))
    kinds: set[str] = set()
    for op in plan.graph.ops:
        kind = _kind(op, memory)
        if kind is None:
            continue
        kinds.add(f"any.{kind}")
        counts[f"each.{kind}"] += 1
        if isinstance(op, Conv1D):
            counts[f"depth.{kind}"] += op.weights[0].size
        if isinstance(op, DepthwiseConv1D):
            counts[f"depth.{kind}"] += op.weights.shape[0]
    counts.update(dict.fromkeys(kinds, 1))
    counts["sections"] = len(plan.sections)
    counts["streams"] = int(plan.overlaps)
    counts["branches"] = int(any(not _is_chain(section.steps) for section in plan.sections))
    counts["padded"] = int(any(line.before + line.after for section in plan.sections for line in _lines(section.steps)))
    counts["kept"] = int(any(isinstance(step, Keep) for section in plan.sections for step in section.steps))
    counts["queues"] = sum(len(step.feeds) for s in plan.sections for step in s.steps if len(step.feeds) > 1)
    return counts


def tables_bytes(plan: Plan, memory: Memory) -> int:
    """Every array of constants in the generated C, exactly: weights as packed, biases, multipliers, lookup tables."""
    total = 0
    for op in plan.graph.ops:
        if op.name in memory.layers:
            total += sum(_array_bytes(memory.layers[op.name].constants))
        elif isinstance(op, Dense):
            total += op.weights.size + 4 * op.bias.size + 5 * op.multipliers.size
        elif isinstance(op, TableOp):
            total += 256
        elif isinstance(op, Add | Sub | Mul):
            operands = (operand for operand in (op.input, op.other) if isinstance(operand, Constant))
            total += sum(operand.values.size for operand in operands)
    return total


def descriptors(plan: Plan, memory: Memory, name: str = "") -> list[tuple[str, str]]:
    """Constant structures of the generated C: name and kind. Rows of AVR's units are structures too, without a name."""
    found = [(f"ecg_model_{name}", "ecg_model_t")]
    found += [(f"{line.name}_reach", "ecg_reach_t") for section in plan.sections for line in _lines(section.steps)]
    for op in plan.graph.ops:
        layer = memory.layers.get(op.name)
        if layer is not None:
            found.append((op.name, layer.kind))
            found += [("", kind) for kind, rows in _struct_rows(layer.constants) for _ in range(rows)]
            continue
        kind = _DESCRIPTORS.get(type(op))
        if isinstance(op, AveragePool1D) and op.pad_before + op.pad_after:
            kind = "ecg_edge_pool_t"
        if kind is not None:
            found.append((op.name, kind))
    return found


_DESCRIPTORS: dict[type, str] = {
    Dense: "ecg_dense_t",
    MaxPool1D: "ecg_pool_t",
    AveragePool1D: "ecg_pool_t",
    Mean: "ecg_mean_t",
    Softmax: "ecg_softmax_t",
    Add: "ecg_add_t",
    Sub: "ecg_add_t",
    Mul: "ecg_mul_t",
}


def _array_bytes(text: str) -> Iterator[int]:
    for kind, values in _ARRAY.findall(text):
        if kind in _WIDTHS:
            yield _WIDTHS[kind] * len(re.findall(r"[-\w]+", _COMMENT.sub("", values)))


def _struct_rows(text: str) -> Iterator[tuple[str, int]]:
    for kind, values in _ARRAY.findall(text):
        if kind not in _WIDTHS:
            yield kind, values.count("{")


def _columns(plan: Plan, *, hop: bool) -> Iterator[tuple[str, int]]:
    """Columns of every tensor over time that one verdict computes."""
    found: dict[str, int] = {}
    for tensor in plan.graph.inputs:
        found[tensor.name] = plan.hop if hop else tensor.shape[0]
    for op in plan.graph.ops:
        if len(op.output.shape) != 2:
            continue
        given = op.output.shape[0]
        if hop and not isinstance(op, Reshape):
            source = next(t for t in _inputs(op) if len(t.shape) == 2)
            stride = op.stride if isinstance(op, SlidingOp) else 1
            given = min(given, max(1, found[source.name] // stride))
        found[op.output.name] = given
    yield from found.items()


def _inputs(op: Op) -> list[Tensor]:
    if isinstance(op, Concat):
        return list(op.inputs)
    operands = (op.input, op.other) if isinstance(op, Add | Sub | Mul) else (op.input,)
    return [operand for operand in operands if isinstance(operand, Tensor)]


def _is_chain(steps: tuple[AnyStep, ...]) -> bool:
    return all(len(step.feeds) == 1 for step in steps)


def _lines(steps: tuple[AnyStep, ...]) -> Iterator[Line]:
    return (feed.line for step in steps for feed in step.feeds if feed.line is not None)


def _step(memory: Memory, step: AnyStep, columns: dict[str, int]) -> Counts:
    """One op over time: its own work, and that of taking and keeping columns."""
    counts: Counts = Counter()
    for feed in step.feeds:
        came = columns[feed.source.name] + (len(feed.line.before + feed.line.after) if feed.line else 0)
        counts["offers"] += came
        counts["put_bytes"] += came * feed.source.shape[1]
        if feed.line is not None:
            gone = columns[step.output.name] if step.output is not None else 0
            moves, size = memory.moves(step, feed.line, gone)
            counts["moves"] += moves
            counts["moved_bytes"] += moves * size
    if isinstance(step, Sum):
        counts["mean_values"] += columns[step.feeds[0].source.name] * step.op.input.shape[1]
        counts["mean_columns"] += columns[step.feeds[0].source.name]
    if isinstance(step, Step):
        times = columns[step.op.output.name]
        own = _op(step.op, memory)
        counts += Counter({name: times * count for name, count in own.items()})
        counts["steps"] += times
    return counts


def _vector(op: Op, memory: Memory) -> Counts:
    if isinstance(op, Mean):
        length, channels = op.input.shape
        summed = op.name in memory.summed
        return Counter(mean_outputs=channels, kept_values=0 if summed else length * channels)
    return _op(op, memory)


def _op(op: Op, memory: Memory) -> Counts:
    """Of one column, or of one vector."""
    if isinstance(op, Conv1D):
        return _matrix(op, memory)
    if isinstance(op, DepthwiseConv1D):
        taps, out = op.weights.shape
        kind = _kind(op, memory)
        return Counter({
            f"{kind}.macs": taps * out,
            f"{kind}.groups": -(-out // 8) * taps,
            f"{kind}.outputs": out,
            f"{kind}.columns": 1,
        })  # fmt: skip
    outputs = op.output.shape[-1]
    if isinstance(op, Dense):
        return Counter(dense_macs=op.weights.size, dense_outputs=outputs)
    if isinstance(op, MaxPool1D | AveragePool1D):
        kind = "max" if isinstance(op, MaxPool1D) else "average"
        return Counter({f"{kind}_values": op.pool * outputs, f"{kind}_outputs": outputs})
    if isinstance(op, Softmax):
        return Counter(softmax_outputs=outputs)
    kind = {Add: "add", Sub: "add", Mul: "mul", Concat: "copied"}.get(type(op), "looked_up")
    return Counter({kind: math.prod(op.output.shape[-1:])})


def _matrix(op: Conv1D, memory: Memory) -> Counts:
    out, depth = len(op.weights), op.weights[0].size
    kind = _kind(op, memory)
    blocks = -(-out // _BLOCK)
    counts: Counts = Counter({
        f"{kind}.macs": out * depth,
        f"{kind}.blocks": blocks * depth,
        f"{kind}.vectors": blocks * -(-depth // _VECTOR),
        f"{kind}.rest": out % _BLOCK * -(-depth // _VECTOR),
        f"{kind}.outputs": out,
        f"{kind}.groups": blocks,
        f"{kind}.columns": 1,
    })  # fmt: skip
    if op.dilation > 1:
        counts["copied"] += depth
        counts["taps_copied"] += op.weights.shape[1]
    return counts


def _kind(op: Op, memory: Memory) -> str | None:
    """A kernel's name, with the facts that it was compiled for; None: no code of its own."""
    if op.name in memory.layers:
        layer = memory.layers[op.name]
        return layer.function.removeprefix("ecg_").removesuffix("_s8")
    kinds = {Dense: "dense", MaxPool1D: "max", AveragePool1D: "average", Mean: "mean", Softmax: "softmax"}
    kinds |= {Add: "add", Sub: "add", Mul: "mul"}
    if type(op) in kinds:
        return kinds[type(op)]
    return "table" if isinstance(op, TableOp) else None
