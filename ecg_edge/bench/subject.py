"""A model to measure, and inputs for it: half random, half ECG. Layer: bench; composes graph and signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import MODEL, Bundle
from ecg_edge.codegen import ctext
from ecg_edge.graph import interpret
from ecg_edge.graph.check import check
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import Prepare, prepare
from ecg_edge.signal.synth import CLASSES, balanced_labels, collect, synthesize

_ECG_SAMPLES = 1024  # of a synthetic window, at 250 Hz

Int8s = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Subject:
    """One model."""

    name: str  # a C identifier
    path: Path  # of the .tflite
    data: bytes
    graph: Graph
    fs_hz: int
    hop: int  # samples between windows of a stream; the window where none is meant
    bundle: Bundle | None = None

    @property
    def input_bytes(self) -> int:
        """Of all inputs together."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.graph.inputs)

    @property
    def classes(self) -> int:
        """Scores of a window."""
        return int(np.prod(self.graph.output.shape))


def find_subject(model: str | Path) -> Subject:
    """A .tflite by its path, or a bundle by its name or folder.

    Raises:
        BundleError, GraphError: it is neither.
    """
    path = Path(model)
    if path.suffix == ".tflite":
        data = path.read_bytes()
        graph = _checked(data, path.stem)
        return Subject(ctext.identifier(path.stem), path, data, graph, 250, graph.input.shape[0])
    bundle = Bundle.load(model)
    manifest = bundle.manifest
    graph = _checked(bundle.model, manifest.name)
    return Subject(manifest.name, bundle.path(MODEL), bundle.model, graph, manifest.fs_hz, manifest.hop, bundle)


def inputs(graph: Graph, count: int, *, seed: int = 0) -> tuple[Int8s, ...]:
    """What to ask a model: the first half of it uniform noise, the rest prepared synthetic ECG about its zero point.

    Args:
        graph: the model.
        count: how many; 1 at least.
        seed: the same seed gives the same.

    Returns:
        (count, *shape) of each input. Inputs beside the signal are noise.
    """
    generator = np.random.default_rng(seed)
    made = [generator.integers(-128, 128, (count, *tensor.shape)).astype(np.int8) for tensor in graph.inputs]
    length, leads = graph.input.shape
    ecg = count - count // 2
    quant = graph.input.quant
    assert quant is not None, "an int8 graph has quantized inputs"
    columns = _ecg(ecg * leads, length, generator).reshape(ecg, leads, length).transpose(0, 2, 1)
    made[0][count // 2 :] = np.clip(columns.astype(np.int16) + quant.zero_point, -128, 127)
    return tuple(made)


def golden(graph: Graph, given: tuple[Int8s, ...]) -> Int8s:
    """(n, classes): what each of n inputs must give."""
    scores: Int8s = interpret.run(graph, given if len(given) > 1 else given[0])
    return scores


def flat(given: tuple[Int8s, ...]) -> Int8s:
    """(n, bytes): the inputs one after another, as the C descriptor takes them."""
    return np.concatenate([x.reshape(len(x), -1) for x in given], axis=1)


def _ecg(count: int, length: int, generator: np.random.Generator) -> Int8s:
    """(count, length) prepared windows: cut where they are longer, stretched where they are shorter."""
    labels = balanced_labels(-(-count // len(CLASSES)))[:count]
    samples_uv = collect(synthesize(labels, seed=int(generator.integers(1 << 31)), length=_ECG_SAMPLES)).samples_uv
    columns = prepare(samples_uv, Prepare())
    if length > _ECG_SAMPLES:
        places = np.linspace(0, _ECG_SAMPLES - 1, length)
        stretched = [np.interp(places, np.arange(_ECG_SAMPLES), row) for row in columns]
        return np.rint(stretched).astype(np.int8)
    starts = generator.integers(0, _ECG_SAMPLES - length + 1, count)
    return np.stack([row[start : start + length] for row, start in zip(columns, starts, strict=True)])


def _checked(data: bytes, name: str) -> Graph:
    graph = read_graph(data, name=name)
    check(graph, int8=True, dense_per_channel=True)
    return graph
