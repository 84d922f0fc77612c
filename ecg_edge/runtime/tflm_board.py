"""The engine process of `virtual:tflm`: the firmware's C application with the tflite-micro wheel behind it.

    python -m ecg_edge.runtime.tflm_board LIBRARY MODEL

Layer: runtime; imports errors. LIBRARY is firmware/host as a shared library; the model is the C array in it, so that
what runs is what the firmware would carry. It serves until stdin ends.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime.tflm import TflmBackend, arena_bytes, tflm_version

ENGINE_TFLM = 1  # on the wire
_Bytes = ctypes.POINTER(ctypes.c_int8)
_Engine = ctypes.CFUNCTYPE(ctypes.c_int, _Bytes, _Bytes)


def embedded_model(library: ctypes.CDLL, name: str) -> bytes:
    """The .tflite that the library carries as ecg_model_<name>_data.

    Raises:
        EcgEdgeError: it carries none of that name.
    """
    try:
        size = ctypes.c_uint.in_dll(library, f"ecg_model_{name}_data_len").value
        return bytes((ctypes.c_ubyte * size).in_dll(library, f"ecg_model_{name}_data"))
    except ValueError as error:
        raise EcgEdgeError(f"{library._name} carries no model {name}") from error


def serve(path: str, name: str) -> int:
    """Run the application until its stdin ends; gives what ecg_host_serve() gives.

    Raises:
        EcgEdgeError: no wheel, no such model, or TFLM cannot run it.
    """
    library = ctypes.CDLL(path)
    model = embedded_model(library, name)
    backend = TflmBackend(model)
    shape = tuple(int(size) for size in backend._inputs[0]["shape"])

    def run(window: ctypes._Pointer[ctypes.c_int8], scores: ctypes._Pointer[ctypes.c_int8]) -> int:
        columns = np.ctypeslib.as_array(window, shape[1:])
        answer = backend.run(columns[None])
        ctypes.memmove(scores, answer.ctypes.data, answer.nbytes)
        return 0

    engine = _Engine(run)  # referenced until the call returns
    version = f"tflite-micro {tflm_version()}".encode("ascii", "replace")
    return int(library.ecg_host_serve(engine, 0, ENGINE_TFLM, version, arena_bytes(model)))


def main() -> int:
    """Command line: the exit status."""
    try:
        return serve(sys.argv[1], sys.argv[2])
    except EcgEdgeError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
