"""A trained model becomes a bundle: quantize, read back, measure, write. Layer: recipes.

Composes learn, graph, runtime, report and bundle.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecg_edge
from ecg_edge.bundle import FLOAT_MODEL, MODEL, Affine, Bundle, Manifest, Takes, save_bundle
from ecg_edge.errors import BundleError
from ecg_edge.graph.check import check
from ecg_edge.graph.tflite import read_graph
from ecg_edge.learn.quantize import INPUT_SCALE, float_tflite, int8_tflite, load_keras, save_keras
from ecg_edge.report.beat_card import beat_card_text
from ecg_edge.report.card import card_text
from ecg_edge.signal.prepare import Prepare, average_log2_of, prepare, scaled_prepare
from ecg_edge.signal.windows import read_windows

UV_PER_STEP = 16.0  # of the models that we quantize
UV_PER_UNIT = UV_PER_STEP / INPUT_SCALE  # of the models that we train


@dataclass(frozen=True, slots=True)
class Identity:
    """What a bundle must be told, because no .tflite says it."""

    name: str
    fs_hz: int
    hop: int  # samples; 0 is a quarter window
    classes: tuple[str, ...]
    version: str = "1.0.0"
    uv_per_unit: float = UV_PER_UNIT  # uV that make 1.0 at the float model's input
    arena_bytes: dict[str, int] = field(default_factory=dict)  # measured elsewhere, per kernel set and core
    takes: Takes = "windows"
    metrics: dict[str, Any] = field(default_factory=dict)  # known before it is a bundle: by cross-validation


def bundle_from_keras(
    model: Any,
    folder: Path,
    identity: Identity,
    calibration: NDArray[np.int8],
    *,
    training: dict[str, Any],
    force: bool,
) -> Bundle:
    """Quantize a Keras model and write its bundle.

    Args:
        model: Keras, (batch, window, leads) -> probabilities.
        folder: where the bundle goes.
        identity: name, rate, classes.
        calibration: (n, window, leads) prepared columns of training windows.
        training: what the manifest says of data, settings and seed.
        force: replace a bundle that is there.

    Raises:
        BundleError, GraphError, TrainingError: see the parts.
    """
    input_scale = UV_PER_STEP / identity.uv_per_unit
    int8 = int8_tflite(model, calibration, input_scale=input_scale)
    files: dict[str, bytes | Path] = {MODEL: int8, FLOAT_MODEL: float_tflite(model)}
    with tempfile.TemporaryDirectory() as temporary:
        for path in save_keras(model, Path(temporary)):
            files[path.name] = path.read_bytes()
    manifest = _manifest(int8, identity, {"quantized": f"{len(calibration)} calibration windows", **training})
    if not (np.isclose(manifest.input.scale, input_scale, rtol=1e-5) and manifest.input.zero_point == 0):
        raise BundleError(f"{identity.name}: input quantization is {manifest.input}, not {input_scale:g} and 0")
    return _write(folder, manifest, files, force=force)


def import_tflite(path: Path, float_path: Path | None, folder: Path, identity: Identity, *, force: bool) -> Bundle:
    """Make a bundle of a full-int8 .tflite, and of its float twin where there is one."""
    int8 = path.read_bytes()
    files: dict[str, bytes | Path] = {MODEL: int8}
    if float_path is not None:
        files[FLOAT_MODEL] = float_path.read_bytes()
        check(read_graph(float_path.read_bytes(), name=float_path.name), int8=False)
    return _write(folder, _manifest(int8, identity, {"imported": path.name}), files, force=force)


def import_keras(path: Path, calibration: Path, folder: Path, identity: Identity, *, force: bool) -> Bundle:
    """Quantize a user's .keras or .h5 with their windows, prepared at 16 uV a step, and make a bundle of it."""
    model = load_keras(path)
    window, leads = model.input_shape[1:]
    if leads != 1:
        raise BundleError(f"{path}: {leads} leads; calibration windows have 1")
    windows = read_windows(calibration, fs_hz=identity.fs_hz, length=window)
    columns = prepare(windows.samples_uv, Prepare(average_log2=average_log2_of(identity.fs_hz)))[..., None]
    return bundle_from_keras(model, folder, identity, columns, training={"imported": path.name}, force=force)


def with_metrics(bundle: Bundle, report: dict[str, Any], *, name: str = "synthetic") -> Bundle:
    """The same bundle with an evaluation's figures, under a name, in its manifest and card."""
    kept = ("source", "windows", "accuracy", "accuracy_ci95", "float_accuracy", "abstained", "macro_f1", "per_class")
    metrics = {**bundle.manifest.metrics, name: {k: report[k] for k in kept if k in report}}
    manifest = Manifest.from_json({**bundle.manifest.to_json(), "metrics": metrics})
    files: dict[str, bytes | Path] = {name: bundle.path(name).read_bytes() for name in bundle.manifest.files}
    return _write(bundle.folder, manifest, files, force=True)


def _write(folder: Path, manifest: Manifest, files: dict[str, bytes | Path], *, force: bool) -> Bundle:
    delay = Prepare.from_manifest(manifest.prepare).delay
    text = beat_card_text if manifest.takes == "beats" else card_text
    card = text(manifest.to_json(), len(_content(files[MODEL])), delay)
    return save_bundle(folder, manifest, {**files, "card.md": card.encode()}, force=force)


def _content(file: bytes | Path) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()


def _manifest(int8: bytes, identity: Identity, training: dict[str, Any]) -> Manifest:
    graph = read_graph(int8, name=identity.name)
    check(graph, int8=True)
    window, channels = graph.input.shape
    beats = identity.takes == "beats"
    if graph.output.shape[-1] != len(identity.classes):
        raise BundleError(f"{identity.name}: {graph.output.shape[-1]} scores, but {len(identity.classes)} class names")
    source, result = _affine(graph.input), _affine(graph.output)
    uv_per_lsb = source.scale * identity.uv_per_unit
    average_log2 = average_log2_of(identity.fs_hz)
    p = scaled_prepare(uv_per_lsb=uv_per_lsb, zero_point=source.zero_point, average_log2=average_log2)
    return Manifest(
        name=identity.name,
        version=identity.version,
        fs_hz=identity.fs_hz,
        window=window,
        hop=identity.hop or window // 4,
        leads=1 if beats else channels,
        channels=channels if beats else 0,
        takes=identity.takes,
        classes=identity.classes,
        prepare=p.to_manifest(),
        input=source,
        output=result,
        arena_bytes={**_arena(int8), **identity.arena_bytes},
        training=training,
        tools=_tools(),
        metrics=identity.metrics,
    )


def _affine(tensor: Any) -> Affine:
    return Affine(float(tensor.quant.scale[0]), int(tensor.quant.zero_point))


def _arena(int8: bytes) -> dict[str, int]:
    """Measured where the tflite-micro wheel is installed; a bundle without it exports with the native engine only."""
    if find_spec("tflite_micro") is None:
        return {}
    from ecg_edge.runtime.tflm import arena_bytes

    return {"reference": arena_bytes(int8)}


def _tools() -> dict[str, str]:
    tools = {"ecg-edge": ecg_edge.__version__}
    for package in ("tensorflow-cpu", "tensorflow", "keras", "numpy", "tflite-micro"):
        try:
            tools[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return tools
