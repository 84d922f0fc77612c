"""Every backend of this machine side by side: time, memory, and whether its answers are the model's. Layer: bench.

Composes runtime and report. One window at a time, as a live run asks; the backends take turns, a few windows each, so
that what disturbs the machine disturbs all.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.answers import Expected, expect, golden_scores
from ecg_edge.bench.beat_source import Recording
from ecg_edge.bench.beats import expect_beats, require_beats
from ecg_edge.bench.machine import machine, versions
from ecg_edge.bench.run import Steps
from ecg_edge.bench.source import Progress, Source, check_one_lead
from ecg_edge.bench.trial import Trial, processes_work, try_backend
from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError, SignalError
from ecg_edge.files import json_text, replacing_file
from ecg_edge.report.agreement import CLEAR_LSB, agreement, clear_flips
from ecg_edge.report.html import backends_html
from ecg_edge.report.metrics import Json, percentiles
from ecg_edge.report.plots import save_backends
from ecg_edge.runtime.backend import BACKENDS, Backend, open_backend
from ecg_edge.runtime.choose import EXACT
from ecg_edge.runtime.native import native_library
from ecg_edge.signal.beatview import beat_views
from ecg_edge.signal.prepare import Prepare

NATIVE = "native"
TURN = 10  # windows that a backend answers before the next one has its turn
WARM_UP = 20  # windows that nobody times
_PACKAGES = ("numpy", "tflite-micro", "ai-edge-litert", "tflite-runtime")


@dataclass(frozen=True, slots=True)
class BackendsOrder:
    """What to compare."""

    bundle: Bundle
    source: Callable[[Progress], Source | Recording]  # a recording for a model of beats
    seed: int | None  # of the signal, where they are synthetic
    command: str  # for the provenance


@dataclass(slots=True)
class Answered:
    """What a backend said, and how long each window took it."""

    backend: Backend
    scores: NDArray[np.int8]  # (n, classes)
    took_us: list[float] = field(default_factory=list)


def run_backends(order: BackendsOrder, steps: Steps) -> Json:
    """Ask every backend that is here the same windows.

    Args:
        order: what to compare.
        steps: told how far it is.

    Returns:
        the report; its keys are a promise to scripts.

    Raises:
        EcgEdgeError: the signal cannot be used.
    """
    bundle = order.bundle
    check_one_lead(bundle.manifest)
    with steps.step("signal") as progress:
        source = order.source(progress)
    expected = _expected(source, bundle)
    with steps.step("int8 golden") as progress:
        golden = golden_scores(bundle, expected, progress)
    trials = _trials(order, expected, steps)
    with steps.step("backends, taking turns") as progress:
        answered = ask_in_turns(_open(bundle.model, trials), expected.columns, len(bundle.manifest.classes), progress)
    rows = [_row(name, found, golden, trials[name], bundle) for name, found in answered.items()]
    return _report(order, source, rows, {name: t.problem for name, t in trials.items() if t.problem})


def _expected(source: Source | Recording, bundle: Bundle) -> Expected:
    """What the backends are asked: windows, or the views of a recording's beats.

    Raises:
        SignalError: a recording without beats.
    """
    if isinstance(source, Source):
        return expect(source, bundle.manifest)
    require_beats(bundle)
    views = beat_views(source.samples_uv, Prepare.from_manifest(bundle.manifest.prepare), source.states)
    if not views:
        raise SignalError(f"{source.text}: no beats to ask the backends about")
    return expect_beats(views)


def write_backends(report: Json, out: Path) -> str:
    """Write report.json and report.html into `out`, both or none, and backends.png where matplotlib is installed.

    Returns:
        why there is no picture; "" when there is one.
    """
    texts = {"report.json": json_text(report) + "\n", "report.html": backends_html(report)}
    with ExitStack() as files:
        for name, text in texts.items():
            files.enter_context(replacing_file(out / name)).write_text(text, encoding="utf-8")
    try:
        save_backends(report, out / "backends.png")
    except EcgEdgeError as error:
        return str(error)
    return ""


def ask_in_turns(
    backends: Mapping[str, Backend], windows: NDArray[np.int8], classes: int, progress: Progress
) -> dict[str, Answered]:
    """Every window to every backend, TURN at a time.

    Args:
        backends: by name.
        windows: (n, length, leads).
        classes: scores of a window.
        progress: told how many windows all have answered.
    """
    n = len(windows)
    answered = {name: Answered(backend, np.empty((n, classes), np.int8)) for name, backend in backends.items()}
    for backend in backends.values():
        for at in range(min(WARM_UP, n)):
            backend.run(windows[at : at + 1])
    collects = gc.isenabled()
    gc.disable()  # a collection would hit whoever runs just then
    try:
        for first in range(0, n, TURN):
            for found in answered.values():
                _ask(found, windows, range(first, min(first + TURN, n)))
            progress(min(first + TURN, n), n)
    finally:
        if collects:
            gc.enable()
    return answered


def _ask(found: Answered, windows: NDArray[np.int8], rows: range) -> None:
    run, clock = found.backend.run, time.perf_counter_ns
    for at in rows:
        window = windows[at : at + 1]
        start = clock()
        scores = run(window)
        found.took_us.append((clock() - start) / 1000)
        found.scores[at] = scores[0]


def _trials(order: BackendsOrder, expected: Expected, steps: Steps) -> dict[str, Trial]:
    """Each backend alone; where no process can be started, nothing but that is known."""
    model, windows = order.bundle.model, np.ascontiguousarray(expected.columns[:WARM_UP])
    with contextlib.suppress(EcgEdgeError):
        native_library(model)  # it is compiled once in a machine's life: no part of loading
    with steps.step("can processes be started?"):
        if not processes_work():
            return dict.fromkeys(BACKENDS, Trial())
    trials = {}
    for name in BACKENDS:
        with steps.step(f"{name} in a process of its own"):
            trials[name] = try_backend(name, model, windows)
    return trials


def _open(model: bytes, trials: dict[str, Trial]) -> dict[str, Backend]:
    """Those that work; what is wrong with the others becomes their trial."""
    opened = {}
    for name, trial in trials.items():
        if trial.problem:
            continue
        try:
            opened[name] = open_backend(name, model)
        except EcgEdgeError as error:
            trials[name] = Trial(problem=str(error))
    return opened


def _row(name: str, found: Answered, golden: NDArray[np.int8], trial: Trial, bundle: Bundle) -> Json:
    out = bundle.manifest.output
    pair = agreement(golden, found.scores, scale=out.scale, zero_point=out.zero_point)
    return {
        "name": name,
        "exact": name in EXACT,
        "latency_us": percentiles(found.took_us),
        "windows_per_s": 1e6 * len(golden) / sum(found.took_us),
        "load_s": trial.load_s,
        "memory_bytes": trial.memory_bytes,
        "agreement": pair.to_json() | {"clear_flips": clear_flips(golden, found.scores)},
    }


def _report(order: BackendsOrder, source: Source | Recording, rows: list[Json], missing: dict[str, str]) -> Json:
    m = order.bundle.manifest
    native = next((row["latency_us"]["p50"] for row in rows if row["name"] == NATIVE), None)
    for row in rows:
        row["over_native"] = None if native is None else row["latency_us"]["p50"] / native
    return {
        "format": 1,
        "kind": "backends",
        "verdict": _verdict(rows),
        "model": {
            "name": m.name,
            "version": m.version,
            "sha256": order.bundle.model_sha256,
            "classes": list(m.classes),
            "fs_hz": m.fs_hz,
            "window": m.window,
        },
        "source": {
            "kind": source.kind,
            "text": source.text,
            "windows": rows[0]["agreement"]["windows"],
            "citation": source.citation,
        },
        "backends": sorted(rows, key=lambda row: float(row["latency_us"]["p50"])),
        "missing": missing,
        "provenance": _provenance(order, source),
        "disclaimer": "Research use; not a medical device.",
    }


def _verdict(rows: list[Json]) -> Json:
    """The gate: exact ones are exact, and no fast one changes a clear verdict."""
    exact, close = ([row for row in rows if row["exact"] is kind] for kind in (True, False))
    wrong = [
        f"{row['name']} has to equal the model, and does not on {a['windows'] - a['identical']:,} of {a['windows']:,}"
        for row in exact
        if (a := row["agreement"])["identical"] < a["windows"]
    ] + [
        f"{row['name']} changes {a['clear_flips']:,} clear verdicts of {a['windows']:,}"
        for row in close
        if (a := row["agreement"])["clear_flips"]
    ]
    said = [f"{len(exact)} backends answer exactly what the model answers"]
    said += [f"{len(close)} come close, and change no clear verdict"] if close else []
    return {
        "passed": not wrong,
        "text": "; ".join(wrong or said) + ".",
        "gate": "exact backends: every score identical; the others: no clear verdict flips, "
        f"one whose two best scores are over {CLEAR_LSB} LSB apart",
    }


def _provenance(order: BackendsOrder, source: Source | Recording) -> Json:
    samples_uv = source.signal_uv if isinstance(source, Source) else source.samples_uv
    signal = np.ascontiguousarray(samples_uv, dtype="<i2")
    told: dict[str, Any] = {
        "command": order.command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": order.seed,
        "bundle": str(order.bundle.folder),
        "model_sha256": order.bundle.model_sha256,
        "signal_sha256": hashlib.sha256(signal.tobytes()).hexdigest(),
        "golden": "graph/interpret.py, equal to TensorFlow Lite Micro's reference kernels",
        "timing": "one window at a time, one thread, from Python: call and conversions included",
        "memory": f"peak of a fresh process over {WARM_UP} windows, less what Python and NumPy took before",
        "machine": machine(),
        "versions": versions(_PACKAGES, ("cc",)),
    }
    return told
