"""Exporting bundles: the folder, its bytes, what is refused and what is said."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ecg_edge import __version__
from ecg_edge.bundle import MODEL, Affine, Bundle, Manifest, save_bundle
from ecg_edge.cli.app import make_app
from ecg_edge.codegen.budget import Limits, native_need, require_room
from ecg_edge.codegen.image import read_model
from ecg_edge.codegen.project import ExportReport, is_generated
from ecg_edge.errors import BudgetError, BundleError, DeviceError, EcgEdgeError, GraphError
from ecg_edge.recipes.firmware import export, shipped_image
from ecg_edge.signal.prepare import Prepare

MODELS = Path(__file__).parents[1] / "golden" / "models"
FIRMWARE = Path(__file__).parents[2] / "firmware" / "EcgEdge" / "src"
EXPORT_LIMIT_S = 2.0
CLASSES = ("Normal", "Arrhythmia", "ST Depression", "ST Elevation", "T Wave Inversion")


def make_bundle(
    folder: Path, model: str, *, name: str = "", leads: int = 1, hop: int = 48, arena: int = 6000
) -> Bundle:
    """A bundle of one of the golden models, all of which take 48 columns and give five scores."""
    numbers = {"reference": arena} if arena else {}
    prepare = Prepare(average_log2=4).to_manifest()
    affine = Affine(1 / 64, 0), Affine(1 / 256, -128)
    manifest = Manifest(name or model, "1.0.0", 250, 48, hop, leads, CLASSES, prepare, *affine, numbers)
    return save_bundle(folder / (name or model), manifest, {MODEL: MODELS / f"{model}.tflite"})


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundles", "separable")


def command(*args: str | Path) -> Any:
    return CliRunner().invoke(make_app(), ["export", *map(str, args)])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_a_library_with_both_engines(bundle: Bundle, tmp_path: Path) -> None:
    report = export(bundle, tmp_path / "out")
    files = content(tmp_path / "out")
    assert set(report.files) == set(files)
    stem = "EcgEdge/src/ecg_model_separable"
    for name in (
        "EcgEdge/library.properties", "EcgEdge/examples/Replay/Replay.ino", "EcgEdge/src/ecg_config.h",
        "EcgEdge/src/ecg_model.h", "EcgEdge/src/ecg_models.c", "EcgEdge/src/ecg_ops.c", "EcgEdge/src/ecg_edge.c",
        f"{stem}.h", f"{stem}_native.c", f"{stem}_tflm.cpp", f"{stem}_data.h", f"{stem}_data.c",
        f"{stem}_selftest.h", f"{stem}_selftest.c", "README.md", "manifest.json",
    ):  # fmt: skip
        assert name in files, name


def test_the_manifest_names_every_file_with_its_hash(bundle: Bundle, tmp_path: Path) -> None:
    export(bundle, tmp_path / "out", engine="tflm")
    files = content(tmp_path / "out")
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert manifest["engine"] == "tflm"
    assert manifest["models"] == [{"name": "separable", "version": "1.0.0", "sha256": bundle.model_sha256}]


def test_every_file_of_the_model_begins_with_its_hash(bundle: Bundle, tmp_path: Path) -> None:
    export(bundle, tmp_path / "out")
    for name, data in content(tmp_path / "out").items():
        if "ecg_model_separable" in name:
            assert bundle.model_sha256 in data.decode().splitlines()[0], name


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    export(bundle, tmp_path / "one")
    export(bundle, tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_the_model_in_the_array_is_the_bundles_byte_for_byte(bundle: Bundle, tmp_path: Path) -> None:
    export(bundle, tmp_path / "out")
    text = (tmp_path / "out/EcgEdge/src/ecg_model_separable_data.c").read_text()
    body = text[text.index("= {") + 3 : text.index("};")]
    assert bytes(int(number, 16) for number in body.replace(",", " ").split()) == bundle.model


def test_an_older_export_is_kept_unless_forced(bundle: Bundle, tmp_path: Path) -> None:
    export(bundle, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(EcgEdgeError, match="--force replaces it"):
        export(bundle, tmp_path / "out", engine="tflm")
    assert content(tmp_path / "out") == before
    export(bundle, tmp_path / "out", engine="tflm", force=True)
    assert "#define ECG_ENGINE 1" in (tmp_path / "out/EcgEdge/src/ecg_config.h").read_text()


def test_a_folder_of_something_else_is_never_replaced(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("years of work")
    with pytest.raises(EcgEdgeError, match="not ours to replace"):
        export(bundle, tmp_path / "thesis", force=True)
    assert content(tmp_path / "thesis") == {"chapter1.tex": b"years of work"}


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("float", "is float32"),
        ("float_ends", "is float32"),
        ("uint8", "is UINT8"),
        ("dynamic_batch", "has a dynamic shape"),
        ("dynamic_range", "is INT8; supported here: FLOAT32"),
        ("dense_per_channel", "has 5 weight scales"),
    ],
)
def test_a_model_that_is_not_full_int8_is_refused_in_one_line_and_nothing_is_written(
    model: str, line: str, tmp_path: Path
) -> None:
    made = make_bundle(tmp_path / "bundles", model)
    done = command(made.folder, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundles"]


def test_a_model_that_the_native_engine_refuses_is_told_why_and_tflm_still_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_bundle(tmp_path / "bundles", "residual")
    monkeypatch.setattr("ecg_edge.graph.limits.COLUMNS", 20)
    with pytest.raises(GraphError, match=r"Conv1D conv1 has .* at most 20 a dimension"):
        export(made, tmp_path / "out")
    report = export(made, tmp_path / "out", engine="tflm")
    assert "Conv1D conv1" in report.models[0].native_refusal
    assert not (tmp_path / "out/EcgEdge/src/ecg_model_residual_native.c").exists()
    assert '#error "The native engine cannot run' in (tmp_path / "out/EcgEdge/src/ecg_model_residual.h").read_text()


def test_without_a_measured_arena_there_is_the_native_engine_only(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundles", "separable", arena=0)
    with pytest.raises(BundleError, match=r"separable has no arena_bytes\.reference"):
        export(made, tmp_path / "out", engine="tflm")
    report = export(made, tmp_path / "out")
    assert not any(name.endswith("_tflm.cpp") for name in report.files)
    assert "_data.h" not in (tmp_path / "out/EcgEdge/src/ecg_model_separable.h").read_text()
    assert [need.engine for need in report.needs] == ["native"]


def test_a_manifest_that_does_not_match_its_model_is_refused(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundles", "separable", leads=2)
    with pytest.raises(BundleError, match=r"says \(48, 2\) -> 5 classes, its model is \(48, 1\) -> 5"):
        export(made, tmp_path / "out")


def test_a_board_that_is_too_small_is_refused_with_both_numbers(bundle: Bundle) -> None:
    need = native_need([read_model(bundle)])
    assert need is not None
    require_room(need, Limits("roomy", need.flash_bytes, need.ram_bytes))
    with pytest.raises(BudgetError, match=f"board tiny has 1000 bytes of RAM; .* about {need.ram_bytes} "):
        require_room(need, Limits("tiny", need.flash_bytes, 1000))
    with pytest.raises(BudgetError, match="bytes of flash"):
        require_room(need, Limits("tiny", need.flash_bytes - 1, need.ram_bytes))


def test_an_unknown_board_is_refused_with_the_known_ones(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no board arduino"):
        export(bundle, tmp_path / "out", board="arduino")


def test_the_image_is_named_after_its_board(bundle: Bundle, tmp_path: Path) -> None:
    report = export(bundle, tmp_path / "out", board="nano33ble")
    assert '#define ECG_BOARD "nano33ble"' in (tmp_path / "out/EcgEdge/src/ecg_config.h").read_text()
    assert report.limits is not None


def test_several_bundles_make_one_image(bundle: Bundle, tmp_path: Path) -> None:
    flat = make_bundle(tmp_path / "bundles", "flat", leads=2, hop=12)
    report = export([bundle, flat], tmp_path / "out")
    text = (tmp_path / "out/EcgEdge/src/ecg_models.h").read_text()
    assert [model.name for model in report.models] == ["separable", "flat"]
    assert "ECG_LARGER(ECG_MODEL_SEPARABLE_SCRATCH_BYTES, ECG_MODEL_FLAT_SCRATCH_BYTES)" in text
    assert "#define ECG_MAX_LEADS 2u" in text
    with pytest.raises(BundleError, match="two bundles are named flat"):
        export([flat, flat], tmp_path / "out", force=True)


def test_the_verb_says_what_cannot_stream_and_why(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundles", "separable", hop=12)
    done = command(made.folder, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "Cannot stream: DepthwiseConv1D depthwise1 pads the window's edges" in done.stdout
    assert "native*" in done.stdout


def test_the_verb_prints_its_report_as_json_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    done = command(bundle.folder, "--out", tmp_path / "out", "--json", "--engine", "tflm")
    report = json.loads(done.stdout)
    assert report["engine"] == "tflm"
    assert report["models"][0]["sha256"] == bundle.model_sha256
    for need in report["needs"]:
        assert need["ram_bytes"] == need["scratch_bytes"] + need["other_ram_bytes"]


def test_an_export_takes_under_two_seconds_and_imports_no_tensorflow(bundle: Bundle, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tflite_micro', 'ai_edge_litert', 'tflite_runtime', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from ecg_edge.cli.app import main\nmain()\n"
    )
    args = ["export", str(bundle.folder), "--out", str(tmp_path / "out")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Processor time: what else this machine does must not count.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < EXPORT_LIMIT_S


def test_a_report_says_how_the_engine_chosen_streams(bundle: Bundle, tmp_path: Path) -> None:
    native: ExportReport = export(bundle, tmp_path / "native")
    tflm = export(bundle, tmp_path / "tflm", engine="tflm")
    assert native.models[0].streams
    assert not tflm.models[0].streams


def test_the_generated_files_beside_the_firmware_are_those_of_the_shipped_model() -> None:
    wanted = shipped_image()
    found = {path.name: path.read_text() for path in FIRMWARE.iterdir() if is_generated(path.name)}
    assert set(found) == set(wanted)
    for name, text in wanted.items():
        assert found[name] == text, f"{name} is stale: run tools/image.py"


def test_the_library_has_the_packages_version() -> None:
    properties = (FIRMWARE.parent / "library.properties").read_text()
    assert f"\nversion={__version__}\n" in properties
