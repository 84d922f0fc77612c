"""Random legal int8 `.tflite` files: every op, chains with residuals, excites, joins and several inputs among them.

`random_tflite(seed)` gives one file, the same for ever; `tflite_files()` is the Hypothesis strategy over the same
choices. Sizes stay small: signals of at most 200 columns, tensors of at most 24 channels, 200,000 multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.typing import NDArray
from tflite_writer import Node, Writer

from ecg_edge.graph.ir import Graph

MAX_LENGTH, MAX_CHANNELS, MAX_MACS = 200, 24, 200_000
_ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
T = TypeVar("T")


class Choices(Protocol):
    """Where decisions come from."""

    def integer(self, low: int, high: int) -> int:
        """low..high, both included."""
        ...


class _Seeded:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high + 1))


class _Drawn:
    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


@st.composite
def tflite_files(draw: DrawFn) -> bytes:
    """Files as `random_tflite` makes them, of choices that Hypothesis can shrink."""
    return _build(_Drawn(draw))


def random_tflite(seed: int) -> bytes:
    """The file of a seed."""
    return _build(_Seeded(seed))


def random_inputs(graph: Graph, count: int, seed: int) -> NDArray[np.int8] | tuple[NDArray[np.int8], ...]:
    """What `interpret.run` takes: for each input (count, *shape), from faint to full scale, about any middle."""
    random = np.random.default_rng(seed)
    inputs = []
    for tensor in graph.inputs:
        flat = (count, *(1,) * len(tensor.shape))
        size = np.exp(random.uniform(0, math.log(127), flat))
        middle = random.integers(-128, 128, flat) * random.integers(0, 2, flat)
        noise = random.normal(0, 1, (count, *tensor.shape)) * size + middle
        inputs.append(np.clip(np.rint(noise), -128, 127).astype(np.int8))
    return inputs[0] if len(inputs) == 1 else tuple(inputs)


def _build(choices: Choices) -> bytes:
    return _Net(choices).build()


class _Net:
    """One file on its way."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.net = Writer(seed=choices.integer(0, 2**31 - 1))
        self.columns = choices.integer(0, 3) == 0  # the (k, 1) layout in place of (1, k)
        self.macs = 0
        self.streams = self.chance(40)  # no padding, no excite: overlapping windows can share their columns

    # --- decisions -------------------------------------------------------------------------------------------------

    def chance(self, percent: int) -> bool:
        """True so often."""
        return self.choices.integer(0, 99) >= 100 - percent  # shrinks to False

    def pick(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[self.choices.integer(0, len(values) - 1)]

    def zero(self) -> int:
        """A zero point: anywhere, and often at an end."""
        return self.pick((0, -128, 127, self.choices.integer(-128, 127)))

    def factor(self) -> float:
        """Of a natural scale: now and then values saturate, or use few bits."""
        return self.pick((1.0, 1.0, 1.0, 1.0, 1.4, 0.7, 0.4, 3.0, 30.0, 0.03))

    def near_zero(self, x: Node) -> int:
        """A zero point that leaves room for what x holds, mostly."""
        return self.zero() if self.chance(25) else self.pick((x.zero, x.zero, x.zero // 2))

    def clamp(self, scale: float) -> str:
        """An activation; RELU6 and RELU_N1_TO_1 where they leave more than one value, mostly."""
        narrow = not 0.004 < scale < 1.2 and not self.chance(10)
        return self.pick(_ACTIVATIONS[:2] if narrow else _ACTIVATIONS)

    def clamped(self, scale: float) -> dict[str, Any]:
        """An activation and a zero point that leaves it room, mostly."""
        activation = self.clamp(scale) if self.chance(50) else "NONE"
        low = activation in ("RELU", "RELU6") and not self.chance(20)
        return {"activation": activation, "zero": self.pick((-128, -128, -100)) if low else self.zero()}

    def weights(self, x: Node) -> dict[str, Any]:
        """Fields of any layer with weights; its gain leads extreme scales back to common ones."""
        self.net.gain = self.pick((1.0, 0.5, 2.0)) * (0.05 / x.scale) ** (0.5 if self.chance(80) else 0.0)
        return {"bias": not self.chance(15), "bound": self.pick((127, 127, 20, 3, 1))} | self.clamped(x.scale)

    # --- the whole -------------------------------------------------------------------------------------------------

    def build(self) -> bytes:
        """Inputs, blocks over time, the end of time, layers of vectors."""
        x = self.signal(self.choices.integer(8, MAX_LENGTH), self.choices.integer(1, 4))
        sides = self.sides()
        for _ in range(self.choices.integer(0, 4)):
            x = self.pick(_STREAMING_BLOCKS if self.streams else _BLOCKS)(self, x)
        vectors = [self.end(x)]
        vectors += [self.end(self.conv(side)) if len(side.shape) == 4 else side for side in sides]
        return self.net.finish(self.head(vectors))

    def signal(self, length: int, channels: int) -> Node:
        """An input over time, in one of the shapes that converters write, brought to four dimensions."""
        scale = self.pick((0.05, 1.7, 0.001, 3e-5))
        four = (1, length, 1, channels) if self.columns else (1, 1, length, channels)
        kind = self.choices.integer(0, 3)
        if kind == 0:
            return self.net.input(four, scale=scale, zero=self.zero())
        if kind == 1 and channels == 1:
            return self.net.reshape(self.net.input((1, length), scale=scale, zero=self.zero()), four)
        x = self.net.input((1, length, channels), scale=scale, zero=self.zero())
        return self.net.reshape(x, four, code="EXPAND_DIMS" if kind == 2 else "RESHAPE")

    def sides(self) -> list[Node]:
        """Inputs beside the signal: features, or another signal."""
        found: list[Node] = []
        if self.chance(18):
            for _ in range(self.choices.integer(1, 2)):
                if self.chance(50):
                    found.append(self.signal(self.choices.integer(4, 60), self.choices.integer(1, 3)))
                else:
                    found.append(self.net.input((1, self.choices.integer(1, 9)), scale=0.1, zero=self.zero()))
        return found

    def end(self, x: Node) -> Node:
        """(1, C), or (1, L * C) where that is short."""
        values = x.shape[1] * x.shape[2] * x.shape[3]
        if values <= 300 and self.chance(30):
            return self.net.reshape(x, (1, values))
        if self.chance(15):
            return self.net.mean(x, code="REDUCE_MAX")
        if self.chance(15):
            pooled = self.net.pool(x, self.pick(("AVERAGE", "MAX")), max(x.shape[1:3]))
            return self.net.reshape(pooled, (1, x.shape[3]))
        mean = self.net.mean(x, keep=self.chance(30), scale=x.scale * self.factor(), zero=self.near_zero(x))
        return mean if len(mean.shape) == 2 else self.net.reshape(mean, (1, x.shape[3]))

    def head(self, vectors: list[Node]) -> Node:
        """Vectors to scores."""
        x = vectors[0]
        if len(vectors) > 1:
            x = self.net.concat(self.alike(vectors))
        for _ in range(self.choices.integer(0, 2)):
            x = self.pick((self.vector_dense, self.table, self.constant_operand, self.vector_sum))(x)
        self.net.gain = 0.05 / x.scale
        x = self.net.dense(x, self.choices.integer(2, 9), zero=self.pick((0, 0, 10, -60)), per_channel=self.chance(15))
        return self.net.unary(self.pick(("SOFTMAX", "LOGISTIC")), x) if self.chance(70) else x

    # --- blocks over time ------------------------------------------------------------------------------------------

    def conv(self, x: Node, *, same: bool | None = None, stride: int | None = None, channels: int = 0) -> Node:
        """A convolution that fits length and budget."""
        length = max(x.shape[1:3])
        taps, dilation = (1, 1) if self.streams and same else self.taps(length)
        stride = stride or (self.choices.integer(1, 4) if self.chance(40) else 1)
        fixed = channels
        channels = channels or self.choices.integer(1, MAX_CHANNELS)
        while channels > 1 and not fixed and self.macs + length // stride * taps * x.shape[3] * channels > MAX_MACS:
            channels //= 2
        self.macs += length // stride * taps * x.shape[3] * channels
        fields = self.weights(x) | {"stride": stride, "dilation": dilation, "per_channel": not self.chance(15)}
        fields["same"] = self.pads() if same is None else same
        return self.net.conv(x, channels, taps, **fields)

    def depthwise(self, x: Node) -> Node:
        """A depthwise convolution, of multiplier 1 or more."""
        taps, dilation = self.taps(max(x.shape[1:3]))
        multiplier = self.pick((1, 1, 2, 3))
        if x.shape[3] * multiplier > MAX_CHANNELS:
            multiplier = 1
        fields = self.weights(x) | {"dilation": dilation, "stride": self.choices.integer(1, 3), "same": self.pads()}
        return self.net.depthwise(x, taps, multiplier=multiplier, per_channel=not self.chance(15), **fields)

    def pads(self) -> bool:
        """Whether a sliding layer pads its input."""
        return not self.streams and self.chance(50)

    def taps(self, length: int) -> tuple[int, int]:
        """Taps and dilation that reach over no more than the signal."""
        taps = self.choices.integer(1, min(9, length))
        dilation = self.choices.integer(1, 4) if self.chance(30) else 1
        return taps, dilation if (taps - 1) * dilation < length else 1

    def pool(self, x: Node) -> Node:
        """A pool of either kind."""
        size = self.choices.integer(1, min(6, max(x.shape[1:3])))
        activation = self.clamp(x.scale) if self.chance(25) else "NONE"
        stride, same = self.choices.integer(1, 4), self.pads()
        return self.net.pool(x, self.pick(("MAX", "AVERAGE")), size, stride=stride, same=same, activation=activation)

    def pad(self, x: Node) -> Node:
        """Columns of padding, then whatever comes: a convolution may take them over."""
        if max(x.shape[1:3]) == 1:
            return x
        padded = self.net.pad(x, self.choices.integer(0, 5), self.choices.integer(0, 5))
        return self.pick((self.conv, self.depthwise, self.pool, self.table))(padded)

    def table(self, x: Node) -> Node:
        """A function of one value."""
        code = self.pick(("RELU", "RELU6", "LOGISTIC", "TANH", "QUANTIZE"))
        if code == "RELU6" and (x.zero > 60 or x.scale > 1.2) and not self.chance(10):
            code = "QUANTIZE"
        zero = self.pick((-128, -90)) if code == "RELU" and not self.chance(20) else self.near_zero(x)
        return self.net.unary(code, x, scale=x.scale * self.factor(), zero=zero)

    def relabel(self, x: Node) -> Node:
        """To three dimensions and back, as converters do around one-dimensional layers."""
        three = (1, max(x.shape[1:3]), x.shape[3])
        if x.shape[1] == 1:
            return self.net.reshape(self.net.reshape(x, three, code="SQUEEZE"), x.shape, code="EXPAND_DIMS")
        return self.net.reshape(self.net.reshape(x, three), x.shape)

    def residual(self, x: Node) -> Node:
        """x, and layers that keep its shape, summed, subtracted or multiplied."""
        inner = self.conv(x, same=True, stride=1, channels=x.shape[3])
        if self.chance(50):
            inner = self.conv(inner, same=True, stride=1, channels=x.shape[3])
        sides = (x, inner) if self.chance(50) else (inner, x)
        return self.binary(self.pick(("ADD", "ADD", "SUB", "MUL")), *sides)

    def excite(self, x: Node) -> Node:
        """Squeeze-excite: channels weighed by a function of their means."""
        channels = x.shape[3]
        gate = self.net.mean(x, keep=self.chance(50), scale=x.scale * self.factor(), zero=self.near_zero(x))
        middle = self.choices.integer(1, 6)
        if len(gate.shape) == 4 and self.chance(50):
            gate = self.net.conv(gate, middle, 1, zero=-128, activation="RELU")
            gate = self.net.conv(gate, channels, 1, zero=self.zero())
        else:
            gate = self.net.dense(gate, middle, zero=-128, activation="RELU")
            gate = self.net.dense(gate, channels, zero=self.zero())
        gate = self.net.unary(self.pick(("LOGISTIC", "TANH", "RELU6")), gate)
        if len(gate.shape) == 2:
            gate = self.net.reshape(gate, self.pick(((1, 1, 1, channels), (1, 1, channels))))
        return self.binary(self.pick(("MUL", "MUL", "ADD", "SUB")), *((x, gate) if self.chance(70) else (gate, x)))

    def branches(self, x: Node) -> Node:
        """Convolutions side by side, joined."""
        parts = [self.conv(x, same=True, stride=1, channels=self.choices.integer(1, 8)) for _ in range(2)]
        parts += [x] if self.chance(30) else []
        return self.net.concat(self.alike(parts), axis=self.pick((-1, 3)))

    def constant_operand(self, x: Node) -> Node:
        """A sum or product with numbers of the file: one for each channel, for each value, or for all."""
        shape = self.pick((x.shape[-1:], x.shape, (1,), (), (1,) * (len(x.shape) - 1) + x.shape[-1:]))
        values = self.net.random.integers(-128, 128, shape).astype(np.int8)
        constant = self.net.constant(values, scales=[x.scale * self.factor()], zero=self.zero())
        sides = (constant, x) if self.chance(40) else (x, constant)
        return self.binary(self.pick(("ADD", "SUB", "MUL")), *sides)

    # --- vectors ---------------------------------------------------------------------------------------------------

    def vector_dense(self, x: Node, out: int = 0) -> Node:
        """A dense layer."""
        out = out or self.choices.integer(1, 20)
        self.macs += x.shape[-1] * out
        return self.net.dense(x, out, per_channel=self.chance(15), **self.weights(x))

    def vector_sum(self, x: Node) -> Node:
        """A residual connection of vectors."""
        other = self.vector_dense(x, x.shape[-1])
        return self.binary(self.pick(("ADD", "SUB", "MUL")), x, other)

    # --- joints ----------------------------------------------------------------------------------------------------

    def binary(self, code: str, a: Node, b: Node) -> Node:
        """ADD, SUB or MUL with an output scale about what its inputs give."""
        natural = a.scale * b.scale * 50 if code == "MUL" else max(a.scale, b.scale)
        return self.net.binary(code, a, b, scale=natural * self.factor(), **self.clamped(natural))

    def alike(self, parts: Sequence[Node]) -> list[Node]:
        """The parts in the quantization of the coarsest one."""
        coarsest = max(parts, key=lambda part: part.scale)
        scale, zero = coarsest.scale, coarsest.zero
        same = [(part.scale, part.zero) == (scale, zero) for part in parts]
        return [
            p if s else self.net.unary("QUANTIZE", p, scale=scale, zero=zero) for p, s in zip(parts, same, strict=True)
        ]


Block = Callable[[_Net, Node], Node]
_STREAMING_BLOCKS: tuple[Block, ...] = (
    _Net.conv,
    _Net.conv,
    _Net.conv,
    _Net.depthwise,
    _Net.depthwise,
    _Net.pool,
    _Net.pool,
    _Net.table,
    _Net.relabel,
    _Net.residual,
    _Net.branches,
    _Net.constant_operand,
)
_BLOCKS: tuple[Block, ...] = (*_STREAMING_BLOCKS, _Net.residual, _Net.pad, _Net.excite, _Net.excite)
