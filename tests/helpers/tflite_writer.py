"""Small int8 `.tflite` files without TensorFlow: any op, shape, scale and zero point, in a line each.

    net = Writer(seed=1)
    x = net.input((1, 1, 60, 2), scale=0.05, zero=-3)
    x = net.conv(x, channels=5, taps=3, stride=2, activation="RELU")
    data = net.finish(net.dense(net.mean(x), 4))

Weights are noise from the seed. An output's scale follows from the noise, so that its values use int8 well; every
layer takes another `scale` and `zero`. Shapes are the file's own, batch first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite as schema
from numpy.typing import NDArray

_TYPES = {"int8": "INT8", "int32": "INT32", "float32": "FLOAT32"}
_UNIFORM_STD, _VALUE_STD = 0.58, 50.0  # of uniform noise against its bound; of int8 activations, roughly
_WANTED_STD = 45.0  # of int8 outputs
_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "EXPAND_DIMS": "ExpandDimsOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "QUANTIZE": "QuantizeOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SQUEEZE": "SqueezeOptions",
    "SUB": "SubOptions",
}


@dataclass(frozen=True)
class Node:
    """A tensor of the file."""

    index: int
    shape: tuple[int, ...]
    scale: float
    zero: int


class Writer:
    """A model under construction."""

    def __init__(self, *, seed: int = 0, real: bool = False) -> None:
        """real: float32 throughout; scales and zero points then say nothing."""
        self.real = real
        self.random = np.random.default_rng(seed)
        self.gain = 1.0  # of layers with weights: their output's scale against their input's, roughly
        self._tensors: list[dict[str, Any]] = []
        self._ops: list[tuple[str, list[int], int, dict[str, Any]]] = []
        self._inputs: list[int] = []

    # --- tensors and operators -------------------------------------------------------------------------------------

    def input(self, shape: Sequence[int], *, scale: float = 0.05, zero: int = 0) -> Node:
        """The next input of the graph; the first one is the signal."""
        node = self._tensor(shape, "int8", [scale], zero)
        self._inputs.append(node.index)
        return node

    def constant(self, values: NDArray[Any], *, scales: Sequence[float] = (), zero: int = 0, axis: int = 0) -> Node:
        """Numbers of the file: int8, int32 or float32."""
        node = self._tensor(values.shape, str(values.dtype), list(scales), zero)
        self._tensors[node.index] |= {"data": np.ascontiguousarray(values).tobytes(), "axis": axis}
        return node

    def op(
        self, code: str, inputs: Sequence[Node], shape: Sequence[int], *, scale: float, zero: int, **options: Any
    ) -> Node:
        """Any operator with one output; options by the schema's names (Padding=1, StrideW=2)."""
        out = self._tensor(shape, "int8", [scale], zero)
        self._ops.append((code, [node.index for node in inputs], out.index, options))
        return out

    def _tensor(self, shape: Sequence[int], dtype: str, scales: list[float], zero: int) -> Node:
        index = len(self._tensors)
        as_real = self.real and dtype == "int8"
        kind = {"dtype": "float32", "scales": []} if as_real else {"dtype": dtype, "scales": scales}
        self._tensors.append({"shape": tuple(shape), "zero": zero, "axis": 0, **kind})
        return Node(index, tuple(shape), float(np.float32(scales[0])) if scales else 0.0, zero)

    # --- layers ----------------------------------------------------------------------------------------------------

    def conv(
        self, x: Node, channels: int, taps: int = 1, *, bias: bool = True, per_channel: bool = True, bound: int = 127,
        scale: float | None = None, zero: int = 0, **window: Any,
    ) -> Node:  # fmt: skip
        """CONV_2D; `window`: stride, dilation, same, activation."""
        shape, options = self._window(x, channels, taps, **window)
        kernel = (taps, 1) if _along_h(x, taps) else (1, taps)
        count = taps * x.shape[3]
        w = self._weights((channels, *kernel, x.shape[3]), count, bound, axis=0 if per_channel else None)
        scale = scale or self._scale(x.scale, w, count, bound)
        sources = [x, w, *([self._bias(x, w, channels, count, bound)] if bias else [])]
        return self.op("CONV_2D", sources, shape, scale=scale, zero=zero, **options)

    def depthwise(
        self, x: Node, taps: int, *, multiplier: int = 1, bias: bool = True, per_channel: bool = True, bound: int = 127,
        scale: float | None = None, zero: int = 0, **window: Any,
    ) -> Node:  # fmt: skip
        """DEPTHWISE_CONV_2D; `window` as of conv."""
        channels = x.shape[3] * multiplier
        shape, options = self._window(x, channels, taps, **window)
        kernel = (taps, 1) if _along_h(x, taps) else (1, taps)
        w = self._weights((1, *kernel, channels), taps, bound, axis=3 if per_channel else None)
        scale = scale or self._scale(x.scale, w, taps, bound)
        sources = [x, w, *([self._bias(x, w, channels, taps, bound)] if bias else [])]
        return self.op(
            "DEPTHWISE_CONV_2D", sources, shape, scale=scale, zero=zero, DepthMultiplier=multiplier, **options
        )

    def dense(
        self, x: Node, out: int, *, keep: bool = False, bias: bool = True, per_channel: bool = False, bound: int = 127,
        activation: str = "NONE", scale: float | None = None, zero: int = 0,
    ) -> Node:  # fmt: skip
        """FULLY_CONNECTED over all values; keep: over the last axis alone, at each of the others."""
        count = x.shape[-1] if keep else int(np.prod(x.shape))
        w = self._weights((out, count), count, bound, axis=0 if per_channel else None)
        scale = scale or self._scale(x.scale, w, count, bound)
        sources = [x, w, *([self._bias(x, w, out, count, bound)] if bias else [])]
        shape = (*x.shape[:-1], out) if keep else (1, out)
        options = {"FusedActivationFunction": _activation(activation), "KeepNumDims": keep}
        return self.op("FULLY_CONNECTED", sources, shape, scale=scale, zero=zero, **options)

    def pool(self, x: Node, kind: str, size: int, **window: Any) -> Node:
        """kind: MAX or AVERAGE."""
        shape, options = self._window(x, x.shape[3], size, **window)
        height, width = (size, 1) if _along_h(x, size) else (1, size)
        for key in ("DilationHFactor", "DilationWFactor"):
            options.pop(key, None)
        options |= {"FilterHeight": height, "FilterWidth": width}
        return self.op(f"{kind}_POOL_2D", [x], shape, scale=x.scale, zero=x.zero, **options)

    def mean(
        self, x: Node, *, keep: bool = False, scale: float | None = None, zero: int = 0, code: str = "MEAN"
    ) -> Node:
        """Over every axis between batch and channels; code REDUCE_MAX keeps scale and zero point."""
        axes = self.constant(np.arange(1, len(x.shape) - 1, dtype=np.int32))
        shape = (*(1,) * (len(x.shape) - 1), x.shape[-1]) if keep else (1, x.shape[-1])
        if code == "REDUCE_MAX":
            scale, zero = x.scale, x.zero
        return self.op(code, [x, axes], shape, scale=scale or x.scale / 2, zero=zero, KeepDims=keep)

    def pad(self, x: Node, before: int, after: int) -> Node:
        """PAD over the longest axis between batch and channels."""
        amounts = np.zeros((len(x.shape), 2), np.int32)
        axis = 1 + int(np.argmax(x.shape[1:-1]))
        amounts[axis] = before, after
        shape = [n + int(sum(amounts[i])) for i, n in enumerate(x.shape)]
        return self.op("PAD", [x, self.constant(amounts)], shape, scale=x.scale, zero=x.zero)

    def reshape(self, x: Node, shape: Sequence[int], *, code: str = "RESHAPE") -> Node:
        """RESHAPE, EXPAND_DIMS or SQUEEZE to a shape."""
        options: dict[str, Any] = {}
        sources = [x]
        if code == "RESHAPE":
            sources.append(self.constant(np.array(shape, np.int32)))
        elif code == "EXPAND_DIMS":
            axis = next(i for i in range(len(shape)) if (*x.shape[:i], 1, *x.shape[i:]) == tuple(shape))
            sources.append(self.constant(np.array(axis, np.int32)))
        else:
            axis = next(i for i in range(len(x.shape)) if (*x.shape[:i], *x.shape[i + 1 :]) == tuple(shape) and i)
            options["SqueezeDims"] = [axis]
        return self.op(code, sources, shape, scale=x.scale, zero=x.zero, **options)

    def binary(
        self, code: str, a: Node, b: Node, *, activation: str = "NONE", scale: float | None = None, zero: int = 0
    ) -> Node:
        """ADD, SUB or MUL, broadcast as NumPy does."""
        natural = a.scale * b.scale * _VALUE_STD if code == "MUL" else max(a.scale, b.scale)
        shape = np.broadcast_shapes(a.shape, b.shape)
        options = {"FusedActivationFunction": _activation(activation)}
        return self.op(code, [a, b], shape, scale=scale or natural, zero=zero, **options)

    def unary(self, code: str, x: Node, *, scale: float | None = None, zero: int = 0) -> Node:
        """RELU, RELU6, LOGISTIC, TANH, SOFTMAX or QUANTIZE."""
        if code in ("LOGISTIC", "SOFTMAX"):
            scale, zero = 1 / 256, -128
        elif code == "TANH":
            scale, zero = 1 / 128, 0
        elif code == "RELU6":
            scale, zero = x.scale, x.zero
        options = {"Beta": 1.0} if code == "SOFTMAX" else {}
        return self.op(code, [x], x.shape, scale=scale or x.scale, zero=zero, **options)

    def concat(self, parts: Sequence[Node], *, axis: int = -1) -> Node:
        """CONCATENATION of the last axis; all parts must have one scale and zero point."""
        shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
        return self.op("CONCATENATION", parts, shape, scale=parts[0].scale, zero=parts[0].zero, Axis=axis)

    # --- parts of layers -------------------------------------------------------------------------------------------

    def _window(
        self, x: Node, channels: int, taps: int, *, stride: int = 1, dilation: int = 1, same: bool = False,
        activation: str = "NONE",
    ) -> tuple[tuple[int, ...], dict[str, Any]]:  # fmt: skip
        _, height, width, _ = x.shape
        along_h = _along_h(x, taps)
        length = height if along_h else width
        out = -(-length // stride) if same else (length - (taps - 1) * dilation - 1) // stride + 1
        own, other = ("H", "W") if along_h else ("W", "H")
        options = {
            "Padding": 0 if same else 1,
            f"Stride{own}": stride,
            f"Stride{other}": 1,
            f"Dilation{own}Factor": dilation,
            f"Dilation{other}Factor": 1,
            "FusedActivationFunction": _activation(activation),
        }
        return (1, out, 1, channels) if along_h else (1, 1, out, channels), options

    def _weights(self, shape: tuple[int, ...], count: int, bound: int, *, axis: int | None) -> Node:
        if self.real:
            return self.constant(self.random.normal(0.0, 1 / np.sqrt(count), shape).astype(np.float32))
        values = self.random.integers(-bound, bound + 1, shape).astype(np.int8)
        middle = self.gain / (bound * _UNIFORM_STD * np.sqrt(count))
        spread = np.exp(self.random.uniform(-0.7, 0.7, shape[axis] if axis is not None else 1))
        return self.constant(values, scales=[float(s) for s in middle * spread], axis=axis or 0)

    def _bias(self, x: Node, w: Node, out: int, count: int, bound: int) -> Node:
        if self.real:
            return self.constant(self.random.normal(0.0, 1.0, out).astype(np.float32))
        size = bound * _UNIFORM_STD * _VALUE_STD * np.sqrt(count)
        values = np.clip(np.rint(self.random.normal(0.0, size, out)), -(2**28), 2**28).astype(np.int32)
        tensor = self._tensors[w.index]
        return self.constant(values, scales=[x.scale * s for s in tensor["scales"]])

    def _scale(self, input_scale: float, w: Node, count: int, bound: int) -> float:
        if self.real:
            return 1.0
        unit = input_scale * float(np.median(self._tensors[w.index]["scales"]))
        return float(unit * max(bound * _UNIFORM_STD, 0.5) * _VALUE_STD * np.sqrt(count) / _WANTED_STD)

    # --- the file --------------------------------------------------------------------------------------------------

    def finish(self, *outputs: Node) -> bytes:
        """The file's bytes."""
        return _file(self._tensors, self._ops, self._inputs, [node.index for node in outputs])


def _along_h(x: Node, taps: int) -> bool:
    """Whether time is the first spatial axis; a single column may be either, and is taken as (1, 1)."""
    return x.shape[1] > 1


def _activation(name: str) -> int:
    return int(getattr(schema.ActivationFunctionType, name))


def _file(
    tensors: Sequence[dict[str, Any]],
    ops: Sequence[tuple[str, list[int], int, dict[str, Any]]],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> bytes:
    b = flatbuffers.Builder(4096)
    codes = list(dict.fromkeys(code for code, *_ in ops))
    buffers = [_table(b, "Buffer")]
    tensor_offsets = []
    for i, tensor in enumerate(tensors):
        place = 0
        if "data" in tensor:
            place = len(buffers)
            buffers.append(_table(b, "Buffer", Data=_bytes(b, tensor["data"])))
        quantization = _table(b, "QuantizationParameters")
        if tensor["scales"]:
            quantization = _table(
                b,
                "QuantizationParameters",
                Scale=b.CreateNumpyVector(np.array(tensor["scales"], np.float32)),
                ZeroPoint=b.CreateNumpyVector(np.full(len(tensor["scales"]), tensor["zero"], np.int64)),
                QuantizedDimension=tensor["axis"],
            )
        tensor_offsets.append(
            _table(
                b,
                "Tensor",
                Shape=b.CreateNumpyVector(np.array(tensor["shape"], np.int32)),
                Type=getattr(schema.TensorType, _TYPES[tensor["dtype"]]),
                Buffer=place,
                Name=b.CreateString(f"t{i}"),
                Quantization=quantization,
            )
        )
    operators = [_operator(b, codes.index(op[0]), *op) for op in ops]
    subgraph = _table(
        b,
        "SubGraph",
        Tensors=_offsets(b, tensor_offsets),
        Inputs=b.CreateNumpyVector(np.array(inputs, np.int32)),
        Outputs=b.CreateNumpyVector(np.array(outputs, np.int32)),
        Operators=_offsets(b, operators),
    )
    numbers = [int(getattr(schema.BuiltinOperator, code)) for code in codes]
    model = _table(
        b,
        "Model",
        Version=3,
        OperatorCodes=_offsets(
            b, [_table(b, "OperatorCode", BuiltinCode=n, DeprecatedBuiltinCode=min(n, 127), Version=1) for n in numbers]
        ),
        Subgraphs=_offsets(b, [subgraph]),
        Buffers=_offsets(b, buffers),
    )
    b.Finish(model, file_identifier=b"TFL3")
    return bytes(b.Output())


def _operator(b: Any, code_index: int, code: str, inputs: list[int], output: int, options: dict[str, Any]) -> int:
    fields: dict[str, Any] = {
        "OpcodeIndex": code_index,
        "Inputs": b.CreateNumpyVector(np.array(inputs, np.int32)),
        "Outputs": b.CreateNumpyVector(np.array([output], np.int32)),
    }
    if code in _OPTIONS:
        table = _OPTIONS[code]
        values = {
            k: b.CreateNumpyVector(np.array(v, np.int32)) if isinstance(v, list) else v for k, v in options.items()
        }
        fields |= {
            "BuiltinOptionsType": int(getattr(schema.BuiltinOptions, table)),
            "BuiltinOptions": _table(b, table, **values),
        }
    return _table(b, "Operator", **fields)


def _table(b: Any, table: str, **fields: Any) -> int:
    getattr(schema, f"{table}Start")(b)
    for name, value in fields.items():
        getattr(schema, f"{table}Add{name}")(b, value)
    return int(getattr(schema, f"{table}End")(b))


def _bytes(b: Any, data: bytes) -> int:
    """A byte vector that begins at a multiple of 16, as TFLM reads wider numbers in place."""
    b.StartVector(1, len(data), 16)
    b.head = b.head - len(data)
    b.Bytes[b.head : b.head + len(data)] = data
    return int(b.EndVector())


def _offsets(b: Any, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
