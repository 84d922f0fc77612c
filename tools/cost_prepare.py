"""What preparing raw samples takes on emulated cores, in the firmware of the shipped model. For costs.py."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mega
import numpy as np

from ecg_edge.bench.costing import sample
from ecg_edge.bench.subject import find_subject
from ecg_edge.bundle import Bundle
from ecg_edge.device.filerun import FileBoard
from ecg_edge.device.machines import find_core, find_machine
from ecg_edge.recipes.firmware import SHIPPED_MODEL, export
from ecg_edge.signal.synth import balanced_labels, collect, synthesize

AVR_HZ = 16_000_000
_HOPS = 6
# No machine has a Cortex-M3, and prepare has none of the products that a Cortex-M4 takes two at a time.
_RUN_BY = {"cortex-m3": "cortex-m4"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Instructions (of AVR: cycles) of one sample of one lead."""

    window: float  # of a window by itself, which is filtered to its end
    hop: float  # of a stream, with its books


def prepared(core: str, cache: Path) -> Prepared:
    """Measure it: of a hop, what is not the engine's.

    Raises:
        EcgEdgeError: the board cannot be built or run.
    """
    bundle = Bundle.load(SHIPPED_MODEL)
    m = bundle.manifest
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
        if core == "avr":
            took = mega.measure(bundle, Path(work), hops=_HOPS, cache=cache)
            window, hop = (cost.prepare_ms * AVR_HZ / 1000 for cost in (took.window, took.hop))
        else:
            core = _RUN_BY.get(core, core)
            url = find_core(core)
            engine = sample(find_subject(SHIPPED_MODEL), core, "size", count=2, cache=cache)
            assert engine is not None
            assert engine.hop_instructions is not None
            export(bundle, Path(work) / "firmware", board=find_machine(url).board, core=core)
            board = FileBoard(url, Path(work) / "firmware", m, cache=cache)
            made = collect(synthesize(balanced_labels(2), seed=4, length=m.window, fs_hz=m.fs_hz)).samples_uv
            stream = np.repeat(made.reshape(-1, 1)[: m.window + _HOPS * m.hop], m.leads, axis=1)
            windows = np.repeat(made[..., None], m.leads, axis=2)
            window = float(board.prepare(windows).instructions.mean())
            reply = board.stream(stream, np.zeros(len(stream), np.uint8))
            hop = float(reply.instructions[1:].mean()) - engine.hop_instructions
    return Prepared(round(window / (m.window * m.leads), 1), round(hop / (m.hop * m.leads), 1))
