"""The network that names beats, and its training. Layer: learn; imports numpy; tensorflow inside the functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_edge.errors import TrainingError
from ecg_edge.learn.beatdata import CLASSES, Sampler
from ecg_edge.learn.model import Conv
from ecg_edge.signal.beatview import CHANNELS, COLUMNS

AAMI = (Conv(16, 5, 2), Conv(24, 5, 2), Conv(24, 3))
_DROPOUT, _WEIGHT_DECAY = 0.3, 1e-4

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True, slots=True)
class BeatSettings:
    """How to train; goes into the manifest."""

    steps: int = 500
    batch: int = 256
    learning_rate: float = 3e-3
    label_smoothing: float = 0.05
    seed: int = 1


def build_beat_model() -> tuple[Any, Any]:
    """Two Keras models of the same weights, (batch, COLUMNS, CHANNELS) -> (batch, 3): logits to train, probabilities.

    Input is a view of a beat times quantize.INPUT_SCALE.
    """
    import keras

    k, decay = keras.layers, keras.regularizers.L2(_WEIGHT_DECAY)
    view = keras.Input((COLUMNS, CHANNELS), name="beat")
    x = k.Reshape((1, COLUMNS, CHANNELS))(view)
    for layer in AAMI:
        x = k.Conv2D(layer.filters, (1, layer.kernel), (1, layer.stride), activation="relu", kernel_regularizer=decay)(
            x
        )
    x = k.GlobalAveragePooling2D()(x)
    logits = k.Dense(len(CLASSES), kernel_regularizer=decay, name="logits")(k.Dropout(_DROPOUT)(x))
    return keras.Model(view, logits), keras.Model(view, k.Softmax(name="scores")(logits), name="ecg_edge")


def train_beat_model(sampler: Sampler, settings: BeatSettings, *, input_scale: float, on_step: Progress) -> Any:
    """Train a model from the seed; the same seed on the same machine gives the same model, as far as TensorFlow can.

    Args:
        sampler: gives the batches.
        settings: steps, rate, seed.
        input_scale: the model's input is the int8 view times this.
        on_step: progress.

    Returns:
        Keras, (batch, COLUMNS, CHANNELS) -> probabilities of CLASSES.

    Raises:
        TrainingError: the loss is not a number.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    logits, model = build_beat_model()
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps, alpha=0.02)
    optimizer = keras.optimizers.Adam(rate)
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing)

    @tf.function  # type: ignore[untyped-decorator]
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(y, logits(x, training=True)) + tf.add_n(logits.losses)
        weights = logits.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    for number in range(settings.steps):
        views, labels = sampler.batch(settings.batch)
        targets = np.eye(len(CLASSES), dtype=np.float32)[labels]
        loss = step(tf.constant(views * np.float32(input_scale)), tf.constant(targets))
        on_step(number + 1, settings.steps)
    if not np.isfinite(float(loss)):
        raise TrainingError(f"the loss became {float(loss)}; try a smaller learning rate")
    return model
