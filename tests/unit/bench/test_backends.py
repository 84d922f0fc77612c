"""`ecg-edge bench --backends`: what is here is measured and held to the model, what is not says why."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_edge.bench import backends, trial
from ecg_edge.bench.backends import ask_in_turns
from ecg_edge.bench.machine import EMULATED, is_emulated
from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.errors import GraphError
from ecg_edge.report.agreement import clear_flips
from ecg_edge.report.backends import backends_text, rails
from ecg_edge.report.html import backends_html
from ecg_edge.runtime.backend import BACKENDS, Backend
from ecg_edge.runtime.choose import EXACT
from ecg_edge.runtime.numpy import NumpyBackend

WINDOWS = 6


def bench(*args: object) -> Any:
    return CliRunner().invoke(make_app(), ["bench", *map(str, args)])


class Spoiled:
    """The interpreter with its scores turned round."""

    name = "spoiled"

    def __init__(self, model: bytes) -> None:
        self._backend = NumpyBackend(model)

    def run(self, windows: NDArray[Any]) -> NDArray[Any]:
        return self._backend.run(windows)[:, ::-1]


@pytest.fixture(scope="module")
def report(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("backends")
    done = bench(bundle.folder, "--backends", "--synthetic", WINDOWS, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert json.loads((out / "report.json").read_text()) == found
    assert "<!doctype html>" in (out / "report.html").read_text()
    return found


def test_every_backend_is_measured_or_says_why_not(report: dict[str, Any]) -> None:
    measured = {row["name"]: row for row in report["backends"]}
    assert measured.keys() | report["missing"].keys() == set(BACKENDS)
    assert not measured.keys() & report["missing"].keys()
    assert all(report["missing"].values())
    for name, row in measured.items():
        assert row["exact"] is (name in EXACT)
        assert row["agreement"]["windows"] == row["latency_us"]["count"] == WINDOWS
        assert 0 < row["latency_us"]["p50"] <= row["latency_us"]["p99"] <= row["latency_us"]["max"]
        assert row["memory_bytes"] is None or row["memory_bytes"] > 0
        assert row["load_s"] > 0


def test_exact_backends_equal_the_golden_model(report: dict[str, Any]) -> None:
    exact = {row["name"]: row["agreement"] for row in report["backends"] if row["exact"]}
    assert "numpy" in exact
    assert all(a["identical"] == WINDOWS and a["lsb_histogram"].keys() == {"0"} for a in exact.values())


def test_the_report_says_how_it_was_made(report: dict[str, Any]) -> None:
    made = report["provenance"]
    assert made["seed"] == 1
    assert made["machine"]["cores"] == os.cpu_count()
    assert made["versions"]["numpy"] == np.__version__


def test_the_text_and_the_page_name_every_backend(report: dict[str, Any]) -> None:
    told = report | {"missing": {"abacus": "no beads"}}
    text, page = backends_text(told), backends_html(told)
    for name in (*(row["name"] for row in report["backends"]), "abacus: no beads"):
        assert name in text
        assert name in page
    marks, _ = rails(report)
    assert all(0 <= rail.p50 <= rail.p99 <= 1 for rail in marks)


def test_an_emulated_machine_is_said_to_be_one(report: dict[str, Any]) -> None:
    assert is_emulated({"vendor_id": "GenuineIntel"}, "aarch64")
    assert not is_emulated({"vendor_id": "GenuineIntel"}, "x86_64")
    assert not is_emulated({"CPU implementer": "0x41"}, "aarch64")
    made = report["provenance"]
    told = report | {"provenance": made | {"machine": made["machine"] | {"emulated": EMULATED}}}
    for page in (backends_text(told), backends_html(told)):
        assert f"emulated {EMULATED}" in page


def only(monkeypatch: pytest.MonkeyPatch, **makers: Any) -> None:
    """Offer these backends in this process, and start no other."""
    for module in (backends, trial):
        monkeypatch.setattr(module, "open_backend", lambda name, model: makers[name](model))
    monkeypatch.setattr(backends, "BACKENDS", makers)
    monkeypatch.setattr(backends, "processes_work", lambda: False)


def test_an_exact_backend_that_differs_fails_the_gate_with_the_table(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, numpy=NumpyBackend, native=Spoiled)
    done = bench(bundle.folder, "--backends", "--synthetic", WINDOWS)
    assert done.exit_code == 3
    assert done.stdout.startswith(f"FAIL  native has to equal the model, and does not on {WINDOWS} of {WINDOWS}")
    assert f"0 of {WINDOWS}" in done.stdout


def test_a_fast_backend_that_changes_a_clear_verdict_fails_the_gate(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, numpy=NumpyBackend, litert=Spoiled)
    done = bench(bundle.folder, "--backends", "--synthetic", WINDOWS)
    assert done.exit_code == 3
    assert "litert changes" in done.stderr


def test_without_processes_all_but_memory_and_loading_is_measured(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: bytes) -> Backend:
        raise GraphError("no such op")

    only(monkeypatch, numpy=NumpyBackend, native=refuse)
    done = bench(bundle.folder, "--backends", "--synthetic", WINDOWS, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["missing"] == {"native": "no such op"}
    assert [(row["name"], row["load_s"], row["memory_bytes"]) for row in found["backends"]] == [("numpy", None, None)]


def test_a_backend_that_kills_its_process_is_a_line_and_not_the_end() -> None:
    found = trial.try_backend("numpy", _Deadly(), np.zeros((1, 1, 1), np.int8))  # type: ignore[arg-type]
    assert found == trial.Trial(problem="it kills the process that runs it")


class _Deadly:
    """Ends the process that takes it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_all_windows_go_to_all_backends_in_turns(bundle: Bundle) -> None:
    asked: list[str] = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, windows: NDArray[Any]) -> NDArray[Any]:
            asked.append(self.name)
            return windows[:, :2, 0]

    windows = np.arange(25 * 3, dtype=np.int8).reshape(25, 3, 1)
    found = ask_in_turns({"a": Noted("a"), "b": Noted("b")}, windows, 2, lambda *_: None)
    assert all(np.array_equal(answer.scores, windows[:, :2, 0]) for answer in found.values())
    timed = "".join(asked[-50:])
    assert timed == "aaaaaaaaaabbbbbbbbbb" * 2 + "aaaaabbbbb"


def test_a_flip_is_clear_beyond_four_lsb() -> None:
    golden = np.array([[10, 6, 0], [10, 5, 0], [10, 5, 0]], np.int8)
    other = np.array([[6, 10, 0], [5, 10, 0], [9, 5, 0]], np.int8)
    assert clear_flips(golden, other) == 1


@pytest.mark.parametrize("words", [("--device", "virtual:native"), ("--host-engine",)])
def test_backends_ask_no_board(words: tuple[str, ...]) -> None:
    done = bench("ecg5", "--backends", *words)
    assert done.exit_code == 2
    assert "--backends asks no board" in done.stderr


@pytest.mark.slow
def test_a_model_of_beats_is_asked_about_the_beats_of_a_recording() -> None:
    result = bench("aami", "--backends", "--synthetic", 3, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["source"]["windows"] > 20
    exact = [row for row in report["backends"] if row["exact"]]
    assert {"native", "numpy"} <= {row["name"] for row in exact}
    assert all(row["agreement"]["identical"] == report["source"]["windows"] for row in exact)
