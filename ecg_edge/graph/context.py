"""What every lowering needs: which IR tensor holds which raw one's numbers, and the ops so far. Layer: graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .fileview import FileView, as_vector, count, frozen, zero_point
from .ir import Constant, DType, Op, Pad, Reshape, Tensor
from .raw import RawModel, RawOp, RawTensor

_DTYPES: dict[str, DType] = {"INT8": "int8", "FLOAT32": "float32"}


@dataclass(frozen=True, slots=True)
class _Padded:
    """What a PAD gives, as long as it may still become the padding of the one convolution that reads it."""

    held: Tensor  # (length, channels), unpadded
    before: int
    after: int


class Context(FileView):
    """One model on its way from raw operators to IR ops."""

    def __init__(self, raw: RawModel, name: str) -> None:
        super().__init__(raw, name)
        self.ops: list[Op] = []
        self._held: dict[int, Tensor] = {}  # raw index -> the IR tensor that holds its numbers
        self._pads: dict[int, _Padded] = {}  # raw index of a PAD's output
        self._readers = Counter(raw.outputs)  # raw index -> operators that read it, and 1 for the model's output
        for op in raw.ops:
            self._readers.update(op.inputs)
        self._written: set[int] = set()  # raw indices that an input or an operator gave
        self._names: set[str] = set()
        self._copies: Counter[str] = Counter()  # name -> the last number given to a copy of it
        self._kinds: dict[str, int] = {}

    def op_name(self, kind: str) -> str:
        """conv1, conv2, dense1, ...: short, unique, stable."""
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        return f"{kind}{self._kinds[kind]}"

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
        if count(before) != count(after):
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
        if shape is not None and count(shape) != count(declared):
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
