"""A model as its file says it: tensors by index, shapes over time, constants, scales, one way to fail. Layer: graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError
from . import quant
from .ir import Activation, Operand, Quant, Tensor
from .raw import RawModel, RawOp, RawTensor

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


class FileView:
    """A raw model, read with every doubt that a file deserves; `Context` adds what becomes of it."""

    def __init__(self, raw: RawModel, name: str) -> None:
        self.raw, self.name = raw, name
        self._where = ""  # the operator at work, for errors
        self._constant_bytes = 0

    def fail(self, message: str) -> NoReturn:
        """Raise a GraphError that names the model and the operator at work."""
        raise GraphError(f"{self.name}: {self._where}{message}")

    def enter(self, index: int, op: RawOp) -> None:
        """Begin one operator."""
        self._where = f"op {index} {op.code}: "

    def leave(self) -> None:
        """End the operators: errors are about the whole model again."""
        self._where = ""

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
        if tensor.dynamic or count(tensor.shape) * dtype.itemsize != tensor.data.size:
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
        if count(shape) > MAX_VALUES:
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


def count(shape: tuple[int, ...]) -> int:
    """Values of a shape, however large it claims to be: Python's integers cannot overflow."""
    return math.prod(shape)
