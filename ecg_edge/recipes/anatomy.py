"""What is in a bundle: its layers, what they cost, how it streams. Layer: recipes; composes codegen and graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ecg_edge.bundle import FLOAT_MODEL, MODEL, Bundle
from ecg_edge.codegen.budget import Need, native_need, tflm_need
from ecg_edge.codegen.image import Model, read_model
from ecg_edge.codegen.memory import Memory
from ecg_edge.codegen.native import stream_note
from ecg_edge.codegen.target import PORTABLE
from ecg_edge.graph.ir import Conv1D, Dense, DepthwiseConv1D, Op
from ecg_edge.signal.prepare import Prepare


@dataclass(frozen=True, slots=True)
class Layer:
    """One op of the graph."""

    name: str
    kind: str
    output: tuple[int, ...]  # (length, channels) or (features,)
    params: int  # weights and biases
    macs: int  # multiply-accumulates a window
    ring_bytes: int | None  # state of the native engine; None: it cannot run the graph


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What `ecg-edge info` says of a bundle."""

    name: str
    version: str
    sha256: str
    folder: str
    fs_hz: int
    window: int
    hop: int
    leads: int
    takes: str  # windows or beats
    channels: int  # values in a column of the input: leads, or those of a view of a beat
    classes: tuple[str, ...]
    delay: int  # samples, of prepare
    tflite_bytes: int
    float_tflite_bytes: int | None
    layers: tuple[Layer, ...]
    streams: bool
    stream_note: str
    arena_bytes: dict[str, int]
    needs: tuple[Need, ...]
    metrics: dict[str, Any]
    card: str  # card.md; empty where the bundle has none

    @property
    def params(self) -> int:
        """Of all layers."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Of a window."""
        return sum(layer.macs for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        value = asdict(self) | {"params": self.params, "macs": self.macs}
        for need, found in zip(self.needs, value["needs"], strict=True):
            found |= {"flash_bytes": need.flash_bytes, "ram_bytes": need.ram_bytes}
        return value


def dissect(bundle: Bundle) -> Anatomy:
    """Read a bundle's int8 model, and say what is in it.

    Raises:
        GraphError, BundleError: it is no legal model.
    """
    model = read_model(bundle)
    manifest = bundle.manifest
    float_model = bundle.path(FLOAT_MODEL).stat().st_size if FLOAT_MODEL in manifest.files else None
    needs = tuple(need for need in (native_need([model]), tflm_need([model])) if need is not None)
    return Anatomy(
        name=manifest.name,
        version=manifest.version,
        sha256=bundle.model_sha256,
        folder=str(bundle.folder),
        fs_hz=manifest.fs_hz,
        window=manifest.window,
        hop=manifest.hop,
        leads=manifest.leads,
        takes=manifest.takes,
        channels=manifest.columns[1],
        classes=manifest.classes,
        delay=Prepare.from_manifest(manifest.prepare).delay,
        tflite_bytes=bundle.path(MODEL).stat().st_size,
        float_tflite_bytes=float_model,
        layers=layers(model),
        streams=model.plan is not None and model.plan.streams,
        stream_note=_stream_note(model),
        arena_bytes=dict(manifest.arena_bytes),
        needs=needs,
        metrics=dict(manifest.metrics),
        card=bundle.path("card.md").read_text(encoding="utf-8") if "card.md" in manifest.files else "",
    )


def layers(model: Model) -> tuple[Layer, ...]:
    """Every op of the graph, in order."""
    memory = None if model.plan is None else Memory(model.plan, PORTABLE)
    return tuple(
        Layer(
            op.name,
            type(op).__name__,
            op.output.shape,
            _params(op),
            _macs(op),
            None if memory is None else memory.bytes_of(op.name),
        )
        for op in model.graph.ops
    )


def _params(op: Op) -> int:
    return int(op.weights.size + op.bias.size) if isinstance(op, Conv1D | DepthwiseConv1D | Dense) else 0


def _macs(op: Op) -> int:
    """Products of a weight and an activation, over a window; padding counts, as every convention has it."""
    if not isinstance(op, Conv1D | DepthwiseConv1D | Dense):
        return 0
    columns = op.output.shape[0] if len(op.output.shape) > 1 else 1
    return int(columns * op.weights.size)


def _stream_note(model: Model) -> str:
    if model.plan is None:
        return f"The native engine cannot run it: {model.refusal}."
    return stream_note(model.plan)
