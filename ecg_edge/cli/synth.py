"""`ecg-edge synth`. Layer: cli."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note, print_json
from ecg_edge.errors import EcgEdgeError


class Format(StrEnum):
    """What `synth` writes."""

    npz = "npz"
    wfdb = "wfdb"
    csv = "csv"


def synth(
    out: Annotated[Path, typer.Option(metavar="PATH", help="An .npz file; a folder for wfdb and csv.")],
    format: Annotated[Format, typer.Option(help="Arrays with all truth, or a record a window.")] = Format.npz,  # noqa: A002
    per_class: Annotated[int, typer.Option(min=1, help="Windows per class.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same windows.")] = 1,
    snr_db: Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="SNR, uniform between, in dB.")] = (
        12.0,
        30.0,
    ),
    severity_mv: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="ST and T changes, uniform between, in mV.")
    ] = (0.1, 0.4),
    length: Annotated[int, typer.Option(help="Samples a window.")] = 1024,
    fs_hz: Annotated[int, typer.Option(help="Samples a second.")] = 250,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw examples of each class: .png, .svg or .pdf.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Make synthetic ECG with labels: five classes, known beats, ST and T changes graded in millivolts.

    Synthetic ECG is for building and testing; results on it are not clinical.

    Examples:

      ecg-edge synth --out windows.npz --per-class 1000 --seed 7 --plot examples.png

      ecg-edge synth --out records --format wfdb --per-class 20 --snr-db 6 12
    """
    from ecg_edge.cli.progress import Steps
    from ecg_edge.recipes import synthesis
    from ecg_edge.report.plots import save_strips
    from ecg_edge.signal.synth import CLASSES, Synthetic, balanced_labels, collect, synthesize

    _check(out, format, snr_db, severity_mv, force=force)
    labels = balanced_labels(per_class)
    parts: list[Synthetic] = []
    with Steps() as steps:
        with steps.step("windows") as progress:
            for part in synthesize(
                labels, seed=seed, snr_db=snr_db, length=length, fs_hz=fs_hz, severity_mv=severity_mv
            ):
                parts.append(part)
                progress(sum(len(p.label) for p in parts), labels.size)
        made = collect(iter(parts))
        if format is Format.npz:
            synthesis.write_arrays(out, made)
        else:
            with steps.step("records") as progress:
                synthesis.write_records(out, made, csv=format is Format.csv, progress=progress, force=force)
    if plot is not None:
        save_strips(synthesis.examples(made), plot)
    if json:
        facts = {
            "out": str(out),
            "windows": len(made.label),
            "classes": list(CLASSES),
            "fs_hz": fs_hz,
            "length": length,
        }
        print_json({**facts, "seed": seed, "snr_db": list(snr_db), "severity_mv": list(severity_mv)})
    note(f"wrote {len(made.label)} windows to {out}" + (f", examples to {plot}" if plot is not None else ""))


def _check(
    out: Path, form: Format, snr_db: tuple[float, float], severity_mv: tuple[float, float], *, force: bool
) -> None:
    if not -20 <= snr_db[0] <= snr_db[1] <= 60:
        raise EcgEdgeError(f"synth: SNR from {snr_db[0]:g} to {snr_db[1]:g} dB; from -20 to 60, the lower first")
    if not 0.1 <= severity_mv[0] <= severity_mv[1] <= 1.0:
        raise EcgEdgeError(
            f"synth: severities from {severity_mv[0]:g} to {severity_mv[1]:g} mV; from 0.1 to 1, the lower first"
        )
    if form is Format.npz and out.suffix != ".npz":
        raise EcgEdgeError(f"synth: {out} is no .npz; --format wfdb and csv write folders")
    if out.exists() and not force and (out.is_file() or any(out.iterdir())):
        raise EcgEdgeError(f"synth: {out} is there; --force replaces it")
