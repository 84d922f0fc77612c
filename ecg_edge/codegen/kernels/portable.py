"""Numbers for ecg_ops_portable.h: int8 weights, four outputs side by side. Layer: codegen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .layer import Layer, plain_depthwise, rows, units

WIDE_BYTES = 1


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column."""
    weights = rows(op)
    out, depth = weights.shape
    table = ctext.array(
        "int8_t", f"{name}_weights", in_fours(weights).tolist(), comment="(out / 4, depth, 4), (out % 4, depth)"
    )
    descriptor = (
        f"{ctext.CONST} ecg_matrix_t {name} = {{\n"
        f"    .weights = {name}_weights, .bias = {name}_bias, .multipliers = {name}_multipliers, "
        f".shifts = {name}_shifts,\n"
        f"    .out = {out}, .depth = {depth}, .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},\n}};"
    )
    return Layer("\n".join([table, units(name, op), descriptor]), "ecg_matrix_t", "ecg_matrix_s8", True)


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column."""
    return plain_depthwise(name, op)


def in_fours(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """(out, depth) -> flat: blocks of four outputs side by side, then the rest row by row."""
    whole = len(weights) // 4 * 4
    blocks = weights[:whole].reshape(-1, 4, weights.shape[1]).transpose(0, 2, 1)
    return np.concatenate([blocks.ravel(), weights[whole:].ravel()])
