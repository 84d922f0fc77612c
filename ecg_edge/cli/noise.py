"""`ecg-edge noise`. Layer: cli."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError


def noise(
    bundle: Annotated[
        str,
        typer.Argument(help="A shipped bundle's name, or a bundle's folder.", autocompletion=complete.bundles),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Annotated clean records; a set of `data` by name.")],
    kinds: Annotated[str, typer.Option(metavar="A,B", help="Of bw (wander), em (electrode motion), ma (muscle).")] = (
        "bw,em,ma"
    ),
    snr: Annotated[str, typer.Option(metavar="A,B", help="Signal to noise, in dB.")] = "24,18,12,6,0,-6",
    nstdb: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The noise; by default nstdb beside DIR, or in the cache.")
    ] = None,
    records: Annotated[
        str, typer.Option(metavar="A,B", help="Only these; `all`; by default 118 and 119, as NSTDB has it.")
    ] = "",
    lead: Annotated[str | None, typer.Option(help="Lead to judge; by default MLII or II, and else the first.")] = None,
    annotator: Annotated[str, typer.Option(metavar="SUFFIX", help="Of the annotation files.")] = "atr",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write report.json and noise.png here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
) -> None:
    """Say how good a model of beats stays as noise grows: the MIT-BIH noise stress test, by EC57.

    Noise of the Noise Stress Test Database in two minutes of every four, after five clean ones, at SNRs as nst(1) has
    them. A record the model learnt from shows how its figures fall, not where they begin.

    Examples:

      ecg-edge noise aami mitdb

      ecg-edge noise aami ../shared/data/mitdb --kinds em --snr 12,6,0 --records 118,119,205 --out build/noise

      ecg-edge noise aami records --nstdb sets/nstdb/1.0.0 --records all --json
    """
    decibels = _decibels(snr)

    from ecg_edge.bench.beats import require_beats
    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.files import require_writable, write_json
    from ecg_edge.recipes.noise import noise_records, records_of, stress
    from ecg_edge.report.noise import noise_text
    from ecg_edge.signal.physionet import records_folder

    opened, place = Bundle.load(bundle), records_folder(folder)
    require_beats(opened)
    if out is not None:
        require_writable(out)
    paths = records_of(place, _listed(records))
    noises = noise_records(nstdb, place, _listed(kinds))
    with Steps() as steps, steps.step("records") as progress:
        report = stress(opened, paths, noises, decibels, lead=lead, annotator=annotator, progress=progress)
    if out is not None:
        from ecg_edge.report.plots import save_noise

        write_json(out / "report.json", report)
        save_noise(report, out / "noise.png")
        note(f"wrote {out / 'report.json'} and {out / 'noise.png'}")
    if json:
        print_json(report)
    else:
        print_result(noise_text(report))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _decibels(text: str) -> list[float]:
    try:
        found = [float(part) for part in _listed(text)]
    except ValueError:
        found = []
    if not found or not all(-40 <= snr <= 60 for snr in found):
        raise EcgEdgeError(f"noise: --snr {text!r}; numbers from -40 to 60 dB with commas between")
    return found
