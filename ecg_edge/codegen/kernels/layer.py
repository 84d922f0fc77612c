"""What a kernel set makes of a convolution: constants in C, and the function that takes them. Layer: codegen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import GraphError
from ...graph.ir import Conv1D, Dense, DepthwiseConv1D
from .. import ctext

INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, ready to be called: `function(&name, in, out)`, or with a last argument whether out is wide."""

    constants: str  # C: tables, and the descriptor `name`
    kind: str  # the descriptor's type
    function: str
    wide_out: bool  # it can write ecg_wide_t, and is told whether to
    how: tuple[str, ...] = ()  # macros that its kernel takes as a constant


def folded_bias(op: Conv1D | DepthwiseConv1D | Dense) -> NDArray[np.int64]:
    """(out,): the bias with the input's zero point in it.

    bias + sum(w * (x - zero)) = (bias - zero * sum(w)) + sum(w * x), exactly.

    Raises:
        GraphError: an accumulator, with the sum taken in any order, could leave int32.
    """
    sums = rows(op).sum(axis=1)
    bias = op.bias.astype(np.int64) - op.input_zero * sums
    left = np.maximum(op.shifts.astype(np.int64), 0)
    if (worst := int((reach(op, bias) << left).max())) > INT32_MAX:
        raise GraphError(f"{type(op).__name__} {op.name}: an accumulator can reach {worst}, beyond int32")
    return np.asarray(bias, np.int64)


def reach(op: Conv1D | DepthwiseConv1D | Dense, bias: NDArray[np.int64]) -> NDArray[np.int64]:
    """(out,): the largest magnitude of a sum, whatever the input."""
    return np.asarray(np.abs(bias) + 128 * np.abs(rows(op)).sum(axis=1), np.int64)


def rows(op: Conv1D | DepthwiseConv1D | Dense) -> NDArray[np.int64]:
    """(out, values of the input): the weights of each output, in the order of a column's reach."""
    weights = op.weights.astype(np.int64)
    return weights.T if isinstance(op, DepthwiseConv1D) else weights.reshape(len(weights), -1)


def units(name: str, op: Conv1D | DepthwiseConv1D) -> str:
    """Bias, multiplier and shift of each output, as tables."""
    note = f"input zero point {op.input_zero} folded in" if op.input_zero else ""
    return "\n".join(
        [
            ctext.array("int32_t", f"{name}_bias", folded_bias(op).tolist(), comment=note),
            ctext.array("int32_t", f"{name}_multipliers", op.multipliers.tolist()),
            ctext.array("int8_t", f"{name}_shifts", op.shifts.tolist()),
        ]
    )


def plain_depthwise(name: str, op: DepthwiseConv1D) -> Layer:
    """For any core and any channels: ecg_ops.c."""
    taps, out = op.weights.shape
    channels = op.input.shape[1]
    table = ctext.array(
        "int8_t", f"{name}_weights", op.weights.ravel().tolist(), size=f"{taps} * {out}", comment="(taps, out)"
    )
    descriptor = (
        f"{ctext.CONST} ecg_depthwise_t {name} = {{\n"
        f"    .weights = {name}_weights, .bias = {name}_bias, .multipliers = {name}_multipliers, "
        f".shifts = {name}_shifts,\n"
        f"    .out = {out}, .taps = {taps}, .step = {op.dilation * channels}, .multiplier = {out // channels},\n"
        f"    .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},\n}};"
    )
    return Layer("\n".join([table, units(name, op), descriptor]), "ecg_depthwise_t", "ecg_depthwise_s8", False)
