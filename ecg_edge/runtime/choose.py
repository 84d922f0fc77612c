"""Which backend runs a model here, and why that one. Layer: runtime."""

from __future__ import annotations

from dataclasses import dataclass

from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime.backend import BACKENDS, Backend, open_backend

AUTO = "auto"
REFERENCE = {name.removesuffix("-ref"): name for name in BACKENDS if name.endswith("-ref")}
RUNTIMES = tuple(name for name in BACKENDS if name not in REFERENCE.values())  # what a user may ask for
_WHY = {
    "native": "C generated for this model: equals TensorFlow Lite Micro, and the fastest there is",
    "numpy": "the interpreter in NumPy: equals TensorFlow Lite Micro, and always there",
    "tflm": "TensorFlow Lite Micro itself",
    "tflite-runtime-ref": "reference kernels: equal TensorFlow Lite Micro",
    "tflite-runtime": "fast kernels (XNNPACK): may differ from TensorFlow Lite Micro by an LSB or two",
    "litert-ref": "reference kernels: differ from TensorFlow Lite Micro in rare ties (FULLY_CONNECTED rounds once)",
    "litert": "fast kernels (XNNPACK): may differ from TensorFlow Lite Micro by an LSB or two",
}
EXACT = ("native", "numpy", "tflm", "tflite-runtime-ref")  # every bit of every score
_ORDER = {True: ("native", "tflite-runtime-ref", "numpy"), False: ("native", "litert", "tflite-runtime", "numpy")}


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and why it is this one."""

    backend: Backend
    exact: bool  # its scores are those of TensorFlow Lite Micro, every bit
    why: str  # one line


def choose_backend(wanted: str, model: bytes, *, exact: bool = False) -> Choice:
    """Make the backend that is wanted, or the best that this machine has.

    Args:
        wanted: one of RUNTIMES, or AUTO.
        model: `.tflite` bytes that `graph.check` passed.
        exact: reference kernels where a runtime has several, and of AUTO only what equals TFLM.

    Raises:
        EcgEdgeError: no such backend, not installed, or it refuses the model.
    """
    if wanted != AUTO:
        if wanted not in RUNTIMES:
            raise EcgEdgeError(f"no backend {wanted!r}; there are: {', '.join((AUTO, *RUNTIMES))}")
        return _made(REFERENCE.get(wanted, wanted) if exact else wanted, model, [])
    missed: list[str] = []
    *first, last = _ORDER[exact]
    for name in first:
        try:
            return _made(name, model, missed)
        except EcgEdgeError as error:
            missed.append(f"not {name}: {error}")
    return _made(last, model, missed)


def _made(name: str, model: bytes, missed: list[str]) -> Choice:
    return Choice(open_backend(name, model), name in EXACT, "; ".join((_WHY[name], *missed)))
