"""Column steps -> ecg_model_<name>_native.c, C99 written for one graph. Layer: codegen; imports graph, bundle.

One call per op. The template lays the file out; `constants.py` writes the data; this module joins steps,
buffers and calls.
"""

from __future__ import annotations

import math
from typing import Any

from .. import __version__
from ..bundle import Manifest
from ..graph.ir import Dense, Softmax, Tensor
from ..graph.plan import LineStep, MeanGather, Plan, buffers, line_kind, line_names, results
from . import constants, ctext
from .template import render


def native_source(plan: Plan, manifest: Manifest) -> str:
    """The C file of one model.

    Raises:
        GraphError: an accumulator could leave int32.
    """
    graph, gather = plan.graph, plan.gather
    names = line_names(plan)
    mean = gather if isinstance(gather, MeanGather) else None
    lines = [_line_context(name, step) for name, step in zip(names, plan.lines, strict=True)]
    if not isinstance(gather, MeanGather):
        lines.append(_line("window", gather.source))
    head_constants, head_calls = _head(plan)
    return render(
        "native.c.j2",
        version=__version__,
        name=ctext.identifier(manifest.name),
        name_literal=ctext.string(manifest.name),
        sha256=graph.sha256,
        sha256_bytes=ctext.hex_bytes(bytes.fromhex(graph.sha256), indent=8),
        summary=f"{constants.shape(graph.input)} -> {constants.shape(graph.output)}. {stream_note(plan)}",
        fs_hz=manifest.fs_hz,
        window=graph.input.shape[0],
        hop=plan.hop,
        leads=graph.input.shape[1],
        classes=graph.output.shape[-1],
        constants=[*map(constants.line_constants, names, plan.lines), *_gather_constants(plan), *head_constants],
        lines=lines,
        gather_columns=0 if isinstance(gather, MeanGather) else gather.source.shape[0],
        mean=mean and {"blocks": mean.blocks, "channels": mean.op.input.shape[1]},
        buffers=_buffer_contexts(plan),
        streams=plan.streams,
        overlaps=plan.overlaps,
        steps=_steps(plan, names),
        flushes=_flushes(plan, names),
        enters=any(flush["index"] for flush in _flushes(plan, names)),
        first_line=lines[0]["name"] if lines else "",
        head=head_calls,
    )


def buffer_bytes(plan: Plan) -> int:
    """Bytes behind the lines, sums and vectors of the state."""
    return sum(count for _, _, count in buffers(plan))


def stream_note(plan: Plan) -> str:
    """One sentence: how the model streams, or why it cannot."""
    if plan.obstacle is not None:
        return f"Cannot stream: {plan.obstacle}."
    if plan.overlaps:
        return f"Streams: overlapping windows share their columns, a verdict every {plan.hop}."
    return "Streams: each window is a fresh start."


def _line(name: str, source: Tensor, *, pad: int = 0, pad_value: int = 0) -> dict[str, Any]:
    channels = source.shape[1]
    return {"name": name, "channels": channels, "pad_before": pad, "pad_value": pad_value if pad else 0}


def _line_context(name: str, step: LineStep) -> dict[str, Any]:
    return _line(name, step.op.input, pad=step.pad_before, pad_value=step.pad_value)


def _buffer_contexts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"name": name, "size": count, "shape": f"({', '.join(map(str, shape))})"}
        for name, shape, count in buffers(plan)
        if name != "mean_sums"
    ]


def _steps(plan: Plan, names: list[str]) -> list[dict[str, Any]]:
    """One entry a layer over time: its call, and where its column goes."""
    last = "s->column" if isinstance(plan.gather, MeanGather) else "ecg_line_slot(&s->window)"
    outs = [*(f"ecg_line_slot(&s->{name})" for name in names[1:]), last][: len(names)]
    deepest = max((flush["index"] for flush in _flushes(plan, names)), default=0)
    return [
        {
            "name": name,
            "comment": _step_comment(step),
            "guard": f"from <= {index} && " if index < deepest else "",
            "function": f"ecg_{line_kind(step)}_push_s8",
            "out": out,
            "tables": [
                {"name": f"{name}_{suffix}", "count": table.output.shape[1]}
                for suffix, table in constants.table_names(step)
            ],
        }
        for index, (name, step, out) in enumerate(zip(names, plan.lines, outs, strict=True))
    ]


def _step_comment(step: LineStep) -> str:
    given = {1: "every column", 2: "every 2nd column", 3: "every 3rd column"}.get(
        step.stride, f"every {step.stride}th column"
    )
    return f"({step.op.input.shape[1]}) -> ({step.op.output.shape[1]}), {given}"


def _flushes(plan: Plan, names: list[str]) -> list[dict[str, Any]]:
    """The padding at a window's end, layer by layer; none at all if no layer pads after."""
    return [
        {"name": name, "index": index, "count": step.pad_after, "value": step.pad_value}
        for index, (name, step) in enumerate(zip(names, plan.lines, strict=True))
        if step.pad_after
    ]


def _gather_constants(plan: Plan) -> list[str]:
    gather = plan.gather
    if isinstance(gather, MeanGather):
        return [constants.mean_constants(gather)]
    if not plan.overlaps:
        return []  # nothing is let go: a reset begins the next window
    span = gather.source.shape[0]
    return [f"static const ecg_steps_t window_steps = {{.span = {span}, .stride = {gather.stride}}};"]


def _head(plan: Plan) -> tuple[list[str], list[str]]:
    """Constants and calls of what makes scores of what was gathered; the last result is the caller's."""
    names = [name for name, _ in results(plan)]
    places = iter([*((name, f"s->{name}_out") for name in names[:-1]), *((name, "scores") for name in names[-1:])])
    texts: list[str] = []
    calls: list[str] = []
    held = "s->window_columns"  # where the last values are
    if isinstance(plan.gather, MeanGather):
        _, held = next(places)
        calls.append(f"ecg_mean_s8(&mean, &s->mean, {held});")
    elif not names:  # the scores are what was gathered
        held = "scores"
        calls.append("memcpy(scores, s->window_columns, CLASSES);")
    for index, op in enumerate(plan.head):
        if isinstance(op, Dense | Softmax):
            name, out = next(places)
            texts.append(constants.head_constants(name, op))
            calls.append(f"ecg_{type(op).__name__.lower()}_s8(&{name}, {held}, {out});")
            held = out
        else:
            texts.append(constants.table_constant(f"head{index}", op))
            calls.append(f"ecg_lookup_s8(head{index}_table, {held}, {math.prod(op.output.shape)});")
    if not isinstance(plan.gather, MeanGather) and plan.overlaps:
        calls.append("ecg_line_drop(&s->window, window_steps);")
    return texts, calls
