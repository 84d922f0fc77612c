"""`ecg-edge loopback` as a user runs it: real ptys, sockets and pyserial's loop, exit codes and files."""

from __future__ import annotations

import json
import os
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device.echo import echo_line

pytestmark = pytest.mark.slow  # real time passes: half a minute where the machine is busy
QUICK = ("--seconds", "0.2", "--payload", "8,64,256")


@pytest.fixture
def loopback(bundle: Bundle) -> Callable[..., Any]:
    def run(*args: object) -> Any:
        return CliRunner().invoke(make_app(), ["loopback", *map(str, args), "--bundle", str(bundle.folder)])

    return run


Answer = Callable[[bytes], bytes]


@pytest.fixture
def port() -> Iterator[Callable[[Answer], str]]:
    """A pty as a port with a wire: its path, and what comes back of what is sent."""
    files: list[int] = []

    def serve(ours: int, answer: Answer) -> None:
        with suppress(OSError):
            while data := os.read(ours, 65536):
                os.write(ours, answer(data))

    def start(answer: Answer) -> str:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        files.extend((theirs, ours))
        threading.Thread(target=serve, args=(ours, answer), daemon=True).start()
        return os.ttyname(theirs)

    yield start
    for file in files:
        os.close(file)


@pytest.mark.parametrize("url", ["pty", "loop://", "socket://"])
def test_a_line_made_here_gives_every_frame_back(loopback: Callable[..., Any], url: str) -> None:
    done = loopback(url, *QUICK, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["line"]["url"] == url
    assert "no serial hardware" in report["line"]["note"]
    assert not any(report["errors"].values())
    (run,) = report["runs"]
    assert (run["baud"], run["share_of_baud"]) == (None, None)
    assert [(lap["payload_bytes"], lap["depth"]) for lap in run["laps"]] == [
        (size, depth) for size in (8, 64, 256) for depth in (1, 8)
    ]
    for lap in run["laps"]:
        trips = lap["round_trip_us"]
        assert lap["sent"] == lap["back"] > lap["depth"]
        assert 0 < trips["p50"] <= trips["p95"] <= trips["p99"] <= trips["max"]
    assert run["carries"]["windows"]["windows_per_s"] > 10
    assert {"processor", "cores", "system"} <= set(report["provenance"]["machine"])
    assert {"python", "pyserial", "ecg-edge"} <= set(report["provenance"]["versions"])


def test_someone_elses_echo_server_is_a_line_too(loopback: Callable[..., Any]) -> None:
    with echo_line("socket://") as line:
        done = loopback(line.url, *QUICK, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["line"]["kind"] == "remote"


def test_a_port_is_opened_at_each_baud_rate(loopback: Callable[..., Any], port: Callable[[Answer], str]) -> None:
    done = loopback(port(bytes), *QUICK, "--baud", "57600,921600", "--json")
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [(run["baud"], run["limit"]) for run in runs] == [(57600, "the port's own"), (921600, "the port's own")]
    assert all(run["share_of_baud"] > 1 for run in runs)  # a pty has no baud rate, whatever it was told
    assert all("it has none" in run["note"] for run in runs)


def test_a_baud_rate_on_a_line_that_has_none_is_simulated_and_said_to_be(loopback: Callable[..., Any]) -> None:
    done = loopback("pty", *QUICK, "--baud", "115200,230400", "--json")
    assert done.exit_code == 0, done.output
    slow, fast = json.loads(done.stdout)["runs"]
    for run in (slow, fast):
        assert run["limit"] == "simulated"
        assert 0.3 < run["share_of_baud"] <= 1.02  # the machine may be busy
    assert fast["bytes_per_s"] > 1.2 * slow["bytes_per_s"]


def test_the_table_names_host_line_and_what_it_carries(loopback: Callable[..., Any]) -> None:
    done = loopback("pty", *QUICK)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("PASS  ")
    assert "256 bytes" in done.stdout
    assert "isolated windows/s of bench_a" in done.stdout
    assert "live leads at 100 Hz" in done.stdout


class Balanced(HTMLParser):
    """Notes what is open, and whether anything is loaded."""

    VOID = ("meta", "link", "img", "br", "line", "polyline", "path")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value for name, value in attrs if name in ("src", "href") and value]
        self.loads += ["script"] * (tag == "script")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_out_leaves_the_report_a_page_that_loads_nothing_and_a_picture(
    loopback: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    out = tmp_path / "out"
    done = loopback("pty", *QUICK, "--baud", "921600", "--json", "--out", out)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["loopback.png", "report.html", "report.json"]
    assert json.loads((out / "report.json").read_text()) == json.loads(done.stdout)
    page = Balanced()
    page.feed((out / "report.html").read_text())
    assert (page.open, page.loads) == ([], [])
    assert (out / "loopback.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_matplotlib_the_report_and_the_page_are_there(
    loopback: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = loopback("pty", *QUICK, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    assert "pip install 'ecg-edge[report]'" in done.stderr


def test_a_line_that_damages_exits_3_with_the_count(
    loopback: Callable[..., Any], port: Callable[[Answer], str]
) -> None:
    def damaged(data: bytes) -> bytes:
        return data.replace(b"\x05", b"\x06")

    done = loopback(port(damaged), "--seconds", "0.2", "--payload", "64")
    assert done.exit_code == 3
    assert done.stdout.startswith("FAIL  ")
    assert "frame errors" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("ecg-edge: ")
    assert " lost" in done.stderr
    assert " damaged" in done.stderr


def test_a_port_without_a_wire_exits_2_and_asks_for_one(
    loopback: Callable[..., Any], port: Callable[[Answer], str]
) -> None:
    path = port(lambda data: b"")
    done = loopback(path, *QUICK, "--baud", "921600")
    assert done.exit_code == 2
    assert done.stderr == f"ecg-edge: {path}: nothing came back: is TX wired to RX?\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["/dev/nothing"], "/dev/nothing: cannot be opened"),
        (["socket://127.0.0.1:1"], "socket://127.0.0.1:1: cannot be opened"),
        (["pty", "--baud", "fast"], "--baud fast"),
        (["pty", "--baud", "9600,"], "--baud 9600,"),
        (["pty", "--baud", "10"], "a baud rate is 300"),
        (["pty", "--payload", "257"], "0 to 256 bytes"),
        (["pty", "--depth", "1"], "a depth is 2"),
        (["pty", "--depth", "99"], "a depth is 2"),
        (["pty", "--seconds", "0"], "seconds"),
        (["pty", "--seconds", "nan"], "seconds"),
        (["pty", "--seed", "-1"], "seed"),
        (["pty", "--credit", "0"], "credit"),
    ],
)
def test_bad_input_exits_2_with_one_line_that_names_it(
    loopback: Callable[..., Any], args: list[str], said: str, tmp_path: Path
) -> None:
    done = loopback(*args, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_not_there_exits_2() -> None:
    done = CliRunner().invoke(make_app(), ["loopback", "--bundle", "nowhere"])
    assert done.exit_code == 2
    assert "nowhere" in done.stderr
