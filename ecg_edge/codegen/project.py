"""The exported firmware folder; the only writer. Layer: codegen; imports errors, files, bundle, graph.

DIR/EcgEdge is an Arduino library: the sources that every image shares, copied, and the generated files of this one.
DIR/platformio and DIR/esp-idf are projects that build it with those tools.
DIR/manifest.json names every file with its sha256, and marks the folder as one that an export may replace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..bundle import Bundle, package_data
from ..errors import BundleError
from ..files import replacing_folder, write_json
from .budget import Limits, Need, native_need, require_room, require_tables, tflm_need
from .image import ENGINES, MakePreparation, Model, image_files, read_model, require_engine, require_names_apart
from .native import stream_note
from .target import PORTABLE, Target
from .template import render

MANIFEST = "manifest.json"
LIBRARY = "EcgEdge"
# What builds the library with other tools than Arduino's. By name: builds leave files there too.
PROJECT_FILES = (
    "esp-idf/CMakeLists.txt",
    "esp-idf/components/ecg_edge/CMakeLists.txt",
    "esp-idf/components/ecg_edge/idf_component.yml",
    "esp-idf/main/CMakeLists.txt",
    "esp-idf/main/main.c",
    "esp-idf/sdkconfig.defaults",
    "platformio/platformio.ini",
)
SOURCE_SUFFIXES = (".c", ".cpp", ".h", ".ino", ".md", ".properties", ".txt")


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What an export says of one model."""

    name: str
    version: str
    sha256: str
    streams: bool  # under the engine chosen
    stream_note: str  # how, or why not
    native_refusal: str  # why the native engine cannot run it; empty: it can


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote, and what it will need."""

    out: str
    engine: str
    board: str
    models: tuple[ModelReport, ...]
    needs: tuple[Need, ...]  # of each engine that can run all models
    limits: Limits | None
    files: tuple[str, ...]
    warning: str = ""  # of what is only likely to go wrong

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        value = asdict(self)
        for need, context in zip(self.needs, value["needs"], strict=True):
            context |= {"flash_bytes": need.flash_bytes, "ram_bytes": need.ram_bytes}
        return value


def export(
    bundles: Sequence[Bundle],
    out: Path,
    *,
    engine: str,
    make_preparation: MakePreparation,
    board: str = "generic",
    limits: Limits | None = None,
    target: Target = PORTABLE,
    force: bool = False,
) -> ExportReport:
    """Write the firmware folder of one image, whole or not at all.

    Args:
        bundles: the models of the image, in the order the wire numbers them.
        out: the folder.
        engine: "native" or "tflm"; the other one's files are there as well, and ecg_config.h chooses.
        make_preparation: prepare parameters -> the function, for the self-test's answers.
        board: what the image calls itself.
        limits: what the board has; None: not checked.
        target: what the native engine is written for.
        force: replace an older export.

    Raises:
        GraphError, BundleError, BudgetError: the image cannot be made; nothing is written.
        EcgEdgeError: `out` is in the way.
    """
    assert engine in ENGINES, engine
    models = [read_model(bundle) for bundle in bundles]
    require_names_apart(models)
    for model in models:
        require_engine(model, engine)
    needs = [need for need in (native_need(models, target), tflm_need(models)) if need is not None]
    if engine == "native":
        require_tables([model.plan for model in models if model.plan is not None], target)
    if limits is not None:
        require_room(next(need for need in needs if need.engine == engine), limits)
    generated = image_files(models, engine=engine, board=board, make_preparation=make_preparation, target=target)
    reports = tuple(_model_report(model, engine) for model in models)
    with replacing_folder(out, force=force, marker=MANIFEST) as folder:
        files = _write_folder(folder, generated, models, engine=engine, board=board, target=target)
    return ExportReport(str(out), engine, board, reports, tuple(needs), limits, files)


def library_files() -> dict[str, bytes]:
    """The sources that every image shares: path in the library -> content."""
    root = package_data("firmware") / LIBRARY
    found = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    shared = {name: path.read_bytes() for name, path in found.items() if not is_generated(name) and _is_source(name)}
    if "src/ecg_model.h" not in shared:
        raise BundleError(f"{root} holds no firmware sources: the package is incomplete")
    return shared


def project_files() -> dict[str, bytes]:
    """The projects for ESP-IDF and PlatformIO: path in the exported folder -> content."""
    root = package_data("firmware")
    missing = [name for name in PROJECT_FILES if not (root / name).is_file()]
    if missing:
        raise BundleError(f"{root} has no {missing[0]}: the package is incomplete")
    return {name: (root / name).read_bytes() for name in PROJECT_FILES}


def _is_source(name: str) -> bool:
    return name.endswith(SOURCE_SUFFIXES)


def is_generated(name: str) -> bool:
    """Whether a file of the library belongs to one image: the shipped image's files lie beside the shared ones."""
    file = name.removeprefix("src/")
    return file in ("ecg_config.h", "ecg_models.h", "ecg_models.c") or file.startswith("ecg_model_")


def _write_folder(
    folder: Path, generated: dict[str, str], models: list[Model], *, engine: str, board: str, target: Target
) -> tuple[str, ...]:
    content = {f"{LIBRARY}/{name}": data for name, data in library_files().items()}
    content |= {f"{LIBRARY}/src/{name}": text.encode() for name, text in generated.items()}
    content |= project_files()
    readme = render("README.md.j2", version=__version__, models=models, engine=engine, board=board)
    content["README.md"] = readme.encode()
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    write_json(folder / MANIFEST, _manifest(models, hashes, engine=engine, board=board, target=target))
    return (*hashes, MANIFEST)


def _manifest(
    models: list[Model], hashes: dict[str, str], *, engine: str, board: str, target: Target
) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "ecg-edge firmware",
        "generator": f"ecg-edge {__version__}",
        "engine": engine,
        "board": board,
        "core": target.core,
        "opt": target.opt,
        "models": [
            {"name": model.name, "version": model.bundle.manifest.version, "sha256": model.graph.sha256}
            for model in models
        ],
        "files": hashes,
    }


def _model_report(model: Model, engine: str) -> ModelReport:
    streams, note = False, "TFLM takes whole windows; the native engine streams."
    if engine == "native" and model.plan is not None:
        streams, note = model.plan.streams, stream_note(model.plan)
    manifest = model.bundle.manifest
    return ModelReport(model.name, manifest.version, model.graph.sha256, streams, note, model.refusal)
