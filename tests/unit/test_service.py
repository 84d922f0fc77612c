"""The systemd unit: what systemd makes of it, what stands in it, and what a run tells systemd."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from board_rungs import missing
from typer.testing import CliRunner, Result

from ecg_edge.cli.app import make_app
from ecg_edge.live.notify import ServiceManager, service_manager
from ecg_edge.live.run import Account, Moment
from ecg_edge.live.source import Chunk
from ecg_edge.recipes.service import Service, unit_text

MOMENT = Moment(Chunk.empty(0, 1), ())


def invoke(*words: str) -> Result:
    return CliRunner().invoke(make_app(), ["service", "--user", "pi", *words])


def settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))


def verify(unit: str, folder: Path) -> tuple[int, str]:
    """Exit status and complaints of systemd's own check."""
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze: the unit is not checked (apt-get install systemd)")
    (folder / "ecg-edge.service").write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(folder / "ecg-edge.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    unit = invoke("--", "ecg5", "--device", "/dev/ttyUSB0", "--web", "8765").stdout
    assert verify(unit, tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ("ProtectHome=read-only", "ProtectHome=perhaps"),
        ("Restart=always", "Restart=often"),
        ("RestartSec", "RestartSek"),
    ],
)
def test_systemd_would_say_what_is_wrong(tmp_path: Path, was: str, is_: str) -> None:
    unit = invoke().stdout
    assert was in unit
    assert verify(unit.replace(was, is_), tmp_path)[1] != ""


def test_systemd_refuses_a_program_that_is_not_there(tmp_path: Path) -> None:
    unit = re.sub("ExecStart=.*", f"ExecStart={tmp_path}/nothing", invoke().stdout)
    assert verify(unit, tmp_path)[0] != 0


def test_the_unit_runs_this_environments_command_as_the_user() -> None:
    unit = settings(invoke("--", "ecg5", "--device", "/dev/ttyACM0").stdout)
    program = Path(sys.executable).parent / "ecg-edge"
    assert unit["ExecStart"] == f"{program} run ecg5 --device /dev/ttyACM0 --quiet --out /var/lib/ecg-edge"
    assert (unit["User"], unit["SupplementaryGroups"], unit["Restart"]) == ("pi", "dialout", "always")
    assert unit["StateDirectory"] == unit["CacheDirectory"] == "ecg-edge"
    assert "ReadWritePaths" not in unit


def test_another_folder_is_the_only_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is no folder; make it first" in invoke("--", "--out", "ecg").stderr
    (tmp_path / "ecg").mkdir()
    unit = settings(invoke("--", "--out", "ecg", "--json").stdout)
    assert unit["ReadWritePaths"] == str(tmp_path / "ecg")
    assert unit["WorkingDirectory"] == str(tmp_path)
    assert unit["ExecStart"].endswith(" run --out ecg --json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "--nope"], "No such option"),
        (["--", "--stdin"], "a service has no standard input"),
        (["--name", "../x"], "name '../x' is not made of letters"),
        (["--user", "pi;reboot"], "user 'pi;reboot' is not made of letters"),
    ],
)
def test_what_could_not_start_is_refused_now(words: list[str], said: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_nothing_in_an_argument_is_expanded(tmp_path: Path) -> None:
    words = ("--record", '/data/50 % of "$HOME"\\x', "--lead", "II")
    service = Service("x", Path(sys.executable), words, "pi", Path("/"), None, "test")
    unit = unit_text(service)
    assert '--record "/data/50 %% of \\"$$HOME\\"\\\\x" --lead II' in unit
    assert verify(unit, tmp_path) == (0, "")


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """A service manager's ear."""
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    ear.settimeout(60.0)
    return ear


def test_a_run_says_that_it_is_ready_how_far_it_is_and_that_it_ends(manager: socket.socket, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from ecg_edge.cli.app import main; main()"]
    words = ["run", "--synthetic", "--seconds", "30", "--speed", "max", "--backend", "numpy", "--quiet"]
    with manager:
        environment = os.environ | {"NOTIFY_SOCKET": manager.getsockname()}
        subprocess.run([*command, *words], env=environment, check=True)
        assert manager.recv(500).startswith(b"READY=1\nWATCHDOG=1\nSTATUS=")
        while not (said := manager.recv(500)).startswith(b"STOPPING=1"):
            assert said.startswith(b"WATCHDOG=1\nSTATUS=")


def test_a_run_shows_life_three_times_within_the_watchdogs_patience(manager: socket.socket) -> None:
    now_s = 100.0
    with manager:
        manager.settimeout(0.0)
        sink = ServiceManager(manager.getsockname(), watchdog_s=6.0, now_s=lambda: now_s)
        heard = []
        for _ in range(60):  # a minute of moments, a second apart
            sink.take(MOMENT, Account(gaps=2))
            now_s += 1.0
            try:
                heard.append(manager.recv(500))
            except BlockingIOError:
                heard.append(b"")
    assert heard[0].startswith(b"READY=1\n")
    assert b"2 gaps" in heard[0]
    assert [bool(said) for said in heard] == [True, False] * 30
    sink.take(MOMENT, Account())  # nobody listens any more: no error
    sink.close()


def test_without_a_manager_nothing_is_said() -> None:
    assert service_manager({}) is None
    assert service_manager({"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "60000000"}) is not None
