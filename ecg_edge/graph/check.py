"""The executable definition of a legal graph; everything later trusts it. Layer: graph.

A graph is legal when
1. it has ops, each reads tensors computed before it, and each input and result is read later or is the graph's output;
2. the first input is (length, leads), and the output has lost its time: (classes,) or (1, classes);
3. every activation and constant is int8 (or, for a float graph, float32), weights and biases fit their ops, shapes
   follow from them;
4. zero points and bounds are int8 with act_min <= act_max, multipliers are 0 .. 2**31 - 1, shifts -31 .. 30;
5. no accumulator can leave int32, whatever the input: not with the input's zero point taken from each value nor from
   the bias beforehand, not after the left shift of its requantization, and not with the output's zero point added;
6. a Dense has one scale for all its weights: older TFLM copies (Arduino's among them) ignore the others, silently.

What the reader has checked already (operators, batch 1, fixed shapes, scales, quantization of softmax) is not repeated.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from ..errors import GraphError
from . import ir

_INT32_MAX = (1 << 31) - 1
_SHIFT_MIN, _SHIFT_MAX = -31, 30
_WEIGHTED = ir.Conv1D | ir.DepthwiseConv1D | ir.Dense
_DENSE_ADVICE = "set converter._experimental_disable_per_channel_quantization_for_dense_layers = True"


def check(graph: ir.Graph, *, int8: bool, dense_per_channel: bool = False) -> None:
    """Judge a graph.

    Args:
        graph: as read.
        int8: whether it must be an int8 graph or a float one.
        dense_per_channel: allow several weight scales in a Dense; recent TFLM copies run them.

    Raises:
        GraphError: the first rule broken, with the op or the tensor that breaks it.
    """
    _check_wiring(graph)
    dtype: ir.DType = "int8" if int8 else "float32"
    for tensor in (*graph.inputs, *(op.output for op in graph.ops)):
        if tensor.dtype != dtype:
            advice = "quantize the model to full int8 first" if int8 else "the float model is wanted here"
            raise GraphError(f"{graph.name}: tensor {tensor.name!r} is {tensor.dtype}; {advice}")
    for op in graph.ops:
        judge = _Judge(graph.name, op)
        judge.shapes()
        if int8:
            judge.integers()
            if isinstance(op, ir.Dense) and op.multipliers.size > 1 and not dense_per_channel:
                judge.fail(f"has {op.multipliers.size} weight scales; supported: 1; {_DENSE_ADVICE}")


def _check_wiring(graph: ir.Graph) -> None:
    if not graph.ops:
        raise GraphError(f"{graph.name}: no op computes anything")
    if len(graph.input.shape) != 2:
        raise GraphError(f"{graph.name}: input has shape {graph.input.shape}; expected (length, leads)")
    if len(graph.output.shape) != 1 and graph.output.shape[0] != 1:
        raise GraphError(f"{graph.name}: output has shape {graph.output.shape}; expected (classes,): no op ends time")
    known = {tensor.name: tensor for tensor in graph.inputs}
    unread = set(known)
    if len(known) != len(graph.inputs):
        raise GraphError(f"{graph.name}: two of its inputs have one name")
    for op in graph.ops:
        if not ir.inputs_of(op):
            raise GraphError(f"{graph.name}: {op.name} reads no tensor")
        for source in ir.inputs_of(op):
            if known.get(source.name) != source:
                raise GraphError(f"{graph.name}: {op.name} reads tensor {source.name!r}, which nothing before it gives")
            unread.discard(source.name)
        if op.output.name in known:
            raise GraphError(f"{graph.name}: {op.name} writes tensor {op.output.name!r} a second time")
        known[op.output.name] = op.output
        unread.add(op.output.name)
    if unread - {graph.output.name}:
        raise GraphError(f"{graph.name}: tensor {min(unread - {graph.output.name})!r} is read by no op")
    if known.get(graph.output.name) != graph.output:
        raise GraphError(f"{graph.name}: no op gives the output {graph.output.name!r}")


class _Judge:
    """One op before the rules."""

    def __init__(self, graph_name: str, op: ir.Op) -> None:
        self._where, self._op = f"{graph_name}: {type(op).__name__} {op.name}", op

    def fail(self, message: str) -> NoReturn:
        raise GraphError(f"{self._where} {message}")

    def shapes(self) -> None:
        """Rule 3: the output's shape follows from the input's and the parameters."""
        op = self._op
        out = op.output.shape
        if isinstance(op, ir.Add | ir.Sub | ir.Mul):
            self._operands(op)
            return
        if isinstance(op, ir.Concat):
            self._parts(op)
            return
        source = op.input.shape
        if isinstance(op, ir.Conv1D | ir.DepthwiseConv1D | ir.MaxPool1D | ir.AveragePool1D):
            self._sliding(op)
        elif isinstance(op, ir.Dense):
            if op.weights.shape != (*out, int(np.prod(source))) or op.bias.shape != out:
                self.fail(f"has weights {op.weights.shape} and bias {op.bias.shape} for {source} -> {out}")
        elif isinstance(op, ir.Mean):
            if out != source[1:] or len(source) != 2:
                self.fail(f"gives {out} from {source}; expected the channels")
        elif isinstance(op, ir.Pad):
            if min(op.before, op.after) < 0 or len(source) != 2 or out != (op.before + source[0] + op.after, source[1]):
                self.fail(f"gives {out} from {source} with {op.before} columns before and {op.after} after")
        elif isinstance(op, ir.Reshape):
            if np.prod(out) != np.prod(source):
                self.fail(f"gives {out} from {source}: another number of values")
        elif out != source:
            self.fail(f"gives {out} from {source}; expected one shape")

    def _operands(self, op: ir.Binary) -> None:
        """One shape, or (channels,) on one side."""
        sides, out = (op.input.shape, op.other.shape), op.output.shape
        if out not in sides or any(shape not in (out, out[-1:]) for shape in sides):
            self.fail(f"gives {out} from {sides[0]} and {sides[1]}; expected one shape, or the channels of the other")
        for operand in (op.input, op.other):
            if isinstance(operand, ir.Constant) and operand.values.dtype != op.output.dtype:
                self.fail(f"reads {operand.name!r}, {operand.values.dtype} numbers; expected {op.output.dtype}")

    def _parts(self, op: ir.Concat) -> None:
        """One length, and the sum of the channels."""
        shapes = [part.shape for part in op.inputs]
        out = op.output.shape
        if any(shape[:-1] != out[:-1] for shape in shapes) or sum(shape[-1] for shape in shapes) != out[-1]:
            self.fail(f"gives {out} from {', '.join(map(str, shapes))}; expected one length, and all channels")
        if any(part.quant != op.output.quant for part in op.inputs):
            self.fail("joins tensors of several quantizations; expected the output's")

    def _sliding(self, op: ir.Conv1D | ir.DepthwiseConv1D | ir.MaxPool1D | ir.AveragePool1D) -> None:
        source, out = op.input.shape, op.output.shape
        taps, dilation, channels = 0, 1, source[-1]
        if isinstance(op, ir.MaxPool1D | ir.AveragePool1D):
            taps = op.pool
        else:
            channels, taps = op.bias.size, op.weights.shape[0 if isinstance(op, ir.DepthwiseConv1D) else 1]
            dilation = op.dilation
            depthwise = isinstance(op, ir.DepthwiseConv1D)
            wanted = (taps, channels) if depthwise else (channels, taps, source[-1])
            if op.weights.shape != wanted or op.bias.shape != (channels,) or (depthwise and channels % source[-1]):
                self.fail(f"has weights {op.weights.shape} and bias {op.bias.shape} for {source} -> {out}")
        if min(taps, dilation, op.stride) < 1 or min(op.pad_before, op.pad_after) < 0:
            self.fail(
                f"has {taps} taps, dilation {dilation}, stride {op.stride}, padding {op.pad_before}, {op.pad_after}"
            )
        spare = source[0] + op.pad_before + op.pad_after - (taps - 1) * dilation - 1
        if len(source) != 2 or spare < 0 or out != (spare // op.stride + 1, channels):
            self.fail(f"gives {out} from {source}; its {taps} taps and stride {op.stride} give something else")
        if max(op.pad_before, op.pad_after) > (0 if op.padding == "VALID" else (taps - 1) * dilation):
            self.fail(f"pads {op.pad_before} and {op.pad_after} columns with {op.padding} padding and {taps} taps")

    def integers(self) -> None:
        """Rules 4 and 5."""
        op: Any = self._op
        for field in ("input_zero", "other_zero", "output_zero", "act_min", "act_max", "value"):
            if not -128 <= getattr(op, field, 0) <= 127:
                self.fail(f"has {field} {getattr(op, field)}; limits: -128..127")
        if getattr(op, "act_min", 0) > getattr(op, "act_max", 0):
            self.fail(f"clamps to {op.act_min}..{op.act_max}: nothing is left")
        if isinstance(op, _WEIGHTED):
            self._weights(op)
        elif isinstance(op, ir.Mean):
            self._scaling("", op.multiplier, op.shift, op.input.shape[0] * _farthest(op.input_zero))
        elif isinstance(op, ir.Relu | ir.Requantize):
            self._scaling("", op.multiplier, op.shift, _farthest(op.input_zero))
        elif isinstance(op, ir.Mul):
            self._scaling("", op.multiplier, op.shift, _farthest(op.input_zero) * _farthest(op.other_zero))
        elif isinstance(op, ir.Add | ir.Sub):
            self._sum(op)
        elif isinstance(op, ir.Softmax):
            self._scaling("", op.multiplier, min(op.shift, _SHIFT_MAX), 0)
            if op.diff_min << op.shift < -_INT32_MAX:
                self.fail(f"has diff_min {op.diff_min} and shift {op.shift}: past int32")
        elif isinstance(op, ir.Logistic | ir.Tanh):
            self._scaling("", op.multiplier, op.shift, min(op.radius, 255))

    def _sum(self, op: ir.Add | ir.Sub) -> None:
        if not 0 <= op.left_shift <= _SHIFT_MAX:
            self.fail(f"has left_shift {op.left_shift}; limits: 0..{_SHIFT_MAX}")
        reach = self._scaling(
            "input_", op.input_multiplier, op.input_shift, _farthest(op.input_zero) << op.left_shift
        ) + self._scaling("other_", op.other_multiplier, op.other_shift, _farthest(op.other_zero) << op.left_shift)
        self._scaling("output_", op.output_multiplier, op.output_shift, reach)

    def _weights(self, op: _WEIGHTED) -> None:
        channels = op.bias.size
        if op.weights.dtype != np.int8 or op.bias.dtype != np.int32:
            self.fail(f"has {op.weights.dtype} weights and an {op.bias.dtype} bias; expected int8 and int32")
        allowed = (1, channels) if isinstance(op, ir.Dense) else (channels,)
        if op.multipliers.size not in allowed or op.shifts.shape != op.multipliers.shape:
            self.fail(f"has {op.multipliers.size} multipliers for {channels} channels")
        weights = (op.weights.T if isinstance(op, ir.DepthwiseConv1D) else op.weights).reshape(channels, -1)
        # The sum of magnitudes without an array of wide ones: positive weights less negative ones.
        size = np.maximum(weights, 0).sum(axis=1, dtype=np.int64) - np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
        bias = op.bias.astype(np.int64)
        folded = np.abs(bias - op.input_zero * weights.sum(axis=1, dtype=np.int64)) + 128 * size
        reach = np.maximum(size * _farthest(op.input_zero) + np.abs(bias), folded)
        units, shifts = (np.broadcast_to(x.astype(np.int64), channels) for x in (op.multipliers, op.shifts))
        # The rule in one pass over all channels, a little too strict; whom it suspects is judged alone.
        room = _INT32_MAX >> np.clip(shifts, 0, _SHIFT_MAX)
        suspects = (units < 0) | (shifts < _SHIFT_MIN) | (shifts > _SHIFT_MAX) | (reach > room - (room >> 8))
        for channel in np.flatnonzero(suspects):
            self._scaling(f"channel {channel} ", int(units[channel]), int(shifts[channel]), int(reach[channel]))

    def _scaling(self, what: str, multiplier: int, shift: int, reach: int) -> int:
        """One requantization of accumulators of at most `reach` in magnitude; returns the most that it gives."""
        if not 0 <= multiplier <= _INT32_MAX:
            self.fail(f"has {what}multiplier {multiplier}; limits: 0..{_INT32_MAX}")
        if not _SHIFT_MIN <= shift <= _SHIFT_MAX:
            self.fail(f"has {what}shift {shift}; limits: {_SHIFT_MIN}..{_SHIFT_MAX}")
        if reach << max(shift, 0) > _INT32_MAX:
            self.fail(f"{what}accumulates up to {reach}, shifted left by {max(shift, 0)}: past int32")
        most = (((reach << max(shift, 0)) * multiplier >> 31) + 1 >> max(-shift, 0)) + 1
        if most + 128 > _INT32_MAX:
            self.fail(f"{what}gives up to {most}, and its zero point brings that past int32")
        return most


def _farthest(zero: int) -> int:
    """The farthest that an int8 lies from a zero point."""
    return max(127 - zero, zero + 128)
