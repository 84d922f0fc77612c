"""`ecg-edge evaluate`. Layer: cli."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.")] = "ecg5",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="On synthetic windows (the default).")] = False,
    npz: Annotated[Path | None, typer.Option(metavar="FILE", help="On your windows: samples_uv, fs_hz, label.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Synthetic windows per class.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic windows.")] = 1,
    snr_db: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Of the synthetic windows, uniform between.")
    ] = (12.0, 30.0),
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write report.json and report.html into this folder.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw confusion, accuracy by group and calibration as PNG files.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
) -> None:
    """Say how good a bundle is: int8 and float on the same windows, per class, by SNR and by severity.

    An abstention (flat, clipped) counts as wrong, and is counted apart. Synthetic results are not clinical ones.

    Examples:

      ecg-edge evaluate ecg5 --synthetic --per-class 1000 --seed 7

      ecg-edge evaluate ecg5 --snr-db 6 6 --json

      ecg-edge evaluate build/models/mine --npz test.npz --out build/evaluation
    """
    if synthetic and npz is not None:
        raise EcgEdgeError("evaluate: --synthetic and --npz are two sources; give one")

    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.recipes import evaluation

    opened = Bundle.load(bundle)
    with Steps() as steps, steps.step("windows") as progress:
        if npz is not None:
            cases = evaluation.npz_cases(opened, npz)
        else:
            cases = evaluation.synthetic_cases(opened, per_class=per_class, seed=seed, snr_db=snr_db, progress=progress)
        answers = evaluation.answer(opened, cases.samples_uv)
        report = evaluation.evaluate(opened, cases, answers)
    if out is not None:
        evaluation.write_report(opened, cases, answers, report, out)
        note(f"wrote {out / 'report.json'} and {out / 'report.html'}")
    if plots is not None:
        from ecg_edge.report.plots import save_evaluation

        note(f"wrote {', '.join(str(path) for path in save_evaluation(report, plots))}")
    if json:
        print_json(report)
    else:
        print_result(evaluation.report_text(opened, cases, answers))
