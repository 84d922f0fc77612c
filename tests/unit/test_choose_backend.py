"""Which backend runs a model: what the user wants, or the best that is here, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing

from ecg_edge.bundle import Bundle
from ecg_edge.device import build, toolchain
from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime import backend as backends
from ecg_edge.runtime import native
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.choose import AUTO, RUNTIMES, choose_backend
from ecg_edge.runtime.native import NativeBackend


@pytest.fixture(scope="module")
def model() -> bytes:
    return Bundle.load("ecg5").model


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make runtimes fail as where they are not installed."""

    def missing(model: bytes) -> backends.Backend:
        raise RuntimeMissingError("hidden by a test")

    monkeypatch.setattr(backends, "BACKENDS", {**backends.BACKENDS, **dict.fromkeys(names, missing)})


def test_auto_takes_the_first_that_works_and_says_what_it_passed_over(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "native", "tflite-runtime-ref")
    choice = choose_backend(AUTO, model)
    assert choice.backend.name == "numpy"
    assert choice.why.startswith("the interpreter in NumPy")
    assert "not native: hidden by a test; not tflite-runtime-ref: hidden by a test" in choice.why
    assert "\n" not in choice.why


@pytest.mark.parametrize("hidden", [(), ("native",), ("native", "tflite-runtime-ref")])
def test_auto_never_takes_what_may_differ(
    model: bytes, monkeypatch: pytest.MonkeyPatch, hidden: tuple[str, ...]
) -> None:
    hide(monkeypatch, *hidden)
    assert choose_backend(AUTO, model).exact


def test_a_backend_that_is_asked_for_and_missing_is_not_replaced(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "native")
    with pytest.raises(RuntimeMissingError, match="hidden by a test"):
        choose_backend("native", model)


def test_exact_means_the_reference_kernels_where_a_runtime_has_several(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def make(name: str) -> object:
        return lambda _: asked.append(name)

    monkeypatch.setattr(backends, "BACKENDS", {name: make(name) for name in backends.BACKENDS})
    for wanted in RUNTIMES:
        choose_backend(wanted, model, exact=True)
    assert asked == ["native", "numpy", "tflm", "litert-ref", "tflite-runtime-ref"]


def test_an_unknown_backend_is_named_beside_the_known_ones(model: bytes) -> None:
    with pytest.raises(EcgEdgeError, match="no backend 'tpu'; there are: auto, native, numpy, tflm, litert, tflite-ru"):
        choose_backend("tpu", model)


def test_a_machine_without_a_compiler_is_told_what_to_install(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "find", lambda _: None)
    with pytest.raises(RuntimeMissingError, match="needs a C compiler: sudo apt-get install") as caught:
        NativeBackend(model, cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_the_second_start_compiles_nothing_and_another_model_is_compiled(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("cc") is None:
        missing("no C compiler: the native backend is not tested (apt-get install gcc libc6-dev)")
    windows = np.random.default_rng(1).integers(-128, 128, (5, 1024, 1)).astype(np.int8)
    first = NativeBackend(model, cache=tmp_path).run(windows)

    def compile_nothing(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(build, "_compile", compile_nothing)
    assert np.array_equal(NativeBackend(model, cache=tmp_path).run(windows), first)
    other = (Path(__file__).parents[1] / "golden" / "models" / "bench_a.tflite").read_bytes()
    with pytest.raises(AssertionError, match="compiled again"):
        NativeBackend(other, cache=tmp_path)


def test_an_engine_that_cannot_be_loaded_is_passed_over(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "native.so"
    broken.write_bytes(b"of another machine")
    monkeypatch.setattr(native, "native_library", lambda *_, **__: broken)
    choice = choose_backend(AUTO, model)
    assert choice.exact
    assert "not native: the native engine is compiled and cannot be loaded: " in choice.why
