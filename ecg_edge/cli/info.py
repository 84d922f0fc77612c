"""`ecg-edge info`: what is in a bundle. Layer: cli."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import print_json, print_result

if TYPE_CHECKING:
    from ecg_edge.recipes.anatomy import Anatomy


def info(
    bundle: Annotated[
        str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.", autocompletion=complete.bundles)
    ] = "ecg5",
    card: Annotated[bool, typer.Option("--card", help="Print the model card as well.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON instead of text.")] = False,
) -> None:
    """Say what is in a bundle: sizes, ops, multiplications, memory layer by layer, and whether it streams.

    Examples:

      ecg-edge info ecg5

      ecg-edge info build/models/mine --card

      ecg-edge info ecg5 --json
    """
    from ecg_edge.bundle import Bundle
    from ecg_edge.recipes.anatomy import dissect

    found = dissect(Bundle.load(bundle))
    if json:
        print_json(found.to_json())
        return
    print_result("\n\n".join([_head(found), _layers(found), _needs(found)]))
    if card:
        print_result("\n" + (found.card or f"{found.name} has no card.md"))


def _head(found: Anatomy) -> str:
    int8, delay_ms = f"{found.tflite_bytes:,} bytes", round(1000 * found.delay / found.fs_hz)
    floating = "" if found.float_tflite_bytes is None else f", float {found.float_tflite_bytes:,}"
    rows = [
        ("bundle", f"{found.name} {found.version}, {found.folder}"),
        ("sha256", found.sha256),
        ("input", _input(found)),
        ("delay", f"{found.delay} samples ({delay_ms} ms)" + (" and two beats" if found.takes == "beats" else "")),
        ("classes", ", ".join(found.classes)),
        ("model.tflite", f"{int8}{floating}"),
        ("weights", f"{found.params:,} parameters, {found.macs:,} multiply-accumulates a window"),
        ("streaming", found.stream_note),
    ]
    if found.arena_bytes:
        arena = ", ".join(f"{name} {count:,}" for name, count in found.arena_bytes.items())
        rows.append(("TFLM arena", f"{arena} bytes"))
    return "\n".join(f"{name:<13} {text}" for name, text in rows)


def _input(found: Anatomy) -> str:
    if found.takes == "beats":
        return f"views of beats, {found.window} x {found.channels}, of {found.leads} lead at {found.fs_hz} Hz"
    return f"{found.window} samples x {found.leads} at {found.fs_hz} Hz, a window every {found.hop}"


def _layers(found: Anatomy) -> str:
    rows: list[tuple[str, ...]] = [("layer", "op", "output", "params", "MACs", "ring bytes")]
    for layer in found.layers:
        ring = "-" if layer.ring_bytes is None else f"{layer.ring_bytes:,}"
        shape = " x ".join(map(str, layer.output))
        rows.append((layer.name, layer.kind, shape, f"{layer.params:,}", f"{layer.macs:,}", ring))
    rings = [layer.ring_bytes for layer in found.layers if layer.ring_bytes is not None]
    total = f"{sum(rings):,}" if rings else "-"
    rows.append(("total", "", "", f"{found.params:,}", f"{found.macs:,}", total))
    return _table(rows, left=2)


def _needs(found: Anatomy) -> str:
    rows: list[tuple[str, ...]] = [("engine", "flash", "of it model", "RAM", "of it engine")]
    for need in found.needs:
        numbers = (need.flash_bytes, need.model_flash_bytes, need.ram_bytes, need.scratch_bytes)
        rows.append((need.engine, *(f"{number:,}" for number in numbers)))
    return _table(rows, left=1) + "\nbytes; the model exact, code and core estimated for a Cortex-M"


def _table(rows: Sequence[tuple[str, ...]], *, left: int) -> str:
    """Columns under each other; the first `left` of them flush left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def cells(row: Iterable[str]) -> Iterable[str]:
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            yield cell.ljust(width) if i < left else cell.rjust(width)

    return "\n".join("  ".join(cells(row)).rstrip() for row in rows)
