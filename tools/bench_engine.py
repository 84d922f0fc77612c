"""What the native engine costs, beside TensorFlow Lite Micro and LiteRT: instructions, flash, RAM, time, and its bits.

    python tools/bench_engine.py [MODEL...] [--cores A,B] [--opts speed,size] [--inputs 200] [--out FILE]

A MODEL is a .tflite, or a bundle's name or folder. What this machine lacks is said and left out. A plot of instructions
against RAM lies beside the JSON where matplotlib is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ecg_edge.bench import engine
from ecg_edge.bench.engine_report import EngineBench, tables
from ecg_edge.bench.subject import find_subject
from ecg_edge.codegen.target import find_target
from ecg_edge.device.machines import CORES
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import write_json

GOLDEN_MODELS = Path(__file__).parents[1] / "tests" / "golden" / "models"
BASELINE_MODELS = ("bench_a", "bench_b")
HOST = "host"


def baseline_folder() -> Path:
    """Where the figures of TensorFlow Lite Micro are: beside the recordings."""
    return Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")).parent / "baseline"


def default_models() -> list[str]:
    """The two benchmark models, and the shipped one."""
    files = [folder / f"{name}.tflite" for name in BASELINE_MODELS for folder in (baseline_folder(), GOLDEN_MODELS)]
    found = {file.stem: str(file) for file in reversed(files) if file.is_file()}
    return [*(found[name] for name in BASELINE_MODELS if name in found), "ecg5"]


def run(models: list[str], cores: list[str], opts: list[str], count: int) -> EngineBench:
    """Measure it all.

    Raises:
        EcgEdgeError: no such model, core or optimization.
    """
    bench = EngineBench(count, say=lambda text: print(text, file=sys.stderr))
    subjects = [find_subject(model) for model in models]
    targets = [find_target(core, opt) for core in cores if core != HOST for opt in opts]
    lacks = {core: engine.missing_tools(core) for core in cores if core != HOST}
    for core, what in lacks.items():
        if what:
            bench.skip(f"{core}: no {what}")
    targets = [target for target in targets if not lacks[target.core]]
    figures = baseline_folder() / "baseline.json"
    if figures.is_file():
        names = {subject.name for subject in subjects}
        bench.rows += [row for row in engine.tflm_rows(figures) if row.model in names and row.core in cores]
    else:
        bench.skip(f"TensorFlow Lite Micro's figures: no {figures}")
    for subject in subjects:
        if subject.name == "ecg5":
            bench.rows += [row for row in engine.ecg5_tflm_rows(subject) if row.core in cores]
        bench.measure(subject, targets, host=HOST in cores)
    return bench


def main() -> int:
    """Parse, run, print, write; 3 when a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="bench_a, bench_b and ecg5 unless given")
    parser.add_argument("--cores", default=",".join((*CORES, HOST)), help="of those that are emulated, and host")
    parser.add_argument("--opts", default=",".join(engine.OPTS))
    parser.add_argument("--inputs", type=int, default=200, help="half of them random, half ECG")
    parser.add_argument("--out", type=Path, default=Path("build/bench/engine.json"))
    wanted = parser.parse_args()
    try:
        if wanted.inputs < 1:
            raise EcgEdgeError(f"--inputs is {wanted.inputs}; 1 at least")
        bench = run(wanted.models or default_models(), wanted.cores.split(","), wanted.opts.split(","), wanted.inputs)
        write_json(wanted.out, bench.to_json())
        print(tables(bench))
        print(f"\nwrote {wanted.out}")
        plot = wanted.out.with_suffix(".png")
        if bench.save_plot(plot):
            print(f"wrote {plot}")
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ours = [row for row in bench.rows if row.engine == "native"]
    return 3 if any(row.identical is False for row in ours) or not all(bench.golden.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
