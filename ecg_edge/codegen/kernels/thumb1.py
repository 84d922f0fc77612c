"""Numbers for ecg_ops_thumb1.h: bytes of weights, 128 too large, and requantization as a staircase. Layer: codegen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...graph.ir import Conv1D, DepthwiseConv1D
from .. import ctext
from ..target import Opt
from .layer import Layer, folded_bias, plain_depthwise, rows, units
from .stairs import Flight, Stairs, find_stairs

WIDE_BYTES = 1


def matrix(name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
    """A convolution's column."""
    stairs = find_stairs(op)
    if stairs is None:
        return _any(name, op)
    weights, bias = rows(op), folded_bias(op)
    packed = bytearray()
    for first in range(0, len(weights), 4):
        four = weights[first : first + 4] + 128
        packed += _bytes(four.T if len(four) == 4 else four)
        for unit in range(first, first + len(four)):
            packed += _flight(stairs, stairs.flights[unit], int(bias[unit]))
    return _layer("ecg_matrix", name, op, stairs, packed, f".depth = {weights.shape[1]},")


def depthwise(name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
    """A depthwise convolution's column: for speed a word for each weight."""
    taps, out = op.weights.shape
    stairs = find_stairs(op) if opt == "speed" and out == op.input.shape[1] else None
    if stairs is None:
        return plain_depthwise(name, op)
    packed = bytearray()
    for bias, weights, flight in zip(folded_bias(op), rows(op), stairs.flights, strict=True):
        packed += weights.astype("<i4").tobytes() + _flight(stairs, flight, int(bias))
    return _layer("ecg_depthwise1", name, op, stairs, packed, f".taps = {taps}, .step = {op.dilation * out},")


def _layer(
    kind: str, name: str, op: Conv1D | DepthwiseConv1D, stairs: Stairs, packed: bytes | bytearray, fields: str
) -> Layer:
    descriptor = (
        f"{ctext.CONST} {kind}_t {name} = {{\n    .packed = {name}_packed, .out = {op.bias.size}, {fields}\n"
        f"    .stairs = {{.coarse = {stairs.coarse}, .fine = {stairs.fine}, .scale = {stairs.scale}, "
        f".min = {op.act_min}}},\n}};"
    )
    words = np.frombuffer(bytes(packed), "<i4").tolist()
    constants = f"{ctext.array('int32_t', f'{name}_packed', words)}\n{descriptor}"
    return Layer(constants, f"{kind}_t", f"{kind}_s8", True, ("ECG_BENT" if stairs.bent else "ECG_STRAIGHT",))


def _any(name: str, op: Conv1D) -> Layer:
    """For numbers without stairs."""
    weights = rows(op)
    out, depth = weights.shape
    table = ctext.array("int8_t", f"{name}_weights", weights.ravel().tolist(), comment="(out, depth)")
    descriptor = (
        f"{ctext.CONST} ecg_any_t {name} = {{\n"
        f"    .weights = {name}_weights, .bias = {name}_bias, .multipliers = {name}_multipliers, "
        f".shifts = {name}_shifts,\n"
        f"    .out = {out}, .depth = {depth}, .zero = {op.output_zero}, .min = {op.act_min}, .max = {op.act_max},\n}};"
    )
    return Layer("\n".join([table, units(name, op), descriptor]), "ecg_any_t", "ecg_matrix_any_s8", wide_out=True)


def _flight(stairs: Stairs, flight: Flight, bias: int) -> bytes:
    """The numbers of one output."""
    begin, factors = bias - flight.base, flight.high << 16 | flight.low
    words = [begin, flight.top, factors, flight.addend]
    if stairs.bent:
        words = [begin, -flight.base, flight.addend, flight.bend, flight.top, factors]
    return np.array(words, np.int64).astype("<u4").tobytes()


def _bytes(weights: NDArray[np.int64]) -> bytes:
    """Row by row, and zeros up to a whole word."""
    flat = weights.ravel().astype(np.uint8)
    return np.pad(flat, (0, -flat.size % 4)).tobytes()
