"""The verb flash, end to end: boards that this machine starts, and one at a port behind a stand-in for PlatformIO."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_rungs import golden_bundle
from typer.testing import CliRunner, Result

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device.emulator import build_program
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return golden_bundle(tmp_path_factory.mktemp("one"), "separable", hop=16, prepare=Prepare(average_log2=4))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return golden_bundle(tmp_path_factory.mktemp("two"), "causal", hop=16, prepare=Prepare(average_log2=4))


@pytest.fixture(scope="module")
def port(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A port with a board that holds the bundle: the host program."""
    folder = tmp_path_factory.mktemp("board")
    export(bundle, folder / "firmware", board="esp32dev")
    pipe = subprocess.PIPE
    board = subprocess.Popen([build_program(folder / "firmware", cache=folder)], stdin=pipe, stdout=pipe, text=True)
    assert board.stdout is not None
    yield board.stdout.readline().split()[1]
    board.communicate(timeout=10)


@pytest.fixture
def pio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PlatformIO that does nothing but write down how it was called: the board at the port has its image already."""
    program, called = tmp_path / "pio", tmp_path / "called"
    program.write_text(f'#!/bin/sh\necho "$@" >> {called}\necho compiling\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return called


def flash(*words: str) -> Result:
    return CliRunner().invoke(make_app(), ["flash", *words])


def test_what_was_flashed_is_asked_and_reported(bundle: Bundle, port: str, pio: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    words = ["--device", port, "--board", "esp32dev", "--tool", "platformio", "--build", str(build), "--json"]
    result = flash(str(bundle.folder), *words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["board"], report["engine"]) == ("esp32dev", "native")
    assert report["models"] == [f"separable {bundle.model_sha256}"]
    assert report["selftest_vectors"] > 0
    project = f"--project-dir {build}/firmware/platformio --environment esp32dev"
    called = f"run {project} --target upload --upload-port {port}"
    assert pio.read_text() == called + "\n"
    assert (build / "firmware" / "platformio" / "platformio.ini").is_file()
    assert report["commands"][-1] == f"pio {called}"


def test_a_board_that_kept_its_old_image_is_said_to_run_something_else(
    another: Bundle, port: str, pio: Path, tmp_path: Path
) -> None:
    words = ["--device", port, "--board", "esp32dev", "--tool", "platformio", "--build", str(tmp_path / "build")]
    result = flash(str(another.folder), *words)
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"ecg-edge: {port}: the board runs something else: it holds separable ")
    assert f"not causal {another.model_sha256[:12]}" in line


def test_a_check_flashes_nothing(bundle: Bundle, port: str, pio: Path) -> None:
    result = flash(str(bundle.folder), "--device", port, "--board", "esp32dev", "--check")
    assert result.exit_code == 0, result.output
    assert "self-test passed" in result.stdout
    assert not pio.exists()


@pytest.mark.parametrize(
    ("url", "board", "engine"),
    [
        ("virtual:native", "host", "native"),
        ("virtual:tflm", "host", "tflm"),
        pytest.param("qemu:cortex-m4", "mps2-an386", "native", marks=pytest.mark.emulator),
    ],
)
def test_a_board_that_this_machine_starts_is_flashed_the_same_way(
    url: str, board: str, engine: str, bundle: Bundle, tmp_path: Path
) -> None:
    result = flash(str(bundle.folder), "--device", url, "--build", str(tmp_path / "build"), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["device"], report["board"], report["engine"]) == (url, board, engine)
    assert report["models"] == [f"separable {bundle.model_sha256}"]
