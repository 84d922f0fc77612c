"""One interface to everything that runs a model on this machine, one small file each. Layer: runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError


class Backend(Protocol):
    """A model ready to run somewhere."""

    name: str

    def run(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Scores of windows.

        Args:
            windows: (n, length, leads), int8 for a quantized model, float32 for a float one.

        Returns:
            (n, classes), of the model's output type.
        """
        ...


class RuntimeMissingError(EcgEdgeError):
    """A runtime that is not installed, or installed and unusable; the message says what to install."""


def check_windows(windows: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Windows shaped for a model with the batch fixed at 1.

    Args:
        windows: (n, ...), as many values a window as the model takes.
        shape: the model's input, batch included.
        dtype: the model's input type.
        name: the backend, for the error.

    Returns:
        (n, *shape).

    Raises:
        ValueError: another size or type (a bug of the caller: windows are cut by this package).
    """
    if windows.dtype != dtype or windows[0:1].size not in (0, prod(shape)):
        raise ValueError(f"{name} takes (n, {shape[1:]}) {dtype}, not {windows.shape} {windows.dtype}")
    return windows.reshape(len(windows), *shape)


def run_one_by_one(
    windows: NDArray[Any], classes: int, dtype: np.dtype[Any], invoke: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    """Feed a batch-1 model every window in turn.

    Args:
        windows: (n, *input shape).
        classes: values that `invoke` gives.
        dtype: their type.
        invoke: one window in, one row of scores out.

    Returns:
        (n, classes).
    """
    out = np.empty((len(windows), classes), dtype)
    for row, window in zip(out, windows, strict=True):
        row[:] = invoke(window).reshape(-1)
    return out


def open_backend(name: str, model: bytes) -> Backend:
    """Make a backend by its name.

    Args:
        name: one of `BACKENDS`.
        model: `.tflite` bytes that `graph.check` passed.

    Raises:
        EcgEdgeError: no such backend, not installed, or it refuses the model.
    """
    if name not in BACKENDS:
        raise EcgEdgeError(f"no runtime {name!r}; there are: {', '.join(BACKENDS)}")
    return BACKENDS[name](model)


def _native(model: bytes) -> Backend:
    from ecg_edge.runtime.native import NativeBackend

    return NativeBackend(model)


def _numpy(model: bytes) -> Backend:
    from ecg_edge.runtime.numpy import NumpyBackend

    return NumpyBackend(model)


def _tflm(model: bytes) -> Backend:
    from ecg_edge.runtime.tflm import TflmBackend

    return TflmBackend(model)


def _litert(model: bytes) -> Backend:
    from ecg_edge.runtime.litert import litert_backend

    return litert_backend(model)


def _litert_ref(model: bytes) -> Backend:
    from ecg_edge.runtime.litert import litert_backend

    return litert_backend(model, reference=True)


def _tflite_runtime(model: bytes) -> Backend:
    from ecg_edge.runtime.tflite_runtime import tflite_runtime_backend

    return tflite_runtime_backend(model)


def _tflite_runtime_ref(model: bytes) -> Backend:
    from ecg_edge.runtime.tflite_runtime import tflite_runtime_backend

    return tflite_runtime_backend(model, reference=True)


# "-ref": the built-in reference kernels, slower; of tflite-runtime 2.14 they equal TFLM bit for bit.
BACKENDS: Mapping[str, Callable[[bytes], Backend]] = {
    "native": _native,
    "numpy": _numpy,
    "tflm": _tflm,
    "litert": _litert,
    "litert-ref": _litert_ref,
    "tflite-runtime": _tflite_runtime,
    "tflite-runtime-ref": _tflite_runtime_ref,
}
