"""Every answer to the windows of a source: float, int8 golden, host engine, device. Layer: bench; composes stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecg_edge.bench.source import Progress, Source
from ecg_edge.bundle import Bundle, Manifest
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.report.metrics import ABSTAINED
from ecg_edge.signal.prepare import Prepare, PrepareStream, State, prepare, sample_states, stream_states, window_states

CHUNK = 64  # windows between two words of progress


@dataclass(frozen=True, slots=True)
class Expected:
    """What the host says that a device must answer, from the same samples."""

    columns: NDArray[np.int8]  # (n, length, 1): prepared, as the model takes them; or n views of beats
    states: NDArray[np.uint8]  # (n,) State of each window or beat


def expect(source: Source, manifest: Manifest) -> Expected:
    """Prepare every window exactly as the firmware does: isolated, or inside its stream."""
    p = Prepare.from_manifest(manifest.prepare)
    if not source.stream:
        return Expected(prepare(source.signal_uv, p)[..., None], window_states(source.signal_uv, p))
    stream = PrepareStream(p)
    columns = np.concatenate([stream.push(source.signal_uv), stream.end()])  # (samples,)
    samples = sample_states(source.signal_uv, p)
    samples[source.clipped] = np.maximum(samples[source.clipped], State.CLIPPED)
    windows = sliding_window_view(columns, source.length)[source.starts]
    return Expected(windows[..., None], stream_states(samples, p, window=manifest.window, hop=manifest.hop))


def golden_scores(bundle: Bundle, expected: Expected, progress: Progress) -> NDArray[np.int8]:
    """(n, classes) int8 scores by the integer reference."""
    graph = read_graph(bundle.model, name=f"{bundle.manifest.name}/model.tflite")
    n = len(expected.columns)
    out = np.empty((n, len(bundle.manifest.classes)), dtype=np.int8)
    for at in range(0, n, CHUNK):
        out[at : at + CHUNK] = interpret.run(graph, expected.columns[at : at + CHUNK])
        progress(min(at + CHUNK, n), n)
    return out


def float_scores(bundle: Bundle, expected: Expected, progress: Progress) -> NDArray[np.float32] | None:
    """(n, classes) shares by the float model, fed with the very columns of the int8 model; None without one."""
    if (data := bundle.float_model) is None:
        return None
    graph = read_graph(data, name=f"{bundle.manifest.name}/model_float.tflite")
    affine = bundle.manifest.input
    n = len(expected.columns)
    out = np.empty((n, len(bundle.manifest.classes)), dtype=np.float32)
    for at in range(0, n, CHUNK):
        columns = expected.columns[at : at + CHUNK]
        real = interpret.float_input(columns, scale=affine.scale, zero_point=affine.zero_point)
        out[at : at + CHUNK] = interpret.run(graph, real)
        progress(min(at + CHUNK, n), n)
    return out


def verdicts(scores: NDArray[np.generic], states: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n,) class with the highest score, the first of equals; ABSTAINED where the state is not ok."""
    return np.where(states == State.OK, scores.argmax(axis=1), ABSTAINED)
