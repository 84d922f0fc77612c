"""`.tflite` bytes -> Graph. Layer: graph; the one door to `flatbuffers` and `tflite`.

The flatbuffers reader for Python has no verifier: on damaged bytes it raises whatever the wrong offset leads to, or
answers with a count of billions. So the file is first copied into plain dataclasses here, with every count bounded and
every exception of the reader turned into one GraphError; `lower.py` then gives the copy its meaning.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tflite as schema
from numpy.typing import NDArray

from ..errors import GraphError
from .ir import Graph
from .lower import lower
from .raw import RawModel, RawOp, RawTensor

MAX_BYTES = 16 << 20  # no microcontroller holds more, and a bound keeps damaged counts cheap
MAX_TENSORS = 4096
MAX_OPS = 2048
MAX_RANK = 6
MAX_NAME_BYTES = 4096
MAX_NUMBERS = 1 << 20  # scales, zero points and tensor indices, all together: each becomes a Python object
SCHEMA_VERSION = 3
# What a wrong offset makes the flatbuffers reader raise. MemoryError: a wrong length of gigabytes.
_DAMAGE = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    UnicodeDecodeError,
    OverflowError,
    MemoryError,
    AttributeError,
)


def read_graph(data: bytes, *, name: str) -> Graph:
    """Read a model: one subgraph, one output, batch 1, every shape fixed; of several inputs, the signal comes first.

    Args:
        data: the file's bytes.
        name: what errors call the model; the graph's name.

    Raises:
        UnsupportedOpError: an operator that no engine here runs.
        GraphError: the file is damaged or truncated, or breaks a rule above; the message names op or tensor.
    """
    return lower(read_raw(data, name=name), name=name)


def read_raw(data: bytes, *, name: str) -> RawModel:
    """Copy the flatbuffer into plain data.

    Raises:
        GraphError: no `.tflite`, damaged, or with more than one subgraph.
    """
    if len(data) > MAX_BYTES:
        raise GraphError(f"{name}: {len(data)} bytes; a model here has at most {MAX_BYTES}")
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise GraphError(f"{name}: not a .tflite file (no TFL3 mark in its first 8 bytes; {len(data)} bytes)")
    try:
        return _copy(data, name)
    except _DAMAGE as error:
        raise GraphError(f"{name}: damaged or truncated .tflite ({type(error).__name__}: {error})") from error


def _copy(data: bytes, name: str) -> RawModel:
    model = schema.Model.GetRootAs(data, 0)
    if model.Version() != SCHEMA_VERSION:
        raise GraphError(f"{name}: schema version {model.Version()}; supported: {SCHEMA_VERSION}")
    if model.SubgraphsLength() != 1:
        raise GraphError(f"{name}: {model.SubgraphsLength()} subgraphs; supported: 1 (no control flow)")
    graph = model.Subgraphs(0)
    tensor_count = _bounded(graph.TensorsLength(), MAX_TENSORS, "tensors")
    op_count = _bounded(graph.OperatorsLength(), MAX_OPS, "operators")
    _check_numbers(graph, tensor_count, op_count)
    return RawModel(
        sha256=hashlib.sha256(data).hexdigest(),
        tensors=tuple(_tensor(model, graph.Tensors(i), i, name) for i in range(tensor_count)),
        ops=tuple(_op(model, graph.Operators(i), tensor_count) for i in range(op_count)),
        inputs=_indices(graph.InputsAsNumpy(), tensor_count),
        outputs=_indices(graph.OutputsAsNumpy(), tensor_count),
    )


def _check_numbers(graph: Any, tensor_count: int, op_count: int) -> None:
    """Refuse many long vectors before any is read; tables of a damaged file may share one."""
    total = graph.InputsLength() + graph.OutputsLength()
    for i in range(op_count):
        total += graph.Operators(i).InputsLength() + graph.Operators(i).OutputsLength()
    for i in range(tensor_count):
        quant = graph.Tensors(i).Quantization()
        total += quant.ScaleLength() + quant.ZeroPointLength() if quant is not None else 0
    _bounded(total, MAX_NUMBERS, "scales, zero points and indices")


def _text(data: bytes) -> str:
    """A name of the file."""
    _bounded(len(data), MAX_NAME_BYTES, "bytes in a name")
    return data.decode("utf-8")


def _bounded(count: int, limit: int, what: str) -> int:
    if count > limit:
        raise ValueError(f"{count} {what}, at most {limit} are possible")
    return int(count)


def _indices(array: Any, tensor_count: int) -> tuple[int, ...]:
    """A vector of tensor indices; the reader gives 0 for an absent vector."""
    if isinstance(array, int):
        return ()
    if array.size > MAX_TENSORS or (array.size and (array.min() < -1 or array.max() >= tensor_count)):
        raise IndexError(f"a tensor index out of 0..{tensor_count - 1}")
    return tuple(int(i) for i in array)


def _tensor(model: Any, tensor: Any, index: int, name: str) -> RawTensor:
    label = tensor.Name()
    label = _text(label) if label else f"#{index}"
    rank = _bounded(tensor.ShapeLength(), MAX_RANK, f"dimensions in tensor {label!r}")
    signature_rank = _bounded(tensor.ShapeSignatureLength(), MAX_RANK, f"dimensions in tensor {label!r}")
    signature = [tensor.ShapeSignature(i) for i in range(signature_rank)]
    quant = tensor.Quantization()
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis = 0
    if quant is not None and quant.ScaleLength():
        scales = tuple(float(s) for s in quant.ScaleAsNumpy())
        zeros = tuple(int(z) for z in quant.ZeroPointAsNumpy()) if quant.ZeroPointLength() else ()
        axis = int(quant.QuantizedDimension())
    if tensor.Sparsity() is not None:
        raise GraphError(f"{name}: tensor {label!r} is sparse; supported: dense")
    return RawTensor(
        name=label,
        shape=tuple(int(tensor.Shape(i)) for i in range(rank)),
        dynamic=any(d < 0 for d in signature) or any(tensor.Shape(i) < 0 for i in range(rank)),
        dtype=_enum_name(schema.TensorType, tensor.Type()),
        scales=scales,
        zero_points=zeros,
        axis=axis,
        data=_buffer(model, tensor.Buffer()),
    )


def _buffer(model: Any, index: int) -> NDArray[np.uint8] | None:
    if index >= model.BuffersLength():
        raise IndexError(f"buffer {index} of {model.BuffersLength()}")
    buffer = model.Buffers(index)
    if buffer.DataLength() == 0:
        return None
    data: NDArray[np.uint8] = buffer.DataAsNumpy()
    return data


def _op(model: Any, op: Any, tensor_count: int) -> RawOp:
    if op.OpcodeIndex() >= model.OperatorCodesLength():
        raise IndexError(f"operator code {op.OpcodeIndex()} of {model.OperatorCodesLength()}")
    opcode = model.OperatorCodes(op.OpcodeIndex())
    # Old files hold the code in a byte, newer ones in the wide field; the larger of the two is meant.
    code = _enum_name(schema.BuiltinOperator, max(opcode.BuiltinCode(), opcode.DeprecatedBuiltinCode()))
    if code == "CUSTOM":
        custom = opcode.CustomCode()
        code = f"CUSTOM {_text(custom) if custom else ''!r}"
    return RawOp(
        code=code,
        inputs=_indices(op.InputsAsNumpy(), tensor_count),
        outputs=_indices(op.OutputsAsNumpy(), tensor_count),
        options=_options(code, op),
    )


def _enum_name(enum: type, value: int) -> str:
    """Name of a schema enumerator; its number where this schema does not know it."""
    return next((n for n, v in vars(enum).items() if v == value and not n.startswith("_")), f"{enum.__name__} {value}")


_SPATIAL = {"padding": "Padding", "stride_h": "StrideH", "stride_w": "StrideW", "activation": "FusedActivationFunction"}
_DILATION = {"dilation_h": "DilationHFactor", "dilation_w": "DilationWFactor"}
_POOL = {**_SPATIAL, "filter_h": "FilterHeight", "filter_w": "FilterWidth"}
# Operator -> (its options table, name here -> accessor). An operator without an entry has no option that matters.
_OPTIONS: Mapping[str, tuple[Callable[[], Any], Mapping[str, str]]] = {
    "CONV_2D": (schema.Conv2DOptions, {**_SPATIAL, **_DILATION}),
    "DEPTHWISE_CONV_2D": (
        schema.DepthwiseConv2DOptions,
        {**_SPATIAL, **_DILATION, "multiplier": "DepthMultiplier"},
    ),
    "MAX_POOL_2D": (schema.Pool2DOptions, _POOL),
    "AVERAGE_POOL_2D": (schema.Pool2DOptions, _POOL),
    "FULLY_CONNECTED": (
        schema.FullyConnectedOptions,
        {"activation": "FusedActivationFunction", "weights_format": "WeightsFormat"},
    ),
    "SOFTMAX": (schema.SoftmaxOptions, {"beta": "Beta"}),
    "ADD": (schema.AddOptions, {"activation": "FusedActivationFunction"}),
    "SUB": (schema.SubOptions, {"activation": "FusedActivationFunction"}),
    "MUL": (schema.MulOptions, {"activation": "FusedActivationFunction"}),
    "CONCATENATION": (schema.ConcatenationOptions, {"axis": "Axis", "activation": "FusedActivationFunction"}),
}


def _options(code: str, op: Any) -> dict[str, float]:
    if code not in _OPTIONS:
        return {}
    make, fields = _OPTIONS[code]
    options, table = make(), op.BuiltinOptions()
    wanted = getattr(schema.BuiltinOptions, type(options).__name__)
    if table is None or op.BuiltinOptionsType() != wanted:
        raise ValueError(f"{code} without {type(options).__name__}")
    options.Init(table.Bytes, table.Pos)
    return {name: getattr(options, accessor)() for name, accessor in fields.items()}
