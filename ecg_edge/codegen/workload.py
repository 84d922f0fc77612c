"""What an engine does for one verdict, in counts that a core's costs multiply. Layer: codegen.

Counts come of the plan: products, outputs, columns, bytes moved, by the kernel that the generator chose. What each of
them costs on a core is measured (`tools/costs.py`) and lies in costs.toml.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ..graph.interpret import tensors
from ..graph.ir import (
    Add,
    AveragePool1D,
    Concat,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Graph,
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
from ..graph.plan import AnyStep, Line, Plan, Step, Sum, VectorStep
from .memory import Memory

Counts = Counter[str]
_SLACK = re.compile(r"\.slack = (\d+)")  # of 256 sums on AVR so many are computed twice
_BURST = {"portable": 1, "thumb1": 4, "dsp": 8, "mve": 16, "avr": 4, "host": 1}  # values of the input taken at a time
_MOVED = 16  # bytes that ecg_line_move() takes at a time
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
            moves, size, words = memory.moves(step, feed.line, gone)
            counts["moves"] += moves
            counts["moved_words" if words else "moved_apart"] += moves * (size // _MOVED)
            counts["moved_bytes"] += moves * (size % _MOVED)
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
        if op.name not in memory.summed:
            return Counter(mean_outputs=channels, kept_values=length * channels)
        step = next(s for section in memory.plan.sections for s in section.steps if isinstance(s, Sum) and s.op is op)
        return Counter(mean_outputs=channels, mean_blocks=channels * step.blocks)
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
        }) + _dearer(kind, memory.layers[op.name].how, out)  # fmt: skip
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
    burst = _BURST[memory.target.kernels]
    counts: Counts = Counter({
        f"{kind}.macs": out * depth,
        f"{kind}.bursts": blocks * (depth // burst),
        f"{kind}.rest_of_burst": blocks * (depth % burst),
        f"{kind}.last_bursts": out % _BLOCK * (depth // burst),
        f"{kind}.last_rest": out % _BLOCK * (depth % burst),
        f"{kind}.outputs": out,
        f"{kind}.groups": blocks,
        f"{kind}.columns": 1,
    })  # fmt: skip
    how = memory.layers[op.name].how
    counts += _dearer(kind, how, out)
    if memory.target.kernels == "dsp" and "ECG_ALIGNED" not in how:
        counts[f"{kind}.apart"] = blocks * (depth // burst)
    if memory.target.kernels == "avr":
        skipped, least = _at_their_ends(memory.plan.graph)[op.name]
        counts[f"{kind}.met"] = round(out // _BLOCK * _BLOCK * depth * (1.0 - skipped))
        counts[f"{kind}.scaled"] = round(out * (1.0 - least))
    slack = _SLACK.search(memory.layers[op.name].constants)
    counts[f"{kind}.unsure"] = out * int(slack[1]) if slack else 0
    if op.dilation > 1:
        counts["copied"] += depth
        counts["taps_copied"] += op.weights.shape[1]
    return counts


def _dearer(kind: str | None, how: tuple[str, ...], outputs: int) -> Counts:
    """Outputs whose numbers ask for more than others': what each kernel set calls so."""
    facts = {
        "unfused": how and not {"ECG_FUSED", "ECG_BENT", "ECG_STRAIGHT", "ECG_RIGHT", "ECG_MIXED"} & set(how),
        "uneven": "ECG_EVEN" not in how,
        "mixed": "ECG_MIXED" in how,
        "bounded": "ECG_BOUNDED" in how,
        "bent": "ECG_BENT" in how,
    }
    return Counter({f"{kind}.{name}": outputs for name, true in facts.items() if true})


@lru_cache(maxsize=8)
def _at_their_ends(graph: Graph) -> dict[str, tuple[float, float]]:
    """Of each convolution, the share of its inputs that are -128, and of its outputs that are at their least.

    An AVR skips the former, and needs not scale the latter: half of them about many a RELU. Over noise and slow waves:
    behind the first layers it makes little difference what a window looks like.
    """
    random = np.random.default_rng(0)
    found = []
    for tensor in graph.inputs:
        noise = random.integers(-128, 128, (2, *tensor.shape))
        steps = np.cumsum(random.normal(0, 4, (2, *tensor.shape)), axis=1)
        found.append(np.concatenate([noise, np.clip(np.rint(steps), -128, 127)]).astype(np.int8))
    values = tensors(graph, tuple(found) if len(found) > 1 else found[0])
    return {
        op.name: (float((values[op.input.name] == -128).mean()), float((values[op.output.name] == op.act_min).mean()))
        for op in graph.ops
        if isinstance(op, Conv1D)
    }


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
