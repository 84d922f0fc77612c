"""Models -> the generated files of one firmware image, as text. Layer: codegen; imports errors, bundle, graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..bundle import Bundle, Manifest
from ..errors import BundleError, GraphError
from ..graph.check import check
from ..graph.ir import Graph
from ..graph.plan import Plan, make_plan
from ..graph.tflite import read_graph
from . import ctext
from .native import native_source
from .selftest import Preparation, SelfTest, make_selftests
from .target import PORTABLE, Target
from .template import render
from .tflm import Arena, arena, resolver_methods
from .whole import make_memory

ENGINES = {"tflm": 1, "native": 2}  # as the wire numbers them
MakePreparation = Callable[[Manifest], Preparation]  # how signal becomes what that model is shown


@dataclass(frozen=True, slots=True)
class Model:
    """One bundle, read and lowered."""

    bundle: Bundle
    data: bytes
    graph: Graph
    plan: Plan | None  # None: the native engine cannot run it
    refusal: str  # why not
    arena: Arena | None  # None: never measured, so not for TFLM

    @property
    def name(self) -> str:
        """The C identifier's part."""
        return self.bundle.manifest.name


def read_model(bundle: Bundle) -> Model:
    """Read, check and lower a bundle's int8 model.

    Raises:
        GraphError: the model is no legal int8 graph; the line names op or tensor.
        BundleError: the manifest says another shape than the model has.
    """
    manifest, data = bundle.manifest, bundle.model
    graph = read_graph(data, name=manifest.name)
    check(graph, int8=True)
    said = (manifest.columns, len(manifest.classes))
    found = (graph.input.shape, graph.output.shape[-1])
    if said != found:
        raise BundleError(
            f"bundle {manifest.name}: the manifest says {said[0]} -> {said[1]} classes, "
            f"its model is {found[0]} -> {found[1]}"
        )
    plan, refusal = None, ""
    try:
        plan = make_plan(graph, hop=manifest.hop)
    except GraphError as error:
        refusal = str(error)
    return Model(bundle, data, graph, plan, refusal, arena(graph, manifest))


def require_names_apart(models: Sequence[Model]) -> None:
    """Refuse an image of two models with one name.

    Raises:
        BundleError: names it.
    """
    names = [model.name.upper() for model in models]  # as their macros are
    if twice := [model.name for model in models if names.count(model.name.upper()) > 1]:
        raise BundleError(f"two bundles are named {twice[0]}; an image needs different names")


def require_engine(model: Model, engine: str) -> None:
    """Refuse a model that the engine cannot run.

    Raises:
        GraphError: an op that the native engine has no kernel for.
        BundleError: an arena that was never measured.
    """
    if engine == "native" and model.plan is None:
        raise GraphError(f"{model.name}: the native engine cannot run it: {model.refusal}; --engine tflm may")
    if engine == "tflm" and model.arena is None:
        raise BundleError(
            f"bundle {model.name} has no arena_bytes.reference, which TFLM needs: make the bundle again where the "
            "tflite-micro wheel is installed, or export with --engine native"
        )


def image_files(
    models: Sequence[Model],
    *,
    engine: str,
    board: str,
    make_preparation: MakePreparation,
    target: Target = PORTABLE,
) -> dict[str, str]:
    """Every generated file of an image: name in src/ -> text. The same models give the same bytes."""
    contexts = [_context(model, make_preparation(model.bundle.manifest), target) for model in models]
    shared = {"version": __version__}
    with_beats = int(any(model.bundle.manifest.takes == "beats" for model in models))
    files = {
        "ecg_config.h": render(
            "ecg_config.h.j2", engine=ENGINES[engine], board=ctext.string(board), with_beats=with_beats, **shared
        ),
        "ecg_models.h": render("models.h.j2", models=contexts, **shared),
        "ecg_models.c": render("models.c.j2", models=contexts, **shared),
    }
    for model, context in zip(models, contexts, strict=True):
        stem = f"ecg_model_{model.name}"
        wanted = {".h": "model.h.j2", "_selftest.h": "selftest.h.j2", "_selftest.c": "selftest.c.j2"}
        if model.arena is not None:
            wanted |= {"_data.h": "data.h.j2", "_data.c": "data.c.j2", "_tflm.cpp": "tflm.cpp.j2"}
        for suffix, template in wanted.items():
            files[f"{stem}{suffix}"] = render(template, model=context, **shared)
        if model.plan is not None:
            files[f"{stem}_native.c"] = native_source(
                model.plan, name=model.name, fs_hz=model.bundle.manifest.fs_hz, target=target
            )
    return dict(sorted(files.items()))


def _context(model: Model, preparation: Preparation, target: Target) -> dict[str, Any]:
    """What the templates are told of a model."""
    manifest = model.bundle.manifest
    selftests = make_selftests(model.graph, manifest.fs_hz, preparation, takes=manifest.takes)
    return {
        "name": model.name,
        "upper": model.name.upper(),
        "bundle": manifest.name,
        "name_literal": ctext.string(manifest.name),
        "sha256": model.graph.sha256,
        "sha256_bytes": ctext.hex_bytes(bytes.fromhex(model.graph.sha256), indent=8),
        "fs_hz": manifest.fs_hz,
        "window": manifest.window,
        "hop": manifest.hop,
        "leads": manifest.leads,
        "channels": manifest.columns[1],
        "takes": manifest.takes,
        "labels": manifest.classes,
        "label_lines": ctext.lines(ctext.string(label) for label in manifest.classes),
        "prepare": manifest.prepare,
        "input_scale": ctext.float32(manifest.input.scale),
        "input_zero": manifest.input.zero_point,
        "output_scale": ctext.float32(manifest.output.scale),
        "output_zero": manifest.output.zero_point,
        "native": native_context(model.plan, target),
        "refusal": model.refusal,
        "arena": model.arena,
        "resolver": resolver_methods(model.graph),
        "data_lines": ctext.hex_bytes(model.data),
        "data_len": len(model.data),
        "selftests": [_selftest_context(test, manifest.classes) for test in selftests],
    }


def native_context(plan: Plan | None, target: Target) -> dict[str, Any] | None:
    """What model.h.j2 is told of a plan."""
    if plan is None:
        return None
    memory, _ = make_memory(plan, target)
    return {"lines": memory.line_count, "bytes": memory.other_bytes, "streams": plan.streams}


def _selftest_context(test: SelfTest, classes: tuple[str, ...]) -> dict[str, Any]:
    best = max(range(len(classes)), key=lambda i: test.scores[i])
    return {
        "knot_lines": ctext.lines(f"{{{samples}, {level}}}" for samples, level in test.knots),
        "count": len(test.knots),
        "scores": test.scores,
        "label": classes[best].encode("ascii", "replace").decode(),
    }
