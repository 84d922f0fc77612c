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
    """Say which boards a model fits, with flash, RAM and time, before anything is flashed.

    Estimates; nothing here was measured on hardware. Times are of generated C, from emulated instructions. "tight":
    the limit lies within the estimate's error. "too slow": a live signal comes faster than verdicts can.

    Exit code 0: the table of all boards, or every --board fits or is tight. 3: a --board that was asked for does not
    fit, or is too slow.

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
    misses = [one for one in found if one.verdict in ("no", "too slow")]
    if board and misses:
        raise GateError("; ".join(f"{one.board}, {one.engine}: {one.reason}" for one in misses))


def _table(found: list[Fit]) -> str:
    rows = [("board", "engine", "verdict", "flash", "of", "RAM", "of", "ms a window", "ms a hop", "CPU, live, %")]
    rows += [
        (
            one.board,
            one.engine,
            one.verdict,
            f"{one.flash_bytes:,}",
            f"{one.flash_there_bytes:,}",
            f"{one.ram_bytes:,}",
            f"{one.ram_there_bytes:,}",
            *_times(one),
        )
        for one in found
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *_reasons(found), _footnote(found)])


def _times(one: Fit) -> tuple[str, str, str]:
    """Of the slowest model."""
    if not one.timings:
        return ("no estimate",) * 3
    slowest = max(one.timings, key=lambda timing: timing.cpu[1])
    return _range(slowest.window_ms), _range(slowest.hop_ms), _range(tuple(100 * share for share in slowest.cpu))


def _range(ends: tuple[float, ...]) -> str:
    return " to ".join(f"{end:,.0f}" if end >= 10 else f"{end:.2g}" for end in ends)


def _reasons(found: list[Fit]) -> list[str]:
    return [f"{one.board}, {one.engine}: {one.verdict}: {one.reason}" for one in found if one.reason]


def _footnote(found: list[Fit]) -> str:
    errors = [timing.instructions_error for one in found for timing in one.timings]
    if not errors:
        return "Estimates; nothing was measured on hardware."
    within = " to ".join(dict.fromkeys(f"{100 * error:.0f}" for error in (min(errors), max(errors))))
    return (
        f"Estimates; nothing was measured on hardware. Times, the least to the most: emulated instructions (off by "
        f"{within} % at worst on models that were not fitted) x cycles an instruction x waits for flash / clock."
    )
