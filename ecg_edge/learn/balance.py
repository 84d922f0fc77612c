"""Set the classes' biases where they pay: at the noise that the model is meant for. Layer: learn; imports numpy.

Training sees much noise, so that the model survives it; that shifts where one class ends and the next begins. Moving
the last layer's biases on windows of other subjects, at the SNR of use, undoes that and costs nothing on a device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 4
STEPS = np.linspace(-0.6, 0.6, 25)  # nats


def fit_biases(log_probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """What to add to each class's log probability for the highest accuracy, by coordinate ascent.

    Args:
        log_probabilities: (n, classes).
        labels: (n,) the truth.

    Returns:
        (classes,) with mean 0; zeros where nothing does better.
    """
    biases = np.zeros(log_probabilities.shape[1])
    best = _accuracy(log_probabilities, labels, biases)
    for _ in range(ROUNDS):
        for column in range(biases.size):
            for step in STEPS:
                trial = biases.copy()
                trial[column] += step
                found = _accuracy(log_probabilities, labels, trial)
                if found > best:
                    best, biases = found, trial
    return np.asarray(biases - biases.mean())


def _accuracy(log_probabilities: Floats, labels: NDArray[np.int64], biases: Floats) -> float:
    return float(((log_probabilities + biases).argmax(axis=1) == labels).mean())


def balance(model: Any, columns: NDArray[np.int8], labels: NDArray[np.int64], *, input_scale: float) -> Floats:
    """Fit the biases on windows and move the model's last Dense layer by them, in place.

    Args:
        model: Keras, ends in Dense with softmax.
        columns: (n, window, leads) prepared columns of subjects that training has not seen.
        labels: (n,).
        input_scale: the model's input is the column times this.

    Returns:
        (classes,) what was added.
    """
    probabilities = model.predict(columns * np.float32(input_scale), batch_size=1024, verbose=0)
    biases = fit_biases(np.log(np.maximum(probabilities.astype(np.float64), 1e-9)), labels)
    dense = model.layers[-1]
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel, (bias + biases).astype(bias.dtype)])
    return biases
