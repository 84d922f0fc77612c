"""Ops -> const C data: descriptors, tables, weights of dense layers. Layer: codegen; imports errors, graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph.interpret import run as interpret
from ..graph.ir import (
    Add,
    AveragePool1D,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Graph,
    MaxPool1D,
    Mean,
    Mul,
    Softmax,
    Sub,
    Tensor,
)
from ..graph.ir import Table as TableOp
from . import ctext
from .kernels.layer import folded_bias


def describe(op: Conv1D | DepthwiseConv1D | MaxPool1D | AveragePool1D) -> str:
    """One line about a layer: shapes, taps, stride, padding, activation."""
    parts = [f"{shape(op.input)} -> {shape(op.output)}"]
    if isinstance(op, MaxPool1D | AveragePool1D):
        parts.append(f"over {op.pool}")
    else:
        taps = op.weights.shape[1] if isinstance(op, Conv1D) else op.weights.shape[0]
        parts.append(f"{taps} tap{'s' if taps > 1 else ''}" + (f" {op.dilation} apart" if op.dilation > 1 else ""))
    parts.append(f"stride {op.stride}")
    if op.pad_before or op.pad_after:
        parts.append(f"{op.padding}: {op.pad_before} before, {op.pad_after} after")
    if op.activation != "NONE":
        parts.append(op.activation)
    return ", ".join(parts)


def shape(tensor: Tensor) -> str:
    """(1024, 1)."""
    return f"({', '.join(map(str, tensor.shape))})"


def dense(op: Dense) -> str:
    """Data and descriptor of a dense layer."""
    out, values = op.weights.shape
    activation = "" if op.activation == "NONE" else f", {op.activation}"
    note = f"input zero point {op.input_zero} folded in" if op.input_zero else ""
    weights = op.weights.ravel().tolist()
    return "\n".join(
        [
            f"// {op.name}: {values} -> {out}{activation}",
            ctext.array("int8_t", f"{op.name}_weights", weights, size=f"{out} * {values}", comment="(out, in)"),
            ctext.array("int32_t", f"{op.name}_bias", folded_bias(op).tolist(), comment=note),
            ctext.array("int32_t", f"{op.name}_multipliers", op.multipliers.tolist()),
            ctext.array("int8_t", f"{op.name}_shifts", op.shifts.tolist()),
            f"{ctext.CONST} ecg_dense_t {op.name} = {{",
            f"    .weights = {op.name}_weights, .bias = {op.name}_bias, .multipliers = {op.name}_multipliers, "
            f".shifts = {op.name}_shifts,",
            f"    .out = {out}, .in = {values}, .one_scale = {'true' if op.multipliers.size == 1 else 'false'},",
            f"    .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},",
            "};",
        ]
    )


def mean(op: Mean, blocks: int, block_columns: int) -> str:
    """Descriptor of the mean over time; without blocks, of a tensor that is kept."""
    length, channels = op.input.shape
    how = f", in {blocks} block{'s' if blocks > 1 else ''} of {block_columns} columns" if blocks else ""
    return "\n".join(
        [
            f"// {op.name}: {shape(op.input)} -> {shape(op.output)}{how}",
            f"{ctext.CONST} ecg_mean_t {op.name} = {{",
            f"    .channels = {channels}, .block_columns = {block_columns}, .blocks = {blocks},",
            f"    .offset = {-length * op.input_zero}, .multiplier = {op.multiplier}, .shift = {op.shift}, "
            f".zero = {op.output_zero},",
            "};",
        ]
    )


def pool(op: MaxPool1D | AveragePool1D) -> str:
    """Descriptor of a pool."""
    channels = op.input.shape[1]
    fields = f".channels = {channels}, .span = {op.pool}, .min = {op.act_min}, .max = {op.act_max}"
    if isinstance(op, AveragePool1D) and op.pad_before + op.pad_after:
        return (
            f"{ctext.CONST} ecg_edge_pool_t {op.name} = {{\n    .pool = {{{fields}}},\n"
            f"    .length = {op.input.shape[0]}, .stride = {op.stride}, .pad = {op.pad_before},\n}};"
        )
    return f"{ctext.CONST} ecg_pool_t {op.name} = {{{fields}}};"


def softmax(op: Softmax) -> str:
    """Descriptor of a softmax."""
    return (
        f"{ctext.CONST} ecg_softmax_t {op.name} = {{\n    .count = {op.input.shape[-1]}, "
        f".multiplier = {op.multiplier}, .shift = {op.shift}, .diff_min = {max(op.diff_min, -256)},\n}};"
    )


def binary(op: Add | Sub | Mul, count: int) -> str:
    """Descriptor of an elementwise sum, difference or product."""
    zeros = f".zero = {op.input_zero}, .other_zero = {op.other_zero}, .out_zero = {op.output_zero},"
    clamp = f".min = {op.act_min}, .max = {op.act_max},"
    if isinstance(op, Mul):
        return (
            f"{ctext.CONST} ecg_mul_t {op.name} = {{\n    .count = {count}, .multiplier = {op.multiplier}, "
            f".shift = {op.shift},\n    {zeros} {clamp}\n}};"
        )
    return "\n".join(
        [
            f"{ctext.CONST} ecg_add_t {op.name} = {{",
            f"    .count = {count}, .sign = {-1 if isinstance(op, Sub) else 1}, .left_shift = {op.left_shift},",
            f"    .multiplier = {op.input_multiplier}, .shift = {op.input_shift},",
            f"    .other_multiplier = {op.other_multiplier}, .other_shift = {op.other_shift},",
            f"    .out_multiplier = {op.output_multiplier}, .out_shift = {op.output_shift},",
            f"    {zeros} {clamp}",
            "};",
        ]
    )


def table(name: str, op: TableOp) -> str:
    """An elementwise op as what it answers to each of the 256 inputs, by the interpreter."""
    every, answers = replace(op.input, shape=(256, 1)), replace(op.output, shape=(256, 1))
    one = Graph(op.name, "", (every,), answers, (replace(op, input=every, output=answers),), ())
    values = interpret(one, np.arange(-128, 128, dtype=np.int8).reshape(1, 256, 1)).ravel()
    return ctext.array("int8_t", name, values.tolist(), comment=f"{type(op).__name__}, by input + 128")
