"""Which backend runs a model here, and why that one. Layer: runtime."""

from __future__ import annotations

from dataclasses import dataclass

from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime.backend import BACKENDS, Backend, open_backend

AUTO = "auto"
REFERENCE = {name.removesuffix("-ref"): name for name in BACKENDS if name.endswith("-ref")}
RUNTIMES = tuple(name for name in BACKENDS if name not in REFERENCE.values())  # what a user may ask for
_FAST = (
    "fast kernels: scores differ from TensorFlow Lite Micro's, by an LSB or a dozen, and now and then a verdict flips"
)
WHY = {  # of each backend, what its scores are
    "native": "C generated for this model: equals TensorFlow Lite Micro, and the fastest there is",
    "numpy": "the interpreter in NumPy: equals TensorFlow Lite Micro, and always there",
    "tflm": "TensorFlow Lite Micro itself",
    "tflite-runtime-ref": "reference kernels: equal TensorFlow Lite Micro",
    "tflite-runtime": _FAST,
    "litert-ref": "reference kernels: differ from TensorFlow Lite Micro in rare ties (FULLY_CONNECTED rounds once)",
    "litert": _FAST,
}
EXACT = ("native", "numpy", "tflm", "tflite-runtime-ref")  # every bit of every score
_ORDER = ("native", "tflite-runtime-ref", "numpy")  # of AUTO, the fastest first; the last is always there


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
        exact: reference kernels where a runtime has several. AUTO takes none but those that equal TFLM: at a verdict
            or so a second, speed is no reason to differ.

    Raises:
        EcgEdgeError: no such backend, not installed, or it refuses the model.
    """
    if wanted != AUTO:
        if wanted not in RUNTIMES:
            raise EcgEdgeError(f"no backend {wanted!r}; there are: {', '.join((AUTO, *RUNTIMES))}")
        return _made(REFERENCE.get(wanted, wanted) if exact else wanted, model, [])
    missed: list[str] = []
    *first, last = _ORDER
    for name in first:
        try:
            return _made(name, model, missed)
        except EcgEdgeError as error:
            missed.append(f"not {name}: {error}")
    return _made(last, model, missed)


def _made(name: str, model: bytes, missed: list[str]) -> Choice:
    return Choice(open_backend(name, model), name in EXACT, "; ".join((WHY[name], *missed)))
