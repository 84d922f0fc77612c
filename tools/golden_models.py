"""Makes the small models of tests/golden/models: random weights, one for each way that Keras writes an op.

Needs TensorFlow. Run by `tools/golden.py --models`; weights are seeded, yet a new TensorFlow may write another file, so
the files are committed and this runs only to add one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf
from keras import layers as kl

SEED = 20261
LENGTH = 48
CLASSES = 5


def conv1d(x: Any) -> Any:
    """Keras Conv1D, which converts to EXPAND_DIMS, CONV_2D and RESHAPE; SAME, VALID, stride, dilation."""
    x = kl.Conv1D(6, 5, strides=2, padding="same", activation="relu")(x)
    x = kl.Conv1D(8, 3, dilation_rate=2)(x)
    return _head(kl.GlobalAveragePooling1D()(x))


def rows(x: Any) -> Any:
    """Conv2D and DepthwiseConv2D in the (1, k) layout, RELU6, mean with its axes kept."""
    x = kl.Reshape((1, LENGTH, -1))(x)
    x = kl.Conv2D(6, (1, 7), strides=(1, 2), activation="relu6")(x)
    x = kl.DepthwiseConv2D((1, 5), strides=2, padding="same")(x)
    x = kl.Conv2D(9, 1, activation="relu")(x)
    return _head(kl.Flatten()(kl.GlobalAveragePooling2D(keepdims=True)(x)))


def columns(x: Any) -> Any:
    """The (k, 1) layout: convolutions, both pools, dilation."""
    x = kl.Reshape((LENGTH, 1, -1))(x)
    x = kl.Conv2D(5, (4, 1), padding="same", dilation_rate=(3, 1), activation="relu")(x)
    x = kl.MaxPooling2D((3, 1), strides=(2, 1), padding="same")(x)
    x = kl.DepthwiseConv2D((3, 1), dilation_rate=(2, 1), activation="relu")(x)
    x = kl.AveragePooling2D((2, 1))(x)
    return _head(kl.GlobalAveragePooling2D()(x))


def pools(x: Any) -> Any:
    """Keras' 1-D pools, SAME and VALID, over two leads, and the global maximum."""
    x = kl.Conv1D(6, 3)(x)
    x = kl.AveragePooling1D(3, strides=2, padding="same")(x)
    x = kl.MaxPooling1D(2)(x)
    x = kl.Conv1D(7, 1)(x)
    return _head(kl.GlobalMaxPooling1D()(x))


def residual(x: Any) -> Any:
    """Two residual connections, one with a fused RELU; the sigmoid at the end."""
    x = kl.Conv1D(6, 3, padding="same")(x)
    y = kl.Conv1D(6, 3, padding="same", activation="relu")(x)
    x = kl.ReLU()(kl.Add()([x, y]))
    y = kl.Conv1D(6, 1)(x)
    x = kl.Add()([y, x])
    x = kl.GlobalAveragePooling1D()(x)
    return kl.Dense(CLASSES, activation="sigmoid")(x)


def flat(x: Any) -> Any:
    """Dense on the flattened columns, with fused RELU and RELU6."""
    x = kl.MaxPooling1D(4)(x)
    x = kl.Flatten()(x)
    x = kl.Dense(7, activation="relu")(x)
    x = kl.Dense(6, activation="relu6")(x)
    return _head(x)


def loose(x: Any) -> Any:
    """RELU and RELU6 that nothing fuses, a fold of time into channels, Dense at every time step.

    The last RELU6 clamps nothing: only then does the converter give both its sides one scale, as TFLM needs.
    """
    x = kl.ReLU()(x)
    x = kl.Reshape((LENGTH // 4, -1))(x)
    x = kl.Dense(6)(x)
    x = kl.MaxPooling1D(2)(x)
    x = kl.ReLU(max_value=6.0)(x)
    x = kl.ReLU(max_value=6.0)(kl.GlobalAveragePooling1D()(x))
    return _head(x)


def separable(x: Any) -> Any:
    """SeparableConv1D on one lead: a depthwise convolution of multiplier 4, then one tap."""
    x = kl.SeparableConv1D(6, 5, depth_multiplier=4, activation="relu")(x)
    x = kl.SeparableConv1D(8, 3, strides=2, padding="same")(x)
    return _head(kl.GlobalAveragePooling1D()(x))


def wide(x: Any) -> Any:
    """Enough weights (1,024) in one op for the converter's dynamic-range quantization to touch it."""
    x = kl.Conv1D(16, 3)(x)
    return _head(kl.GlobalAveragePooling1D()(kl.Conv1D(32, 2)(x)))


def causal(x: Any) -> Any:
    """Causal padding, which converts to PAD, and zeros put around by hand."""
    x = kl.Conv1D(5, 4, padding="causal", strides=2, activation="relu")(x)
    x = kl.ZeroPadding1D((1, 1))(x)
    x = kl.Conv1D(6, 3, padding="same")(x)
    x = kl.Conv1D(6, 3, padding="causal", dilation_rate=2)(x)
    return _head(kl.GlobalAveragePooling1D()(x))


def excite(x: Any) -> Any:
    """A squeeze-excite, branches side by side, tanh, a difference, and padding that no convolution takes over."""
    x = kl.Conv1D(8, 5, padding="same", activation="relu")(x)
    gate = kl.Dense(3, activation="relu")(kl.GlobalAveragePooling1D()(x))
    gate = kl.Dense(8, activation="sigmoid")(gate)
    x = kl.Multiply()([x, kl.Reshape((1, 8))(gate)])
    left = kl.Conv1D(5, 3, padding="same", activation="tanh")(x)
    right = kl.Conv1D(4, 7, padding="same", dilation_rate=2)(x)
    x = kl.Concatenate()([left, right])
    x = kl.MaxPooling1D(3, strides=2)(kl.ZeroPadding1D((2, 1))(x))
    x = kl.Subtract()([x, kl.Conv1D(9, 1)(x)])
    return _head(kl.GlobalAveragePooling1D()(x))


def _head(x: Any) -> Any:
    return kl.Dense(CLASSES, activation="softmax")(x)


# name -> (layers, leads)
MODELS: Mapping[str, tuple[Callable[[Any], Any], int]] = {
    "conv1d": (conv1d, 1),
    "rows": (rows, 1),
    "columns": (columns, 2),
    "pools": (pools, 2),
    "residual": (residual, 1),
    "flat": (flat, 2),
    "loose": (loose, 1),
    "separable": (separable, 1),
    "causal": (causal, 1),
    "excite": (excite, 2),
}


def build(make: Callable[[Any], Any], leads: int = 1, *, batch: int | None = 1) -> keras.Model:
    """A model with random weights and biases."""
    keras.utils.set_random_seed(SEED)
    x = keras.Input(batch_shape=(batch, LENGTH, leads))
    model = keras.Model(x, make(x))
    rng = np.random.default_rng(SEED)
    # Keras starts biases at 0, which would test nothing; weights vary by channel so that the scales do too.
    model.set_weights([rng.normal(0.0, 0.3, w.shape) * rng.uniform(0.3, 1.5, w.shape[-1]) for w in model.get_weights()])
    return model


def convert(model: keras.Model, kind: str) -> bytes:
    """One way to convert: "int8", or one that the reader or the check must refuse."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter._experimental_disable_per_channel_quantization_for_dense_layers = kind != "dense_per_channel"
    if kind == "float":
        return bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind != "dynamic_range":
        rng = np.random.default_rng(SEED)
        shape = (1, *model.input_shape[1:])
        samples = [np.cumsum(rng.normal(0.0, 0.4, shape), axis=1).astype(np.float32) for _ in range(64)]
        converter.representative_dataset = lambda: ([s] for s in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = {
            "uint8": tf.uint8,
            "float_ends": tf.float32,
        }.get(kind, tf.int8)
    return bytes(converter.convert())


def write_models(folder: Path) -> None:
    """Every int8 model, the float twin of `conv1d`, and models that must be refused."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, leads) in MODELS.items():
        (folder / f"{name}.tflite").write_bytes(convert(build(make, leads), "int8"))
    for kind in ("float", "dense_per_channel", "uint8", "float_ends"):
        (folder / f"{kind}.tflite").write_bytes(convert(build(conv1d), kind))
    (folder / "dynamic_range.tflite").write_bytes(convert(build(wide), "dynamic_range"))
    (folder / "dynamic_batch.tflite").write_bytes(convert(build(conv1d, batch=None), "int8"))


if __name__ == "__main__":
    write_models(Path(sys.argv[1]))
