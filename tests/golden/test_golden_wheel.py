"""interpret.py against the tflite-micro wheel itself, tensor by tensor; tests/unit needs only its vectors."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.graph import ir
from ecg_edge.graph.interpret import run, tensors
from ecg_edge.graph.tflite import read_graph, read_raw
from ecg_edge.runtime.tflm import TflmBackend

pytest.importorskip("tflite_micro", reason="misses: int8 scores and tensors against the tflite-micro wheel")

ROOT = Path(__file__).parents[2]
MODELS = {path.stem: path for path in sorted((Path(__file__).parent / "models").glob("*.tflite"))}
MODELS |= {path.parent.name: path for path in sorted((ROOT / "models").glob("*/model.tflite"))}
INT8 = [name for name in MODELS if name not in {"float", "uint8", "float_ends", "dynamic_batch", "dynamic_range"}]
SEED = 77  # not the seed of the committed vectors


def golden_tool() -> Any:
    spec = importlib.util.spec_from_file_location("golden_tool", ROOT / "tools" / "golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graph_and_windows(name: str, n: int, seed: int = SEED) -> tuple[bytes, ir.Graph, NDArray[np.int8]]:
    model = MODELS[name].read_bytes()
    graph = read_graph(model, name=name)
    return model, graph, golden_tool().random_windows(graph, n, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", INT8)
def test_scores_equal_the_wheel_on_two_thousand_windows(name: str) -> None:
    model, graph, windows = graph_and_windows(name, 2000)
    assert np.array_equal(run(graph, windows), TflmBackend(model).run(windows))


@pytest.mark.parametrize("name", INT8)
def test_every_tensor_on_the_way_equals_the_wheel(name: str) -> None:
    model, graph, windows = graph_and_windows(name, 40)
    index = {tensor.name: i for i, tensor in enumerate(read_raw(model, name=name).tensors)}
    ours = tensors(graph, windows)
    wheel = TflmBackend(model, keep_tensors=True)
    names = [op.output.name for op in graph.ops]
    assert set(names) <= index.keys()
    for n in range(len(windows)):
        wheel.run(windows[n : n + 1])
        for name in names:
            assert ours[name][n].reshape(-1).tolist() == wheel.tensor(index[name]).reshape(-1).tolist(), name


def test_the_committed_vectors_are_what_the_installed_wheel_answers() -> None:
    assert golden_tool().main(["--check"]) == 0
