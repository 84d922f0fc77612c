"""`ecg-edge quantize`. Layer: cli."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError


def quantize(
    run: Annotated[Path, typer.Argument(help="A folder that `ecg-edge train` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The bundle's folder.")],
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1.0.0",
    per_class: Annotated[
        int, typer.Option(min=0, help="Synthetic windows per class to measure and put on the card; 0 = none.")
    ] = 1000,
    arena: Annotated[
        list[str] | None,
        typer.Option(metavar="KERNELS=BYTES", help="A TFLM arena measured on a core, as cmsis-nn-cortex-m4=12812."),
    ] = None,
    tried: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For the card of a model of beats: a line for each trial.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest instead of text.")] = False,
) -> None:
    """Quantize a trained model to full int8 and make its bundle; report float against int8 per class.

    Examples:

      ecg-edge quantize build/run --out build/models/ecg5

      ecg-edge quantize build/mine --out build/models/mine --version 0.2.0
    """
    measured = dict(_arena(text) for text in arena or [])
    trials = [] if tried is None else [line for line in tried.read_text(encoding="utf-8").splitlines() if line.strip()]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from ecg_edge.cli.progress import Steps
    from ecg_edge.recipes import evaluation, shipping, training
    from ecg_edge.signal.synth import CLASSES

    with Steps() as steps:
        with steps.step("quantize"):
            bundle, text = training.quantize_run(
                run, out, version=version, force=force, arena_bytes=measured, tried=trials
            )
        if per_class and bundle.manifest.classes == CLASSES:
            with steps.step("measure") as progress:
                snr_db = evaluation.SNR_DB
                cases = evaluation.synthetic_cases(
                    bundle, per_class=per_class, seed=1, snr_db=snr_db, progress=progress
                )
                report = evaluation.evaluate(bundle, cases, evaluation.answer(bundle, cases.samples_uv))
            bundle = shipping.with_metrics(bundle, report)
    if json:
        print_json(bundle.manifest.to_json())
    else:
        print_result(text)
    note(f"wrote {out}: model.tflite has {len(bundle.model):,} bytes; next: ecg-edge export {out} --out firmware")


def _arena(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not (name and count.isdecimal()):
        raise EcgEdgeError(f"quantize: --arena {text!r} is not KERNELS=BYTES")
    return name, int(count)
