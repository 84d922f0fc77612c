"""The generated C answers what the interpreter and the tflite-micro wheel answer, window by window and streaming."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native_engine import Engine, expected_stream
from numpy.typing import NDArray
from random_graphs import random_graph

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.target import Target
from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph

Build = Callable[..., Engine]
GOLDEN = Path(__file__).parents[1] / "golden"
# Of the golden models, those that column steps can run; test_plan.py says what stops the others.
MODELS = (
    "bench_a",
    "bench_b",
    "causal",
    "columns",
    "conv1d",
    "dense_per_channel",
    "flat",
    "loose",
    "pools",
    "residual",
    "rows",
    "separable",
)


def golden_graph(name: str) -> Graph:
    return read_graph((GOLDEN / "models" / f"{name}.tflite").read_bytes(), name=name)


def random_windows(graph: Graph, count: int, seed: int) -> NDArray[np.int8]:
    """(count, length, leads): noise, from faint to full scale, about the zero point and about anything else."""
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(0, np.log(127), (count, 1, 1)))
    middle = random.integers(-100, 100, (count, 1, 1)) * random.integers(0, 2, (count, 1, 1))
    noise = random.normal(0, 1, (count, *graph.input.shape)) * size + middle
    windows: NDArray[np.int8] = np.clip(np.round(noise), -128, 127).astype(np.int8)
    return windows


@pytest.mark.parametrize("core", ["portable", "host"])
@pytest.mark.parametrize("name", MODELS)
def test_run_answers_what_the_wheel_answered(name: str, core: str, build_engine: Build) -> None:
    vectors = np.load(GOLDEN / "vectors" / f"{name}.npz")
    graph = golden_graph(name)
    engine = build_engine(graph, hop=graph.input.shape[0], target=Target(core, "speed"))
    windows = vectors["windows"].reshape(-1, *graph.input.shape)
    assert np.array_equal(engine.run(windows), vectors["scores"])
    assert engine.fences_stand()


@pytest.mark.parametrize("name", ["bench_a", "bench_b"])
def test_run_answers_what_the_interpreter_answers_over_thousands_of_windows(name: str, build_engine: Build) -> None:
    graph = golden_graph(name)
    windows = random_windows(graph, 2000, seed=1)
    assert np.array_equal(build_engine(graph, hop=graph.input.shape[0]).run(windows), run(graph, windows))


@pytest.mark.parametrize(
    ("name", "hop"), [("bench_a", 8), ("bench_a", 88), ("bench_a", 352), ("flat", 4), ("flat", 24)]
)
def test_a_stream_of_overlapping_windows_answers_as_each_window_alone(name: str, hop: int, build_engine: Build) -> None:
    graph = golden_graph(name)
    engine = build_engine(graph, hop=hop)
    columns = random_windows(graph, 8, seed=2).reshape(-1, graph.input.shape[1])
    engine.reset()
    assert engine.push(columns) == expected_stream(graph, columns, hop=hop)
    assert engine.fences_stand()


def test_a_padded_graph_streams_windows_that_do_not_overlap(build_engine: Build) -> None:
    graph = golden_graph("bench_b")
    engine = build_engine(graph, hop=720)
    columns = random_windows(graph, 5, seed=3).reshape(-1, 1)
    engine.reset()
    assert engine.push(columns) == expected_stream(graph, columns, hop=720)


@pytest.mark.parametrize(("name", "hop"), [("bench_b", 360), ("bench_a", 90)])
def test_a_graph_that_cannot_stream_has_no_push_and_still_runs(name: str, hop: int, build_engine: Build) -> None:
    graph = golden_graph(name)
    engine = build_engine(graph, hop=hop)
    windows = random_windows(graph, 20, seed=4)
    assert not engine.streams
    assert np.array_equal(engine.run(windows), run(graph, windows))


def test_a_run_in_the_middle_of_a_stream_costs_nothing_after_a_reset(build_engine: Build) -> None:
    graph = golden_graph("bench_a")
    engine = build_engine(graph, hop=88)
    windows = random_windows(graph, 4, seed=5)
    columns = windows.reshape(-1, 1)
    engine.reset()
    engine.push(columns[:500])
    assert np.array_equal(engine.run(windows), run(graph, windows))
    engine.reset()
    assert engine.push(columns) == expected_stream(graph, columns, hop=88)


def test_the_shipped_model_answers_what_the_interpreter_answers(build_engine: Build) -> None:
    bundle = Bundle.load("ecg5")
    graph = read_graph(bundle.model, name="ecg5")
    engine = build_engine(graph, hop=bundle.manifest.hop)
    windows = random_windows(graph, 1000, seed=7)
    assert np.array_equal(engine.run(windows), run(graph, windows))
    columns = windows[:20].reshape(-1, 1)
    engine.reset()
    assert engine.push(columns) == expected_stream(graph, columns, hop=bundle.manifest.hop)


def hops(graph: Graph, seed: int) -> int:
    """A hop that is a multiple of all strides where windows have room for one, else any."""
    random = np.random.default_rng(seed)
    window, total = graph.input.shape[0], 1
    for op in graph.ops:
        total *= getattr(op, "stride", 1)
    fitting = [hop for hop in range(1, window + 1) if hop % total == 0]
    return int(random.choice(fitting)) if fitting and random.random() < 0.9 else int(random.integers(1, window + 1))


TARGETS = (
    Target("portable", "size"),
    Target("portable", "speed"),
    Target("host", "size"),
    Target("host", "speed"),
)


@pytest.mark.parametrize("seed", sorted({106, 227, *range(300 if os.environ.get("ECG_SOAK") else 50)}))
def test_a_random_graph_answers_as_the_interpreter_in_windows_and_in_streams(seed: int, build_engine: Build) -> None:
    graph = random_graph(seed)
    hop = hops(graph, seed)
    engine = build_engine(graph, hop=hop, target=TARGETS[seed % len(TARGETS)])
    windows = random_windows(graph, 12, seed)
    inputs = (windows, *more_inputs(graph, len(windows), seed))
    expected = run(graph, inputs if len(inputs) > 1 else windows)
    assert np.array_equal(
        engine.run(np.concatenate([part.reshape(len(part), -1) for part in inputs], axis=1)), expected
    )
    if engine.streams:
        columns = windows.reshape(-1, graph.input.shape[1])
        engine.reset()
        assert engine.push(columns) == expected_stream(graph, columns, hop=hop)
    assert engine.fences_stand()


def more_inputs(graph: Graph, count: int, seed: int) -> list[NDArray[np.int8]]:
    """Noise for every input but the first."""
    random = np.random.default_rng(seed)
    return [random.integers(-128, 128, (count, *tensor.shape), dtype=np.int8) for tensor in graph.inputs[1:]]


@pytest.mark.parametrize("name", ["bench_a", "bench_b"])
def test_run_answers_what_the_tflite_micro_wheel_answers_now(name: str, build_engine: Build) -> None:
    pytest.importorskip("tflite_micro", reason="no tflite-micro wheel: equality with the golden runtime is not checked")
    from ecg_edge.runtime.tflm import TflmBackend

    data = (GOLDEN / "models" / f"{name}.tflite").read_bytes()
    graph = read_graph(data, name=name)
    windows = random_windows(graph, 1000, seed=6)
    engine = build_engine(graph, hop=graph.input.shape[0])
    assert np.array_equal(engine.run(windows), TflmBackend(data).run(windows))
