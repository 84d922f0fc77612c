"""Every backend of this machine against golden answers that another one computed.

    python pi_backends.py GOLDEN.npz ...

Runs inside the emulated Pi, and beside it, and needs the package alone. A file holds a model, windows for it and what
TensorFlow Lite Micro answers (tools/pi.py writes them). Prints one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.agreement import agreement, clear_flips
from ecg_edge.runtime.backend import BACKENDS, RuntimeMissingError, open_backend
from ecg_edge.runtime.choose import EXACT

HERE = tuple(name for name in BACKENDS if name != "tflm")  # what the answers come from is no rival


def compare(name: str, model: bytes, windows: NDArray[np.int8], golden: NDArray[np.int8]) -> dict[str, Any]:
    """How far a backend's scores are from the golden ones, and how often its verdict is another."""
    try:
        backend = open_backend(name, model)
    except RuntimeMissingError as error:
        return {"missing": str(error)}
    except EcgEdgeError as error:
        return {"failed": str(error)}
    start = time.perf_counter()
    scores = backend.run(windows)
    seconds = time.perf_counter() - start
    pair = agreement(golden, scores, scale=1 / 256, zero_point=-128)  # of every softmax; only its errors use them
    told = pair.to_json()
    kept = ("windows", "identical", "argmax_flips", "max_abs_lsb", "lsb_histogram")
    return {
        "exact": name in EXACT,
        **{key: told[key] for key in kept},
        "clear_flips": clear_flips(golden, scores),
        "seconds": round(seconds, 3),
    }


def main() -> int:
    """Command line: prints the comparison; the exit status."""
    models = {}
    for path in map(Path, sys.argv[1:]):
        data = path.read_bytes()
        held = np.load(path)
        model = held["model"].tobytes()
        rows = {name: compare(name, model, held["windows"], held["scores"]) for name in HERE}
        models[path.stem] = {"golden_sha256": hashlib.sha256(data).hexdigest(), "backends": rows}
    machine = {"machine": platform.machine(), "libc": " ".join(platform.libc_ver()), "numpy": np.__version__}
    print(json.dumps(machine | {"models": models}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
