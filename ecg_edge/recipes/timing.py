"""How long a model takes on a board, before anything is flashed. Layer: recipes; composes codegen and device.

Emulated instructions x cycles an instruction x what waiting for flash may add / the board's clock. Each of the three
is a range, and so is the time. Nothing of it was measured on hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecg_edge.codegen.costs import BEAT_SAMPLES, Estimate, costs, error_of, work_estimate
from ecg_edge.codegen.image import Model
from ecg_edge.codegen.target import Target
from ecg_edge.codegen.verdict import Share, Verdict, worst
from ecg_edge.device.boards import Board, Core, cores
from ecg_edge.errors import BudgetError

Range = tuple[float, float]  # the least and the most


@dataclass(frozen=True, slots=True)
class Timing:
    """One model on one board, with the native engine; preparing the samples included."""

    model: str
    window_instructions: int  # of an isolated window, or of a beat, emulated; of AVR cycles
    hop_instructions: int  # of each further verdict of a stream
    instructions_error: float  # of both, a fraction either way
    cycles: Range  # an instruction, flash_wait included
    how: str  # cycles are known: "exact", by a "table" of the core's manual, or "assumed"
    window_ms: Range
    hop_ms: Range
    cpu: Range  # the share that a live stream takes; over 1: the board cannot keep up

    @property
    def share(self) -> Share:
        """To be judged."""
        return Share(self.model, *self.cpu)


def timings(models: Sequence[Model], board: Board, target: Target) -> tuple[Timing, ...]:
    """Estimate each model by itself: one of an image runs at a time.

    Returns:
        Nothing for a core whose cycles nobody knows, kernels that were not measured there, an emulated board, whose
        clock is none, or models without a native engine.
    """
    core = cores().get(board.core)
    if core is None or board.emulator or any(model.plan is None for model in models):
        return ()
    if core.counted not in costs() or Target(core.counted).kernels != target.kernels:
        return ()
    return tuple(_timing(model, board, core, target) for model in models)


def require_live(found: Sequence[Timing], board: str) -> str:
    """Refuse what cannot keep up with its signal.

    Returns:
        A warning where a board is not sure to keep up; else nothing.

    Raises:
        BudgetError: not even the least time of a hop is within the hop.
    """
    verdict, reason = worst([timing.share for timing in found]) if found else (Verdict.FITS, "")
    if verdict is Verdict.SLOW:
        raise BudgetError(f"board {board} is too slow: {reason}; without --board it is written for recorded windows")
    return reason and f"board {board} may be too slow: {reason}"


def _timing(model: Model, board: Board, core: Core, target: Target) -> Timing:
    assert model.plan is not None, model.name
    low, high = core.cycles(target.opt)
    cycles = (low * board.flash_wait[0], high * board.flash_wait[1])
    manifest = model.bundle.manifest
    work = work_estimate(model.plan, target, core.counted, takes=manifest.takes)
    hop_ms = _milliseconds(work.hop, cycles, board.clock_hz)
    length_ms = 1000 * (BEAT_SAMPLES if manifest.takes == "beats" else manifest.hop) / manifest.fs_hz
    return Timing(
        model.name,
        round(work.window.instructions),
        round(work.hop.instructions),
        error_of(core.counted, target.opt),
        cycles,
        core.how,
        _milliseconds(work.window, cycles, board.clock_hz),
        hop_ms,
        (round(hop_ms[0] / length_ms, 4), round(hop_ms[1] / length_ms, 4)),
    )


def _milliseconds(estimate: Estimate, cycles: Range, clock_hz: int) -> Range:
    low, high = (1000 * n * per / clock_hz for n, per in zip(estimate.range, cycles, strict=True))
    return round(low, 3), round(high, 3)
