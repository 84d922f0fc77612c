"""`ecg-edge bundle`. Layer: cli."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import BundleError


def bundle(
    model: Annotated[Path, typer.Argument(help="Your .keras, .h5 or full-int8 .tflite; input (batch, window, leads).")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The bundle's folder.")],
    classes: Annotated[str, typer.Option(metavar="A,B,...", help="Class names, in the order of the scores.")],
    fs_hz: Annotated[int, typer.Option(help="Samples a second that the model was trained at.")],
    name: Annotated[str | None, typer.Option(help="A C identifier; the file's name without it.")] = None,
    hop: Annotated[int | None, typer.Option(help="Samples between windows of a stream; a quarter window.")] = None,
    uv_per_unit: Annotated[
        float, typer.Option(help="Microvolts that make 1.0 at the model's input: 1000 where it takes millivolts.")
    ] = 1000.0,
    float_model: Annotated[
        Path | None, typer.Option("--float", metavar="FILE", help="Float twin of a .tflite, to compare with.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="NPZ", help="Windows to quantize a .keras with: samples_uv, fs_hz, label.")
    ] = None,
    version: Annotated[str, typer.Option(help="Of the bundle.")] = "1.0.0",
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest instead of text.")] = False,
) -> None:
    """Make a bundle of your own model, so that it exports, streams and benches like a shipped one.

    The model must take microvolts times a constant: a model that normalizes each window cannot run on a stream.

    Examples:

      ecg-edge bundle mine.tflite --out build/models/mine --classes N,S,V --fs-hz 250 --uv-per-unit 1000

      ecg-edge bundle mine.keras --out build/models/mine --classes N,AF --fs-hz 250 --calibration windows.npz
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from ecg_edge.recipes import shipping

    names = tuple(part.strip() for part in classes.split(","))
    identity = shipping.Identity(name or model.stem, fs_hz, hop or 0, names, version, uv_per_unit)
    if model.suffix == ".tflite":
        made = shipping.import_tflite(model, float_model, out, identity, force=force)
    elif model.suffix in (".keras", ".h5"):
        if calibration is None:
            raise BundleError(f"{model}: quantizing needs --calibration windows.npz")
        made = shipping.import_keras(model, calibration, out, identity, force=force)
    else:
        raise BundleError(f"{model}: a bundle is made of a .keras, .h5 or .tflite")
    if json:
        print_json(made.manifest.to_json())
    else:
        print_result(made.path("card.md").read_text())
    note(f"wrote {out}; next: ecg-edge export {out} --out firmware")
