"""A whole bench run: device, signal, answers, report, files. Layer: bench; composes the other bench modules."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import ecg_edge
from ecg_edge.bench.answers import expect, float_scores, golden_scores
from ecg_edge.bench.ask import ask, describe, matching_hello
from ecg_edge.bench.board import is_virtual_native, open_board
from ecg_edge.bench.compare import Run, compare, strips, timeline
from ecg_edge.bench.sizes import sizes
from ecg_edge.bench.source import Progress, Source, check_one_lead
from ecg_edge.bundle import FLOAT_MODEL, Bundle
from ecg_edge.device.client import Device
from ecg_edge.files import json_text, replacing_file
from ecg_edge.report.html import bench_html
from ecg_edge.report.markdown import bench_markdown
from ecg_edge.report.metrics import Json

HOST = "virtual:native"
OpenBoard = Callable[[str, Bundle], AbstractContextManager[Device]]


class Steps(Protocol):
    """Who is told how far the work is."""

    def step(self, title: str) -> AbstractContextManager[Progress]:
        """One step of the work, under a title; call what it gives with (done, total)."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to run."""

    bundle: Bundle
    url: str
    source: Callable[[Progress], Source]
    host_engine: bool  # ask the native engine on this host as well
    command: str  # for the provenance


def run_bench(order: Order, steps: Steps, *, open_board: OpenBoard = open_board) -> tuple[Run, Json]:
    """Ask everybody, and compare.

    Args:
        order: what to run.
        steps: told how far it is.
        open_board: gives the device of a URL, for this bundle.

    Raises:
        EcgEdgeError: the signal cannot be used, or the device cannot be reached or holds another model.
    """
    bundle = order.bundle
    check_one_lead(bundle.manifest)
    with steps.step("signal") as progress:
        source = order.source(progress)
    with ExitStack() as boards:
        with steps.step(f"start {order.url}"):
            device = boards.enter_context(open_board(order.url, bundle))
            hello = matching_hello(device, bundle)
        expected = expect(source, bundle.manifest)
        with steps.step("int8 golden") as progress:
            golden = golden_scores(bundle, expected, progress)
        with steps.step("float model") as progress:
            floats = float_scores(bundle, expected, progress)
        with steps.step(hello.board) as progress:
            answers = ask(device, source, progress)
    host, why = _host_scores(order, source, steps, open_board)
    missing = {} if floats is not None else {"device_vs_float": f"the bundle has no {FLOAT_MODEL}"}
    if host is None:
        missing["host_vs_golden"] = why
    run = Run(bundle, source, expected, golden, floats, host, answers)
    report = compare(
        run,
        device=describe(order.url, hello),
        sizes=sizes(bundle, hello.board),
        missing=missing,
        provenance=provenance(bundle, order.command, source.signal_uv),
    )
    return run, report


def write_report(run: Run, report: Json, out: Path) -> None:
    """Write report.json, report.md and report.html into `out`: all, or none."""
    texts = {
        "report.json": json_text(report) + "\n",
        "report.md": bench_markdown(report),
        "report.html": bench_html(report, strips(run), run.device.total_us.tolist(), timeline(run)),
    }
    with ExitStack() as files:
        for name, text in texts.items():
            files.enter_context(replacing_file(out / name)).write_text(text, encoding="utf-8")


def _host_scores(
    order: Order, source: Source, steps: Steps, open_board: OpenBoard
) -> tuple[NDArray[np.int8] | None, str]:
    """What the native engine says on this host, or why it was not asked."""
    if is_virtual_native(order.url):
        return None, "the device is the native engine on this host"
    if not order.host_engine:
        return None, "not asked for (--host-engine)"
    with steps.step("native engine on this host") as progress, open_board(HOST, order.bundle) as host:
        host.require(order.bundle.model_sha256)
        return ask(host, source, progress).scores, ""


def provenance(bundle: Bundle, command: str, signal_uv: NDArray[np.int16]) -> Json:
    """What it takes to do a run again, and to know that it was the same."""
    signal = np.ascontiguousarray(signal_uv, dtype="<i2")
    return {
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": str(bundle.folder),
        "model_sha256": bundle.model_sha256,
        "signal_sha256": hashlib.sha256(signal.tobytes()).hexdigest(),
        "golden": "graph/interpret.py, equal to TensorFlow Lite Micro's reference kernels",
        "versions": {
            "ecg-edge": ecg_edge.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "host": f"{platform.system()} {platform.machine()}",
    }
