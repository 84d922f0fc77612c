"""How fast the host's own stages are. Prints JSON with the machine and the versions; no test depends on it.

    python tools/bench_host.py [--windows N] [--out FILE]

Processor time of one thread, the best of three: what else the machine does must not count.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy reads it

import sys
import time
from collections.abc import Callable
from pathlib import Path

from ecg_edge.bench.machine import machine, versions
from ecg_edge.bundle import Bundle
from ecg_edge.files import json_text, write_text
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import Prepare, prepare
from ecg_edge.signal.synth import CLASSES, balanced_labels, collect, synthesize

ROUNDS = 3


def windows_per_s(work: Callable[[], object], windows: int) -> float:
    """Windows a second of processor time; one round more than is counted, to warm up."""
    took_s = []
    for _ in range(ROUNDS + 1):
        start = time.process_time()
        work()
        took_s.append(time.process_time() - start)
    return round(windows / min(took_s[1:]), 1)


def measure(windows: int) -> dict[str, object]:
    """The figures of every stage, on the shipped model."""
    bundle = Bundle.load("ecg5")
    graph = read_graph(bundle.model, name="ecg5")
    p = Prepare.from_manifest(bundle.manifest.prepare)
    labels = balanced_labels(windows // len(CLASSES))
    made = collect(synthesize(labels, seed=1))
    columns = prepare(made.samples_uv, p)[..., None]
    return {
        "windows": len(labels),
        "windows_per_s": {
            "synth": windows_per_s(lambda: collect(synthesize(labels, seed=1)), len(labels)),
            "prepare": windows_per_s(lambda: prepare(made.samples_uv, p), len(labels)),
            "interpret int8": windows_per_s(lambda: interpret.run(graph, columns), len(labels)),
        },
        "machine": machine(),
        "versions": versions(("numpy", "scipy")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=2560)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    text = json_text(measure(max(len(CLASSES), wanted.windows)))
    if wanted.out is not None:
        write_text(wanted.out, text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
