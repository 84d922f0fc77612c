"""Random small int8 graphs of every op the native engine has, in shapes, strides and padding no model would use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.graph.ir import (
    AveragePool1D,
    Conv1D,
    Dense,
    DepthwiseConv1D,
    Graph,
    Logistic,
    MaxPool1D,
    Mean,
    Op,
    Quant,
    Relu,
    Softmax,
    Tensor,
)
from ecg_edge.graph.quant import logistic_parameters, mean_multiplier, softmax_parameters


@dataclass
class Builder:
    """A chain of ops under construction."""

    random: np.random.Generator
    pads: bool  # whether layers may pad
    tensor: Tensor
    ops: list[Op] = field(default_factory=list)

    def next_tensor(self, shape: tuple[int, ...]) -> Tensor:
        """The output of the op to come."""
        return _tensor(f"t{len(self.ops) + 1}", shape, int(self.random.integers(-128, 128)))

    def add(self, op: Op) -> None:
        """Append, and go on from its output."""
        self.ops.append(op)
        self.tensor = op.output

    def integer(self, low: int, high: int) -> int:
        """low..high, both included."""
        return int(self.random.integers(low, high + 1))


def random_graph(seed: int) -> Graph:
    """The graph of a seed; about every second one pads."""
    random = np.random.default_rng(seed)
    leads = int(random.integers(1, 4))
    build = Builder(random, bool(seed % 2), _tensor("t0", (int(random.integers(60, 121)), leads), _zero(random)))
    source = build.tensor
    for _ in range(build.integer(1, 5)):
        random.choice(np.array([_conv, _conv, _depthwise, _pool, _table], dtype=object))(build)
    if random.random() < 0.6:
        _mean(build)
    for _ in range(build.integer(0, 1)):
        _dense(build, build.integer(2, 9))
    _dense(build, build.integer(2, 6))
    if random.random() < 0.7:
        out = _tensor("scores", build.tensor.shape, -128)
        parameters = softmax_parameters(1.0, float(random.uniform(0.005, 0.6)))
        build.add(Softmax("softmax1", build.tensor, out, 1.0, *parameters))
    return Graph(f"random{seed}", f"{seed:064x}", (source,), build.tensor, tuple(build.ops), ())


def _conv(build: Builder) -> None:
    channels = build.tensor.shape[1]
    out, taps = build.integer(1, 9), build.integer(1, 6)
    window = _window(build, taps)
    if window is None:
        return
    weights = build.random.integers(-127, 128, (out, taps, channels)).astype(np.int8)
    columns, places = window
    build.add(
        Conv1D(
            name=f"conv{len(build.ops)}",
            input=build.tensor,
            output=build.next_tensor((columns, out)),
            weights=weights,
            **places,
            **_units(build, weights.reshape(out, -1)),
        )
    )


def _depthwise(build: Builder) -> None:
    channels, taps = build.tensor.shape[1], build.integer(1, 6)
    window = _window(build, taps)
    if window is None:
        return
    weights = build.random.integers(-127, 128, (taps, channels)).astype(np.int8)
    columns, places = window
    build.add(
        DepthwiseConv1D(
            name=f"depthwise{len(build.ops)}",
            input=build.tensor,
            output=build.next_tensor((columns, channels)),
            weights=weights,
            **places,
            **_units(build, weights.T),
        )
    )


def _pool(build: Builder) -> None:
    average = build.random.random() < 0.5
    pool = build.integer(1, 5)
    window = _window(build, pool, may_pad=not average, may_dilate=False)
    if window is None:
        return
    columns, places = window
    places.pop("dilation")
    kind = AveragePool1D if average else MaxPool1D
    low = build.integer(-128, 0)
    output = _tensor(f"t{len(build.ops) + 1}", (columns, build.tensor.shape[1]), _zero_of(build.tensor))
    build.add(
        kind(
            name=f"{'avg' if average else 'max'}pool{len(build.ops)}",
            input=build.tensor,
            output=output,
            pool=pool,
            activation="NONE",
            act_min=low,
            act_max=build.integer(low, 127),
            **places,
        )
    )


def _table(build: Builder) -> None:
    if not build.ops:
        return  # the engine takes no elementwise op on the input
    name, zero = f"table{len(build.ops)}", _zero_of(build.tensor)
    if build.random.random() < 0.5:
        out = _tensor(f"t{len(build.ops) + 1}", build.tensor.shape, -128)
        build.add(Logistic(name, build.tensor, out, *logistic_parameters(0.05), zero))
    else:
        out = build.next_tensor(build.tensor.shape)
        multiplier = build.integer(1 << 30, (1 << 31) - 1)
        low = _zero_of(out)
        build.add(Relu(name, build.tensor, out, "RELU", multiplier, build.integer(-2, 1), zero, low, low, 127))


def _mean(build: Builder) -> None:
    length, channels = build.tensor.shape
    multiplier, shift = mean_multiplier(0.1, float(build.random.uniform(0.01, 0.1)), length)
    out = build.next_tensor((channels,))
    build.add(Mean("mean1", build.tensor, out, multiplier, shift, _zero_of(build.tensor), _zero_of(out)))


def _dense(build: Builder, out: int) -> None:
    values = int(np.prod(build.tensor.shape))
    weights = build.random.integers(-127, 128, (out, values)).astype(np.int8)
    output = build.next_tensor((out,))
    units = _units(build, weights)
    units["multipliers"], units["shifts"] = units["multipliers"][:1], units["shifts"][:1]
    build.add(Dense(name=f"dense{len(build.ops)}", input=build.tensor, output=output, weights=weights, **units))


def _window(
    build: Builder, taps: int, *, may_pad: bool = True, may_dilate: bool = True
) -> tuple[int, dict[str, Any]] | None:
    """(output columns, the op's fields about time), or None when the signal is too short for it."""
    dilation = build.integer(1, 3) if may_dilate and build.random.random() < 0.3 else 1
    stride = build.integer(1, 4)
    span = (taps - 1) * dilation + 1
    pads = build.pads and may_pad and build.random.random() < 0.7
    before, after = (build.integer(0, span - 1), build.integer(0, span - 1)) if pads else (0, 0)
    columns = (build.tensor.shape[0] + before + after - span) // stride + 1
    if columns < 1:
        return None
    padding = "SAME" if pads else "VALID"
    places = {"stride": stride, "dilation": dilation, "padding": padding, "pad_before": before, "pad_after": after}
    return columns, places


def _units(build: Builder, weights: NDArray[np.int8]) -> dict[str, Any]:
    """Bias and requantization that spread the outputs over int8. weights: (out, ...)."""
    random, out = build.random, len(weights)
    reach = np.abs(weights.astype(np.int64)).sum(axis=1).max() * 128
    low = build.integer(-128, 0)
    return {
        "bias": random.integers(-reach // 4, reach // 4 + 1, out).astype(np.int32),
        "activation": "NONE",
        "weight_quant": None,
        "multipliers": random.integers(1 << 30, 1 << 31, out).astype(np.int32),
        "shifts": (9 - int(reach).bit_length() + random.integers(-1, 2, out)).astype(np.int32),
        "input_zero": _zero_of(build.tensor),
        "output_zero": build.integer(-128, 127),
        "act_min": low,
        "act_max": build.integer(low + 1, 127),
    }


def _tensor(name: str, shape: tuple[int, ...], zero: int) -> Tensor:
    return Tensor(name, shape, "int8", Quant((0.1,), zero, None))


def _zero(random: np.random.Generator) -> int:
    return int(random.integers(-128, 128))


def _zero_of(tensor: Tensor) -> int:
    assert tensor.quant is not None
    return tensor.quant.zero_point
