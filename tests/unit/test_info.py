"""What `ecg-edge info` says of a bundle, against what the engines and the graph say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from board_rungs import golden_bundle
from typer.testing import CliRunner

from ecg_edge.cli.app import make_app
from ecg_edge.codegen.budget import state_bytes
from ecg_edge.codegen.image import read_model
from ecg_edge.recipes.anatomy import dissect
from ecg_edge.signal.prepare import Prepare

MODELS = ("separable", "columns", "flat", "causal", "conv1d")


@pytest.mark.parametrize("name", MODELS)
def test_ring_bytes_add_up_to_the_engines_state(name: str, tmp_path: Path) -> None:
    bundle = golden_bundle(tmp_path, name, hop=8, prepare=Prepare(average_log2=4))
    plan = read_model(bundle).plan
    assert plan is not None
    rings = [layer.ring_bytes for layer in dissect(bundle).layers]
    assert sum(ring or 0 for ring in rings) == state_bytes(plan)


def test_parameters_and_products_are_those_counted_by_hand(tmp_path: Path) -> None:
    # 48 columns of one lead: 4 filters of 5, 6 of 4, depthwise 6 of 3 (every 2nd), 8 of 6; then 8 means into 5 classes.
    found = dissect(golden_bundle(tmp_path, "separable", hop=16, prepare=Prepare(average_log2=4)))
    by_hand = {
        "conv1": (4 * 5 + 4, 44 * 4 * 5),
        "conv2": (6 * 4 + 6, 44 * 6 * 4),
        "depthwise1": (6 * 3 + 6, 22 * 6 * 3),
        "conv3": (8 * 6 + 8, 22 * 8 * 6),
        "mean1": (0, 0),
        "dense1": (5 * 8 + 5, 5 * 8),
        "softmax1": (0, 0),
    }
    assert {layer.name: (layer.params, layer.macs) for layer in found.layers} == by_hand
    assert (found.params, found.macs) == (179, 3428)


def test_json_has_the_numbers_of_the_text(tmp_path: Path) -> None:
    bundle = golden_bundle(tmp_path, "separable", hop=16, prepare=Prepare(average_log2=4))
    text = CliRunner().invoke(make_app(), ["info", str(bundle.folder)])
    value = CliRunner().invoke(make_app(), ["info", str(bundle.folder), "--json"])
    assert (text.exit_code, value.exit_code) == (0, 0)
    found = json.loads(value.stdout)
    total = next(line for line in text.stdout.splitlines() if line.startswith("total"))
    rings = sum(layer["ring_bytes"] for layer in found["layers"])
    assert total.split()[1:] == [f"{found['params']:,}", f"{found['macs']:,}", f"{rings:,}"]
    assert found["sha256"] == bundle.model_sha256
    assert found["sha256"] in text.stdout
    assert found["tflite_bytes"] == len(bundle.model)
    assert found["delay"] == Prepare(average_log2=4).delay


def test_no_bundle_of_that_name_is_one_line() -> None:
    result = CliRunner().invoke(make_app(), ["info", "nothing"])
    assert result.exit_code == 2
    assert result.stderr.startswith("ecg-edge: no bundle nothing; shipped: ")


def test_a_model_of_beats_is_told_as_one() -> None:
    result = CliRunner().invoke(make_app(), ["info", "aami"])
    assert "views of beats, 70 x 14, of 1 lead at 250 Hz" in result.stdout
    assert "and two beats" in result.stdout
