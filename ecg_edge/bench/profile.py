"""Where an engine spends its instructions and bytes, op by op, on an emulated core. Layer: bench.

The engine is built with each step a function of its own, one inference is followed instruction by instruction, and what
a step calls counts as the step's. So the sum is a little more than the engine costs when the compiler may join steps;
both are told.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_edge.bench.subject import Subject, flat, inputs
from ecg_edge.codegen.bare import export_bare, read_plan
from ecg_edge.codegen.memory import Memory
from ecg_edge.codegen.target import Target, flags
from ecg_edge.device.elf import Image, Symbol, read_image
from ecg_edge.device.enginerun import EngineBoard
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import find_core
from ecg_edge.device.trace import Stretch
from ecg_edge.graph.ir import Conv1D, Dense, DepthwiseConv1D, Op, Table

APART = "-DECG_STEP=static __attribute__((noinline))"  # ecg_ops.h: how steps are declared
_STEP = "_step"
_KERNEL = re.compile(r"ecg_(\w+)_s8")  # what the head calls without a step of its own
_BETWEEN = ""  # owner of what no op does
_HARNESS = "engine_main.c"


@dataclass(frozen=True, slots=True)
class OpCost:
    """One op."""

    name: str
    kind: str
    macs: int  # products of a weight and an activation
    instructions: int  # emulated, a window
    share: float  # of all instructions
    flash_bytes: int  # its constants
    code_bytes: int  # its step; kernels that steps share are in none
    ram_bytes: int  # its lines, sums and results


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine, taken apart."""

    model: str
    sha256: str
    core: str
    opt: str
    flags: str
    ops: tuple[OpCost, ...]
    between_instructions: int  # feeding columns, going from step to step
    instructions: int  # all, steps kept apart
    built_instructions: int  # of the same window where the compiler may join steps
    flash_bytes: int  # of the engine as it is built
    scratch_bytes: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def profile(subject: Subject, target: Target, *, cache: Path | None = None) -> Profile:
    """Take one window of synthetic ECG apart.

    Args:
        subject: the model.
        target: core, and what counts.
        cache: where built images are kept.

    Raises:
        EcgEdgeError: the native engine cannot run the model, nothing emulates the core, or a tool is missing.
    """
    url, plan = find_core(target.core), read_plan(subject.path)
    window = flat(inputs(subject.graph, 2))[1:]
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
        folder = Path(work) / "engine"
        export_bare(subject.path, folder, target=target, name=subject.name)
        engine = EngineFolder(folder, subject.name, subject.input_bytes, subject.classes)
        usual = EngineBoard(url, engine, optimize=flags(target), cache=cache)
        apart = EngineBoard(url, engine, optimize=(*flags(target), APART), cache=cache)
        run, followed = usual.run(window), apart.trace(window[0])
    file = f"ecg_model_{subject.name}_native.c"
    counts = attribute(followed, subject.graph.ops, file)
    total, memory, image = sum(counts.values()), Memory(plan, target), read_image(apart.image)
    ops = tuple(
        OpCost(
            op.name,
            type(op).__name__,
            macs(op),
            counts.get(op.name, 0),
            counts.get(op.name, 0) / total,
            *_bytes_of(op.name, image, file),
            memory.bytes_of(op.name),
        )
        for op in subject.graph.ops
    )
    return Profile(
        subject.name,
        subject.graph.sha256,
        target.core,
        target.opt,
        " ".join(flags(target)),
        ops,
        counts.get(_BETWEEN, 0),
        total,
        round(run.mean()),
        usual.size.flash_bytes,
        run.scratch_bytes,
    )


def attribute(followed: Sequence[Stretch], ops: Sequence[Op], file: str) -> dict[str, int]:
    """Instructions of each op by name, "" for what none does, over one run of an engine.

    Args:
        followed: what the processor did.
        ops: of the graph, in order.
        file: the generated source. A step is its function `<op>_step`; whoever calls steps goes between them.
    """
    inside = _running(followed, file)
    callers, called = {"run"}, set[str]()  # of steps, by steps
    for before, stretch in itertools.pairwise(inside):
        if stretch.entered and _step_of(before, file):
            called.add(stretch.function.name)
        elif stretch.entered and _step_of(stretch, file):
            callers.add(before.function.name)
    counts: dict[str, int] = {}
    with_step = {_step_of(stretch, file) for stretch in inside}
    kinds = {op.name: "lookup" if isinstance(op, Table) else type(op).__name__.lower() for op in ops}
    heads = [name for name in kinds if name not in with_step]  # their kernels are called in this order
    owner = _BETWEEN
    for stretch in inside:
        name = stretch.function.name
        if step := _step_of(stretch, file):
            owner = step
        elif stretch.function.file == file and (name in callers or (owner == _BETWEEN and name not in called)):
            callers.add(name)  # as what finishes a window, and calls no step
            owner = _BETWEEN
        elif owner == _BETWEEN and (kernel := _KERNEL.fullmatch(name)) is not None:
            waiting = [op for op in heads if kinds[op] == kernel[1]]
            others = [op for op, kind in kinds.items() if kind == kernel[1]]
            owner = (waiting or others or [_BETWEEN])[0]
            if len(waiting) > 1:
                heads.remove(owner)
        counts[owner] = counts.get(owner, 0) + stretch.instructions
    return counts


def _running(followed: Sequence[Stretch], file: str) -> list[Stretch]:
    """From the first instruction of run() to the first of the harness."""
    functions = [stretch.function for stretch in followed]
    runs = (i for i, f in enumerate(functions) if f.file == file and f.name == "run")
    start = next(runs, len(followed))
    ends = (i for i, f in enumerate(functions) if i > start and (f.file == _HARNESS or f.name.startswith("board_")))
    return list(followed[start : next(ends, None)])


def _step_of(stretch: Stretch, file: str) -> str:
    """The op whose step it is; empty: no step."""
    name = stretch.function.name.partition(".")[0]  # without .constprop.0 and its like
    return name.removesuffix(_STEP) if stretch.function.file == file and name.endswith(_STEP) else ""


def macs(op: Op) -> int:
    """Products of a weight and an activation, over a window; padding counts, as every convention has it."""
    if not isinstance(op, Conv1D | DepthwiseConv1D | Dense):
        return 0
    columns = op.output.shape[0] if len(op.output.shape) > 1 else 1
    return int(columns * op.weights.size)


def _bytes_of(op: str, image: Image, file: str) -> tuple[int, int]:
    """Constants and code of an op: the symbols that bear its name."""
    own = [symbol for symbol in image.symbols if symbol.file == file and _belongs(symbol, op)]
    return (
        sum(symbol.size for symbol in own if not symbol.function),
        sum(symbol.size for symbol in own if symbol.function),
    )


def _belongs(symbol: Symbol, op: str) -> bool:
    return symbol.name == op or symbol.name.startswith(f"{op}_")
