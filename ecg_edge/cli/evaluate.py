"""`ecg-edge evaluate`. Layer: cli."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import require_writable


class Protocol(StrEnum):
    ec57 = "ec57"


def evaluate(
    bundle: Annotated[
        str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.", autocompletion=complete.bundles)
    ] = "ecg5",
    recordings: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Annotated records, or a set of `data`; for --protocol.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        Protocol | None, typer.Option(help="Judge a model of beats on recordings, by ANSI/AAMI EC57.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Judge what this device answers to the recordings: virtual:native, /dev/ttyUSB0, ...",
            autocompletion=complete.devices,
        ),
    ] = None,
    lead: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the recordings; default MLII, II, or 1st.")
    ] = None,
    annotator: Annotated[str, typer.Option(metavar="SUFFIX", help="Of the recordings' annotation files.")] = "atr",
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
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw the figures as PNG files.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
) -> None:
    """Say how good a bundle is: int8 and float on the same windows, per class, by SNR and by severity.

    With --protocol ec57: a model of beats on annotated recordings, beat by beat as bxb and sumstats count.

    An abstention (flat, clipped) counts as wrong, and is counted apart. Synthetic results are not clinical ones.

    Examples:

      ecg-edge evaluate ecg5 --synthetic --per-class 1000 --seed 7

      ecg-edge evaluate ecg5 --snr-db 6 6 --json

      ecg-edge evaluate build/models/mine --npz test.npz --out build/evaluation

      ecg-edge evaluate aami --protocol ec57 mitdb --out build/ec57

      ecg-edge evaluate aami --protocol ec57 mitdb --device /dev/ttyUSB0 --json
    """
    if synthetic and npz is not None:
        raise EcgEdgeError("evaluate: --synthetic and --npz are two sources; give one")
    if not -20 <= snr_db[0] <= snr_db[1] <= 60:
        raise EcgEdgeError(f"evaluate: SNR from {snr_db[0]:g} to {snr_db[1]:g} dB; from -20 to 60, the lower first")
    if protocol is None and (recordings or device or lead):
        raise EcgEdgeError("evaluate: a folder of recordings, --device and --lead belong to --protocol ec57")
    if protocol is not None and recordings is None:
        raise EcgEdgeError(f"evaluate: --protocol {protocol} needs the folder of the recordings: BUNDLE DIR")
    if protocol is not None and (synthetic or npz is not None):
        raise EcgEdgeError(f"evaluate: --protocol {protocol} judges recordings, not --synthetic or --npz windows")
    for folder in (out, plots):
        if folder is not None:
            require_writable(folder)

    if recordings is not None:
        outcome = _by_ec57(bundle, recordings, device, lead, annotator)
    else:
        outcome = _by_windows(bundle, npz, per_class, seed, snr_db)
    if out is not None:
        outcome.write(out)
        note(f"wrote {out / 'report.json'} and {out / 'report.html'}")
    if plots is not None:
        note(f"wrote {', '.join(str(path) for path in outcome.draw(plots))}")
    if json:
        print_json(outcome.report)
    else:
        print_result(outcome.text())


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An evaluation, and what can be made of it."""

    report: dict[str, Any]
    text: Callable[[], str]
    write: Callable[[Path], None]
    draw: Callable[[Path], list[Path]]


def _by_windows(bundle: str, npz: Path | None, per_class: int, seed: int, snr_db: tuple[float, float]) -> _Outcome:
    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.recipes import evaluation
    from ecg_edge.report.plots import save_evaluation

    opened = Bundle.load(bundle)
    with Steps() as steps, steps.step("windows") as progress:
        if npz is not None:
            cases = evaluation.npz_cases(opened, npz)
        else:
            cases = evaluation.synthetic_cases(opened, per_class=per_class, seed=seed, snr_db=snr_db, progress=progress)
        answers = evaluation.answer(opened, cases.samples_uv)
        report = evaluation.evaluate(opened, cases, answers)
    return _Outcome(
        report,
        lambda: evaluation.report_text(opened, cases, answers),
        lambda folder: evaluation.write_report(opened, cases, answers, report, folder),
        lambda folder: save_evaluation(report, folder),
    )


def _by_ec57(bundle: str, recordings: Path, device: str | None, lead: str | None, annotator: str) -> _Outcome:
    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.recipes import ec57
    from ecg_edge.report.ec57_text import ec57_text
    from ecg_edge.report.plots import save_ec57
    from ecg_edge.signal.physionet import records_folder

    opened = Bundle.load(bundle)
    folder = records_folder(recordings)
    with Steps() as steps, ExitStack() as boards:
        if device is None:
            pipeline = ec57.python_pipeline(opened)
        else:
            with steps.step(f"start {device}"):
                pipeline = boards.enter_context(ec57.device_pipeline(opened, device))
        with steps.step("recordings") as progress:
            report = ec57.judge_folder(opened, folder, pipeline, lead=lead, annotator=annotator, progress=progress)
    return _Outcome(
        report,
        lambda: ec57_text(report),
        lambda out: ec57.write_report(report, out),
        lambda plots: save_ec57(report, plots),
    )
