"""Virtual boards: built once, started, ended, and telling in one line what went wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, build
from ecg_edge.device.emulator import BoardLink, build_program, open_device, start_board
from ecg_edge.errors import DeviceError, LinkError
from ecg_edge.recipes.firmware import export


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        missing("no C compiler: virtual boards are not tested (apt-get install gcc libc6-dev)")
    assert request.config.cache is not None
    return request.config.cache.mkdir("boards")


@pytest.fixture(scope="module")
def firmware(image: tuple[Bundle, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder, made anew for each module."""
    folder = tmp_path_factory.mktemp("export") / "firmware"
    export(image, folder, board="host")
    return folder


@pytest.fixture
def link(firmware: Path, cache: Path) -> Iterator[BoardLink]:
    board = start_board("virtual:", firmware, cache=cache)
    yield board
    board.close()


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline_s = time.monotonic() + 10.0
    while running(pid):
        assert time.monotonic() < deadline_s, f"process {pid} is still there"
        time.sleep(0.02)


def one_line(caught: pytest.ExceptionInfo[DeviceError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_closing_a_board_ends_its_process(firmware: Path, cache: Path) -> None:
    link = start_board("virtual:native", firmware, cache=cache)
    with Device(link) as device:
        assert device.hello()[0].board == "host"
        assert running(link._process.pid)
    assert not running(link._process.pid)
    device.close()  # again does no harm


def test_a_board_does_not_outlive_a_host_that_is_killed(firmware: Path, cache: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from ecg_edge.device.emulator import start_board\n"
        "link = start_board('virtual:native', Path(sys.argv[1]), cache=Path(sys.argv[2]))\n"
        "print(link._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(firmware), str(cache)], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        board = int(host.stdout.readline())
        assert running(board)
        host.kill()
    wait_until_gone(board)


def test_a_board_that_dies_midway_is_one_line_that_says_how(link: BoardLink) -> None:
    device = Device(link)
    hello = device.hello()[0]
    answers = device.stream(np.zeros(50_000, np.int16))
    assert next(answers).last_index == hello.window - 1
    os.kill(link._process.pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="virtual:: the board's process ended with status -9") as caught:
        list(answers)
    one_line(caught)


def test_a_fault_that_a_sanitizer_finds_is_told(firmware: Path, cache: Path, tmp_path: Path) -> None:
    broken = tmp_path / "firmware"
    shutil.copytree(firmware, broken)
    source = broken / "EcgEdge" / "src" / "ecg_models.c"
    # A count beyond the array: the core then reads a model that is not there.
    text = source.read_text()
    assert "ecg_models_count = 3;" in text
    source.write_text(text.replace("ecg_models_count = 3;", "ecg_models_count = 4;"))
    with pytest.raises(LinkError, match="AddressSanitizer: global-buffer-overflow") as caught:
        Device(start_board("virtual:native", broken, cache=cache)).hello()
    one_line(caught)


def test_the_same_sources_are_compiled_once(
    firmware: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_program(firmware, cache=cache)
    elsewhere = tmp_path / "firmware"
    shutil.copytree(firmware, elsewhere)

    def compile_nothing(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(build, "_compile", compile_nothing)
    assert build_program(elsewhere, cache=cache) == first
    (elsewhere / "EcgEdge" / "src" / "ecg_config.h").open("a").write("\n")
    with pytest.raises(AssertionError, match="compiled again"):
        build_program(elsewhere, cache=cache)


def test_sources_that_do_not_compile_are_one_line_and_nothing_is_kept(firmware: Path, tmp_path: Path) -> None:
    broken, cache = tmp_path / "firmware", tmp_path / "cache"
    shutil.copytree(firmware, broken)
    for source in (broken / "EcgEdge" / "src").glob("*.c"):
        source.unlink()  # they would only cost time
    (broken / "EcgEdge" / "src" / "ecg_models.c").write_text("int broken = ;\n")
    with pytest.raises(DeviceError, match=r"cannot build it: .*ecg_models\.c:1:14: error") as caught:
        build_program(broken, cache=cache)
    one_line(caught)
    assert list(cache.iterdir()) == []


def test_a_machine_without_a_compiler_is_told_what_to_install(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match="needs a C compiler, and there is none: sudo apt-get install gcc"):
        open_device("virtual:native", firmware)


def test_what_is_no_virtual_board_or_no_export_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DeviceError, match=r"no virtual board virtual:arm; there are: virtual:, virtual:native"):
        open_device("virtual:arm", tmp_path)
    with pytest.raises(DeviceError, match="virtual:native needs an exported firmware folder"):
        open_device("virtual:native")
    with pytest.raises(DeviceError, match="is no exported firmware folder"):
        open_device("virtual:native", tmp_path, cache=cache)


def test_a_cache_that_cannot_be_written_is_one_line(firmware: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot keep the virtual board there") as caught:
        build_program(firmware, cache=tmp_path / "file" / "cache")
    one_line(caught)


def test_a_board_without_the_wheel_says_what_to_install(
    firmware: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tflite_micro.py").write_text("raise ImportError('hidden by a test')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"the tflite-micro wheel is not installed") as caught:
        open_device("virtual:tflm", firmware, cache=cache)
    one_line(caught)


def test_options_reach_the_board(firmware: Path, cache: Path) -> None:
    link = start_board("virtual:native", firmware, options=("--boot", "777", "--credit", "60"), cache=cache)
    with Device(link) as device:
        hello = device.hello()[0]
        windows = np.zeros((3, hello.window, hello.leads), np.int16)
        assert (hello.credit_samples, link.name) == (60, "virtual:native")
        assert device._session.boot == 777
        assert len(device.classify_many(windows)) == 3
        assert device.counters.repeats == 0
