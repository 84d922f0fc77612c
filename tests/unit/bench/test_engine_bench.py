"""Measuring engines: what is asked, what is compared with what, and how it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_edge.bench import engine
from ecg_edge.bench.engine import Row, ratios, tflm_rows
from ecg_edge.bench.engine_host import time_calls
from ecg_edge.bench.engine_report import EngineBench, tables
from ecg_edge.bench.machine import machine, versions
from ecg_edge.bench.subject import find_subject, flat, inputs
from ecg_edge.codegen.target import Target
from ecg_edge.device import toolchain
from ecg_edge.errors import BundleError, GraphError

MODELS = Path(__file__).parents[2] / "golden" / "models"


def row(engine_name: str, instructions: int, *, opt: str = "speed", core: str = "cortex-m4", **figures: int) -> Row:
    flash, ram = figures.get("flash", 1000), figures.get("ram", 100)
    return Row("m", core, engine_name, "window", opt, instructions, flash, ram, None if engine_name == "tflm" else True)


def test_half_of_the_inputs_are_noise_and_half_are_quieter_ecg_about_the_zero_point() -> None:
    subject = find_subject(MODELS / "bench_a.tflite")
    (made,) = inputs(subject.graph, 40)
    assert made.shape == (40, 360, 1)
    quant = subject.graph.input.quant
    assert quant is not None
    noise, ecg = made[:20].astype(int), made[20:].astype(int)
    assert abs(noise.mean()) < 3
    assert noise.std() > 70
    assert abs(np.median(ecg) - quant.zero_point) < 10
    assert 2 < ecg.std() < 40
    steps = np.abs(np.diff(ecg[..., 0], axis=1)).mean()
    assert steps < ecg.std()  # a signal, unlike noise, is near what it was


def test_the_same_seed_asks_the_same_and_another_asks_something_else() -> None:
    graph = find_subject(MODELS / "flat.tflite").graph
    assert flat(inputs(graph, 6, seed=1)).tolist() == flat(inputs(graph, 6, seed=1)).tolist()
    assert flat(inputs(graph, 6, seed=1)).tolist() != flat(inputs(graph, 6, seed=2)).tolist()
    assert flat(inputs(graph, 6)).shape == (6, 96)


def test_a_window_longer_than_synthetic_ecg_is_stretched() -> None:
    graph = find_subject("ecg5").graph
    (usual,) = inputs(graph, 40)
    (made,) = inputs(replace(graph, inputs=(replace(graph.input, shape=(2048, 1)),)), 40)
    assert made.shape == (40, 2048, 1)
    steps = [np.abs(np.diff(x[20:, :, 0].astype(int), axis=1)).mean() for x in (usual, made)]
    assert steps[1] < 0.8 * steps[0]  # twice as long, so half as steep, but for rounding


def test_a_subject_is_a_file_or_a_bundle() -> None:
    shipped, bare = find_subject("ecg5"), find_subject(MODELS / "separable.tflite")
    assert (shipped.name, shipped.fs_hz, shipped.hop) == ("ecg5", 250, 256)
    assert (shipped.input_bytes, shipped.classes) == (1024, 5)
    assert (bare.name, bare.hop, bare.bundle) == ("separable", 48, None)
    with pytest.raises(GraphError, match="float32"):
        find_subject(MODELS / "float.tflite")
    with pytest.raises(BundleError, match="no bundle nothing"):
        find_subject("nothing")


def test_each_figure_is_held_against_the_best_of_tflm_on_the_same_core() -> None:
    rows = [
        row("tflm", 1000, opt="CMSIS-NN", flash=8000, ram=900),
        row("tflm", 4000, opt="reference", flash=5000, ram=800),
        row("tflm", 1, core="cortex-m0"),
        row("native", 250, flash=500, ram=80),
        row("native", 500, core="cortex-m7"),
    ]
    assert ratios(rows) == [
        {"model": "m", "core": "cortex-m4", "opt": "speed", "instructions": 0.25, "flash_bytes": 0.1, "ram_bytes": 0.1}
    ]


def test_the_figures_of_tflm_are_read_from_their_file(tmp_path: Path) -> None:
    entry = {
        "model": "a",
        "core": "cortex-m4",
        "kernels": "CMSIS-NN",
        "instructions": 7,
        "flash_bytes": 8,
        "arena_bytes": 1,
    }
    (tmp_path / "baseline.json").write_text(json.dumps({"tflm": [{**entry, "ram_bytes": 9}]}))
    (found,) = tflm_rows(tmp_path / "baseline.json")
    assert found.to_json() == {
        "model": "a", "core": "cortex-m4", "engine": "tflm", "mode": "window", "opt": "CMSIS-NN",
        "instructions": 7, "flash_bytes": 8, "ram_bytes": 9, "identical": None,
    }  # fmt: skip


def test_a_table_says_ratios_and_whether_bits_are_equal() -> None:
    bench = EngineBench(5)
    bench.rows = [row("tflm", 1000, opt="CMSIS-NN"), row("native", 250)]
    text = tables(bench)
    assert "0.250" in text
    assert "equal, 0" in text
    assert text.splitlines()[0].split()[:4] == ["model", "core", "engine", "for"]


def test_what_cannot_be_measured_is_said_once_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Row:
        raise GraphError("no such kernel")

    said: list[str] = []
    monkeypatch.setattr(engine, "measure_window", refuse)
    bench = EngineBench(2, say=said.append)
    subject = find_subject(MODELS / "separable.tflite")
    target = Target("cortex-m4", "speed")
    bench.measure(subject, [target, target], host=False)
    assert said == ["skipped: separable, cortex-m4, speed: no such kernel"]
    assert bench.to_json()["skipped"] == ["separable, cortex-m4, speed: no such kernel"]


def test_without_a_cross_compiler_the_tool_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find", lambda tool: None if tool == "arm-none-eabi-gcc" else tool)
    assert engine.missing_tools("cortex-m4") == "arm-none-eabi-gcc"


def test_a_slower_call_takes_longer() -> None:
    took = time_calls({"one": lambda: sum(range(1000)), "thousand": lambda: sum(range(1_000_000))}, rounds=5)
    assert took["thousand"] > 10 * took["one"]  # far below 1,000: another job may slow either


def test_a_report_names_machine_and_versions() -> None:
    assert machine()["cores"]
    found = versions(("numpy", "no-such-package"), ("make",))
    assert found["numpy"] == np.__version__
    assert "no-such-package" not in found
    assert "GNU Make" in found["make"]
