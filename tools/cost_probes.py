"""Models of one layer that matters, in the sizes that real ones have: what random models seldom hold. For costs.py.

A stack of a layer, a mean over time and a small dense layer; nothing of a shipped or a benchmark model.
"""

from __future__ import annotations

from collections.abc import Callable

from tflite_writer import Node, Writer  # tests/helpers

Layers = Callable[[Writer, Node], Node]
_LENGTH = 72


def probes() -> dict[str, bytes]:
    """Name -> file."""
    found: dict[str, tuple[int, Layers]] = {}
    for inputs, taps, out in _CONVOLUTIONS:
        found[f"conv_{inputs}_{taps}_{out}"] = (inputs, _conv(taps, out))
        found[f"relu_{inputs}_{taps}_{out}"] = (inputs, _conv(taps, out, activation="RELU", zero=-128, stride=2))
    for channels, taps in _DEPTHWISE:
        found[f"depthwise_{channels}_{taps}"] = (channels, _depthwise(taps))
    for name, channels, layers in _OTHERS:
        found[f"{name}_{channels}"] = (channels, layers)
    return {name: _file(index, channels, layers) for index, (name, (channels, layers)) in enumerate(found.items())}


_CONVOLUTIONS = ((1, 9, 16), (3, 4, 10), (8, 6, 24), (20, 3, 20), (24, 5, 16), (32, 1, 40), (40, 3, 31), (64, 2, 12))
_DEPTHWISE = ((4, 7), (12, 5), (20, 11), (32, 3), (18, 9))
_OTHERS: tuple[tuple[str, int, Layers], ...] = (
    ("maximum", 16, lambda w, x: w.pool(x, "MAX", 3, stride=2)),
    ("average", 16, lambda w, x: w.pool(x, "AVERAGE", 4, stride=4)),
    ("table", 12, lambda w, x: w.unary("TANH", x)),
    ("residual", 16, lambda w, x: w.binary("ADD", x, w.conv(x, 16, 3, same=True), scale=x.scale)),
    ("product", 12, lambda w, x: w.binary("MUL", x, w.conv(x, 12, 1), scale=x.scale)),
    ("deep", 8, lambda w, x: w.conv(w.depthwise(w.conv(x, 24, 5, stride=2), 9), 32, 1)),
    ("dilated", 8, lambda w, x: w.conv(w.conv(x, 16, 3, dilation=4), 16, 3, dilation=2)),
    ("dense", 64, lambda w, x: x),
)


def _conv(taps: int, out: int, **options: object) -> Layers:
    return lambda w, x: w.conv(x, out, taps, **options)  # type: ignore[arg-type]


def _depthwise(taps: int) -> Layers:
    return lambda w, x: w.depthwise(x, taps)


def _file(seed: int, channels: int, layers: Layers) -> bytes:
    net = Writer(seed=seed)
    x = layers(net, net.input((1, 1, _LENGTH, channels), scale=0.05, zero=-3))
    mean = net.mean(x)
    if mean.shape != (1, x.shape[-1]):
        mean = net.reshape(mean, (1, x.shape[-1]))
    hidden = net.dense(mean, 24) if channels == 64 else mean
    return net.finish(net.unary("SOFTMAX", net.dense(hidden, 3 + seed % 7)))
