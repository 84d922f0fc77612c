"""LiteRT (ai-edge-litert), Google's current TensorFlow Lite. Layer: runtime; the one door to `ai_edge_litert`.

Its default kernels (XNNPACK) round once where TensorFlow Lite Micro rounds twice, so every CONV_2D may be an LSB off,
scores a dozen, and now and then a verdict flips: `bench --backends` counts that, nothing here hides it.
"""

from __future__ import annotations

import platform

from ecg_edge.errors import GraphError
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.lite import LiteBackend, first_line, glibc_lack


def litert_backend(model: bytes, *, reference: bool = False, threads: int = 1) -> LiteBackend:
    """Load a model into LiteRT.

    Args:
        model: `.tflite` bytes that `graph.check` passed.
        reference: the built-in reference kernels instead of XNNPACK: slower, close to TFLM, not equal to it.
        threads: CPU threads.

    Raises:
        RuntimeMissingError: not installed, or not usable here.
        GraphError: LiteRT refuses the model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise RuntimeMissingError(_advice(error)) from error
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    name = "litert-ref" if reference else "litert"
    try:
        interpreter = Interpreter(model_content=model, num_threads=threads, experimental_op_resolver_type=resolver)
    except (RuntimeError, ValueError) as error:
        raise GraphError(f"{name} refuses the model: {first_line(error)}") from error
    return LiteBackend(interpreter, name)


def _advice(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] == "ai_edge_litert":
        if platform.machine() in ("armv7l", "armv6l"):
            return "LiteRT has no wheels for 32-bit ARM; use tflite-runtime: pip install 'ecg-edge[pi]'"
        return "LiteRT is not installed: pip install 'ecg-edge[litert]'"
    if lack := glibc_lack("LiteRT", error):
        return lack
    return f"LiteRT is installed and does not import ({first_line(error)}); reinstall: pip install 'ecg-edge[litert]'"
