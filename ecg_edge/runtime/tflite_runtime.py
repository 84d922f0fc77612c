"""tflite-runtime 2.14, the runtime of older Raspberry Pi systems. Layer: runtime; the one door to `tflite_runtime`.

With its reference kernels it equals TensorFlow Lite Micro bit for bit (measured on x86-64, aarch64 and armv7l): the
exact mode of a Pi. It was built against NumPy 1: under NumPy 2 it imports, and fails only when an interpreter is made.
"""

from __future__ import annotations

import sys

import numpy as np

from ecg_edge.errors import GraphError
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.lite import LiteBackend, first_line

_LAST_PYTHON = (3, 11)  # for which wheels exist


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


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] == "tflite_runtime":
        if sys.version_info[:2] > _LAST_PYTHON:
            here, last = (".".join(map(str, v)) for v in (sys.version_info[:2], _LAST_PYTHON))
            return (
                f"tflite-runtime has no wheels for Python {here}; use Python {last}, or pip install 'ecg-edge[litert]'"
            )
        return "tflite-runtime is not installed: pip install 'ecg-edge[pi]'"
    if int(np.__version__.split(".")[0]) >= 2:
        return f"tflite-runtime 2.14 needs NumPy 1, and NumPy {np.__version__} is installed: pip install 'numpy<2'"
    return f"tflite-runtime is installed and does not work ({first_line(error)}); reinstall: pip install 'ecg-edge[pi]'"
