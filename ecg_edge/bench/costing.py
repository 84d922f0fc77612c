"""What engines take on emulated cores, model by model: the samples that a core's costs are fitted to. Layer: bench.

Composes codegen, device and graph. Each sample is one model on one core: instructions of a window and, where windows
share their columns, of a hop; flash, scratch and stack. On AVR a cycle stands for an instruction: simavr counts those.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ecg_edge.bench.subject import Int8s, Subject, flat, golden, inputs
from ecg_edge.codegen.bare import export_bare, read_plan
from ecg_edge.codegen.target import Target, flags
from ecg_edge.device.avr_engine import AvrEngineBoard
from ecg_edge.device.elf import read_image
from ecg_edge.device.enginerun import EngineBoard, EngineRun, EngineSize
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import find_core
from ecg_edge.errors import BudgetError, DeviceError

# Core -> the emulated core that runs it, and what its compiler is told besides. A Cortex-M4 runs a Cortex-M3's code.
CORES: dict[str, tuple[str, tuple[str, ...]]] = {
    "cortex-m0": ("cortex-m0", ()),
    "cortex-m3": ("cortex-m4", ("-mcpu=cortex-m3",)),
    "cortex-m4": ("cortex-m4", ()),
    "cortex-m7": ("cortex-m7", ()),
    "cortex-m55": ("cortex-m55", ()),
    "rv32imc": ("rv32imc", ()),
    "avr": ("avr", ()),
}
AVR_RAM_BYTES = 7_400  # for scratch and input: what 8 KB leave beside stack and harness
_STREAM_HOPS = 2  # measured behind a stream's first verdict
_HOPS_TRIED = 24


@dataclass(frozen=True, slots=True)
class Sample:
    """One model on one core."""

    core: str
    opt: str
    model: str
    hop: int  # that the engine was made for
    window_instructions: float  # emulated; of AVR cycles
    hop_instructions: float | None  # of a stream whose windows overlap
    flash_bytes: int  # of engine and model, without harness
    ram_bytes: int  # variables of the engine: scratch and input are the caller's
    stack_bytes: int

    def to_json(self) -> dict[str, Any]:
        """For a file of samples."""
        return asdict(self)


class _Board(Protocol):
    image: Path
    size: EngineSize

    def run(self, inputs: Int8s) -> EngineRun: ...

    def push(self, columns: Int8s, *, verdicts: int) -> EngineRun: ...


def sample(subject: Subject, core: str, opt: str, *, count: int, cache: Path) -> Sample | None:
    """Measure one model on one core; None where the board cannot hold it.

    Args:
        subject: the model.
        core: a key of CORES.
        opt: speed or size.
        count: windows, half noise, half ECG.
        cache: where builds are kept.

    Raises:
        EcgEdgeError: the engine cannot be made, does not run, or answers other bits than the interpreter.
    """
    emulated, options = CORES[core]
    target = Target(core, "speed" if opt == "speed" else "size")
    hop = stream_hop(subject)
    plan = read_plan(subject.path, hop=hop)
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
        folder = Path(work) / "engine"
        try:
            export_bare(subject.path, folder, target=target, name=subject.name, hop=hop, fs_hz=subject.fs_hz)
        except BudgetError:
            return None
        engine = EngineFolder(folder, subject.name, subject.input_bytes, subject.classes)
        try:
            board: _Board = (
                AvrEngineBoard(engine, cache=cache)
                if core == "avr"
                else EngineBoard(find_core(emulated), engine, optimize=(*flags(target), *options), cache=cache)
            )
        except DeviceError as error:
            if "region" in str(error) or "overflow" in str(error):
                return None
            raise
        image = read_image(board.image)
        if core == "avr" and image.ram_bytes > AVR_RAM_BYTES:
            return None
        given = inputs(subject.graph, count)
        run = board.run(flat(given))
        if not np.array_equal(run.scores, golden(subject.graph, given)):
            raise DeviceError(f"{subject.name} on {core}, {opt}: other scores than the interpreter's")
        pushed = None
        if plan.overlaps:
            length = subject.graph.input.shape[0] + _STREAM_HOPS * hop
            signal = np.concatenate([given[0][-1], given[0][-1][::-1], given[0][-1]])[:length]
            pushed = board.push(signal, verdicts=1 + _STREAM_HOPS).mean(1)
    size = board.size
    return Sample(
        core, opt, subject.name, hop, run.mean(), pushed, size.flash_bytes, size.ram_bytes, run.stack_bytes
    )  # fmt: skip


def stream_hop(subject: Subject) -> int:
    """The model's own hop; of a bare file the largest that lets windows overlap, up to a third of a window."""
    window = subject.graph.input.shape[0]
    if subject.hop < window or len(subject.graph.inputs) > 1:
        return subject.hop
    for hop in range(window // 3, max(0, window // 3 - _HOPS_TRIED), -1):
        if read_plan(subject.path, hop=hop).overlaps:
            return hop
    return window
