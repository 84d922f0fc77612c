"""The graph: what a model computes, over time and channels, with every integer parameter resolved. Layer: graph.

Batch (always 1) and the unit height of 2-D layouts are gone: a tensor is `(length, channels)` over time, or
`(features,)` once time is gone. Memory is row-major, one column (all channels of one time step) after another, so that
a mere relabelling of the shape (RESHAPE, EXPAND_DIMS, SQUEEZE) needs no op: the reader drops it.

In an int8 graph every op holds its requantization: one accumulator unit is worth multiplier * 2**(shift - 31) output
units, rounded by `quant.requantize`. In a float graph `multipliers` and `shifts` are empty, every other integer
parameter is 0, and only `activation` counts. The classes hold data and compute nothing: `tflite.read_graph` builds
them, `check.check` judges them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

DType = Literal["int8", "int32", "float32"]
Padding = Literal["VALID", "SAME", "EXPLICIT"]  # EXPLICIT: a PAD op, folded into the convolution after it
Activation = Literal["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]
Weights = NDArray[Any]  # int8 weights and int32 biases in an int8 graph; float32 in a float graph; read-only
Int32s = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Quant:
    """real = scale * (q - zero_point), one scale for the tensor, or one for each index of `axis`."""

    scale: tuple[float, ...]  # each one a float32, widened exactly
    zero_point: int
    axis: int | None  # None: one scale. Else the axis of the array in this IR that the scales run along.


@dataclass(frozen=True, slots=True)
class Tensor:
    """One activation. Two ops are connected when they hold a Tensor of the same name; names are unique in a graph."""

    name: str
    shape: tuple[int, ...]  # (length, channels) or (features,)
    dtype: DType
    quant: Quant | None  # None in a float graph


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Numbers of the file that an elementwise op reads beside an activation."""

    name: str
    values: Weights  # (length, channels) or (channels,); int8 or float32; read-only
    quant: Quant | None  # None in a float graph

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return tuple(self.values.shape)


Operand = Tensor | Constant


@dataclass(frozen=True, slots=True, eq=False)
class Conv1D:
    """out[t, o] = clamp(output_zero + requantize(bias[o] + sum over k and i of

        weights[o, k, i] * (in[t * stride + k * dilation - pad_before, i] - input_zero))).

    Columns outside the input count as input_zero, so they add nothing. `pad_before`/`pad_after` are 0 for VALID.
    """

    name: str
    input: Tensor  # (length, in)
    output: Tensor  # (out_length, out)
    weights: Weights  # (out, k, in)
    bias: Weights  # (out,)
    stride: int
    dilation: int
    padding: Padding
    pad_before: int
    pad_after: int
    activation: Activation
    weight_quant: Quant | None
    multipliers: Int32s  # (out,)
    shifts: Int32s  # (out,)
    input_zero: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class DepthwiseConv1D:
    """Conv1D in which output channel c sees input channel c // m alone; m = out / in is the depth multiplier."""

    name: str
    input: Tensor  # (length, in)
    output: Tensor  # (out_length, out)
    weights: Weights  # (k, out)
    bias: Weights  # (out,)
    stride: int
    dilation: int
    padding: Padding
    pad_before: int
    pad_after: int
    activation: Activation
    weight_quant: Quant | None
    multipliers: Int32s  # (ch,)
    shifts: Int32s  # (ch,)
    input_zero: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool1D:
    """out[t, c] = clamp(max of in[t * stride - pad_before + 0..pool-1, c]) over the columns that exist."""

    name: str
    input: Tensor
    output: Tensor
    pool: int
    stride: int
    padding: Padding
    pad_before: int
    pad_after: int
    activation: Activation
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class AveragePool1D:
    """out[t, c] = clamp(mean over the columns that exist, rounded half away from zero)."""

    name: str
    input: Tensor
    output: Tensor
    pool: int
    stride: int
    padding: Padding
    pad_before: int
    pad_after: int
    activation: Activation
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """Mean over all time: out[c] = clamp_int8(output_zero + requantize(sum_t in[t, c] - length * input_zero)).

    The multiplier and the shift hold the 1 / length already.
    """

    name: str
    input: Tensor  # (length, ch)
    output: Tensor  # (ch,)
    multiplier: int
    shift: int
    input_zero: int
    output_zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """out[o] = clamp(output_zero + requantize(bias[o] + sum over i of weights[o, i] * (in.flat[i] - input_zero))).

    An input of shape (length, channels) is taken flat, in memory order: column after column.
    """

    name: str
    input: Tensor  # (in,) or (length, channels) with length * channels = in
    output: Tensor  # (out,)
    weights: Weights  # (out, in)
    bias: Weights  # (out,)
    activation: Activation
    weight_quant: Quant | None
    multipliers: Int32s  # (1,) with one scale for the weights; (out,) with one per output
    shifts: Int32s  # same shape
    input_zero: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Softmax over the last axis. The output's scale is 1/256 and its zero point -128, always.

    d = in - max(in) counts when d >= diff_min; exp() sees d * multiplier * 2**shift as a Q5.26 number.
    """

    name: str
    input: Tensor
    output: Tensor
    beta: float
    multiplier: int
    shift: int
    diff_min: int


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Sigmoid, element by element. The output's scale is 1/256 and its zero point -128, always.

    d = in - input_zero gives -128 at d <= -radius and 127 at d >= radius; between, it is requantized to Q4.27 first.
    """

    name: str
    input: Tensor
    output: Tensor
    multiplier: int
    shift: int
    radius: int
    input_zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Tanh:
    """Hyperbolic tangent, element by element. The output's scale is 1/128 and its zero point 0, always.

    d = in - input_zero gives -128 at d <= -radius and 127 at d >= radius; between, it is requantized to Q4.27 first.
    """

    name: str
    input: Tensor
    output: Tensor
    multiplier: int
    shift: int
    radius: int
    input_zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Relu:
    """A clamp that stands alone; fused ones live in the op before.

    out = clamp(output_zero + requantize(in - input_zero)).
    """

    name: str
    input: Tensor
    output: Tensor
    activation: Activation
    multiplier: int
    shift: int
    input_zero: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Requantize:
    """QUANTIZE of int8 to int8: another scale and zero point for the same numbers, saturated at int8."""

    name: str
    input: Tensor
    output: Tensor
    multiplier: int
    shift: int
    input_zero: int
    output_zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Add:
    """Sum of two operands (a residual connection).

    Operands have one shape, or one of them is (channels,) and counts for every column of the other; one at least is a
    Tensor.

    a = requantize((input - input_zero) << left_shift, input_multiplier, input_shift), b the same of `other`;
    out = clamp(output_zero + requantize(a + b, output_multiplier, output_shift)).
    """

    name: str
    input: Operand
    other: Operand
    output: Tensor
    activation: Activation
    left_shift: int
    input_multiplier: int
    input_shift: int
    input_zero: int
    other_multiplier: int
    other_shift: int
    other_zero: int
    output_multiplier: int
    output_shift: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Sub:
    """Add with a - b in place of a + b."""

    name: str
    input: Operand
    other: Operand
    output: Tensor
    activation: Activation
    left_shift: int
    input_multiplier: int
    input_shift: int
    input_zero: int
    other_multiplier: int
    other_shift: int
    other_zero: int
    output_multiplier: int
    output_shift: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Mul:
    """Product of two operands, shaped as those of Add (a squeeze-excite's gate is one of (channels,)).

    out = clamp(output_zero + requantize((input - input_zero) * (other - other_zero), multiplier, shift)).
    """

    name: str
    input: Operand
    other: Operand
    output: Tensor
    activation: Activation
    multiplier: int
    shift: int
    input_zero: int
    other_zero: int
    output_zero: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    """Channels of several tensors of one length side by side, or vectors end to end. All have one quantization."""

    name: str
    inputs: tuple[Tensor, ...]  # each (length, channels), or each (features,)
    output: Tensor

    @property
    def input(self) -> Tensor:
        """The first one."""
        return self.inputs[0]


@dataclass(frozen=True, slots=True, eq=False)
class Pad:
    """Columns of the zero point before and after; where a convolution alone reads them, they are its own padding."""

    name: str
    input: Tensor  # (length, channels)
    output: Tensor  # (before + length + after, channels)
    before: int
    after: int
    value: int  # the input's zero point


@dataclass(frozen=True, slots=True, eq=False)
class Reshape:
    """The same numbers in the same order under another (length, channels): where an op after it needs the new shape."""

    name: str
    input: Tensor
    output: Tensor


Table = Relu | Requantize | Logistic | Tanh  # any function of one int8
Binary = Add | Sub | Mul
Line = Conv1D | DepthwiseConv1D | MaxPool1D | AveragePool1D  # slides over time
Op = Line | Table | Binary | Mean | Dense | Softmax | Concat | Pad | Reshape


def inputs_of(op: Op) -> tuple[Tensor, ...]:
    """The activations that an op reads, in its own order; constants are not among them."""
    if isinstance(op, Concat):
        return op.inputs
    if isinstance(op, Add | Sub | Mul):
        return tuple(operand for operand in (op.input, op.other) if isinstance(operand, Tensor))
    return (op.input,)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Ops in the order they run: each reads graph inputs or outputs of earlier ops."""

    name: str
    sha256: str  # hex, of the `.tflite` bytes
    inputs: tuple[Tensor, ...]  # the first one is the signal, (length, leads)
    output: Tensor  # (classes,)
    ops: tuple[Op, ...]
    tflite_ops: tuple[str, ...]  # distinct operators of the file, dropped ones included: what a TFLM resolver must hold

    @property
    def input(self) -> Tensor:
        """The signal, (length, leads)."""
        return self.inputs[0]
