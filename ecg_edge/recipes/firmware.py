"""Bundles become a firmware folder. Layer: recipes; composes codegen, signal and device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle, Manifest
from ecg_edge.codegen import project
from ecg_edge.codegen.budget import Limits
from ecg_edge.codegen.image import image_files, read_model
from ecg_edge.codegen.selftest import Preparation
from ecg_edge.codegen.target import CORES, PORTABLE, find_target
from ecg_edge.device.boards import find_board
from ecg_edge.errors import BudgetError
from ecg_edge.recipes.timing import require_live, timings
from ecg_edge.signal.beatview import beat_views
from ecg_edge.signal.prepare import Prepare, prepare

SHIPPED_MODEL = "ecg5"


def export(
    bundle: Bundle | Sequence[Bundle],
    out: Path,
    *,
    engine: str = "native",
    board: str | None = None,
    core: str | None = None,
    opt: str = "size",
    force: bool = False,
) -> project.ExportReport:
    """Write the firmware folder of a bundle, or of an image of several.

    A board that cannot keep up with a live signal is refused as one without room is; where it is not sure to keep up,
    the report has a warning.

    Args:
        bundle: the model, or the models in the order the wire numbers them.
        out: the folder.
        engine: "native" or "tflm".
        board: name of a board of boards.toml; None: no board's limits are checked.
        core: what the native engine is written for; None: the board's core, where it is one of CORES.
        opt: whether speed or size counts there.
        force: replace an older export.

    Raises:
        EcgEdgeError: see `codegen.project.export`; or no such board or core.
    """
    bundles = [bundle] if isinstance(bundle, Bundle) else list(bundle)
    limits = None if board is None else board_limits(board)
    if engine == "tflm" and board is not None and find_board(board).core == "avr":
        raise BudgetError(f"board {board} has an 8-bit core, and TensorFlow Lite Micro needs 32; --engine native runs")
    target = find_target(core if core is not None else core_of(board), opt)
    warning = ""
    if engine == "native" and board is not None:
        warning = require_live(timings([read_model(one) for one in bundles], find_board(board), target), board)
    report = project.export(
        bundles,
        out,
        engine=engine,
        make_preparation=make_preparation,
        board=board or "generic",
        limits=limits,
        target=target,
        force=force,
    )
    return replace(report, warning=warning)


def shipped_image() -> dict[str, str]:
    """The generated files that lie in firmware/EcgEdge/src, so that the library builds as it is: name -> text."""
    models = [read_model(Bundle.load(SHIPPED_MODEL))]
    return image_files(models, engine="native", board="generic", make_preparation=make_preparation)


def core_of(board: str | None) -> str:
    """The core to write the native engine for, if nobody says: portable where the board has none of CORES.

    Raises:
        DeviceError: no board of that name.
    """
    core = "" if board is None else find_board(board).core.removesuffix("f")  # of a core with an FPU
    return core if core in CORES else PORTABLE.core


def make_preparation(manifest: Manifest) -> Preparation:
    """The function that shows a model a signal: as an isolated window in every lead, or its last beat."""
    p = Prepare.from_manifest(manifest.prepare)
    values = manifest.columns[1]

    def window(samples_uv: NDArray[np.int16]) -> NDArray[np.int8]:
        return np.repeat(prepare(samples_uv[None], p).T, values, axis=1)

    def last_beat(samples_uv: NDArray[np.int16]) -> NDArray[np.int8]:
        views = beat_views(samples_uv, p)
        return views[-1].tensor if views else np.empty((0, values), np.int8)

    return last_beat if manifest.takes == "beats" else window


def board_limits(board: str) -> Limits:
    """What a board has.

    Raises:
        DeviceError: no board of that name.
    """
    found = find_board(board)
    return Limits(board, found.flash_bytes, found.ram_bytes)
