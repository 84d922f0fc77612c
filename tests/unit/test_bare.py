"""Exporting a .tflite without a bundle: the folder, what is refused, what is said."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ecg_edge.cli.app import make_app
from ecg_edge.codegen.bare import export_bare, read_plan
from ecg_edge.codegen.target import CORES, find_target
from ecg_edge.errors import BundleError, EcgEdgeError, GraphError

MODELS = Path(__file__).parents[1] / "golden" / "models"
MODEL = MODELS / "separable.tflite"
TARGET = find_target("portable", "size")


def command(*arguments: str | Path) -> Any:
    return CliRunner().invoke(make_app(), ["export", *map(str, arguments)])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("opt", ["speed", "size"])
@pytest.mark.parametrize("core", CORES)
def test_the_folder_is_flat_and_its_manifest_names_every_file_with_its_hash(
    core: str, opt: str, tmp_path: Path
) -> None:
    report = export_bare(MODEL, tmp_path / "out", target=find_target(core, opt))
    files = content(tmp_path / "out")
    assert set(report.files) == set(files)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert (manifest["core"], manifest["opt"]) == (core, opt)
    assert manifest["models"][0]["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest() == report.sha256
    assert {
        "ecg_config.h", "ecg_model.h", "ecg_model_separable.h", "ecg_model_separable_native.c", "ecg_ops.h",
        "ecg_quant.h", "ecg_status.h",
    } <= set(files)  # fmt: skip


def test_every_quoted_include_of_the_folder_is_in_it(tmp_path: Path) -> None:
    for core in CORES:
        export_bare(MODEL, tmp_path / core, target=find_target(core, "speed"))
        files = content(tmp_path / core)
        lines = [line for data in files.values() for line in data.decode().splitlines()]
        wanted = {line.split('"')[1] for line in lines if line.strip().startswith('#include "')}
        # Of TensorFlow Lite Micro's engine, which this folder has not; ecg_config.h leaves it out.
        assert {name for name in wanted if not name.endswith("_data.h")} <= set(files), core


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    export_bare(MODEL, tmp_path / "one", target=TARGET)
    export_bare(MODEL, tmp_path / "two", target=TARGET)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_the_name_is_the_files_made_an_identifier(tmp_path: Path) -> None:
    (tmp_path / "2nd try-ä.tflite").write_bytes(MODEL.read_bytes())
    report = export_bare(tmp_path / "2nd try-ä.tflite", tmp_path / "out", target=TARGET)
    assert report.name == "_2nd_try__"
    assert "ecg_model_t ecg_model__2nd_try__" in (tmp_path / "out" / "ecg_model__2nd_try___native.c").read_text()


def test_without_a_hop_a_window_is_a_fresh_start_and_with_one_windows_overlap(tmp_path: Path) -> None:
    whole = export_bare(MODELS / "flat.tflite", tmp_path / "whole", target=TARGET)
    parts = export_bare(MODELS / "flat.tflite", tmp_path / "parts", target=TARGET, hop=12)
    assert (whole.hop, parts.hop) == (48, 12)
    assert "every 12" in parts.stream_note
    assert parts.streams


@pytest.mark.parametrize(
    ("wish", "line"),
    [
        ({"name": "no good"}, "name 'no good' is no C identifier of at most 31 characters"),
        ({"name": "a" * 32}, "is no C identifier of at most 31 characters"),
        ({"hop": 0}, "separable.tflite: hop is 0, not an integer from 1 to the window's 48"),
        ({"hop": 49}, "hop is 49, not an integer from 1 to the window's 48"),
        ({"fs_hz": 0}, "fs is 0, not an integer from 1 to 65535"),
        ({"fs_hz": 65536}, "fs is 65536, not an integer from 1 to 65535"),
    ],
)
def test_a_wish_outside_its_limits_is_refused_and_nothing_is_written(
    wish: dict[str, Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=line):
        export_bare(MODEL, tmp_path / "out", target=TARGET, **wish)
    assert list(tmp_path.iterdir()) == []


def test_a_dense_with_a_scale_for_each_output_is_exported_since_this_engine_runs_it(tmp_path: Path) -> None:
    assert read_plan(MODELS / "dense_per_channel.tflite").graph.ops
    assert export_bare(MODELS / "dense_per_channel.tflite", tmp_path / "out", target=TARGET).files


def test_what_is_no_int8_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="float32"):
        export_bare(MODELS / "float.tflite", tmp_path / "out", target=TARGET)
    assert not (tmp_path / "out").exists()


def test_an_older_export_is_replaced_by_force_only_and_a_folder_of_something_else_never(tmp_path: Path) -> None:
    export_bare(MODEL, tmp_path / "out", target=TARGET)
    with pytest.raises(EcgEdgeError, match="--force replaces it"):
        export_bare(MODEL, tmp_path / "out", target=TARGET)
    export_bare(MODELS / "flat.tflite", tmp_path / "out", target=TARGET, force=True)
    assert not (tmp_path / "out" / "ecg_model_separable.h").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(EcgEdgeError, match="not ours to replace"):
        export_bare(MODEL, tmp_path / "thesis", target=TARGET, force=True)


def test_the_command_says_what_it_wrote_as_text_and_as_json(tmp_path: Path) -> None:
    wish = ("--engine", "native", "--tflite", MODEL, "--core", "cortex-m4", "--opt", "speed")
    done = command(*wish, "--out", tmp_path / "one", "--name", "mine", "--fs", "500")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("mine, sha256 ")
    assert "for cortex-m4, speed" in done.stdout
    assert ".fs_hz = 500" in (tmp_path / "one" / "ecg_model_mine_native.c").read_text()
    report = json.loads(command(*wish, "--out", tmp_path / "two", "--json").stdout)
    assert (report["name"], report["core"], report["opt"]) == ("separable", "cortex-m4", "speed")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "what to export? a shipped bundle's name, a bundle's folder, or --tflite FILE"),
        (["ecg5", "--tflite", str(MODEL)], "--tflite is exported alone"),
        (["--tflite", str(MODEL), "--engine", "tflm"], "--tflite is exported alone, for the native engine"),
        (["--tflite", str(MODEL), "--board", "pico"], "checks no board"),
        (["ecg5", "--hop", "8"], "--name, --hop and --fs go with --tflite"),
        (["--tflite", str(MODEL), "--core", "z80"], "no core 'z80'; there are: portable, cortex-m0"),
        (["ecg5", "--core", "z80"], "no core 'z80'; there are: portable, cortex-m0"),
        (["--tflite", str(MODEL), "--fs", "0"], "fs is 0"),
        (["--tflite", "no such file"], "no such file: No such file or directory"),
    ],
)
def test_a_wrong_command_is_one_line_and_nothing_is_written(arguments: list[str], line: str, tmp_path: Path) -> None:
    done = command(*arguments, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "core", "opt"),
    [
        ([], "portable", "size"),
        (["--board", "nano33ble"], "cortex-m4", "size"),
        (["--board", "pico", "--opt", "speed"], "cortex-m0plus", "speed"),
        (["--board", "esp32dev"], "portable", "size"),
        (["--board", "nano33ble", "--core", "portable"], "portable", "size"),
    ],
)
def test_a_bundle_is_written_for_the_core_that_is_named_or_the_boards(
    arguments: list[str], core: str, opt: str, tmp_path: Path
) -> None:
    done = command("ecg5", *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["core"], manifest["opt"]) == (core, opt)
