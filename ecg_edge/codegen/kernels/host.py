"""Numbers for ecg_ops_host.h: int16 weights, sixteen outputs side by side, fused as in dsp.py. Layer: codegen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .dsp import Fused, addends, corrections, fuse16, scaled
from .layer import Layer, plain_depthwise

WIDE_BYTES = 2
_BLOCK = 16
Ints = NDArray[np.int64]


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column."""
    fused = fuse16(op)
    weights, bias = scaled(op, fused)
    weights = np.pad(weights, ((0, -len(weights) % _BLOCK), (0, weights.shape[1] % 2)))
    depth = weights.shape[1]
    blocks = weights.reshape(-1, _BLOCK, depth // 2, 2).transpose(0, 2, 1, 3)
    table = ctext.array(
        "ECG_CACHE_LINE int16_t", f"{name}_weights", blocks.ravel().tolist(), comment="(out / 16, depth / 2, 16, 2)"
    )
    descriptor = (
        f"{ctext.CONST} ecg_matrix_t {name} = {{\n    .weights = {name}_weights, .depth = {depth},\n"
        f"{_scale(name, op, fused)}\n}};"
    )
    constants = "\n".join([table, _units(name, op, bias, fused), descriptor])
    return Layer(constants, "ecg_matrix_t", "ecg_matrix_s8", True)


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column; plain with a depth multiplier."""
    taps, out = op.weights.shape
    if out != op.input.shape[1]:
        return plain_depthwise(name, op)
    fused = fuse16(op)
    weights, bias = scaled(op, fused)
    padded = np.pad(weights.T, ((0, taps % 2), (0, -out % _BLOCK)))
    pairs = padded.reshape(-1, 2, padded.shape[1]).transpose(0, 2, 1)
    table = ctext.array(
        "ECG_CACHE_LINE int16_t", f"{name}_weights", pairs.ravel().tolist(), comment="(taps / 2, out in sixteens, 2)"
    )
    descriptor = (
        f"{ctext.CONST} ecg_lanes_t {name} = {{\n    .weights = {name}_weights, .taps = {taps}, "
        f".step = {op.dilation * out},\n{_scale(name, op, fused)}\n}};"
    )
    constants = "\n".join([table, _units(name, op, bias, fused), descriptor])
    return Layer(constants, "ecg_lanes_t", "ecg_lanes_s8", True)


def _scale(name: str, op: Conv1D | DepthwiseConv1D, fused: Fused | None) -> str:
    corrected = fused is not None and op.act_min < op.output_zero
    return (
        f"    .scale = {{.bias = {name}_bias, .multipliers = {name}_multipliers, .addends = {name}_addends, "
        f".corrections = {f'{name}_corrections' if corrected else 'NULL'},\n"
        f"        .out = {op.bias.size}, .fused = {'true' if fused else 'false'}, "
        f".shift = {fused.shift if fused else 0}, .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max}}},"
    )


def _units(name: str, op: Conv1D | DepthwiseConv1D, bias: Ints, fused: Fused | None) -> str:
    """What turns each sum into an output, in whole blocks."""
    arrays: dict[str, NDArray[Any]] = {"bias": bias, "multipliers": op.multipliers, "addends": op.shifts}
    if fused is not None:
        arrays["addends"] = addends(op, fused)
        if op.act_min < op.output_zero:
            arrays["corrections"] = corrections(fused)
    return "\n".join(
        ctext.array(
            "ECG_CACHE_LINE int32_t", f"{name}_{what}", [int(v) for v in np.pad(values, (0, -len(values) % _BLOCK))]
        )
        for what, values in arrays.items()
    )
