"""Ops -> const C data: weights, biases, descriptors. Layer: codegen; imports errors, graph.

The input's zero point is folded into the bias, exactly:
bias + sum(w * (x - zero)) = (bias - zero * sum(w)) + sum(w * x).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from ..graph.interpret import run as interpret
from ..graph.ir import AveragePool1D, Conv1D, Dense, DepthwiseConv1D, Graph, MaxPool1D, Softmax, Tensor
from ..graph.plan import LineStep, MeanGather, TableOp
from . import ctext

INT32_MAX = (1 << 31) - 1


def line_constants(name: str, step: LineStep) -> str:
    """Data and descriptor of a layer over time."""
    op = step.op
    steps = f".steps = {{.span = {step.span}, .stride = {step.stride}}},"
    title = f"// {name}: {describe(step)}"
    if isinstance(op, Conv1D):
        body = [_matrix_data(name, op, "(out, taps, in)"), _conv_descriptor(name, op, steps)]
    elif isinstance(op, DepthwiseConv1D):
        body = [_depthwise_data(name, op), _depthwise_descriptor(name, op, steps)]
    else:
        body = [_pool_descriptor(name, op, steps)]
    tables = [table_constant(f"{name}_{suffix}", table) for suffix, table in table_names(step)]
    return "\n".join([title, *body, *tables])


def table_names(step: LineStep) -> list[tuple[str, TableOp]]:
    """The elementwise ops after a layer, each with the end of its table's name."""
    return [(f"{type(op).__name__.lower()}{index or ''}", op) for index, op in enumerate(step.tables)]


def describe(step: LineStep) -> str:
    """One line about a layer: shapes, taps, stride, padding, activation."""
    op = step.op
    parts = [f"{shape(op.input)} -> {shape(op.output)}"]
    if isinstance(op, MaxPool1D | AveragePool1D):
        parts.append(f"over {op.pool}")
    else:
        taps = op.weights.shape[1] if isinstance(op, Conv1D) else op.weights.shape[0]
        parts.append(f"{taps} tap{'s' if taps > 1 else ''}" + (f" {op.dilation} apart" if op.dilation > 1 else ""))
    parts.append(f"stride {op.stride}")
    if op.pad_before or op.pad_after:
        parts.append(f"SAME: {op.pad_before} before, {op.pad_after} after")
    if op.activation != "NONE":
        parts.append(op.activation)
    return ", ".join(parts)


def shape(tensor: Tensor) -> str:
    """(1024, 1)."""
    return f"({', '.join(map(str, tensor.shape))})"


def head_constants(name: str, op: Dense | Softmax) -> str:
    """Data and descriptor of a layer over vectors."""
    return _dense_constants(name, op) if isinstance(op, Dense) else _softmax_constants(name, op)


def _dense_constants(name: str, op: Dense) -> str:
    """Data and descriptor of a dense layer: a matrix of one run."""
    head = f"// {name}: {op.weights.shape[1]} -> {op.weights.shape[0]}" + (
        "" if op.activation == "NONE" else f", {op.activation}"
    )
    fields = _matrix_fields(name, op, runs=1, run=op.weights.shape[1], step=0)
    return "\n".join(
        [head, _matrix_data(name, op, "(out, in)"), f"static const ecg_matrix_t {name} = {{\n{fields}\n}};"]
    )


def mean_constants(gather: MeanGather) -> str:
    """Descriptor of the mean over time."""
    op = gather.op
    length, channels = op.input.shape
    return "\n".join(
        [
            f"// mean: {shape(op.input)} -> {shape(op.output)}, in {gather.blocks} "
            f"block{'s' if gather.blocks > 1 else ''} of {gather.block_columns} columns",
            "static const ecg_mean_t mean = {",
            f"    .channels = {channels}, .block_columns = {gather.block_columns}, .blocks = {gather.blocks},",
            f"    .offset = {-length * op.input_zero}, .multiplier = {op.multiplier}, .shift = {op.shift}, "
            f".zero = {op.output_zero},",
            "};",
        ]
    )


def _softmax_constants(name: str, op: Softmax) -> str:
    """Descriptor of a softmax."""
    return (
        f"static const ecg_softmax_t {name} = {{\n    .count = {op.input.shape[-1]}, .multiplier = {op.multiplier}, "
        f".shift = {op.shift}, .diff_min = {max(op.diff_min, -256)},\n}};"
    )


def table_constant(name: str, op: TableOp) -> str:
    """An elementwise op as what it answers to each of the 256 inputs, by the interpreter."""
    every, answers = replace(op.input, shape=(256, 1)), replace(op.output, shape=(256, 1))
    one = Graph(op.name, "", (every,), answers, (replace(op, input=every, output=answers),), ())
    values = interpret(one, np.arange(-128, 128, dtype=np.int8).reshape(1, 256, 1)).ravel()
    return ctext.array("int8_t", f"{name}_table", values.tolist(), comment=f"{type(op).__name__}, by input + 128")


def folded_bias(op: Conv1D | DepthwiseConv1D | Dense) -> NDArray[np.int64]:
    """(out,): the bias with the input's zero point in it.

    Raises:
        GraphError: an accumulator, with the sum taken in any order, could leave int32.
    """
    axes = (0,) if isinstance(op, DepthwiseConv1D) else tuple(range(1, op.weights.ndim))
    weights = op.weights.astype(np.int64)
    bias = op.bias.astype(np.int64) - op.input_zero * weights.sum(axis=axes)
    reach = np.abs(bias) + 128 * np.abs(weights).sum(axis=axes)
    left = np.maximum(op.shifts.astype(np.int64), 0)
    if (worst := int((reach << left).max())) > INT32_MAX:
        raise GraphError(f"{type(op).__name__} {op.name}: an accumulator can reach {worst}, beyond int32")
    return np.asarray(bias, np.int64)


def _matrix_data(name: str, op: Conv1D | Dense, layout: str) -> str:
    count = op.weights.shape[0]
    size = " * ".join(map(str, op.weights.shape))
    return "\n".join(
        [
            ctext.array("int8_t", f"{name}_weights", op.weights.ravel().tolist(), size=size, comment=layout),
            *_unit_data(name, op, count),
        ]
    )


def _depthwise_data(name: str, op: DepthwiseConv1D) -> str:
    taps, channels = op.weights.shape
    weights = ctext.array(
        "int8_t",
        f"{name}_weights",
        op.weights.ravel().tolist(),
        size=f"{taps} * {channels}",
        comment="(taps, channels)",
    )
    return "\n".join([weights, *_unit_data(name, op, channels)])


def _unit_data(name: str, op: Conv1D | DepthwiseConv1D | Dense, count: int) -> list[str]:
    """Bias, multiplier and shift of each output; one scale for all is written out, so that one kernel serves."""
    multipliers, shifts = (np.broadcast_to(values, (count,)).tolist() for values in (op.multipliers, op.shifts))
    note = f"input zero point {op.input_zero} folded in" if op.input_zero else ""
    return [
        ctext.array("int32_t", f"{name}_bias", folded_bias(op).tolist(), comment=note),
        ctext.array("int32_t", f"{name}_multipliers", multipliers),
        ctext.array("int8_t", f"{name}_shifts", shifts),
    ]


def _conv_descriptor(name: str, op: Conv1D, steps: str) -> str:
    _, taps, channels = op.weights.shape
    if op.dilation == 1:
        fields = _matrix_fields(name, op, runs=1, run=taps * channels, step=0, indent=8)
    else:
        fields = _matrix_fields(name, op, runs=taps, run=channels, step=op.dilation * channels, indent=8)
    return f"static const ecg_conv_t {name} = {{\n    {steps}\n    .matrix = {{\n{fields}\n    }},\n}};"


def _matrix_fields(name: str, op: Conv1D | Dense, *, runs: int, run: int, step: int, indent: int = 4) -> str:
    pad = " " * indent
    return (
        f"{pad}.weights = {name}_weights, .bias = {name}_bias, "
        f".multipliers = {name}_multipliers, .shifts = {name}_shifts,\n"
        f"{pad}.out = {op.weights.shape[0]}, .runs = {runs}, .run = {run}, .step = {step},\n"
        f"{pad}.zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},"
    )


def _depthwise_descriptor(name: str, op: DepthwiseConv1D, steps: str) -> str:
    taps, channels = op.weights.shape
    return "\n".join(
        [
            f"static const ecg_depthwise_t {name} = {{",
            f"    {steps}",
            f"    .weights = {name}_weights, .bias = {name}_bias, "
            f".multipliers = {name}_multipliers, .shifts = {name}_shifts,",
            f"    .channels = {channels}, .taps = {taps}, .dilation = {op.dilation},",
            f"    .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},",
            "};",
        ]
    )


def _pool_descriptor(name: str, op: MaxPool1D | AveragePool1D, steps: str) -> str:
    return "\n".join(
        [
            f"static const ecg_pool_t {name} = {{",
            f"    {steps}",
            f"    .channels = {op.input.shape[1]}, .min = {op.act_min}, .max = {op.act_max},",
            "};",
        ]
    )
