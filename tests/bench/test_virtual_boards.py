"""`ecg-edge bench` with boards of this host: export, compile, start, stream, compare. No hardware needed."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ecg_edge.bundle import Affine, Bundle, Manifest, save_bundle
from ecg_edge.cli.app import make_app
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import scaled_prepare
from ecg_edge.signal.record import Record, write_csv_record
from ecg_edge.signal.windows import Windows, write_windows

MODEL = Path(__file__).parents[1] / "golden" / "models" / "conv1d.tflite"
CLASSES = ("a", "b", "c", "d", "e")
WINDOW, HOP, FS_HZ = 48, 16, 250
ARENA_BYTES = 16384  # more than this model needs

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: virtual boards are not tried"),
]
needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="no tflite-micro wheel: virtual:tflm is not tried"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    model = MODEL.read_bytes()
    graph = read_graph(model, name="conv1d")
    assert graph.input.quant is not None
    assert graph.output.quant is not None
    scale, zero = graph.input.quant.scale[0], graph.input.quant.zero_point
    preparation = replace(scaled_prepare(uv_per_lsb=1000 * scale, zero_point=zero), flat_samples=200)
    manifest = Manifest(
        name="conv1d",
        version="1",
        fs_hz=FS_HZ,
        window=WINDOW,
        hop=HOP,
        leads=1,
        classes=CLASSES,
        prepare=preparation.to_manifest(),
        input=Affine(scale, zero),
        output=Affine(graph.output.quant.scale[0], graph.output.quant.zero_point),
        arena_bytes={"reference": ARENA_BYTES},
    )
    return save_bundle(tmp_path_factory.mktemp("bundles") / "conv1d", manifest, {"model.tflite": model})


def a_signal() -> np.ndarray[Any, np.dtype[np.int16]]:
    """20 s that reach every state a stream can raise by itself: ok, flat, clipped."""
    x = np.random.default_rng(8).normal(0, 900, 20 * FS_HZ).cumsum() % 9000
    x[1500:2200] = 300
    x[3300] = -32768
    return x.astype(np.int16)


def bench(*args: object) -> Any:
    return CliRunner().invoke(make_app(), ["bench", *map(str, args), "--json"])


@pytest.mark.parametrize("url", ["virtual:native", pytest.param("virtual:tflm", marks=needs_wheel)])
def test_a_virtual_board_equals_the_golden_model_over_a_whole_record(bundle: Bundle, url: str, tmp_path: Path) -> None:
    write_csv_record(tmp_path / "r.csv", [Record("r", FS_HZ, "I", a_signal())])
    done = bench(bundle.folder, "--device", url, "--record", tmp_path / "r.csv", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    windows = (20 * FS_HZ - WINDOW) // HOP + 1
    pair = report["pairs"]["device_vs_golden"]
    assert (pair["windows"], pair["identical"]) == (windows, windows)
    assert report["states"]["flat"] > 0
    assert report["states"]["clipped"] > 0
    assert report["states"]["equal_to_host"] == windows
    assert report["device"]["note"] == "virtual board on this host: not hardware"
    assert (tmp_path / "out" / "report.html").is_file()
    assert report["sizes"]["engines"]["native"]["flash_bytes"] > report["sizes"]["model_bytes"] / 2


@needs_wheel
def test_both_engines_answer_isolated_windows_alike(bundle: Bundle, tmp_path: Path) -> None:
    samples = a_signal()[: 40 * WINDOW].reshape(40, WINDOW)
    write_windows(tmp_path / "w.npz", Windows(samples, FS_HZ, np.resize(np.array(CLASSES), 40)))
    done = bench(bundle.folder, "--device", "virtual:tflm", "--npz", tmp_path / "w.npz", "--host-engine")
    assert done.exit_code == 0, done.output
    pairs = json.loads(done.stdout)["pairs"]
    assert pairs["device_vs_golden"]["identical"] == pairs["host_vs_golden"]["identical"] == 40
