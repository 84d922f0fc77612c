"""`ecg-edge train`. Layer: cli."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError

WINDOWS = 220_000
EPOCHS = 12


def train(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder: model.keras, model.h5, report, data.")
    ] = None,
    synthetic: Annotated[
        int | None, typer.Option(metavar="N", help=f"Train on N synthetic windows (the default: {WINDOWS}).")
    ] = None,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Train on your windows: samples_uv, fs_hz, label, subject.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train on your WFDB or CSV records, with --labels.")
    ] = None,
    beats: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train a model of beats on MIT-BIH DS1; noise: DIR/../nstdb.")
    ] = None,
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="With --beats: judge by EC57 between patients, 6 folds, 2 seeds.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Columns record, label and, where needed, start_s, stop_s.")
    ] = None,
    lead: Annotated[str | None, typer.Option(metavar="NAME", help="Lead of the records.")] = None,
    raw_uv: Annotated[bool, typer.Option("--raw-uv", help="Take 1 LSB of the records as 1 uV (LUDB).")] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the bundle to come; a C identifier.", show_default="ecg5; with --beats aami")
    ] = None,
    fs_hz: Annotated[int, typer.Option(help="Samples a second.")] = 250,
    window: Annotated[int, typer.Option(help="Samples a window.")] = 1024,
    hop: Annotated[int, typer.Option(help="Samples from one window of a stream to the next.")] = 256,
    epochs: Annotated[int, typer.Option(min=1)] = EPOCHS,
    batch: Annotated[int, typer.Option(min=1)] = 128,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = 3e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of data, split, start and order.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print run.json instead of text.")] = False,
) -> None:
    """Train a classifier: on synthetic ECG, on your own labelled windows or records, or on single beats.

    Subjects are never on both sides of the split. Ctrl-C and the same command again: it goes on where it was.

    Examples:

      ecg-edge train --out build/run

      ecg-edge train --out build/mine --npz mine.npz --epochs 40

      ecg-edge train --out build/af --records afdb/ --labels afdb/labels.csv --lead ECG1

      ecg-edge train --out build/aami --beats mitdb/ --cross-validate
    """
    chosen = [given is not None for given in (synthetic, npz, records, beats)]
    if sum(chosen) > 1:
        raise EcgEdgeError("train: --synthetic, --npz, --records and --beats are four sources; give one")
    if cross_validate and beats is None:
        raise EcgEdgeError("train: --cross-validate is for --beats")
    if out is None and not cross_validate:
        raise EcgEdgeError("train: --out says where the run goes; it is needed to train")
    if (records is None) != (labels is None):
        raise EcgEdgeError("train: --records and --labels belong together")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    if beats is not None:
        _train_beats(beats, out, name or "aami", seed=seed, cross_validate=cross_validate, force=force, json=json)
        return
    assert out is not None
    name = name or "ecg5"

    from ecg_edge.cli.progress import Steps
    from ecg_edge.learn.train import Settings
    from ecg_edge.recipes import training

    if records is not None and labels is not None:
        source = training.records_source(records, labels, lead=lead, raw_uv=raw_uv)
    elif npz is not None:
        source = training.npz_source(npz)
    else:
        source = training.synthetic_source(WINDOWS if synthetic is None else synthetic, 100 * seed)
    settings = Settings(epochs=epochs, batch=batch, learning_rate=learning_rate, seed=seed)

    def on_epoch(epoch: int, total: int, logs: dict[str, float]) -> None:
        found = f"accuracy {logs.get('accuracy', 0):.4f}, on other subjects {logs.get('val_accuracy', 0):.4f}"
        note(f"epoch {epoch} of {total}: loss {logs.get('loss', 0):.4f}, {found}")

    with Steps() as steps, steps.step("windows") as on_data, steps.step("epoch") as on_step:
        text = training.train_run(
            source,
            out,
            training.Shape(fs_hz, window, hop),
            settings,
            name=name,
            force=force,
            on_data=on_data,
            on_epoch=on_epoch,
            on_step=on_step,
        )
    if json:
        print_json(training.read_run(out).facts)
    else:
        print_result(text)
    note(f"wrote {out}; next: ecg-edge quantize {out} --out models/{name}")


def _train_beats(
    beats: Path, out: Path | None, name: str, *, seed: int, cross_validate: bool, force: bool, json: bool
) -> None:
    from ecg_edge.cli.progress import Steps
    from ecg_edge.files import require_writable
    from ecg_edge.learn.beatmodel import BeatSettings
    from ecg_edge.recipes import beat_training
    from ecg_edge.recipes.beat_patients import load_corpus
    from ecg_edge.report.beat_text import cross_validation_text

    if out is not None:
        require_writable(out)
    settings, found = BeatSettings(seed=seed), None
    with Steps() as steps:
        with steps.step("patients") as progress:
            corpus = load_corpus(beats, seed=seed, progress=progress)
        if cross_validate:
            with steps.step("cross-validation") as progress:
                found = beat_training.cross_validate(corpus, settings, seeds=(seed, seed + 1), progress=progress)
        if out is not None:
            with steps.step("training") as progress:
                beat_training.train_run(
                    corpus, out, settings, name=name, cross_validation=found, force=force, progress=progress
                )
    if found is not None:
        if json:
            print_json(found)
        else:
            print_result(cross_validation_text(found))
    if out is not None:
        note(f"wrote {out}; next: ecg-edge quantize {out} --out models/{name}")
