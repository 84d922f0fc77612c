"""What `ecg-edge doctor` finds, on this machine and on ones that lack something."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device import toolchain
from ecg_edge.device.link import Port
from ecg_edge.errors import EcgEdgeError
from ecg_edge.recipes import checkup
from ecg_edge.recipes.checkup import Check, check_up

MakeTool = Callable[[str, str], None]


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTool:
    """A machine whose PATH is one folder; makes programs there that say what they are told to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, script: str) -> None:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return make


def named(name: str) -> Check:
    found = [check for check in check_up() if check.name == name]
    assert len(found) == 1, name
    return found[0]


def test_every_lack_comes_with_what_mends_it(bare_machine: MakeTool) -> None:
    lacking = [check for check in check_up() if not check.ok]
    assert {check.name for check in lacking} >= set(toolchain.TOOLS)
    for check in lacking:
        assert re.match(r"(sudo apt-get|pip|https://|install|git|none)", check.mend), check


def test_a_machine_without_a_compiler_is_not_ready_for_the_demo(bare_machine: MakeTool) -> None:
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert result.exit_code == 3
    assert re.search(r"^  MISSING +cc +virtual boards +-> +sudo apt-get install .*gcc libc6-dev$", result.stdout, re.M)
    assert re.search(r"^ecg-edge: make demo needs .*cc, make", result.stderr)


def test_a_machine_with_what_the_demo_needs_is_ready_whatever_else_lacks(
    bare_machine: MakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare_machine("cc", 'echo "cc 1.0"')
    bare_machine("make", 'echo "make 1.0"')
    for check in ("_python", "_extras", "_bundles"):  # these look at this environment, not at the machine
        monkeypatch.setattr(checkup, check, lambda: iter(()))
    result = CliRunner().invoke(make_app(), ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["ready_for_demo"] is True
    found = {check["name"]: check for check in value["checks"]}
    assert (found["cc"]["ok"], found["cc"]["found"]) == (True, "cc 1.0")
    assert (found["arduino-cli"]["ok"], found["arduino-cli"]["needed"]) == (False, False)


def test_a_compiler_without_the_c_librarys_headers_is_a_lack(bare_machine: MakeTool) -> None:
    bare_machine("cc", 'case "$*" in *-E*) echo "stdio.h: No such file" >&2; exit 1;; esac; echo "cc 1.0"')
    check = named("cc")
    assert not check.ok
    assert check.found == "cc 1.0, without the C library's headers"
    assert "libc6-dev" in check.mend


def test_a_tool_is_found_under_either_of_its_names(bare_machine: MakeTool) -> None:
    bare_machine("platformio", 'echo "PlatformIO Core, version 6.1"')
    assert named("platformio").found == "PlatformIO Core, version 6.1"


def test_a_tool_that_says_nothing_is_shown_by_its_path(bare_machine: MakeTool) -> None:
    bare_machine("picotool", "exit 1")
    assert named("picotool").ok
    assert named("picotool").found.endswith("/bin/picotool")


def test_a_port_that_may_not_be_opened_is_mended_by_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "ttyUSB0"
    monkeypatch.setattr(checkup, "serial_ports", lambda: [Port(str(port), 0x16C0, 0x0483, "", "")])
    check = named(str(port))  # there is no such file, so nobody may open it, root neither
    assert not check.ok
    assert check.found == f"{port} (16C0:0483, teensy41): no permission"
    assert check.mend.startswith("sudo usermod -aG dialout ")
    port.touch(mode=0o600)
    assert os.access(port, os.R_OK)
    assert named(str(port)).ok


def refusing(monkeypatch: pytest.MonkeyPatch, **advice: str) -> None:
    """Make backends fail as they would elsewhere; `_` of a name stands for a hyphen."""

    def opened(name: str, model: bytes) -> None:
        if said := advice.get(name.replace("-", "_")):
            raise EcgEdgeError(said)

    monkeypatch.setattr(checkup, "open_backend", opened)


def test_a_runtime_that_is_installed_and_cannot_run_is_a_lack_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "tflite-runtime 2.14 needs NumPy 1, and NumPy 2.1.0 is installed"
    refusing(monkeypatch, tflite_runtime=f"{reason}: pip install 'numpy<2'")
    check = named("tflite-runtime")
    assert (check.ok, check.found, check.mend) == (False, reason, "pip install 'numpy<2'")


def test_a_runtime_that_nothing_brings_here_is_a_lack_without_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, tflm="x86-64 only: native and numpy equal it")
    check = named("tflm")
    assert (check.ok, check.found, check.mend) == (False, "x86-64 only: native and numpy equal it", "none")


def test_the_backend_that_auto_takes_is_named(bare_machine: MakeTool) -> None:
    found = named("auto").found
    assert found.startswith("takes ")
    assert found.split()[1] in ("tflite-runtime-ref", "numpy")  # no compiler on this machine


def test_what_only_building_and_the_demo_need_is_no_lack_for_a_run(bare_machine: MakeTool) -> None:
    result = CliRunner().invoke(make_app(), ["doctor", "--run", "--json"])
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["ready_to_run"] is True
    names = {check["name"] for check in value["checks"]}
    assert {"system", "base packages", "native", "auto"} <= names
    assert not names & {"make", "[report]", "arduino-cli"}


def test_a_run_needs_a_whole_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "shipped_bundles", list)
    result = CliRunner().invoke(make_app(), ["doctor", "--run"])
    assert result.exit_code == 3
    assert result.stderr.strip().endswith("ecg-edge: a live run needs shipped")


def test_a_damaged_shipped_bundle_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(name: str) -> Bundle:
        raise EcgEdgeError(f"{name}/model.tflite: sha256 is 00, the manifest says 11")

    monkeypatch.setattr(Bundle, "load", damaged)
    monkeypatch.setattr(checkup, "shipped_bundles", lambda: ["ecg5"])
    check = named("ecg5")
    assert (check.ok, check.needed) == (False, True)
    assert "sha256 is 00" in check.found
