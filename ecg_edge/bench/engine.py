"""The native engine on emulated cores: instructions, flash, RAM, bits; beside TensorFlow Lite Micro. Layer: bench.

Composes codegen, device and graph. Instructions are QEMU's, exact, and no time on hardware.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_edge.bench.subject import Int8s, Subject, flat, golden, inputs
from ecg_edge.bundle import Bundle
from ecg_edge.codegen.bare import export_bare, read_plan
from ecg_edge.codegen.target import Target, flags
from ecg_edge.device import toolchain
from ecg_edge.device.elf import read_image
from ecg_edge.device.enginerun import EngineBoard, EngineRun
from ecg_edge.device.filerun import FileBoard
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import find_core, find_machine
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.synth import balanced_labels, collect, synthesize

OPTS = ("speed", "size")
STREAM_HOPS = 12  # verdicts of a stream after its first
# Source: ecg5 1.0.0 (sha256 5d32a8fd) under TFLM 90b983c2b with CMSIS-NN 4ab83cc3, arm-none-eabi-gcc 12.2 -O2 -DNDEBUG,
# 20 windows on QEMU 7.2's mps2-an386 with -icount shift=0. RAM is arena and peak stack; flash holds the core too.
ECG5_TFLM = {"cortex-m4": {"instructions": 3_660_672, "ram_bytes": 12_804 + 1_348}}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. None: not known, or not meant."""

    model: str
    core: str
    engine: str  # native, tflm, litert
    mode: str  # window, or stream: a verdict each hop
    opt: str  # of tflm its kernels
    instructions: int | None  # a verdict; emulated
    flash_bytes: int | None  # model in, harness out
    ram_bytes: int | None  # scratch, input, variables, peak stack
    identical: bool | None  # every bit of every score is that of the golden interpreter
    compared: int = 0  # inputs
    flags: str = ""  # of the compiler
    scratch_bytes: int | None = None
    input_bytes: int | None = None
    stack_bytes: int | None = None
    instructions_per_s: int | None = None  # of ECG, a verdict each hop
    ram_with_prepare_bytes: int | None = None  # of a stream in the firmware's core: state, preparation, stack
    microseconds: float | None = None  # a window, on this host

    def to_json(self) -> dict[str, Any]:
        """Without what has no value here."""
        always = ("instructions", "flash_bytes", "ram_bytes", "identical")
        return {key: value for key, value in asdict(self).items() if key in always or value not in (None, "", 0)}


def missing_tools(core: str) -> str:
    """What this machine lacks to build for a core and to emulate it; empty: nothing.

    Raises:
        DeviceError: nothing emulates that core.
    """
    tools = find_machine(find_core(core)).tools
    lacks = [tool for tool in (tools.compiler, tools.emulator) if toolchain.find(tool) is None]
    if not lacks and not toolchain.compiles(tools.compiler, (tools.library,)):
        lacks = [f"the C library of {tools.compiler}"]
    return " and ".join(lacks)


def measure_window(
    subject: Subject,
    target: Target,
    given: tuple[Int8s, ...],
    expected: Int8s,
    *,
    optimize: Sequence[str] | None = None,
    cache: Path | None = None,
) -> Row:
    """Whole windows through run().

    Args:
        subject: the model.
        target: core, and what counts.
        given: (n, *shape) of each input.
        expected: (n, classes), golden.
        optimize: the compiler's options; None: those of the target.
        cache: where built images are kept.

    Raises:
        EcgEdgeError: the engine cannot be made, or does not run.
    """
    optimize = flags(target) if optimize is None else tuple(optimize)
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        board = _board(subject, target, Path(folder), hop=subject.graph.input.shape[0], optimize=optimize, cache=cache)
        run = board.run(flat(given))
    row = Row(subject.name, target.core, "native", "window", target.opt, round(run.mean()), None, None, None)
    return _filled(row, board, run, expected, input_bytes=subject.input_bytes, flags=optimize)


def measure_stream(
    subject: Subject, target: Target, *, seed: int = 0, optimize: Sequence[str] | None = None, cache: Path | None = None
) -> Row:
    """A stream of synthetic ECG through push(), a verdict each `subject.hop`: what it costs after the first.

    Raises:
        EcgEdgeError: as of `measure_window`; or the model cannot stream.
    """
    optimize = flags(target) if optimize is None else tuple(optimize)
    window, leads = subject.graph.input.shape
    columns = _stream(subject, seed)
    starts = range(0, len(columns) - window + 1, subject.hop)
    expected = golden(subject.graph, (np.stack([columns[start : start + window] for start in starts]),))
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        board = _board(subject, target, Path(folder), hop=subject.hop, optimize=optimize, cache=cache)
        run = board.push(columns, verdicts=len(starts))
    row = Row(subject.name, target.core, "native", "stream", target.opt, round(run.mean(1)), None, None, None)
    row = _filled(row, board, run, expected, input_bytes=leads, flags=optimize)
    prepared = None if subject.bundle is None else _ram_with_prepare(subject.bundle, target, cache)
    return replace(row, instructions_per_s=per_second(subject, run.mean(1)), ram_with_prepare_bytes=prepared)


def per_second(subject: Subject, instructions: float) -> int:
    """Instructions for a second of ECG, with a verdict each hop."""
    return round(instructions * subject.fs_hz / subject.hop)


def tflm_rows(baseline: Path) -> list[Row]:
    """The figures of TensorFlow Lite Micro in a file like `baseline.json`."""
    found = json.loads(baseline.read_text(encoding="utf-8"))["tflm"]
    return [
        Row(
            row["model"],
            row["core"],
            "tflm",
            "window",
            row["kernels"],
            row["instructions"],
            row["flash_bytes"],
            row["ram_bytes"],
            None,
        )
        for row in found
    ]


def ecg5_tflm_rows(subject: Subject) -> list[Row]:
    """TFLM on the shipped ecg5: it computes every window anew."""
    rows = []
    for core, figures in ECG5_TFLM.items():
        instructions, ram = figures["instructions"], figures["ram_bytes"]
        row = Row(subject.name, core, "tflm", "window", "CMSIS-NN", instructions, None, ram, None)
        rows.append(replace(row, instructions_per_s=per_second(subject, instructions)))
    return rows


def ratios(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Each native window row against the best of TFLM on the same model and core, figure by figure."""
    rows = list(rows)
    found = []
    for row in rows:
        others = [r for r in rows if r.engine == "tflm" and (r.model, r.core) == (row.model, row.core)]
        if row.engine != "native" or row.mode != "window" or not others:
            continue
        ratio: dict[str, Any] = {"model": row.model, "core": row.core, "opt": row.opt}
        for figure in ("instructions", "flash_bytes", "ram_bytes"):
            best = min((value for r in others if (value := getattr(r, figure)) is not None), default=None)
            ratio[figure] = None if best is None else round(getattr(row, figure) / best, 4)
        found.append(ratio)
    return found


def _board(
    subject: Subject, target: Target, folder: Path, *, hop: int, optimize: Sequence[str], cache: Path | None
) -> EngineBoard:
    export_bare(subject.path, folder / "engine", target=target, name=subject.name, hop=hop, fs_hz=subject.fs_hz)
    engine = EngineFolder(folder / "engine", subject.name, subject.input_bytes, subject.classes)
    return EngineBoard(find_core(target.core), engine, optimize=optimize, cache=cache)


def _filled(
    row: Row, board: EngineBoard, run: EngineRun, expected: Int8s, *, input_bytes: int, flags: Sequence[str]
) -> Row:
    """The row with its bytes and bits."""
    return replace(
        row,
        flash_bytes=board.size.flash_bytes,
        ram_bytes=run.scratch_bytes + input_bytes + board.size.ram_bytes + run.stack_bytes,
        identical=bool(np.array_equal(run.scores, expected)),
        compared=len(expected),
        flags=" ".join(flags),
        scratch_bytes=run.scratch_bytes,
        input_bytes=input_bytes,
        stack_bytes=run.stack_bytes,
    )


def _stream(subject: Subject, seed: int) -> Int8s:
    """(length, leads) columns: a window and STREAM_HOPS hops of what `inputs` makes, end to end."""
    window = subject.graph.input.shape[0]
    length = window + STREAM_HOPS * subject.hop
    (made, *_) = inputs(subject.graph, 2 * -(-length // window), seed=seed)
    ecg: Int8s = made[len(made) // 2 :].reshape(-1, subject.graph.input.shape[1])[:length]
    return ecg


def _ram_with_prepare(bundle: Bundle, target: Target, cache: Path | None) -> int:
    """Bytes that a stream of raw samples takes in the core: engine, rings of prepare, their books, peak stack."""
    url, m = find_core(target.core), bundle.manifest
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        firmware = Path(folder) / "firmware"
        export(bundle, firmware, board=find_machine(url).board, core=target.core, opt=target.opt)
        board = FileBoard(url, firmware, m, cache=cache)
        samples_uv = collect(synthesize(balanced_labels(1), seed=0, length=m.window, fs_hz=m.fs_hz)).samples_uv
        stream_uv = np.repeat(samples_uv.reshape(-1, 1), m.leads, axis=1)
        reply = board.stream(stream_uv, np.zeros(len(stream_uv), np.uint8))
    kept = {symbol.name: symbol.size for symbol in read_image(board.image).symbols}
    return kept["scratch"] + kept["leads"] + kept["stream"] + reply.stack_bytes


def streams(subject: Subject) -> bool:
    """Whether windows of this model that overlap by its hop share their columns."""
    window = subject.graph.input.shape[0]
    return subject.hop < window and read_plan(subject.path, hop=subject.hop).streams
