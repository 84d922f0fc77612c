"""`ecg-edge export`: write the firmware folder of a bundle. Layer: cli."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result

if TYPE_CHECKING:
    from ecg_edge.codegen.project import ExportReport


class Engine(StrEnum):
    """What --engine takes."""

    native = "native"
    tflm = "tflm"


def export(
    bundle: Annotated[
        list[str], typer.Argument(help="A shipped bundle's name, or a bundle's folder; several make one image.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    engine: Annotated[
        Engine, typer.Option(help="native: generated C, needs nothing else. tflm: TensorFlow Lite Micro.")
    ] = Engine.native,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check that it fits this board, and name the image after it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older export.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of text.")] = False,
) -> None:
    """Write the firmware folder of a bundle: an Arduino library with both engines, self-test, and a replay sketch.

    Refuses a model that the engine or the board cannot run, naming op, tensor or limit; nothing is written then.

    Examples:

      ecg-edge export ecg5 --out firmware

      ecg-edge export ecg5 --out firmware --board nano33ble --engine tflm --force

      ecg-edge export ecg5 build/models/mine --out firmware --json
    """
    from ecg_edge.bundle import Bundle
    from ecg_edge.recipes.firmware import export as export_firmware

    bundles = [Bundle.load(name) for name in bundle]
    report = export_firmware(bundles, out, engine=engine.value, board=board, force=force)
    if json:
        print_json(report.to_json())
        return
    for model in report.models:
        if model.native_refusal:
            note(f"{model.name}: no native engine: {model.native_refusal}")
        print_result(f"{model.name} {model.version}, sha256 {model.sha256[:12]}. {model.stream_note}")
    print_result(_table(report))
    print_result(
        f"{report.out}: {len(report.files)} files. Copy {report.out}/EcgEdge into your Arduino libraries folder."
    )


def _table(report: ExportReport) -> str:
    """What each engine needs, in bytes: the model exact, code and core estimated."""
    rows: list[tuple[str, ...]] = [("engine", "flash", "of it model", "RAM", "of it engine")]
    for need in report.needs:
        chosen = "*" if need.engine == report.engine else ""
        numbers = (need.flash_bytes, need.model_flash_bytes, need.ram_bytes, need.scratch_bytes)
        rows.append((need.engine + chosen, *(f"{number:,}" for number in numbers)))
    if report.limits is not None:
        rows.append((report.limits.board, f"{report.limits.flash_bytes:,}", "", f"{report.limits.ram_bytes:,}", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines) + "\n* chosen; estimates for a Cortex-M, in bytes"
