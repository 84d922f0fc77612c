"""From labelled windows to a trained model, and from there to a bundle. Layer: recipes.

Composes signal, learn, graph and report. A run folder is the artefact between `train` and `quantize`: model.keras,
model.h5, run.json, data.npz (the validation windows and the calibration set, prepared), report.txt. Nothing in it is
needed once the bundle is made.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.errors import TrainingError
from ecg_edge.files import replacing_folder
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.learn.balance import balance
from ecg_edge.learn.dataset import (
    BALANCE_RECIPE,
    BALANCE_WINDOWS,
    RECIPE,
    Dataset,
    Progress,
    Recipe,
    augment,
    split_by_subject,
    synthetic_dataset,
)
from ecg_edge.learn.model import ECG5, build_model
from ecg_edge.learn.quantize import CALIBRATION_WINDOWS, INPUT_SCALE, load_keras, save_keras
from ecg_edge.learn.train import EpochReport, Settings, StepReport, train
from ecg_edge.recipes.shipping import Identity, bundle_from_keras
from ecg_edge.report import metrics
from ecg_edge.report.render import classification_text, text_table
from ecg_edge.signal.prepare import Prepare, average_log2_of, prepare
from ecg_edge.signal.windows import Windows, labelled_windows, read_windows

HELD_OUT = 0.1  # of the subjects, for validation
VALIDATION_MAX = 5000


@dataclass(frozen=True, slots=True)
class Shape:
    """What a window is: its rate and length, and how far apart windows are in a stream."""

    fs_hz: int = 250
    window: int = 1024
    hop: int = 256

    @property
    def prepare(self) -> Prepare:
        """The preparation for this rate: averages of about a second, 16 uV a step."""
        return Prepare(average_log2=average_log2_of(self.fs_hz))


@dataclass(frozen=True, slots=True)
class Source:
    """Where labelled windows come from, and what the manifest says of that."""

    load: Callable[[Shape, Progress], Dataset]
    description: dict[str, Any]
    balance: Callable[[Shape, Progress], Dataset] | None = None  # more subjects, at the noise of use


def synthetic_source(count: int, seed: int) -> Source:
    """`count` synthetic windows, every one another subject."""

    def make(shape: Shape, progress: Progress, windows: int, start: int, recipe: Recipe) -> Dataset:
        return synthetic_dataset(
            windows,
            seed=start,
            window=shape.window,
            fs_hz=shape.fs_hz,
            p=shape.prepare,
            progress=progress,
            recipe=recipe,
        )

    def load(shape: Shape, progress: Progress) -> Dataset:
        return make(shape, progress, count, seed, RECIPE)

    def more(shape: Shape, progress: Progress) -> Dataset:
        return make(shape, progress, min(count, BALANCE_WINDOWS), seed + len(RECIPE), BALANCE_RECIPE)

    return Source(load, {"data": f"{count} synthetic windows, a subject each", "synthetic share": "100 %"}, more)


def npz_source(path: Path) -> Source:
    """The user's windows; an array `subject` keeps patients apart, and without it every window is taken for another."""

    def load(shape: Shape, progress: Progress) -> Dataset:
        windows = read_windows(path, fs_hz=shape.fs_hz, length=shape.window)
        with np.load(path, allow_pickle=False) as archive:
            subjects = archive["subject"] if "subject" in archive.files else np.arange(len(windows.labels))
        if subjects.shape != windows.labels.shape:
            raise TrainingError(f"{path}: {subjects.size} subjects for {windows.labels.size} windows")
        progress(len(subjects), len(subjects))
        return _dataset(windows, subjects, shape)

    return Source(load, {"data": f"windows of {path.name}"})


def records_source(folder: Path, labels: Path, *, lead: str | None, raw_uv: bool) -> Source:
    """The user's WFDB or CSV records with a label file; a record is a subject."""

    def load(shape: Shape, progress: Progress) -> Dataset:
        dims = {"fs_hz": shape.fs_hz, "length": shape.window, "hop": shape.hop}
        windows, records = labelled_windows(folder, labels, **dims, lead=lead, raw_uv=raw_uv)
        progress(len(records), len(records))
        return _dataset(windows, records, shape)

    return Source(load, {"data": f"records of {folder.name}, labelled by {labels.name}"})


def _dataset(windows: Windows, subjects: NDArray[Any], shape: Shape) -> Dataset:
    names, labels = np.unique(windows.labels, return_inverse=True)
    if names.size < 2:
        raise TrainingError(f"only one class, {names[0]!r}: nothing to tell apart")
    numbers = np.unique(subjects, return_inverse=True)[1]
    columns = prepare(windows.samples_uv, shape.prepare)[..., None]
    return Dataset(columns, labels.astype(np.int64), numbers.astype(np.int64), tuple(map(str, names)))


def train_run(
    source: Source,
    folder: Path,
    shape: Shape,
    settings: Settings,
    *,
    name: str,
    force: bool,
    on_data: Progress,
    on_epoch: EpochReport,
    on_step: StepReport,
) -> str:
    """Train and write the run folder; returns the report's text.

    An interrupted run leaves its state beside the folder, `<folder>.resume`, and the same command goes on from there.

    Raises:
        TrainingError, SignalError: the data or the settings cannot be used.
    """
    checkpoint = folder.with_name(folder.name + ".resume")
    data = source.load(shape, on_data)
    training, validation = split_by_subject(data, held_out=HELD_OUT, seed=settings.seed)
    validation = validation.take(
        np.random.default_rng(settings.seed).permutation(len(validation.labels))[:VALIDATION_MAX]
    )
    model = build_model(ECG5, window=shape.window, leads=1, classes=len(data.classes))
    history = train(
        model,
        training,
        validation,
        settings,
        input_scale=INPUT_SCALE,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    biases = _balanced(model, source, shape, on_data)
    probabilities = model.predict(validation.columns * np.float32(INPUT_SCALE), batch_size=1024, verbose=0)
    result = metrics.classification(validation.labels, probabilities.argmax(axis=1), data.classes)
    text = classification_text(result)
    facts = {
        "name": name,
        "shape": asdict(shape),
        "classes": list(data.classes),
        "training": {
            **source.description,
            "windows": len(training.labels),
            "validation": f"{len(validation.labels)} windows of other subjects",
            "settings": asdict(settings),
            "biases moved by": [round(float(b), 3) for b in biases],
            "parameters": int(model.count_params()),
        },
        "history": history,
        "validation": result.to_json(),
    }
    calibration = _calibration(training, settings.seed)
    with replacing_folder(folder, force=force, marker="run.json") as temporary:
        save_keras(model, temporary)
        np.savez_compressed(
            temporary / "data.npz",
            columns=validation.columns,
            labels=validation.labels,
            calibration=calibration,
        )
        (temporary / "run.json").write_text(json.dumps(facts, indent=2) + "\n")
        (temporary / "report.txt").write_text(text + "\n")
    shutil.rmtree(checkpoint, ignore_errors=True)
    return text


def _balanced(model: Any, source: Source, shape: Shape, on_data: Progress) -> NDArray[np.float64]:
    if source.balance is None:
        return np.zeros(0)
    data = source.balance(shape, on_data)
    return balance(model, data.columns, data.labels, input_scale=INPUT_SCALE)


def _calibration(training: Dataset, seed: int) -> NDArray[np.int8]:
    """Training windows as training saw them, a share of each class."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(training.labels))[:CALIBRATION_WINDOWS]
    return augment(training.columns[rows], rng)


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder, read back."""

    facts: dict[str, Any]
    validation: NDArray[np.int8]  # (n, window, leads)
    labels: NDArray[np.int64]  # (n,)
    calibration: NDArray[np.int8]  # (m, window, leads)


def read_run(folder: Path) -> Run:
    """Open what `train` wrote. Raises TrainingError where it is not that."""
    try:
        facts = json.loads((folder / "run.json").read_text())
        with np.load(folder / "data.npz", allow_pickle=False) as data:
            return Run(facts, data["columns"], data["labels"], data["calibration"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder} is no training run: {error}") from error


def quantize_run(
    folder: Path,
    out: Path,
    *,
    version: str,
    force: bool,
    arena_bytes: dict[str, int] | None = None,
    tried: Sequence[str] = (),
) -> tuple[Bundle, str]:
    """A run becomes a bundle; returns it with a report of float against int8 per class, on the validation windows.

    Args:
        folder: what `train` wrote.
        out: the bundle's folder.
        version: of the bundle.
        force: replace a bundle that is there.
        arena_bytes: TFLM arenas measured elsewhere, by the manifest's names of kernel set and core.
        tried: what was tried on the way to this model and what it gave, for the card of a model of beats.
    """
    run = read_run(folder)
    shape, classes = Shape(**run.facts["shape"]), tuple(run.facts["classes"])
    identity = Identity(
        run.facts["name"],
        shape.fs_hz,
        shape.hop,
        classes,
        version,
        arena_bytes=arena_bytes or {},
        takes=run.facts.get("takes", "windows"),
        metrics=run.facts.get("metrics", {}),
    )
    model = load_keras(folder / "model.keras")
    training = {**run.facts["training"], **({"tried": list(tried)} if tried else {})}
    bundle = bundle_from_keras(model, out, identity, run.calibration, training=training, force=force)
    return bundle, compare_text(bundle, run.validation, run.labels)


def compare_text(bundle: Bundle, columns: NDArray[np.int8], labels: NDArray[np.int64]) -> str:
    """A table: recall of float and int8 per class, and what quantization cost."""
    m = bundle.manifest
    int8 = interpret.run(read_graph(bundle.model, name=m.name), columns)
    real = interpret.float_input(columns, scale=m.input.scale, zero_point=m.input.zero_point)
    floats = interpret.run(read_graph(bundle.float_model or b"", name=f"{m.name} float"), real)
    results = [metrics.classification(labels, s.argmax(axis=1), m.classes) for s in (floats, int8)]
    rows = [
        [
            f.name,
            f.support,
            f"{100 * f.recall.value:.2f} %",
            f"{100 * q.recall.value:.2f} %",
            f"{100 * (q.f1 - f.f1):+.2f}",
        ]
        for f, q in zip(results[0].per_class, results[1].per_class, strict=True)
    ]
    accuracies = [r.accuracy.value for r in results]
    shift = 100 * (accuracies[1] - accuracies[0])
    rows.append(["all", len(labels), *(f"{100 * a:.2f} %" for a in accuracies), f"{shift:+.2f}"])
    return text_table(["class", m.takes, "float recall", "int8 recall", "F1, points"], rows)
