"""Bundles: what is written can be read, and what was altered is refused in one line."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecg_edge.bundle import Affine, Bundle, Manifest, package_data, save_bundle, shipped_bundles
from ecg_edge.errors import BundleError

MANIFEST = Manifest(
    name="tiny",
    version="1.0.0",
    fs_hz=250,
    window=1024,
    hop=256,
    leads=1,
    classes=("Normal", "Arrhythmia"),
    prepare={"average_log2": 8},
    input=Affine(1 / 64, 0),
    output=Affine(1 / 256, -128),
    arena_bytes={"reference": 4096},
    tools={"tensorflow": "2.21.0"},
)
FILES = {"model.tflite": b"int8 model", "card.md": b"# Card"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle on disk."""
    return save_bundle(tmp_path / "tiny", MANIFEST, FILES).folder


def test_a_bundle_reads_back_as_it_was_written(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert replace(bundle.manifest, files={}) == MANIFEST
    assert bundle.model == b"int8 model"
    assert bundle.float_model is None
    assert bundle.path("card.md").read_bytes() == b"# Card"
    assert bundle.model_sha256 == hashlib.sha256(b"int8 model").hexdigest()


def test_a_file_of_the_disk_can_go_into_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "trained.tflite").write_bytes(b"float model")
    files: dict[str, bytes | Path] = {**FILES, "model_float.tflite": tmp_path / "trained.tflite"}
    assert save_bundle(tmp_path / "tiny", MANIFEST, files).float_model == b"float model"


def test_an_altered_file_is_named(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"int8 model, truncated"[:9])
    with pytest.raises(BundleError, match=r"model\.tflite: sha256 is .* the manifest says"):
        Bundle.load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "card.md").unlink()
    with pytest.raises(BundleError, match=r"card\.md is missing"):
        Bundle.load(folder)


def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"has no model\.keras; it has: card\.md, model\.tflite"):
        Bundle.load(folder).path("model.keras")


def test_a_bundle_of_beats_says_what_it_takes(tmp_path: Path) -> None:
    manifest = replace(MANIFEST, window=70, hop=70, takes="beats", channels=14)
    read = save_bundle(tmp_path / "beats", manifest, {"model.tflite": b"int8 model"}).manifest
    assert (read.takes, read.columns) == ("beats", (70, 14))


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(BundleError, match="no bundle ecg99; shipped: "):
        Bundle.load("ecg99")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        Bundle.load(tmp_path)


def test_an_older_bundle_stays_unless_forced(folder: Path) -> None:
    newer = {"model.tflite": b"newer"}
    with pytest.raises(BundleError, match="--force"):
        save_bundle(folder, MANIFEST, newer)
    assert Bundle.load(folder).model == b"int8 model"
    assert save_bundle(folder, MANIFEST, newer, force=True).model == b"newer"


def test_a_bundle_without_the_int8_model_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"files has no model\.tflite"):
        save_bundle(tmp_path / "tiny", MANIFEST, {"card.md": b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "format 2; this version reads format 1"),
        ({"name": "../evil"}, "name '../evil' is not"),
        ({"fs_hz": 250.0}, "fs_hz is 250.0, not an integer"),
        ({"window": 0}, "window is 0, not an integer from 1"),
        ({"hop": 1025}, "hop is 1025, not an integer from 1 to 1024"),
        ({"leads": True}, "leads is True"),
        ({"classes": ["A", "A"]}, "classes has 2 names, 1 different"),
        ({"classes": "AB"}, "classes is not a list"),
        ({"input": {"scale": 0, "zero_point": 0}}, "input: scale is 0, not a positive number"),
        ({"output": {"scale": 1}}, "output has ['scale'], not scale and zero_point"),
        ({"output": {"scale": 1, "zero_point": 300}}, "zero_point is 300, not an integer from -128 to 127"),
        ({"files": {"model.tflite": "00"}}, "sha256 is not 64 hex digits"),
        ({"files": {"model.tflite": "0" * 64, "../x": "0" * 64}}, "file name '../x' is not a plain name"),
        ({"prepare": 3}, "prepare is not a JSON object"),
        ({"arena_bytes": {"reference": -1}}, "reference is -1"),
        ({"colour": "red"}, "unknown field colour"),
        ({"takes": "hearts"}, "takes is 'hearts', neither windows nor beats"),
        ({"takes": "beats"}, "channels is 0, not an integer from 1 to 255"),
        ({"takes": "beats", "channels": 14, "leads": 2}, "a model of beats takes 1 lead at 250 Hz, not 2 at 250"),
        ({"channels": 14}, "channels belongs to a model of beats"),
    ],
)
def test_a_manifest_that_breaks_a_limit_is_refused(folder: Path, change: dict[str, Any], complaint: str) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(BundleError) as error:
        Bundle.load(folder)
    assert complaint in str(error.value)
    assert str(folder / "manifest.json") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["name", "fs_hz", "classes", "prepare", "input", "files"])
def test_a_missing_field_is_named(folder: Path, field: str) -> None:
    values = json.loads((folder / "manifest.json").read_text())
    del values[field]
    (folder / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=f"{field} is missing"):
        Bundle.load(folder)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"format": 1', "\udcff".encode("utf-8", "surrogateescape")])
def test_a_damaged_manifest_is_refused(folder: Path, text: str | bytes) -> None:
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BundleError, match=r"manifest\.json: "):
        Bundle.load(folder)


def test_every_shipped_bundle_loads_by_its_name() -> None:
    assert package_data("models").is_dir()
    assert "ecg5" in shipped_bundles()
    for name in shipped_bundles():
        assert Bundle.load(name).manifest.name == name
