"""`ecg-edge profile`: where the native engine spends its instructions and bytes. Layer: cli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.export import Opt
from ecg_edge.cli.output import print_json, print_result
from ecg_edge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecg_edge.bench.profile import Profile

_BAR = 24  # characters for all instructions


def profile(
    bundle: Annotated[
        str | None,
        typer.Argument(help="A shipped bundle's name, or a bundle's folder.", autocompletion=complete.bundles),
    ] = None,
    tflite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A full-int8 .tflite in place of a bundle.")
    ] = None,
    core: Annotated[str, typer.Option(metavar="CORE", help="One that QEMU emulates here.")] = "cortex-m4",
    opt: Annotated[Opt, typer.Option(help="What the engine is written for.")] = Opt.speed,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON instead of text.")] = False,
) -> None:
    """Say what each op of a model costs on an emulated core: multiplications, instructions, bytes, share.

    Instructions are exact and emulated: no cycles, no time on hardware.

    Examples:

      ecg-edge profile ecg5

      ecg-edge profile --tflite mine.tflite --core cortex-m55 --opt size
    """
    from ecg_edge.bench.profile import profile as profile_engine
    from ecg_edge.bench.subject import find_subject
    from ecg_edge.codegen.target import find_target

    model = bundle if tflite is None else tflite
    if model is None or (bundle is not None and tflite is not None):
        raise EcgEdgeError("what to profile? either a bundle's name or folder, or --tflite FILE")
    if tflite is not None and tflite.suffix != ".tflite":
        raise EcgEdgeError(f"{tflite} is no .tflite by its name")
    subject = find_subject(model)
    found = profile_engine(subject, find_target(core, opt.value))
    if json:
        print_json(found.to_json())
        return
    print_result("\n\n".join([_head(found), _table(found), _foot(found)]))


def _head(found: Profile) -> str:
    where = f"{found.core}, {found.opt} ({found.flags})"
    return f"{found.model}, sha256 {found.sha256[:12]}, on {where}: instructions of one window, emulated"


def _table(found: Profile) -> str:
    rows: list[tuple[str, ...]] = [("op", "", "MACs", "instructions", "a MAC", "share", "", "constants", "code", "RAM")]
    for op in found.ops:
        cost = _cost(op.instructions, op.macs, op.share)
        rows.append((op.name, op.kind, *cost, *map(_count, (op.flash_bytes, op.code_bytes, op.ram_bytes))))
    between = found.between_instructions
    rows.append(("between", "", *_cost(between, 0, between / found.instructions), "", "", ""))
    sums = (
        sum(counts) for counts in zip(*((op.flash_bytes, op.code_bytes, op.ram_bytes) for op in found.ops), strict=True)
    )
    rows.append(("all", "", *_cost(found.instructions, sum(op.macs for op in found.ops), None), *map(_count, sums)))
    return _aligned(rows, left=(0, 1, 6))


def _cost(instructions: int, macs: int, share: float | None) -> tuple[str, str, str, str, str]:
    each = f"{instructions / macs:.2f}" if macs else ""
    part, bar = ("", "") if share is None else (f"{100 * share:.1f} %", "#" * round(_BAR * share))
    return _count(macs), _count(instructions), each, part, bar


def _count(value: int) -> str:
    return f"{value:,}" if value else ""


def _foot(found: Profile) -> str:
    return (
        f"{found.built_instructions:,} instructions where the compiler may join steps, {found.flash_bytes:,} bytes of "
        f"flash with the kernels that steps share, {found.scratch_bytes:,} bytes of scratch"
    )


def _aligned(rows: list[tuple[str, ...]], *, left: tuple[int, ...]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
