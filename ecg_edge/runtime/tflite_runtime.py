"""tflite-runtime 2.14, the runtime of older Raspberry Pi systems. Layer: runtime; the one door to `tflite_runtime`.

With its reference kernels it equals TensorFlow Lite Micro bit for bit (measured on x86-64, aarch64 and armv7l): the
exact mode of a Pi. It was built against NumPy 1: under NumPy 2 it imports, and fails only when an interpreter is made.
"""

from __future__ import annotations

import platform
import sys

import numpy as np

from ecg_edge.errors import GraphError
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.lite import LiteBackend, first_line, glibc_lack

_LAST_PYTHON = (3, 11)  # for which wheels exist
_ARM = ("aarch64", "armv7l", "armv6l")
_ARM_GLIBC = (2, 34)  # what its wheels for ARM need


def tflite_runtime_backend(model: bytes, *, reference: bool = False, threads: int = 1) -> LiteBackend:
    """Load a model into tflite-runtime.

    Args:
        model: `.tflite` bytes that `graph.check` passed.
        reference: the built-in reference kernels, equal to TFLM, instead of XNNPACK.
        threads: CPU threads.

    Raises:
        RuntimeMissingError: not installed, or not usable here.
        GraphError: tflite-runtime refuses the model.
    """
    _settle_numpy()
    try:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except (ImportError, AttributeError) as error:  # AttributeError: compiled against NumPy 1, loaded under NumPy 2
        raise RuntimeMissingError(_advice(error)) from error
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    name = "tflite-runtime-ref" if reference else "tflite-runtime"
    try:
        interpreter = Interpreter(model_content=model, num_threads=threads, experimental_op_resolver_type=resolver)
    except (RuntimeError, ValueError) as error:
        if "vector::reserve" in str(error) and "tensorflow" in sys.modules:
            raise RuntimeMissingError(f"{name} does not work in a process that loaded TensorFlow before it") from error
        raise GraphError(f"{name} refuses the model: {first_line(error)}") from error
    except SystemError as error:
        raise RuntimeMissingError(_advice(error)) from error
    return LiteBackend(interpreter, name)


def _settle_numpy() -> None:
    """Let NumPy look at its floats now: on ARM this runtime's library makes tiny ones zero, and NumPy would warn."""
    for kind in (np.float32, np.float64):
        np.finfo(kind)


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] == "tflite_runtime":
        return _missing()
    if int(np.__version__.split(".")[0]) >= 2:
        return f"tflite-runtime 2.14 needs NumPy 1, and NumPy {np.__version__} is installed: pip install 'numpy<2'"
    if lack := glibc_lack("tflite-runtime", error):
        return lack
    return f"tflite-runtime is installed and does not work ({first_line(error)}); reinstall: pip install 'ecg-edge[pi]'"


def _missing() -> str:
    """Why it is not here, and what to do."""
    python, glibc, machine = sys.version_info[:2], platform.libc_ver()[1], platform.machine()
    other = "native and numpy do without" if machine in _ARM[1:] else "or take LiteRT: pip install 'ecg-edge[litert]'"
    if python > _LAST_PYTHON:
        here, last = (".".join(map(str, version)) for version in (python, _LAST_PYTHON))
        return f"tflite-runtime has no wheels for Python {here}; use Python {last}, {other}"
    if machine in _ARM and glibc and tuple(map(int, glibc.split("."))) < _ARM_GLIBC:
        needed = ".".join(map(str, _ARM_GLIBC))
        return f"tflite-runtime's wheels for ARM need glibc {needed} (Debian 12), and {glibc} is here; {other}"
    return "tflite-runtime is not installed: pip install 'ecg-edge[pi]'"
