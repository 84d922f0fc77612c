"""tools/bench_engine.py on an emulated core and on this host: its rows, and what it does where something lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bench_engine
import pytest
from m4 import need_tools

from ecg_edge.bench import engine

pytestmark = pytest.mark.emulator

MODEL = Path(__file__).parents[1] / "golden" / "models" / "bench_a.tflite"
WANTED = {"model", "core", "engine", "mode", "opt", "instructions", "flash_bytes", "ram_bytes", "identical"}


def run_tool(monkeypatch: pytest.MonkeyPatch, out: Path, arguments: str) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr("sys.argv", ["bench_engine.py", str(MODEL), *arguments.split(), "--out", str(out)])
    status = bench_engine.main()
    return status, json.loads(out.read_text())


def test_a_model_is_measured_on_a_core_and_on_this_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_tools()
    out = tmp_path / "engine.json"
    status, report = run_tool(monkeypatch, out, "--cores cortex-m4,host --opts size --inputs 8")
    assert status == 0, capsys.readouterr()
    native = [row for row in report["rows"] if row["engine"] == "native"]
    assert [row["core"] for row in native] == ["cortex-m4", "host"]
    assert all(row.keys() >= WANTED for row in report["rows"])
    assert all(row["identical"] and row["compared"] == 8 for row in native)
    core, host = native
    assert 200_000 < core["instructions"] < 4_000_000
    assert 4000 < core["flash_bytes"] < 16_000
    assert core["ram_bytes"] >= core["scratch_bytes"] + core["stack_bytes"] + 360
    assert host["microseconds"] > 0
    assert {"processor", "cores"} <= report["machine"].keys()
    assert {"arm-none-eabi-gcc", "qemu-system-arm"} <= report["versions"].keys()
    said = capsys.readouterr().out
    assert "equal, 8" in said
    assert "called from Python" in said


def test_without_cross_compilers_this_host_is_still_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "missing_tools", lambda core: "arm-none-eabi-gcc")
    status, report = run_tool(monkeypatch, tmp_path / "e.json", "--cores cortex-m4,host --inputs 4")
    assert status == 0
    assert {row["core"] for row in report["rows"] if row["engine"] == "native"} == {"host"}
    assert "cortex-m4: no arm-none-eabi-gcc" in report["skipped"]
    assert "skipped: cortex-m4: no arm-none-eabi-gcc" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--cores", "z80"], "error: no core 'z80'"),
        (["--opts", "beauty"], "error: no optimization 'beauty'"),
        (["--inputs", "0"], "error: --inputs is 0; 1 at least"),
    ],
)
def test_a_wrong_wish_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    monkeypatch.setattr("sys.argv", ["bench_engine.py", str(MODEL), *arguments])
    assert bench_engine.main() == 2
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
