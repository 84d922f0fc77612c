"""The shipped architecture, by the rules that let it stream. Layer: learn; imports errors, numpy; tensorflow inside.

Rules: convolutions VALID over time, nothing global before the final pooling, ops that every TFLM has. Time lies along a
unit-height image, because quantization and every kernel library treat Conv2D (1, k) best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecg_edge.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution over time, with batch normalization and ReLU. `separable`: depthwise, then 1 x 1."""

    filters: int
    kernel: int
    stride: int = 1
    separable: bool = False


# 250 Hz / 16 leaves 15.6 columns a second; the two long separable kernels then span nearly two seconds, which is what
# it takes to see that a beat came early. The first stride of 4 loses nothing: prepare leaves little above 25 Hz.
ECG5 = (
    Conv(16, 11, 4),
    Conv(32, 7, 2),
    Conv(40, 5, 2),
    Conv(56, 13, separable=True),
    Conv(64, 13, separable=True),
)


def columns_left(layers: tuple[Conv, ...], window: int) -> int:
    """How many columns of `window` samples reach the final pooling. Raises TrainingError where none does."""
    left = window
    for layer in layers:
        left = (left - layer.kernel) // layer.stride + 1
    if left < 1:
        raise TrainingError(f"a window of {window} samples is shorter than what the network looks at")
    return left


def build_model(layers: tuple[Conv, ...], *, window: int, leads: int, classes: int) -> Any:
    """A Keras model (batch, window, leads) -> (batch, classes) probabilities.

    Its input is the int8 column times the input scale; see quantize.INPUT_SCALE.

    Raises:
        TrainingError: the window is too short for the layers.
    """
    import keras

    columns_left(layers, window)
    k = keras.layers
    signal = keras.Input((window, leads), name="ecg")
    x = k.Reshape((1, window, leads))(signal)
    for layer in layers:
        if layer.separable:
            x = k.DepthwiseConv2D((1, layer.kernel), strides=(1, layer.stride), use_bias=False)(x)
            x = k.BatchNormalization(momentum=0.98)(x)
            x = k.Conv2D(layer.filters, 1, use_bias=False)(x)
        else:
            x = k.Conv2D(layer.filters, (1, layer.kernel), strides=(1, layer.stride), use_bias=False)(x)
        x = k.BatchNormalization(momentum=0.98)(x)
        x = k.ReLU()(x)
    x = k.GlobalAveragePooling2D()(x)
    return keras.Model(signal, k.Dense(classes, activation="softmax", name="scores")(x), name="ecg_edge")
