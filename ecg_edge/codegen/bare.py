"""A .tflite alone -> a flat folder of C99: the native engine with no application around it. Layer: codegen.

The folder compiles as it is, by the compiler of its core (`cc -std=c99 -O2 -c DIR/*.c`), and gives `ecg_model_<name>`,
the descriptor of ecg_model.h. manifest.json names every file with its sha256, and marks the folder as one that an
export may replace.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..bundle import package_data
from ..errors import BundleError
from ..files import replacing_folder, write_json
from ..graph.check import check
from ..graph.plan import Plan, make_plan
from ..graph.tflite import read_graph
from . import ctext
from .budget import require_tables
from .image import ENGINES, native_context
from .native import native_source, native_sources, stream_note
from .target import Target
from .template import render

MANIFEST = "manifest.json"
FS_HZ = 250  # of both shipped models; nothing but the descriptor depends on it
NAME_LENGTH = 31  # C99 5.2.4.1: significant characters of an external name that every compiler has


@dataclass(frozen=True, slots=True)
class BareReport:
    """What was written."""

    out: str
    name: str
    sha256: str  # of the .tflite
    core: str
    opt: str
    hop: int
    streams: bool
    stream_note: str  # how, or why not
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def export_bare(
    path: Path,
    out: Path,
    *,
    target: Target,
    name: str | None = None,
    hop: int | None = None,
    fs_hz: int = FS_HZ,
    force: bool = False,
) -> BareReport:
    """Write the engine of a full-int8 .tflite, whole or not at all.

    Args:
        path: the file.
        out: the folder.
        target: core, and what counts there.
        name: of the model; None: the file's, made an identifier.
        hop: columns from one window of a stream to the next; None: a whole window, which takes the least RAM.
        fs_hz: what the descriptor says of the model's rate.
        force: replace an older export.

    Raises:
        GraphError: the file is no model that the native engine runs; names the op.
        BundleError: a name, hop or rate outside its limits.
        BudgetError: tables that the core cannot read.
        EcgEdgeError: `out` is in the way.
    """
    name = _checked_name(name if name is not None else ctext.identifier(path.stem))
    plan = read_plan(path, hop=hop)
    require_tables([plan], target)
    if not 1 <= fs_hz <= 65535:
        raise BundleError(f"fs is {fs_hz}, not an integer from 1 to 65535")
    texts = bare_files(plan, name=name, fs_hz=fs_hz, target=target)
    content = {file: text.encode() for file, text in texts.items()}
    with replacing_folder(out, force=force, marker=MANIFEST) as folder:
        for file, data in content.items():
            (folder / file).write_bytes(data)
        write_json(folder / MANIFEST, _manifest(plan, content, name=name, fs_hz=fs_hz, target=target))
    streams, note = plan.streams, stream_note(plan)
    sha256 = plan.graph.sha256
    return BareReport(str(out), name, sha256, target.core, target.opt, plan.hop, streams, note, (*content, MANIFEST))


def read_plan(path: Path, *, hop: int | None = None) -> Plan:
    """Read, check and lower a .tflite.

    Raises:
        GraphError: it is no model that the native engine runs.
        BundleError: a hop that no window has.
    """
    return plan_of(path.read_bytes(), path.name, hop=hop)


def plan_of(data: bytes, name: str, *, hop: int | None = None) -> Plan:
    """Check and lower the bytes of a .tflite.

    Raises:
        GraphError: they are no model that the native engine runs.
        BundleError: a hop that no window has.
    """
    graph = read_graph(data, name=name)
    check(graph, int8=True, dense_per_channel=True)
    window = graph.input.shape[0]
    if hop is not None and not 1 <= hop <= window:
        raise BundleError(f"{name}: hop is {hop}, not an integer from 1 to the window's {window}")
    return make_plan(graph, hop=window if hop is None else hop)


def bare_files(plan: Plan, *, name: str, fs_hz: int, target: Target) -> dict[str, str]:
    """Every C file of the folder: name -> text. The same plan gives the same bytes."""
    root = package_data("firmware") / "EcgEdge" / "src"
    missing = [file for file in native_sources(target) if not (root / file).is_file()]
    if missing:
        raise BundleError(f"{root} has no {missing[0]}: the package is incomplete")
    graph = plan.graph
    window, channels = graph.input.shape
    model = {
        "name": name,
        "upper": name.upper(),
        "bundle": name,
        "sha256": graph.sha256,
        "window": window,
        "channels": channels,
        "native": native_context(plan, target),
        "refusal": "",
        "arena": None,
    }
    files = {file: (root / file).read_text(encoding="utf-8") for file in native_sources(target)}
    engine, board = ENGINES["native"], ctext.string(target.core)
    files["ecg_config.h"] = render("ecg_config.h.j2", version=__version__, engine=engine, board=board, with_beats=0)
    files[f"ecg_model_{name}.h"] = render("model.h.j2", version=__version__, model=model)
    files[f"ecg_model_{name}_native.c"] = native_source(plan, name=name, fs_hz=fs_hz, target=target)
    return dict(sorted(files.items()))


def _checked_name(name: str) -> str:
    if not (name.isascii() and name.isidentifier() and len(name) <= NAME_LENGTH):
        raise BundleError(f"name {name!r} is no C identifier of at most {NAME_LENGTH} characters; give one by --name")
    return name


def _manifest(plan: Plan, content: dict[str, bytes], *, name: str, fs_hz: int, target: Target) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "ecg-edge native engine",
        "generator": f"ecg-edge {__version__}",
        "engine": "native",
        "core": target.core,
        "opt": target.opt,
        "models": [{"name": name, "sha256": plan.graph.sha256, "fs_hz": fs_hz, "hop": plan.hop}],
        "files": {file: hashlib.sha256(data).hexdigest() for file, data in content.items()},
    }
