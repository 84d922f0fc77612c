"""What engines take on emulated cores: measure models, fit what each thing that they do costs, state the error.

    python tools/costs.py [--seed 0] [--cores cortex-m0,avr] [--measure-only] [--resume]

Random models and models of one layer are built and run on each core; non-negative least squares give the instructions
(of AVR: cycles) of each count of codegen/workload.py. The error is the worst over models that were not fitted: other
random ones, the benchmark's, the golden ones and the shipped one. Writes ecg_edge/codegen/costs.toml, which `ecg-edge
fit` reads, and prints the errors. Samples lie in build/costs, a file a core: --resume measures only what is missing
there (a kernel that changed makes them stale), --measure-only writes no table, so that cores may run side by side.
Nothing here is a time on hardware.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import get_args

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from bench_engine import BASELINE_MODELS, GOLDEN_MODELS, baseline_folder  # noqa: E402
from cost_fit import FLOOR, Row, fit, misses  # noqa: E402
from cost_prepare import Prepared, prepared  # noqa: E402
from cost_probes import probes  # noqa: E402
from random_tflite import random_tflite  # noqa: E402

from ecg_edge.bench.costing import CORES, Sample, sample  # noqa: E402
from ecg_edge.bench.subject import Subject, find_subject  # noqa: E402
from ecg_edge.codegen.bare import read_plan  # noqa: E402
from ecg_edge.codegen.budget import AVR_CODE_BYTES, NATIVE_CODE_BYTES, model_flash_bytes  # noqa: E402
from ecg_edge.codegen.target import Opt, Target  # noqa: E402
from ecg_edge.codegen.whole import make_memory  # noqa: E402
from ecg_edge.codegen.workload import work  # noqa: E402
from ecg_edge.errors import EcgEdgeError, GraphError  # noqa: E402
from ecg_edge.files import write_json, write_text  # noqa: E402
from ecg_edge.recipes.firmware import SHIPPED_MODEL  # noqa: E402

TABLE = ROOT / "ecg_edge" / "codegen" / "costs.toml"
SAMPLES = ROOT / "build" / "costs"
GOLDEN = ("causal", "columns", "conv1d", "excite", "flat", "pools", "residual", "rows", "separable")
FITTED, HELD_OUT = 48, 16  # random models
# A Cortex-M7 runs what a Cortex-M4 does, and is given its costs (device/cores.toml).
MEASURED = tuple(core for core in CORES if core != "cortex-m7")
OPTS: tuple[Opt, ...] = get_args(Opt)
WINDOWS = 8  # of a sample
_HELD_OUT_SEEDS = 100_000  # the first seed of what is not fitted


@dataclass(frozen=True, slots=True)
class Models:
    """What is measured."""

    fitted: list[Subject]
    held_out: list[Subject]


def find_models(folder: Path, seed: int) -> Models:
    """All models; files that are made lie in `folder`."""
    made = {f"probe_{name}": data for name, data in probes().items()}
    fitted = [*_written(folder, made), *islice(_random(folder, seed), FITTED)]
    given = [GOLDEN_MODELS / f"{name}.tflite" for name in GOLDEN]
    for name in BASELINE_MODELS:
        given.append(next(f / f"{name}.tflite" for f in (baseline_folder(), GOLDEN_MODELS) if f.is_dir()))
    held_out = [find_subject(SHIPPED_MODEL), *map(find_subject, given)]
    return Models(fitted, [*held_out, *islice(_random(folder, seed + _HELD_OUT_SEEDS), HELD_OUT)])


def _random(folder: Path, first: int) -> Iterator[Subject]:
    """Random models that the native engine runs, by their seeds."""
    for seed in count(first):
        try:
            (subject,) = _written(folder, {f"random{seed}": random_tflite(seed)})
            read_plan(subject.path)
        except GraphError:
            continue
        yield subject


def _written(folder: Path, files: dict[str, bytes]) -> list[Subject]:
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)
    return [find_subject(folder / f"{name}.tflite") for name in files]


class Samples:
    """What one core took, in a file."""

    def __init__(self, core: str, *, resume: bool) -> None:
        self.core = core
        self._file = SAMPLES / f"{core}.json"
        known = json.loads(self._file.read_text(encoding="utf-8")) if resume and self._file.is_file() else {}
        self._known: dict[str, dict[str, object] | None] = known.get("samples", {})
        self._prepared: dict[str, float] | None = known.get("prepared")

    def measure(self, models: Models) -> None:
        """Whatever is not known yet.

        Raises:
            EcgEdgeError: a tool is missing, or a model answers other bits than the interpreter.
        """
        for subject in (*models.held_out, *models.fitted):
            for opt in OPTS:
                name = f"{subject.name} {opt}"
                if name not in self._known:
                    found = sample(subject, self.core, opt, count=WINDOWS, cache=SAMPLES / "images")
                    self._known[name] = None if found is None else found.to_json()
                    print(f"{self.core} {name}: {found.window_instructions if found else 'too large':}", flush=True)
            self._write()
        if self._prepared is None:
            took = prepared(self.core, SAMPLES / "images")
            self._prepared = {"window": took.window, "hop": took.hop}
            self._write()

    def of(self, model: str, opt: str) -> Sample | None:
        """One of them; None: the board cannot hold it."""
        row = self._known[f"{model} {opt}"]
        return None if row is None else Sample(**row)  # type: ignore[arg-type]

    @property
    def prepared(self) -> Prepared:
        """Of the core's firmware."""
        assert self._prepared is not None, "measure first"
        return Prepared(**self._prepared)

    def _write(self) -> None:
        SAMPLES.mkdir(parents=True, exist_ok=True)
        write_json(self._file, {"samples": self._known, "prepared": self._prepared})


@dataclass(frozen=True, slots=True)
class Costs:
    """One core, for one optimization."""

    core: str
    opt: str
    costs: dict[str, float]
    fitted_models: int
    held_out_models: int
    worst: list[tuple[float, str]]  # of what was not fitted
    inside: float  # the worst of what was
    typical: float  # the median of what was not
    flash: tuple[int, int]  # bytes by which codegen/budget.py misses an engine's; below 0: it took less

    @property
    def error(self) -> float:
        """As stated: the worst, upwards to a hundredth."""
        return float(np.ceil(100 * abs(self.worst[0][0])) / 100)


def find_costs(samples: Samples, models: Models, opt: Opt) -> Costs:
    """Fit, and look at what was not fitted."""
    inside = [row for subject in models.fitted for row in _rows(samples, subject, opt)]
    outside = {subject.name: list(_rows(samples, subject, opt)) for subject in models.held_out}
    costs = fit(inside)
    worst = misses(costs, [row for rows in outside.values() for row in rows])
    return Costs(
        samples.core, opt, costs,
        sum(samples.of(subject.name, opt) is not None for subject in models.fitted),
        sum(bool(rows) for rows in outside.values()),
        worst,
        abs(misses(costs, inside)[0][0]),
        float(np.median([abs(miss) for miss, _ in worst])),
        _flash_misses(samples, models.held_out, opt),
    )  # fmt: skip


def _rows(samples: Samples, subject: Subject, opt: Opt) -> Iterator[Row]:
    found = samples.of(subject.name, opt)
    if found is None:
        return
    plan = read_plan(subject.path, hop=found.hop)
    memory = make_memory(plan, Target(samples.core, opt))[0]
    yield Row(f"{subject.name}, window", work(plan, memory), found.window_instructions)
    if found.hop_instructions is not None:
        yield Row(f"{subject.name}, hop", work(plan, memory, hop=True), found.hop_instructions)


def _flash_misses(samples: Samples, models: Sequence[Subject], opt: Opt) -> tuple[int, int]:
    """The least and the most."""
    code = (AVR_CODE_BYTES if samples.core == "avr" else NATIVE_CODE_BYTES)[opt]
    found = []
    for subject in models:
        took = samples.of(subject.name, opt)
        if took is not None:
            plan = read_plan(subject.path, hop=took.hop)
            found.append(took.flash_bytes - code - model_flash_bytes(plan, Target(samples.core, opt)))
    return min(found), max(found)


def table(found: Sequence[Costs], prepares: dict[str, Prepared], seed: int) -> str:
    """costs.toml."""
    lines = [
        f"# `python tools/costs.py --seed {seed}` wrote this file; do not edit it.",
        "#",
        "# Emulated instructions (of avr: cycles) of each count of codegen/workload.py, fitted to so many models.",
        "# error: by how much of the estimate the worst of held_out_models other models was missed. An estimate below",
        "# `floor` instructions is off by as much as one of `floor`.",
        "# prepare: instructions of one sample of one lead, measured on the shipped model's firmware.",
        "",
        f"floor = {FLOOR}",
    ]
    for core, prepare in prepares.items():
        lines += ["", f"[{core}.prepare]", f"window = {prepare.window}", f"hop = {prepare.hop}"]
        for one in (one for one in found if one.core == core):
            lines += ["", f"[{core}.{one.opt}]", f"error = {one.error:.2f}"]
            lines += [f"fitted_models = {one.fitted_models}", f"held_out_models = {one.held_out_models}"]
            lines += [f"[{core}.{one.opt}.costs]", *(f'"{name}" = {cost}' for name, cost in one.costs.items())]
    return "\n".join(lines) + "\n"


def report(found: Sequence[Costs]) -> str:
    """For people."""
    lines = [
        "error: the worst of what was not fitted; flash: bytes by which codegen/budget.py misses an engine's",
        "core        opt    error  median  of fitted, worst  models fitted, not  terms  flash             worst",
    ]
    lines += [
        f"{one.core:<11} {one.opt:<6} {one.error:5.0%} {one.typical:7.1%} {one.inside:17.1%} "
        f"{one.fitted_models:14} {one.held_out_models:4} {len(one.costs):6}  "
        f"{f'{one.flash[0]:+,} to {one.flash[1]:+,}':<17} "
        + "; ".join(f"{what} {miss:+.1%}" for miss, what in one.worst[:2])
        for one in found
    ]
    return "\n".join(lines)


def _measured(core: str, models: Models, *, resume: bool) -> Samples:
    samples = Samples(core, resume=resume)
    samples.measure(models)
    return samples


def main() -> int:
    """Measure, fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the first random model's")
    parser.add_argument("--cores", default=",".join(MEASURED), help="the table is written of all of them only")
    parser.add_argument("--measure-only", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the samples that build/costs holds")
    wanted = parser.parse_args()
    cores = wanted.cores.split(",")
    try:
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
            models = find_models(Path(folder), wanted.seed)
            measured = [_measured(core, models, resume=wanted.resume) for core in cores]
            if wanted.measure_only:
                return 0
            found = [find_costs(samples, models, opt) for samples in measured for opt in OPTS]
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report(found))
    if cores == list(MEASURED):
        write_text(TABLE, table(found, {samples.core: samples.prepared for samples in measured}, wanted.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
