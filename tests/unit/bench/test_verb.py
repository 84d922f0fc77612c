"""`ecg-edge bench` as a user runs it, against a board on a TCP port: the real serial link, exit codes and files."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device.fake import FakeDevice, FakeModel

MakeBoard = Callable[..., FakeModel]
Serve = Callable[[FakeModel], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Puts a fake device on a TCP port of this machine; gives its URL."""
    listeners: list[socket.socket] = []

    def start(model: FakeModel) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_answer_one, args=(listener, FakeDevice([model])), daemon=True).start()
        return f"socket://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def _answer_one(listener: socket.socket, device: FakeDevice) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:  # closed before anybody came
        return
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(device.receive(data))


def bench(*args: object) -> Any:
    return CliRunner().invoke(make_app(), ["bench", *map(str, args)])


def test_a_board_that_agrees_exits_0_and_leaves_both_reports(
    bundle: Bundle, board: MakeBoard, serve: Serve, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(bundle.folder, "--device", serve(board()), "--synthetic", 10, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["pairs"]["device_vs_golden"]["identical"] == 10
    assert report["device"]["note"] == ""
    assert json.loads((out / "report.json").read_text()) == report
    assert "<!doctype html>" in (out / "report.html").read_text()


def test_a_board_that_differs_exits_3_with_the_table_and_the_reports(
    bundle: Bundle, board: MakeBoard, serve: Serve, tmp_path: Path
) -> None:
    def negate(answer: NDArray[np.int8], _: int) -> NDArray[np.int8]:
        return answer[::-1].copy()

    out = tmp_path / "out"
    done = bench(bundle.folder, "--device", serve(board(spoil=negate)), "--synthetic", 10, "--out", out)
    assert done.exit_code == 3
    assert done.stdout.startswith("FAIL")
    assert "device = int8 golden" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("ecg-edge: The device does not answer what the model answers")
    assert not json.loads((out / "report.json").read_text())["verdict"]["passed"]


def test_a_board_with_another_model_exits_2_with_one_line_and_no_report(
    bundle: Bundle, board: MakeBoard, serve: Serve, tmp_path: Path
) -> None:
    model = board()
    other = replace(model, hello=replace(model.hello, sha256="cd" * 32))
    done = bench(bundle.folder, "--device", serve(other), "--synthetic", 5, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "cdcdcdcdcdcd" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--synthetic", "5", "--npz", "x.npz"], "give one"),
        (["--lead", "II"], "belong to --record"),
        (["--synthetic", "0"], "0 synthetic windows"),
        (["--seed", "-1"], "seed -1"),
        (["--record", "nowhere/100"], "nowhere/100"),
        (["--npz", "nowhere.npz"], "nowhere.npz"),
        (["--device", "/dev/nothing", "--synthetic", "5"], "/dev/nothing"),
        (["--device", "virtual:quantum", "--synthetic", "5"], "virtual:quantum"),
    ],
)
def test_bad_input_exits_2_with_one_line_that_names_it(bundle: Bundle, args: list[str], said: str) -> None:
    done = bench(bundle.folder, *args)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bundle_that_is_not_there_exits_2() -> None:
    done = bench("no_such_bundle")
    assert done.exit_code == 2
    assert "no_such_bundle" in done.stderr
