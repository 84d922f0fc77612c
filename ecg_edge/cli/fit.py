"""`ecg-edge fit`: which boards a model fits, before anything is flashed. Layer: cli."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.export import Opt
from ecg_edge.cli.output import print_json, print_result
from ecg_edge.errors import GateError

if TYPE_CHECKING:
    from ecg_edge.recipes.fit import Fit


class Engines(StrEnum):
    """What --engine takes."""

    native = "native"
    tflm = "tflm"
    both = "both"


def fit(
    bundle: Annotated[
        list[str] | None,
        typer.Argument(
            help="A shipped bundle's name, or a bundle's folder; several make one image.",
            autocompletion=complete.bundles,
        ),
    ] = None,
    board: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Judge this board; may be repeated. All boards without it.")
    ] = None,
    engine: Annotated[Engines, typer.Option(help="Generated C, TensorFlow Lite Micro, or both.")] = Engines.native,
    opt: Annotated[Opt, typer.Option(help="What native code is written for.")] = Opt.size,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON instead of text.")] = False,
) -> None:
    """Say which boards a model fits, with flash and RAM, before anything is flashed.

    Estimates; nothing here was measured on hardware. "tight": the limit lies within the estimate's error.

    Exit code 0: the table of all boards, or every --board fits or is tight. 3: a --board that was asked for does not
    fit.

    Examples:

      ecg-edge fit ecg5

      ecg-edge fit ecg5 --board nano33ble --board pico --engine both
    """
    from ecg_edge.bundle import Bundle
    from ecg_edge.recipes.fit import ENGINES
    from ecg_edge.recipes.fit import fit as judge

    engines = ENGINES if engine is Engines.both else (engine.value,)
    found = judge([Bundle.load(name) for name in bundle or ()], board_ids=board or (), engines=engines, opt=opt.value)
    if json:
        print_json([one.to_json() for one in found])
    else:
        print_result(_table(found))
    misses = [one for one in found if one.verdict == "no"]
    if board and misses:
        raise GateError("; ".join(f"{one.board}, {one.engine}: {one.reason}" for one in misses))


def _table(found: list[Fit]) -> str:
    rows: list[tuple[str, ...]] = [("board", "engine", "verdict", "flash", "of", "RAM", "of")]
    rows += [
        (
            one.board,
            one.engine,
            one.verdict,
            f"{one.flash_bytes:,}",
            f"{one.flash_there_bytes:,}",
            f"{one.ram_bytes:,}",
            f"{one.ram_there_bytes:,}",
        )
        for one in found
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
