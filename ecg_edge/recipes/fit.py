"""Whether models fit boards, before anything is flashed: flash, RAM, time. Layer: recipes; composes codegen, device.

One verdict a board and engine, by the same figures that `ecg-edge export --board` refuses by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.budget import Need, native_need, tflm_need
from ecg_edge.codegen.image import Model, read_model, require_names_apart
from ecg_edge.codegen.target import find_target
from ecg_edge.codegen.verdict import Amount, Verdict, worst
from ecg_edge.device.boards import Board, boards, owned_boards
from ecg_edge.errors import BundleError, DeviceError
from ecg_edge.recipes.firmware import board_limits, core_of
from ecg_edge.recipes.timing import Timing, timings

ENGINES = ("native", "tflm")
_CODE_ERROR, _RAM_ERROR = 0.2, 0.1  # of what is estimated; Source: codegen/budget.py


@dataclass(frozen=True, slots=True)
class Fit:
    """One engine on one board."""

    board: str
    name: str
    core: str
    engine: str
    verdict: Verdict  # fits, tight, too slow, no
    reason: str  # of all but "fits": the limit, and by how much
    flash_bytes: int
    flash_there_bytes: int
    ram_bytes: int
    ram_there_bytes: int
    engine_ram_bytes: int  # of ram_bytes: scratch, or arena
    core_ram_bytes: int  # the rest
    timings: tuple[Timing, ...]  # of each model; none where nothing is known of the core, or of the engine

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def fit(
    bundles: Sequence[Bundle], *, board_ids: Sequence[str] = (), engines: Sequence[str] = ("native",), opt: str = "size"
) -> list[Fit]:
    """Judge an image of all bundles on each board.

    Args:
        bundles: the models of the image.
        board_ids: which; none: all that people own.
        engines: native, tflm.
        opt: what native code is written for.

    Raises:
        EcgEdgeError: no such board, a bundle that is no legal model, or two of one name.
    """
    if not bundles:
        raise BundleError("what to fit? a shipped bundle's name, or a bundle's folder")
    models = [read_model(bundle) for bundle in bundles]
    require_names_apart(models)
    return [_fit(models, board, engine, opt) for board in choose_boards(board_ids) for engine in engines]


def choose_boards(ids: Sequence[str]) -> list[Board]:
    """Boards by their ids; without any, every one that people own.

    Raises:
        DeviceError: no such board; says which are spelled like it.
    """
    known = boards()
    if not ids:
        return owned_boards()
    for wanted in ids:
        if wanted not in known:
            near = get_close_matches(wanted.lower(), known, n=4, cutoff=0.5)
            said = f"near it: {', '.join(near)}" if near else "`ecg-edge fit BUNDLE` lists all"
            raise DeviceError(f"no board {wanted}; {said}")
    return [known[wanted] for wanted in dict.fromkeys(ids)]


def _fit(models: list[Model], board: Board, engine: str, opt: str) -> Fit:
    target = find_target(core_of(board.id), opt)
    need = native_need(models, target) if engine == "native" else tflm_need(models)
    limits = board_limits(board.id)
    taken = timings(models, board, target) if engine == "native" else ()
    if need is None or (engine == "tflm" and board.core == "avr"):
        reason = _refusal(models, engine, board)
        need, verdict = Need(engine, 0, 0, 0, 0), Verdict.NO
    else:
        verdict, reason = worst(
            [
                Amount("flash", need.flash_bytes, round(_CODE_ERROR * need.code_flash_bytes), limits.flash_bytes),
                Amount("RAM", need.ram_bytes, round(_RAM_ERROR * need.other_ram_bytes), limits.ram_bytes),
                *(timing.share for timing in taken),
            ]
        )
    return Fit(
        board.id, board.name, board.core, engine, verdict, reason,
        need.flash_bytes, limits.flash_bytes, need.ram_bytes, limits.ram_bytes,
        need.scratch_bytes, need.other_ram_bytes, taken,
    )  # fmt: skip


def _refusal(models: list[Model], engine: str, board: Board) -> str:
    if engine == "tflm" and board.core == "avr":
        return "an 8-bit core; TensorFlow Lite Micro needs 32"
    if engine == "tflm":
        name = next(model.name for model in models if model.arena is None)
        return f"{name}: its arena was never measured"
    return next(f"{model.name}: {model.refusal}" for model in models if model.plan is None)
