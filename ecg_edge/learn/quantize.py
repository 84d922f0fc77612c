"""A Keras model -> float and full-int8 .tflite bytes. Layer: learn; imports errors; tensorflow inside the functions."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import TrainingError

# One input step is 16 uV, so 1.0 is 1.024 mV. A power of two makes every column exact in float32.
INPUT_SCALE = 1.0 / 64.0
CALIBRATION_WINDOWS = 1000


def load_keras(path: Path) -> Any:
    """Read a .keras or .h5. Raises TrainingError where it is not one, or its shape is not (batch, window, leads)."""
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{path}: Keras cannot read it: {str(error).splitlines()[0]}") from error
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 3 or None in model.inputs[0].shape[1:]:
        raise TrainingError(f"{path}: input shape is {model.input_shape}, not (batch, window, leads)")
    return model


def save_keras(model: Any, folder: Path) -> tuple[Path, Path]:
    """Write model.keras and model.h5 into a folder -> their paths."""
    from absl import logging

    paths = folder / "model.keras", folder / "model.h5"
    loudness = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Keras calls .h5 a legacy format; its users still expect it
    try:
        for path in paths:
            model.save(path)
    finally:
        logging.set_verbosity(loudness)
    return paths


def _converter(model: Any) -> Any:
    """Batch fixed at 1: a dynamic batch makes some TFLM kernels resize, and they cannot."""
    import keras
    import tensorflow as tf

    fixed = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))


def float_tflite(model: Any) -> bytes:
    """The float model as .tflite, so that comparing needs no TensorFlow."""
    return _quietly(_converter(model))


def int8_tflite(model: Any, calibration: NDArray[np.int8], *, input_scale: float = INPUT_SCALE) -> bytes:
    """Full int8 post-training quantization: int8 in, int8 out, batch 1, one scale for Dense weights.

    Args:
        model: Keras, (batch, window, leads) -> probabilities.
        calibration: (n, window, leads) prepared columns of training windows.
        input_scale: the float input is the column times this.

    Returns:
        .tflite bytes whose input scale is exactly `input_scale` and whose input zero point is 0.

    Raises:
        TrainingError: there is no calibration window.
    """
    import tensorflow as tf

    if len(calibration) == 0:
        raise TrainingError("quantization needs calibration windows, and there are none")
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    # TensorFlow 2.17 and later write per-channel Dense weights by default; older TFLM copies then answer wrongly,
    # without an error.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    windows = calibration.astype(np.float32) * np.float32(input_scale)
    # The first one pins the input's range to -128 .. 127 steps, so that columns are the model's input as they are.
    windows[0].reshape(-1)[:2] = -128 * input_scale, 127 * input_scale
    converter.representative_dataset = lambda: ([window[None]] for window in windows)
    return _quietly(converter)


def slim(model: bytes) -> bytes:
    """The same .tflite with short tensor names and no metadata: a fifth smaller, and nothing computed changes.

    Converters name tensors after every fused Keras layer, up to 300 bytes a name; they would all go to flash.
    """
    from tensorflow.lite.tools import flatbuffer_utils as flatbuffers

    parsed = flatbuffers.convert_bytearray_to_object(bytearray(model))
    flatbuffers.strip_strings(parsed)
    parsed.metadata = None
    for subgraph in parsed.subgraphs:
        for number, tensor in enumerate(subgraph.tensors):
            tensor.name = f"t{number}".encode()
        subgraph.tensors[subgraph.inputs[0]].name = b"ecg"
        subgraph.tensors[subgraph.outputs[0]].name = b"scores"
    return bytes(flatbuffers.convert_object_to_bytearray(parsed))


def _quietly(converter: Any) -> bytes:
    """Convert; the converter talks at length on both outputs, and only a failure is worth reading."""
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            return slim(bytes(converter.convert()))
        except Exception:
            log.seek(0)
            os.write(kept[1], log.read())
            raise
        finally:
            sys.stdout.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
