"""Plan -> ecg_model_<name>_native.c, C99 written for one graph and one kind of core. Layer: codegen.

One function a step. The template lays the file out, `constants.py` and `kernels/` write the data, `memory.py` says what
lies where; this module joins them.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from .. import __version__
from ..errors import GraphError
from ..graph.ir import (
    Add,
    AveragePool1D,
    Concat,
    Constant,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Logistic,
    MaxPool1D,
    Mean,
    Mul,
    Op,
    Relu,
    Requantize,
    Softmax,
    Sub,
    Tanh,
    Tensor,
)
from ..graph.limits import label
from ..graph.plan import AnyStep, Feed, Keep, Line, Plan, Section, Step, Sum, VectorStep
from . import constants, ctext
from .kernels.layer import Layer
from .target import PORTABLE, Target
from .template import render
from .whole import make_memory

_SHARED = ("ecg_flash.h", "ecg_model.h", "ecg_ops.c", "ecg_ops.h", "ecg_quant.h", "ecg_status.h")


def native_source(plan: Plan, *, name: str, fs_hz: int, target: Target = PORTABLE) -> str:
    """The C file of one model.

    Args:
        plan: of the model.
        name: of the model; the descriptor is ecg_model_<name>.
        fs_hz: samples a second, for the descriptor.
        target: the core that it is for.

    Raises:
        GraphError: an accumulator could leave int32, or an operand is of no kind that the engine reads.
    """
    return render("native.c.j2", **_Source(plan, target).context(name, fs_hz))


def native_sources(target: Target) -> tuple[str, ...]:
    """Files of firmware/EcgEdge/src that the generated one needs."""
    return (*_SHARED, f"ecg_ops_{target.kernels}.h")


def stream_note(plan: Plan) -> str:
    """One sentence: how the model streams, or why it cannot."""
    if plan.obstacle is not None:
        return f"Cannot stream: {plan.obstacle}."
    if plan.overlaps:
        return f"Streams: overlapping windows share their columns, a verdict every {plan.hop}."
    return "Streams: each window is a fresh start."


class _Source:
    """One file in the making."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target
        self.memory, self.whole = make_memory(plan, target)
        self.constants: list[str] = []
        self.wrappers: dict[str, dict[str, str]] = {}  # out-of-line copies of kernels, for size

    def context(self, name: str, fs_hz: int) -> dict[str, Any]:
        """What the template is told."""
        plan, graph = self.plan, self.plan.graph
        sections = [self._section(index, section) for index, section in enumerate(plan.sections)]
        return {
            "version": __version__,
            "name": ctext.identifier(name),
            "name_literal": ctext.string(name),
            "sha256": graph.sha256,
            "sha256_bytes": ctext.hex_bytes(bytes.fromhex(graph.sha256), indent=8),
            "summary": f"{', '.join(map(constants.shape, graph.inputs))} -> {constants.shape(graph.output)}. "
            f"{stream_note(plan)}",
            "target": self.target,
            "fs_hz": fs_hz,
            "window": graph.input.shape[0],
            "hop": plan.hop,
            "leads": graph.input.shape[1],
            "classes": math.prod(graph.output.shape),
            "sections": sections,
            "finish": self._finish(sections),
            "whole": self.whole and [*self.whole.lines, *self._after_whole(self.whole.last)],
            "constants": list(dict.fromkeys(self.constants)),
            "wrappers": list(self.wrappers.values()) if plan.streams or not self.whole else [],
            "members": self.memory.members,
            "fills_wide": self.memory.pads_wide(),
            "resets": self.memory.resets(),
            "more_inputs": len(graph.inputs) > 1,
            "streams": plan.streams,
            "overlaps": plan.overlaps,
        }

    # --- steps over time ----------------------------------------------------------------------------------------------

    def _section(self, index: int, section: Section) -> dict[str, Any]:
        steps = [self._step(section, step) for step in section.steps]
        chain = len(section.sources) == 1 and all(
            len(step.feeds) == 1 and step.feeds[0].source.name == before
            for step, before in zip(
                section.steps,
                [section.sources[0].name, *(s.output.name if s.output else "" for s in section.steps)],
                strict=False,
            )
        )
        flushes, begins = self._pushes(section, "after"), self._pushes(section, "excess")[::-1]
        return {
            "index": index,
            "steps": steps,
            "chain": chain,
            "sources": [self._source(index, section, source) for source in section.sources],
            "flushes": flushes,
            "begins": begins,
            "rounds": max(source.shape[0] for source in section.sources),
            "burst": self._burst(index, section, chain),
            "from_signal": index == 0 and len(self.plan.graph.inputs) == 1,
            "last_flush": max((push["step"] for push in [*flushes, *begins]), default=0),
            "all_came": self._all_came(section, chain, [*flushes, *begins]),
        }

    def _all_came(self, section: Section, chain: bool, flushes: list[dict[str, Any]]) -> str:
        """Arguments of advance() when each source has given a column; one that has ended gives none."""
        if chain:
            return ", 0" if any(flush["step"] for flush in flushes) else ""
        rounds = max(source.shape[0] for source in section.sources)
        came = ["true" if s.shape[0] == rounds else f"t < {s.shape[0]}u" for s in section.sources]
        return "".join([", 0", *(f", {text}" for text in came)])

    def _burst(self, index: int, section: Section, chain: bool) -> dict[str, Any] | None:
        """The line that takes all columns it waits for at once, where it is the section's only beginning."""
        line = section.steps[0].feeds[0].line
        if index or not chain or line is None or line.stride > line.span:
            return None
        return {"line": line.name, "put": self.memory.put_many(section.steps[0], line)}

    def _source(self, index: int, section: Section, source: Tensor) -> dict[str, Any]:
        puts = [
            put for step, feed in self.memory.readers(section, source) for put in self.memory.puts(step, feed, "column")
        ]
        streamed = index == 0 and len(self.plan.graph.inputs) == 1  # its columns come as an argument
        return {
            "flag": ctext.identifier(self.memory.tensor_name(source)),
            "length": source.shape[0],
            "channels": source.shape[1],
            "place": "column" if streamed else self.memory.place(source),
            "puts": puts,
        }

    def _pushes(self, section: Section, which: str) -> list[dict[str, Any]]:
        """Padding that comes column by column, before a window (`excess`) or behind it (`after`), step by step."""
        return [
            {
                "step": index,
                "name": step_name(step),
                "gives": step.output is not None,
                "count": len(list(run)),
                "pad": self.memory.pad(step, feed, value),
                "flags": "".join(f", {'true' if j == i else 'false'}" for j in range(len(step.feeds)))
                if len(step.feeds) > 1
                else "",
            }
            for index, step in enumerate(section.steps)
            for i, feed in enumerate(step.feeds)
            if feed.line is not None
            for value, run in groupby(getattr(feed.line, which))
        ]

    def _step(self, section: Section, step: AnyStep) -> dict[str, Any]:
        name = step_name(step)
        several = len(step.feeds) > 1
        lines = [feed.line for feed in step.feeds if feed.line is not None]
        for feed in step.feeds:
            if feed.line is not None:
                self.constants.append(self.memory.reach(step, feed.line))
        return {
            "name": name,
            "comment": _comment(step),
            "line": lines[0].name if lines and not several else None,
            "queues": [line.name for line in lines] if several else [],
            "drops": not isinstance(step, Keep),
            "body": self._body(section, step),
            "feeds": [self._flag(section, feed.source) for feed in step.feeds],
            "gives": step.output is not None,
        }

    def _flag(self, section: Section, tensor: Tensor) -> str:
        """The C variable that tells whether a column of the tensor has come."""
        name = ctext.identifier(self.memory.tensor_name(tensor))
        return f"{name}_came" if tensor in section.sources else f"{name}_gave"

    def _body(self, section: Section, step: AnyStep) -> list[str]:
        """Statements that make a column of what is due."""
        if isinstance(step, Keep):
            return []
        places = [self.memory.input(step, feed) for feed in step.feeds]
        if isinstance(step, Sum):
            self.constants.append(constants.mean(step.op, step.blocks, step.block_columns))
            name = step.op.name
            wide = "_wide" if self.memory.summed[name] else ""
            return [f"ecg_mean_push{wide}_s8(&{name}, &s->{name}, s->{name}_sums, {places[0]});"]
        out = self.memory.output(section, step)
        statements = self._call(step, places, out.place, out.wide)
        return [*statements, *out.after]

    def _call(self, step: Step, places: list[str], out: str, wide: bool) -> list[str]:
        op = step.op
        if isinstance(op, Conv1D | DepthwiseConv1D):
            return self._convolution(op, step.feeds[0], places[0], out, wide)
        if isinstance(op, MaxPool1D | AveragePool1D):
            return self._pool(op, places[0], out)
        if isinstance(op, Concat):
            sizes = [source.shape[1] for source in op.inputs]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            return [f"memcpy({out} + {a}, {p}, {n}u);" for a, p, n in zip(starts, places, sizes, strict=True)]
        return self._elementwise(op, places, out, op.output.shape[1])

    def _convolution(self, op: Conv1D | DepthwiseConv1D, feed: Feed, place: str, out: str, wide: bool) -> list[str]:
        layer = self.memory.layers[op.name]
        self.constants.append(f"// {op.name}: {constants.describe(op)}\n{layer.constants}")
        before: list[str] = []
        if isinstance(op, Conv1D) and op.dilation > 1:
            taps, channels = op.weights.shape[1:]
            before = [
                f"for (size_t tap = 0; tap < {taps}u; tap++) {{   // {op.dilation} columns apart",
                f"    memcpy(s->{op.name}_taps + tap * {channels}u, (const ecg_wide_t *){place} + "
                f"tap * {op.dilation * channels}u, {channels}u * sizeof(ecg_wide_t));",
                "}",
            ]
            place = f"s->{op.name}_taps"
        function, arguments = self._function(layer, "ecg_wide_t" if isinstance(op, Conv1D) else "int8_t")
        flag = f", {'true' if wide else 'false'}" if layer.wide_out else ""
        return [*before, f"{function}(&{op.name}, {place}, {out}{flag}{arguments});"]

    def _function(self, layer: Layer, element: str) -> tuple[str, str]:
        """The kernel and its last argument; for size a copy of it that all layers of a kind call."""
        how = f", {' | '.join(layer.how)}" if layer.how else ""
        if not layer.wide_out or self.target.opt == "speed":
            return layer.function, how
        facts = [fact.removeprefix("ECG_").lower() for fact in layer.how if fact.startswith("ECG_")]
        name = "_".join([layer.function.removeprefix("ecg_").removesuffix("_s8"), *facts])
        self.wrappers[name] = {
            "name": name, "kind": layer.kind, "function": layer.function, "element": element, "how": how
        }  # fmt: skip
        return name, ""

    def _pool(self, op: MaxPool1D | AveragePool1D, place: str, out: str) -> list[str]:
        self.constants.append(f"// {op.name}: {constants.describe(op)}\n{constants.pool(op)}")
        if isinstance(op, MaxPool1D):
            return [f"ecg_max_pool_s8(&{op.name}, {place}, {out});"]
        if op.pad_before + op.pad_after == 0:
            return [f"ecg_average_pool_s8(&{op.name}, {place}, {out});"]
        return [f"ecg_edge_pool_s8(&{op.name}, (uint16_t)s->{op.name}_given++, {place}, {out});"]

    # --- ops on columns and on vectors --------------------------------------------------------------------------------

    def _elementwise(self, op: Op, places: list[str], out: str, count: int) -> list[str]:
        name = op.name
        if isinstance(op, Relu | Requantize | Logistic | Tanh):
            self.constants.append(constants.table(f"{name}_table", op))
            return [f"ecg_lookup_s8({name}_table, {places[0]}, {out}, {count}u);"]
        if isinstance(op, Softmax):
            self.constants.append(constants.softmax(op))
            return [f"ecg_softmax_s8(&{name}, {places[0]}, {out});"]
        if isinstance(op, Add | Sub | Mul):
            self.constants.append(constants.binary(op, count))
            a, b = self._operands(op, list(places), count)
            return [f"ecg_{'mul' if isinstance(op, Mul) else 'add'}_s8(&{name}, {a}, {b}, {out});"]
        raise GraphError(f"{self.plan.graph.name}: {label(op)} is no op of the native engine")

    def _operands(self, op: Add | Sub | Mul, places: list[str], count: int) -> list[str]:
        """Where both operands lie; columns are in `places`, in order."""
        found: list[str] = []
        for letter, operand in (("a", op.input), ("b", op.other)):
            if isinstance(operand, Constant):
                values = operand.values.ravel().tolist()  # read like the other operand, so in RAM on AVR
                text = ctext.array("int8_t", f"{op.name}_{letter}", values, const="static const")
                self.constants.append(text)
                column = f" + s->{op.name}_given++ * {count}u" if operand.values.size > count else ""
                found.append(f"{op.name}_{letter}{column}")
            elif len(op.output.shape) == 2 and len(operand.shape) == 1:
                found.append(self.memory.place(operand))
            else:
                found.append(places.pop(0))
        return found

    def _vector(self, op: Op) -> list[str]:
        """A vector op's statements."""
        out = self.memory.place(op.output)
        if isinstance(op, Concat):
            sizes = [math.prod(source.shape) for source in op.inputs]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            places = [self.memory.place(source) for source in op.inputs]
            return [f"memcpy({out} + {a}, {p}, {n}u);" for a, p, n in zip(starts, places, sizes, strict=True)]
        if isinstance(op, Dense):
            self.constants.append(constants.dense(op))
            return [f"ecg_dense_s8(&{op.name}, {self.memory.place(op.input)}, {out});"]
        if isinstance(op, Mean):
            if op.name in self.memory.summed and self.memory.stand_in is None:
                wide = "_wide" if self.memory.summed[op.name] else ""
                return [f"ecg_mean{wide}_s8(&{op.name}, s->{op.name}_sums, {out});"]
            if op.name not in self.memory.summed:
                self.constants.append(constants.mean(op, 0, 0))
            return [f"ecg_mean_columns_s8(&{op.name}, {self.memory.place(op.input)}, {op.input.shape[0]}u, {out});"]
        places = [self.memory.place(t) for t in _vector_inputs(op)]
        return self._elementwise(op, places, out, math.prod(op.output.shape))

    def _finish(self, sections: list[dict[str, Any]]) -> list[str]:
        """From the end of the first section to the scores."""
        lines: list[str] = []
        index = -1
        for item in self.plan.program:
            if isinstance(item, VectorStep):
                lines += self._vector(item.op)
                continue
            index += 1
            if index > 0 or not sections[index]["from_signal"]:
                lines.append(f"section{index}(s);")
            elif sections[index]["flushes"]:
                lines.append(f"flush{index}(s);")
        return [*lines, *self._scores(), *self.memory.drops()]

    def _after_whole(self, columns: str) -> list[str]:
        """From the last layer's columns to the scores."""
        self.memory.stand_in = columns
        lines = [line for item in self.plan.program if isinstance(item, VectorStep) for line in self._vector(item.op)]
        lines += self._scores()
        self.memory.stand_in = None
        return lines

    def _scores(self) -> list[str]:
        """The output to where the caller wants it, unless an op writes there."""
        place = self.memory.place(self.plan.graph.output)
        return [f"memcpy(scores, {place}, CLASSES);"] if place != "scores" else []


def step_name(step: AnyStep) -> str:
    """conv1, depthwise1, ...: an op has one name everywhere."""
    if isinstance(step, Keep):
        assert step.feeds[0].line is not None
        return step.feeds[0].line.name
    return step.op.name


def _vector_inputs(op: Op) -> list[Tensor]:
    if isinstance(op, Add | Sub | Mul):
        return [operand for operand in (op.input, op.other) if isinstance(operand, Tensor)]
    assert isinstance(op.input, Tensor)
    return [op.input]


def _comment(step: AnyStep) -> str:
    line: Line | None = step.feeds[0].line
    stride = line.stride if line is not None and len(step.feeds) == 1 else 1
    every = {1: "every column", 2: "every 2nd column", 3: "every 3rd column"}.get(stride, f"every {stride}th column")
    sources = " and ".join(f"({feed.source.shape[1]})" for feed in step.feeds)
    if isinstance(step, Keep):
        return f"{sources}, kept for the window's end"
    return f"{sources} -> ({step.op.output.shape[-1]}), {every if not isinstance(step, Sum) else 'once a window'}"
