"""Writes tests/golden from the tflite-micro wheel: the only writer there.

    python tools/golden.py            write vectors/*.npz for tests/golden/models and the shipped bundles
    python tools/golden.py --check    fail (exit 3) if the installed wheel gives other scores than the committed ones
    python tools/golden.py --models   make the small models again first (needs TensorFlow)

A vector file holds `windows` (n, length, leads) int8, `scores` (n, classes) int8, and `header`, a JSON text that names
the model's sha256, the seed and the versions. bench_a and bench_b are the benchmark models, copied, not made here.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import GraphError
from ecg_edge.files import write_bytes
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph
from ecg_edge.runtime.tflm import TflmBackend, tflm_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "golden"
SEED = 1
WINDOWS = 40  # of each model, in equal shares of KINDS


def random_windows(graph: Graph, n: int, seed: int) -> NDArray[np.int8]:
    """Windows that reach every part of the integer arithmetic.

    Args:
        graph: gives length and leads.
        n: windows, shared among random walks (smooth like ECG), uniform noise, the two extremes at random, plateaus
            (they drive single channels far), and constants (the whole int8 range, evenly).
        seed: of NumPy's default generator.

    Returns:
        (n, length, leads), the kinds in turn.
    """
    rng = np.random.default_rng(seed)
    length, leads = graph.input.shape
    out = np.empty((n, length, leads), np.int8)
    walk = np.cumsum(rng.normal(0.0, 9.0, out.shape), axis=1) + rng.normal(0.0, 40.0, (n, 1, leads))
    plateau = np.repeat(rng.integers(-128, 128, (n, -(-length // 12), leads)), 12, axis=1)[:, :length]
    kinds = (
        np.clip(np.rint(walk), -128, 127),
        rng.integers(-128, 128, out.shape),
        rng.choice(np.array([-128, 127]), out.shape),
        plateau,
        np.broadcast_to(np.linspace(-128, 127, n).astype(np.int8)[:, None, None], out.shape),
    )
    for k, values in enumerate(kinds):
        out[k :: len(kinds)] = values[k :: len(kinds)]
    return out


def vectors(name: str, model: bytes) -> dict[str, NDArray[Any]] | None:
    """Windows, and what the wheel answers; None for a model that is no int8 graph."""
    try:
        graph = read_graph(model, name=name)
    except GraphError:
        return None
    if graph.input.dtype != "int8":
        return None
    windows = random_windows(graph, WINDOWS, SEED)
    header = {
        "model": name,
        "sha256": graph.sha256,
        "seed": SEED,
        "tflite_micro": tflm_version(),
        "numpy": np.__version__,
    }
    return {"windows": windows, "scores": TflmBackend(model).run(windows), "header": np.array(json.dumps(header))}


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed vectors, write nothing")
    parser.add_argument("--models", action="store_true", help="make the small models again (TensorFlow)")
    options = parser.parse_args(arguments)
    if options.models:
        from golden_models import write_models

        write_models(FOLDER / "models")
    different = []
    models = {path.stem: path for path in sorted((FOLDER / "models").glob("*.tflite"))}
    models |= {path.parent.name: path for path in sorted((ROOT / "models").glob("*/model.tflite"))}
    for name, path in models.items():
        made = vectors(name, path.read_bytes())
        if made is None:
            continue
        target = FOLDER / "vectors" / f"{name}.npz"
        if options.check:
            committed = np.load(target)
            same = all(np.array_equal(committed[key], made[key]) for key in ("windows", "scores"))
            different += [] if same else [name]
            continue
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **made)
        write_bytes(target, buffer.getvalue())
        print(f"{target.relative_to(FOLDER)}: {len(made['windows'])} windows, {len(buffer.getvalue())} bytes")
    if different:
        print(f"the wheel {tflm_version()} answers differently for: {', '.join(different)}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
