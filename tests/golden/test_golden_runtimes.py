"""LiteRT, tflite-runtime and the wheel behind one interface, where they are installed."""

from pathlib import Path

import numpy as np
import pytest

from ecg_edge.errors import EcgEdgeError, GraphError
from ecg_edge.graph.interpret import float_input, run
from ecg_edge.graph.tflite import read_graph
from ecg_edge.runtime.backend import BACKENDS, RuntimeMissingError, open_backend
from ecg_edge.runtime.choose import EXACT
from ecg_edge.runtime.tflm import TflmBackend, arena_bytes

MODELS = Path(__file__).parent / "models"


def model(name: str) -> bytes:
    return (MODELS / f"{name}.tflite").read_bytes()


def opened(backend: str, data: bytes) -> object:
    try:
        return open_backend(backend, data)
    except RuntimeMissingError as error:
        pytest.skip(f"misses: {backend} ({error})")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["conv1d", "columns", "bench_b"])
def test_every_backend_answers_nearly_as_the_golden_interpreter(backend: str, name: str) -> None:
    graph = read_graph(model(name), name=name)
    steps = np.random.default_rng(6).normal(0.0, 9.0, (50, *graph.input.shape))
    windows = np.clip(np.cumsum(steps, axis=1), -128, 127).astype(np.int8)
    opened(backend, model(name))
    got, wanted = open_backend(backend, model(name)).run(windows), run(graph, windows)
    if backend in EXACT:
        assert got.tolist() == wanted.tolist()
    else:
        # Other kernels round once: measured on x86-64, 1 step of a softmax at most; a wrong layout would give dozens.
        assert got.dtype == np.int8
        assert np.abs(got.astype(int) - wanted).max() <= 3


@pytest.mark.parametrize("backend", ["litert", "litert-ref", "tflite-runtime"])
def test_the_float_interpreter_agrees_with_a_float_runtime(backend: str) -> None:
    graph = read_graph(model("float"), name="float")
    opened(backend, model("float"))
    windows = np.cumsum(np.random.default_rng(7).normal(0.0, 0.4, (100, *graph.input.shape)), axis=1).astype(np.float32)
    got = open_backend(backend, model("float")).run(windows)
    assert np.abs(got - run(graph, windows)).max() < 1e-5  # another order of sums in single precision


def test_the_arena_is_exact_to_the_byte() -> None:
    opened("tflm", model("conv1d"))
    needed = arena_bytes(model("conv1d"))
    windows = np.ones((1, 48, 1), np.int8)
    enough = TflmBackend(model("conv1d"), arena_bytes=needed).run(windows)
    assert enough.tolist() == TflmBackend(model("conv1d")).run(windows).tolist()
    with pytest.raises(GraphError, match=rf"^TFLM cannot run the model in {needed - 1} bytes of arena: \S"):
        TflmBackend(model("conv1d"), arena_bytes=needed - 1).run(windows)


def test_the_wheel_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    opened("tflm", model("conv1d"))
    arena_bytes(model("conv1d"))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_windows_of_another_type_are_a_bug_of_the_caller() -> None:
    opened("tflm", model("conv1d"))
    with pytest.raises(ValueError, match="tflm takes"):
        TflmBackend(model("conv1d")).run(np.zeros((1, 48, 1), np.float32))


def test_an_unknown_backend_is_named_beside_the_known_ones() -> None:
    with pytest.raises(EcgEdgeError, match=r"^no runtime 'tpu'; there are: native, numpy, tflm, litert, "):
        open_backend("tpu", b"")


def test_float_windows_for_the_float_model_come_from_the_int8_ones() -> None:
    graph = read_graph(model("conv1d"), name="conv1d")
    assert graph.input.quant is not None
    opened("litert", model("float"))
    windows = np.random.default_rng(1).integers(-60, 60, (20, 48, 1)).astype(np.int8)
    quant = graph.input.quant
    real = float_input(windows, scale=quant.scale[0], zero_point=quant.zero_point)
    floats = open_backend("litert", model("float")).run(real)
    ints = (run(graph, windows).astype(np.float32) + 128) / 256
    assert np.abs(floats - ints).max() < 0.1
