"""Measure models on cores and on this host, and say it as JSON, as a table and as a plot. Layer: bench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecg_edge.bench import engine
from ecg_edge.bench.engine import Row
from ecg_edge.bench.engine_host import measure_host
from ecg_edge.bench.machine import machine, versions
from ecg_edge.bench.subject import Int8s, Subject, golden, inputs
from ecg_edge.codegen.target import Target
from ecg_edge.device.machines import FAMILIES
from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.plots import Point, save_pareto
from ecg_edge.runtime.tflm import TflmBackend

PACKAGES = ("numpy", "ai-edge-litert", "tflite-micro")
TOOLS = ("cc", *(tool for family in FAMILIES for tool in (family.compiler, family.emulator)))
WHAT = (
    "instructions: emulated, a verdict; flash_bytes: model in, harness out; ram_bytes: scratch, input, variables and "
    "peak stack; identical: every bit of every score is the golden interpreter's; microseconds: called from Python, "
    "ours by ctypes, the others by their bindings"
)
Say = Callable[[str], None]


class EngineBench:
    """One run over models, cores and optimizations. What cannot be measured is said, and does not end the run."""

    def __init__(self, count: int, *, seed: int = 0, say: Say = lambda text: None) -> None:
        """Measure nothing yet.

        Args:
            count: inputs of each model.
            seed: of the inputs.
            say: is told what is left out, a line each.
        """
        self.rows: list[Row] = []
        self.over_native: dict[str, dict[str, float]] = {}  # model -> engine on this host -> its time over ours
        self.golden: dict[str, bool] = {}  # model -> whether the golden interpreter has every bit of the wheel
        self.skipped: list[str] = []
        self._count, self._seed, self._say = count, seed, say

    def skip(self, what: str) -> None:
        """Leave something out, aloud."""
        if what not in self.skipped:
            self.skipped.append(what)
            self._say(f"skipped: {what}")

    def measure(self, subject: Subject, targets: Sequence[Target], *, host: bool) -> None:
        """One model, everywhere."""
        given = inputs(subject.graph, self._count, seed=self._seed)
        expected = golden(subject.graph, given)
        with _Leaving(self, f"{subject.name}, golden against the wheel"):
            scores = TflmBackend(subject.data).run(given if len(given) > 1 else given[0])
            self.golden[subject.name] = bool(np.array_equal(scores, expected))
        for target in targets:
            where = f"{subject.name}, {target.core}, {target.opt}"
            with _Leaving(self, where):
                self.rows.append(engine.measure_window(subject, target, given, expected))
            with _Leaving(self, f"{where}, stream"):
                if engine.streams(subject):
                    self.rows.append(engine.measure_stream(subject, target, seed=self._seed))
        if host and len(given) == 1:
            with _Leaving(self, f"{subject.name}, this host"):
                self._host(subject, given, expected)

    def _host(self, subject: Subject, given: tuple[Int8s, ...], expected: Int8s) -> None:
        found = measure_host(subject, given, expected)
        self.rows += found.rows
        self.over_native[subject.name] = found.over_native
        for reason in found.skipped:
            self.skip(reason)

    def to_json(self) -> dict[str, Any]:
        """The whole run, with the machine and the versions."""
        return {
            "what": WHAT,
            "inputs": self._count,
            "rows": [row.to_json() for row in self.rows],
            "ratios_to_best_tflm": engine.ratios(self.rows),
            "host_times_over_native": self.over_native,
            "golden_equals_wheel": self.golden,
            "skipped": self.skipped,
            "machine": machine(),
            "versions": versions(PACKAGES, TOOLS),
        }

    def save_plot(self, path: Path) -> bool:
        """Draw instructions against RAM; False where there is nothing to draw."""
        points = [
            Point(
                row.model, row.core, f"{row.engine} {row.opt}", row.instructions, row.ram_bytes, row.engine == "native"
            )
            for row in self.rows
            if row.mode == "window" and row.instructions is not None and row.ram_bytes is not None
        ]
        if points:
            save_pareto(points, path)
        return bool(points)


class _Leaving:
    """An error of ours leaves a measurement out, with its reason; a bug ends the run."""

    def __init__(self, bench: EngineBench, what: str) -> None:
        self._bench, self._what = bench, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, EcgEdgeError):
            self._bench.skip(f"{self._what}: {error}")
            return True
        return False


def tables(bench: EngineBench) -> str:
    """For people: cores, streams, this host."""
    order = {place: i for i, place in enumerate(dict.fromkeys((row.model, row.core) for row in bench.rows))}
    rows = sorted(bench.rows, key=lambda row: order[row.model, row.core])
    windows = [row for row in rows if row.core != "host" and row.mode == "window"]
    streams = [row for row in rows if row.mode == "stream"]
    host = [row for row in rows if row.core == "host"]
    parts = [_windows(windows, engine.ratios(rows))] if windows else []
    parts += [_streams(streams, windows)] if streams else []
    parts += [_host(host, bench.over_native)] if host else []
    return "\n\n".join(parts)


def _windows(rows: Iterable[Row], ratios: Sequence[dict[str, Any]]) -> str:
    known = {(r["model"], r["core"], r["opt"]): r for r in ratios}
    table = [_cells("model core engine for instructions of_TFLM flash of_TFLM RAM of_TFLM bits")]
    for row in rows:
        ratio = known.get((row.model, row.core, row.opt), {}) if row.engine == "native" else {}
        cells: list[str] = []
        for figure in ("instructions", "flash_bytes", "ram_bytes"):
            part = ratio.get(figure)
            cells += [_count(getattr(row, figure)), "" if part is None else f"{part:.3f}"]
        table.append((row.model, row.core, row.engine, row.opt, *cells, _bits(row)))
    note = "instructions emulated, a window; bytes: flash without harness, RAM with input and stack; of TFLM: its best"
    return f"{_aligned(table, left=4)}\n{note}"


def _streams(rows: Iterable[Row], windows: Sequence[Row]) -> str:
    table = [_cells("stream core for a_verdict a_second window_mode times TFLM times RAM prepared bits")]
    for row in rows:
        assert row.instructions is not None
        there = [w for w in windows if (w.model, w.core) == (row.model, row.core)]
        ours = [w.instructions for w in there if w.engine == "native" and w.opt == row.opt]
        tflm = [w.instructions for w in there if w.engine == "tflm"]
        cells: list[str] = []
        for found in (ours, tflm):
            best = min((value for value in found if value is not None), default=None)
            cells += [_count(best), "" if best is None else f"{best / row.instructions:.2f}"]
        cells += [_count(row.ram_bytes), _count(row.ram_with_prepare_bytes), _bits(row)]
        second = _count(row.instructions_per_s)
        table.append((row.model, row.core, row.opt, _count(row.instructions), second, *cells))
    note = "times: what whole windows cost over it; prepared: RAM with the core's preparation, books and all stack"
    return f"{_aligned(table, left=3)}\n{note}"


def _host(rows: Iterable[Row], over_native: dict[str, dict[str, float]]) -> str:
    table = [_cells("this_host engine how microseconds of_native bits")]
    for row in rows:
        times = over_native[row.model][row.engine]
        table.append(
            (row.model, row.engine, row.flags or row.opt, f"{row.microseconds:,.2f}", f"{times:.2f}", _bits(row))
        )
    return f"{_aligned(table, left=3)}\nmedians; all called from Python, native by ctypes, the others by their bindings"


def _cells(words: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in words.split())


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _bits(row: Row) -> str:
    if row.identical is None:
        return ""
    return f"{'equal' if row.identical else 'DIFFER'}, {row.compared:,}"


def _aligned(rows: Sequence[tuple[str, ...]], *, left: int) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
