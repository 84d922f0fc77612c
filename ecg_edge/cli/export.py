"""`ecg-edge export`: write the firmware folder of a bundle, or the native engine of a bare .tflite. Layer: cli."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecg_edge.codegen.project import ExportReport


class Engine(StrEnum):
    """What --engine takes."""

    native = "native"
    tflm = "tflm"


class Opt(StrEnum):
    """What --opt takes."""

    speed = "speed"
    size = "size"


def export(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    bundle: Annotated[
        list[str] | None, typer.Argument(help="A shipped bundle's name, or a bundle's folder; several make one image.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="native: generated C, needs nothing else. tflm: TensorFlow Lite Micro.")
    ] = Engine.native,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check that it fits this board, and name the image after it.")
    ] = None,
    tflite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A full-int8 .tflite in place of a bundle: its engine alone.")
    ] = None,
    core: Annotated[
        str | None, typer.Option(metavar="CORE", help="Write native code for it, as cortex-m4; the board's, or any.")
    ] = None,
    opt: Annotated[Opt, typer.Option(help="What native code is written for.")] = Opt.size,
    name: Annotated[str | None, typer.Option(help="With --tflite: a C identifier; the file's name without it.")] = None,
    hop: Annotated[
        int | None, typer.Option(help="With --tflite: columns between windows of a stream; a whole window.")
    ] = None,
    fs: Annotated[int | None, typer.Option(help="With --tflite: the model's rate in Hz; 250.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older export.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of text.")] = False,
) -> None:
    """Write the firmware folder of a bundle: an Arduino library with both engines, self-test, and a replay sketch.

    Refuses a model that the engine or the board cannot run, naming op, tensor or limit; nothing is written then.

    Examples:

      ecg-edge export ecg5 --out firmware

      ecg-edge export ecg5 --out firmware --board nano33ble --engine tflm --force

      ecg-edge export ecg5 build/models/mine --out firmware --json

      ecg-edge export --tflite mine.tflite --core cortex-m4 --opt speed --out engine
    """
    if tflite is not None:
        if bundle or board or engine is not Engine.native:
            raise EcgEdgeError(f"{tflite}: --tflite is exported alone, for the native engine, and checks no board")
        _export_bare(tflite, out, core=core, opt=opt.value, name=name, hop=hop, fs=fs, force=force, json=json)
        return
    if not bundle:
        raise EcgEdgeError("what to export? a shipped bundle's name, a bundle's folder, or --tflite FILE")
    if (name, hop, fs) != (None, None, None):
        raise EcgEdgeError("--name, --hop and --fs go with --tflite; a bundle's manifest says them")
    from ecg_edge.bundle import Bundle
    from ecg_edge.recipes.firmware import export as export_firmware

    bundles = [Bundle.load(name) for name in bundle]
    report = export_firmware(bundles, out, engine=engine.value, board=board, core=core, opt=opt.value, force=force)
    if json:
        print_json(report.to_json())
        return
    for model in report.models:
        if model.native_refusal:
            note(f"{model.name}: no native engine: {model.native_refusal}")
        print_result(f"{model.name} {model.version}, sha256 {model.sha256[:12]}. {model.stream_note}")
    print_result(_table(report))
    if report.warning:
        note(f"warning: {report.warning}")
    print_result(
        f"{report.out}: {len(report.files)} files. Copy {report.out}/EcgEdge into your Arduino libraries folder."
    )


def _export_bare(
    tflite: Path,
    out: Path,
    *,
    core: str | None,
    opt: str,
    name: str | None,
    hop: int | None,
    fs: int | None,
    force: bool,
    json: bool,
) -> None:
    from ecg_edge.codegen.bare import FS_HZ, export_bare
    from ecg_edge.codegen.target import PORTABLE, find_target, flags

    target = find_target(core or PORTABLE.core, opt)
    report = export_bare(tflite, out, target=target, name=name, hop=hop, fs_hz=FS_HZ if fs is None else fs, force=force)
    if json:
        print_json(report.to_json())
        return
    print_result(f"{report.name}, sha256 {report.sha256[:12]}, for {report.core}, {report.opt}. {report.stream_note}")
    how = " ".join((f"-std={target.standard}", *flags(target), "-c", f"{report.out}/*.c"))
    print_result(f"{report.out}: {len(report.files)} files. Your compiler for {report.core} takes them with {how}")


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
