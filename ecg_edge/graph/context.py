"""What every lowering needs: tensors by index, shapes over time, constants, one way to fail. Layer: graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from . import quant
from .ir import Activation, Constant, DType, Op, Operand, Pad, Quant, Reshape, Tensor
from .raw import RawModel, RawOp, RawTensor

_DTYPES: dict[str, DType] = {"INT8": "int8", "FLOAT32": "float32"}
_CONSTANT_TYPES = {"INT8": "<i1", "INT32": "<i4", "FLOAT32": "<f4"}
_ACTIVATIONS: dict[int, Activation] = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
# Values of all activations, and bytes of all constants: more than any microcontroller's memory, less than hurts here.
MAX_VALUES = 1 << 22
MAX_CONSTANT_BYTES = 16 << 20
# Far outside any real model, and far inside what the multipliers can be computed from.
SCALE_MIN, SCALE_MAX = 2.0**-60, 2.0**60
# Below, a clamp at 6 lies past int32 in quantized units, and TFLM refuses or miscomputes it.
CLAMP_SCALE_MIN = 2.0**-28


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, read-only from now on."""
    array.setflags(write=False)
    return array


def zero_point(tensor: Operand) -> int:
    """Its zero point; 0 in a float graph."""
    return tensor.quant.zero_point if tensor.quant else 0


def requantization(x: Tensor, out: Tensor, weight_quant: Quant | None) -> dict[str, Any]:
    """The fields weight_quant, multipliers, shifts, input_zero and output_zero of an op with weights."""
    pairs: list[tuple[int, int]] = []
    if x.quant and out.quant and weight_quant:
        pairs = [quant.product_multiplier(x.quant.scale[0], w, out.quant.scale[0]) for w in weight_quant.scale]
    multipliers, shifts = (np.array([p[i] for p in pairs], np.int32) for i in (0, 1))
    return {
        "weight_quant": weight_quant,
        "multipliers": frozen(multipliers),
        "shifts": frozen(shifts),
        "input_zero": zero_point(x),
        "output_zero": zero_point(out),
    }


def as_vector(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels,) for one column, (1, channels); any other shape as it is."""
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


@dataclass(frozen=True, slots=True)
class _Padded:
    """What a PAD gives, as long as it may still become the padding of the one convolution that reads it."""

    held: Tensor  # (length, channels), unpadded
    before: int
    after: int


class Context:
    """One model on its way from raw operators to IR ops."""

    def __init__(self, raw: RawModel, name: str) -> None:
        self.raw, self.name = raw, name
        self.ops: list[Op] = []
        self._where = ""  # the operator at work, for errors
        self._held: dict[int, Tensor] = {}  # raw index -> the IR tensor that holds its numbers
        self._pads: dict[int, _Padded] = {}  # raw index of a PAD's output
        self._readers = Counter(raw.outputs)  # raw index -> operators that read it, and 1 for the model's output
        for op in raw.ops:
            self._readers.update(op.inputs)
        self._written: set[int] = set()  # raw indices that an input or an operator gave
        self._constant_bytes = 0
        self._names: set[str] = set()
        self._copies: Counter[str] = Counter()  # name -> the last number given to a copy of it
        self._kinds: dict[str, int] = {}

    def fail(self, message: str) -> NoReturn:
        """Raise a GraphError that names the model and the operator at work."""
        raise GraphError(f"{self.name}: {self._where}{message}")

    def enter(self, index: int, op: RawOp) -> None:
        """Begin one operator."""
        self._where = f"op {index} {op.code}: "

    def leave(self) -> None:
        """End the operators: errors are about the whole model again."""
        self._where = ""

    def op_name(self, kind: str) -> str:
        """conv1, conv2, dense1, ...: short, unique, stable."""
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        return f"{kind}{self._kinds[kind]}"

    # --- raw tensors -----------------------------------------------------------------------------------------------

    def tensor(self, op: RawOp, position: int, what: str) -> RawTensor:
        """The operator's input at a position, which must be there."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            self.fail(f"has no {what}")
        return self.raw.tensors[op.inputs[position]]

    def result(self, op: RawOp) -> RawTensor:
        """The operator's only output."""
        if len(op.outputs) != 1 or op.outputs[0] < 0:
            self.fail(f"has {len(op.outputs)} outputs; supported: 1")
        return self.raw.tensors[op.outputs[0]]

    def constant(self, tensor: RawTensor, *, dtypes: Sequence[str]) -> NDArray[Any]:
        """A tensor whose numbers are in the file, read-only, in its own shape."""
        if tensor.dtype not in dtypes:
            self.fail(f"tensor {tensor.name!r} is {tensor.dtype}; supported here: {', '.join(dtypes)}")
        if tensor.data is None:
            self.fail(f"tensor {tensor.name!r} is no constant of the file")
        dtype = np.dtype(_CONSTANT_TYPES[tensor.dtype])
        count = 1
        for d in tensor.shape:  # Python integers: a damaged shape cannot overflow
            count *= d
        if tensor.dynamic or count * dtype.itemsize != tensor.data.size:
            self.fail(f"tensor {tensor.name!r} of shape {list(tensor.shape)} has {tensor.data.size} bytes of data")
        self._constant_bytes += tensor.data.size  # operators may share bytes of the file, and each takes a copy
        if self._constant_bytes > MAX_CONSTANT_BYTES:
            self.fail(f"tensor {tensor.name!r} brings the constants past {MAX_CONSTANT_BYTES} bytes")
        array = np.frombuffer(tensor.data.tobytes(), dtype).reshape(tensor.shape)
        if dtype.kind == "f" and not np.isfinite(array).all():
            self.fail(f"tensor {tensor.name!r} holds NaN or infinity")
        return array

    # --- shapes ----------------------------------------------------------------------------------------------------

    def column_shape(self, tensor: RawTensor) -> tuple[int, ...]:
        """(length, channels) or (features,) of a tensor with batch 1 and at most one spatial axis above 1."""
        if tensor.dynamic:
            self.fail(f"tensor {tensor.name!r} has a dynamic shape; convert with the batch and the length fixed")
        shape = tensor.shape
        if not 2 <= len(shape) <= 4 or min(shape) < 1:
            self.fail(f"tensor {tensor.name!r} has shape {list(shape)}; supported: 2 to 4 dimensions of 1 or more")
        if shape[0] != 1:
            self.fail(f"tensor {tensor.name!r} has batch {shape[0]}; supported: 1")
        if _count(shape) > MAX_VALUES:
            self.fail(f"tensor {tensor.name!r} has shape {list(shape)}: more than {MAX_VALUES} values")
        if len(shape) == 4:
            if 1 not in shape[1:3]:
                self.fail(f"tensor {tensor.name!r} has shape {list(shape)}: two spatial dimensions; supported: one")
            return (shape[1] * shape[2], shape[3])
        return shape[1:]

    def time_axis(self, tensor: RawTensor, kernel: Sequence[int]) -> int:
        """Which raw axis of a 4-D tensor is time: 2 in the (1, k) layout, 1 in the (k, 1) layout.

        One column alone fits both layouts: then the kernel's longer side tells.
        """
        self.column_shape(tensor)
        if len(tensor.shape) != 4:
            self.fail(f"tensor {tensor.name!r} has {len(tensor.shape)} dimensions; expected 4")
        if tensor.shape[1] == tensor.shape[2]:
            return 1 if kernel[0] > kernel[1] else 2
        return 2 if tensor.shape[1] == 1 else 1

    # --- values ----------------------------------------------------------------------------------------------------

    def take(self, op: RawOp, position: int = 0, shape: tuple[int, ...] | None = None) -> Tensor:
        """An input computed earlier, in the shape this operator sees.

        Where relabellings were dropped on the way, the numbers may be held under another shape: a Reshape is put in.

        Args:
            op: the operator.
            position: of the input.
            shape: another shape of as many values, wanted in place of the file's.
        """
        raw = self.tensor(op, position, "input")
        held = self.hold(op.inputs[position])
        shape = self.column_shape(raw) if shape is None else shape
        if shape == held.shape:
            return held
        out = self._tensor(raw, shape)
        self.ops.append(Reshape(self.op_name("reshape"), held, out))
        self._held[op.inputs[position]] = out
        return out

    def take_elements(self, op: RawOp) -> Tensor:
        """The input of an operator to which (channels,) and (1, channels) are one: as it is held, if it can be."""
        held = self.hold(self._index(op, 0, "input"))
        same = as_vector(held.shape) == as_vector(self.column_shape(self.tensor(op, 0, "input")))
        return held if same else self.take(op)

    def pads_of(self, op: RawOp) -> tuple[Tensor, int, int]:
        """A convolution's input, and the columns of a PAD around it that may become the convolution's own."""
        index = self._index(op, 0, "input")
        if index not in self._pads or self._readers[index] > 1:
            return self.take(op), 0, 0
        pad = self._pads[index]
        return pad.held, pad.before, pad.after

    def pad(self, op: RawOp, before: int, after: int) -> None:
        """A PAD over time: an op of its own, unless the one operator that reads it makes it its own padding."""
        held = self.take(op)
        self._check_relabelling(op, held)
        self._write(op)
        self._pads[op.outputs[0]] = _Padded(held, before, after)

    def hold(self, index: int) -> Tensor:
        """The IR tensor that holds a raw tensor's numbers, whatever its shape."""
        if index in self._pads:
            self._held[index] = self._pad_op(index)
        if index not in self._held:
            self.fail(f"tensor {self.raw.tensors[index].name!r} is used before any op computes it")
        return self._held[index]

    def _pad_op(self, index: int) -> Tensor:
        pad = self._pads.pop(index)
        length, channels = pad.held.shape
        out = self._tensor(self.raw.tensors[index], (pad.before + length + pad.after, channels))
        self.ops.append(Pad(self.op_name("pad"), pad.held, out, pad.before, pad.after, zero_point(pad.held)))
        return out

    def alias(self, op: RawOp) -> None:
        """Drop a mere relabelling: its output is its input, padding that waits for its convolution included."""
        index = self._index(op, 0, "input")
        source, out = self.tensor(op, 0, "input"), self.result(op)
        before, after = self.column_shape(source), self.column_shape(out)
        pad = self._pads.get(index) if self._readers[index] == 1 and before == after else None
        held = pad.held if pad else self.hold(index)
        self._check_relabelling(op, held)
        if _count(before) != _count(after):
            self.fail(f"{list(source.shape)} cannot become {list(out.shape)}")
        if pad:
            self._write(op)
            self._pads[op.outputs[0]] = self._pads.pop(index)
        else:
            self._bind(op, held)

    def _check_relabelling(self, op: RawOp, held: Tensor) -> None:
        source, out = self.tensor(op, 0, "input"), self.result(op)
        if out.dtype != source.dtype or self.activation_quant(out) != held.quant:
            self.fail(f"tensor {out.name!r} has another type or quantization than {source.name!r}")

    def give(self, op: RawOp, like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """The operator's output, of the type of its input.

        Args:
            op: the operator.
            like: its input.
            shape: the shape the op gives, where it is not simply the file's: a time axis of 1 may then be missing.
        """
        raw = self.result(op)
        declared = self.column_shape(raw)
        if shape is not None and _count(shape) != _count(declared):
            self.fail(f"output {raw.name!r} has shape {list(raw.shape)}; the op gives {list(shape)}")
        out = self._tensor(raw, declared if shape is None else shape)
        if out.dtype != like.dtype:
            self.fail(f"tensor {raw.name!r} is {raw.dtype}, and its input {like.name!r} is {like.dtype}")
        self._bind(op, out)
        return out

    def enter_input(self, index: int, *, signal: bool) -> Tensor:
        """One of the graph's inputs; the signal may come as (1, length), which is one lead."""
        raw = self.raw.tensors[index]
        if index in self._written or raw.data is not None:
            self.fail(f"tensor {raw.name!r} is an input twice, or a constant")
        self._written.add(index)
        shape = self.column_shape(raw)
        tensor = self._tensor(raw, (*shape, 1) if signal and len(shape) == 1 else shape)
        self._held[index] = tensor
        return tensor

    def constant_operand(self, raw: RawTensor, values: NDArray[Any]) -> Constant:
        """A constant under a name of its own."""
        return Constant(self._name(raw), frozen(values), self.activation_quant(raw))

    def _index(self, op: RawOp, position: int, what: str) -> int:
        self.tensor(op, position, what)
        return op.inputs[position]

    def _bind(self, op: RawOp, tensor: Tensor) -> None:
        self._write(op)
        self._held[op.outputs[0]] = tensor

    def _write(self, op: RawOp) -> None:
        """Note that the operator gives its output, for the first time."""
        index = op.outputs[0]
        if index in self._written or self.raw.tensors[index].data is not None:
            self.fail(f"tensor {self.raw.tensors[index].name!r} is written twice, or is a constant")
        self._written.add(index)

    def _tensor(self, raw: RawTensor, shape: tuple[int, ...]) -> Tensor:
        if raw.dtype not in _DTYPES:
            self.fail(f"tensor {raw.name!r} is {raw.dtype}; supported: int8, float32")
        return Tensor(self._name(raw), shape, _DTYPES[raw.dtype], self.activation_quant(raw))

    def _name(self, raw: RawTensor) -> str:
        """The raw name, with a number where it is taken."""
        name = raw.name
        while name in self._names:
            self._copies[raw.name] += 1
            name = f"{raw.name}#{self._copies[raw.name]}"
        self._names.add(name)
        return name

    # --- quantization ----------------------------------------------------------------------------------------------

    def activation_quant(self, raw: RawTensor) -> Quant | None:
        """One scale and one zero point, or None for float32."""
        if raw.dtype != "INT8":
            return None
        if len(raw.scales) != 1 or len(raw.zero_points) != 1:
            self.fail(f"tensor {raw.name!r} is int8 with {len(raw.scales)} scales; expected 1")
        self._check_scales(raw)
        if not -128 <= raw.zero_points[0] <= 127:
            self.fail(f"tensor {raw.name!r} has zero point {raw.zero_points[0]}; limits: -128..127")
        return Quant(raw.scales, raw.zero_points[0], None)

    def weight_quant(self, raw: RawTensor, *, axis: int, channels: int, ir_axis: int) -> Quant:
        """Scales of int8 weights: one, or one for each of `channels` along the raw axis `axis`."""
        if len(raw.scales) not in (1, channels):
            self.fail(f"weights {raw.name!r} have {len(raw.scales)} scales; expected 1 or {channels}")
        if len(raw.scales) > 1 and raw.axis != axis:
            self.fail(f"weights {raw.name!r} are quantized along axis {raw.axis}; expected {axis}")
        if any(raw.zero_points):
            self.fail(f"weights {raw.name!r} have a zero point other than 0")
        self._check_scales(raw)
        return Quant(raw.scales, 0, ir_axis if len(raw.scales) > 1 else None)

    def check_same_quant(self, x: Tensor, out: Tensor) -> None:
        """For ops that move or compare numbers without rescaling them."""
        if x.quant != out.quant:
            self.fail(f"output {out.name!r} has another quantization than its input {x.name!r}")

    def check_output_quant(self, out: Tensor, steps: int, zero_point: int) -> None:
        """For ops whose kernels give one scale, 1/steps, and one zero point, whatever the file says."""
        if out.quant != Quant((1.0 / steps,), zero_point, None):
            wanted = f"scale 1/{steps}, zero point {zero_point}"
            self.fail(f"output {out.name!r} is quantized as {out.quant}; expected {wanted}")

    def _check_scales(self, raw: RawTensor) -> None:
        if not all(SCALE_MIN < s < SCALE_MAX for s in raw.scales):  # NaN fails as well
            self.fail(f"tensor {raw.name!r} has a scale outside {SCALE_MIN:.0e}..{SCALE_MAX:.0e}")

    def activation(self, op: RawOp, out: Tensor) -> dict[str, Any]:
        """The fields activation, act_min and act_max of an op with a fused activation."""
        code = int(op.options["activation"])
        if code not in _ACTIVATIONS:
            self.fail(f"fused activation {code}; supported: {', '.join(_ACTIVATIONS.values())}")
        return self.clamp(_ACTIVATIONS[code], out)

    def clamp(self, activation: Activation, out: Tensor) -> dict[str, Any]:
        """The fields activation, act_min and act_max."""
        low = high = 0
        if out.quant:
            scale = out.quant.scale[0]
            if scale < CLAMP_SCALE_MIN and activation not in ("NONE", "RELU"):
                self.fail(f"output {out.name!r} has scale {scale}: too small for {activation}")
            low, high = quant.activation_bounds(activation, scale, out.quant.zero_point)
        return {"activation": activation, "act_min": low, "act_max": high}

    def bias(self, op: RawOp, x: Tensor, channels: int) -> NDArray[Any]:
        """(channels,) int32 or float32; zeros where the file has none."""
        dtype = "INT32" if x.dtype == "int8" else "FLOAT32"
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return frozen(np.zeros(channels, np.dtype(_CONSTANT_TYPES[dtype])))
        raw = self.tensor(op, 2, "bias")
        bias = self.constant(raw, dtypes=[dtype])
        if bias.size != channels:
            self.fail(f"bias {raw.name!r} has {bias.size} values; expected {channels}")
        return bias.reshape(channels)

    def padding(self, op: RawOp) -> Literal["SAME", "VALID"]:
        """The padding scheme."""
        code = int(op.options["padding"])
        if code not in (0, 1):
            self.fail(f"padding {code}; supported: SAME, VALID")
        return "VALID" if code else "SAME"


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for d in shape:
        count *= d
    return count
