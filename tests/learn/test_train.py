"""Training, quantization and bundles, small: a few hundred windows, the real network, the real converter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecg_edge.bundle import Bundle
from ecg_edge.errors import SignalError, TrainingError
from ecg_edge.graph import interpret
from ecg_edge.graph.ir import Dense
from ecg_edge.graph.tflite import read_graph
from ecg_edge.learn.balance import fit_biases
from ecg_edge.learn.dataset import Dataset, augment, split_by_subject
from ecg_edge.learn.model import ECG5, build_model, columns_left
from ecg_edge.learn.quantize import int8_tflite, load_keras
from ecg_edge.learn.train import Settings, learning_rate
from ecg_edge.recipes import evaluation, training
from ecg_edge.recipes.shipping import Identity, import_keras, import_tflite
from ecg_edge.signal.synth import CLASSES

pytest.importorskip("tensorflow", reason="misses TensorFlow: pip install 'ecg-edge[train]'")

SMALL = Settings(epochs=2, batch=50, seed=3)


class _Stopped(KeyboardInterrupt):
    """Ctrl-C, as this test presses it."""


def run(folder: Path, settings: Settings = SMALL, *, stop_after: int = 99) -> list[int]:
    """Train on 400 windows; returns the epochs that were run."""
    epochs: list[int] = []

    def on_epoch(epoch: int, total: int, logs: dict[str, float]) -> None:
        epochs.append(epoch)
        assert total == settings.epochs
        assert 0.0 <= logs["val_accuracy"] <= 1.0
        if epoch == stop_after:
            raise _Stopped

    training.train_run(
        training.synthetic_source(400, seed=1),
        folder,
        training.Shape(),
        settings,
        name="small",
        force=False,
        on_data=lambda done, total: None,
        on_epoch=on_epoch,
        on_step=lambda done, total: None,
    )
    return epochs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "run"
    assert run(folder) == [1, 2]
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    made, text = training.quantize_run(trained, tmp_path_factory.mktemp("b") / "small", version="0.0.1", force=False)
    assert "T Wave Inversion" in text
    return made


def test_a_run_leaves_models_report_and_data_and_no_checkpoint(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"model.keras", "model.h5", "run.json", "report.txt", "data.npz"}
    assert not trained.with_name("run.resume").exists()
    facts = json.loads((trained / "run.json").read_text())
    assert facts["classes"] == list(CLASSES)
    assert "precision" in (trained / "report.txt").read_text()


def test_keras_and_h5_hold_the_same_model(trained: Path) -> None:
    x = np.random.default_rng(1).normal(size=(3, 1024, 1)).astype(np.float32)
    one, two = (load_keras(trained / name).predict(x, verbose=0) for name in ("model.keras", "model.h5"))
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = Settings(epochs=3, batch=50, seed=3)
    with pytest.raises(_Stopped):
        run(tmp_path / "run", settings, stop_after=2)
    assert not (tmp_path / "run").exists()
    assert run(tmp_path / "run", settings)[-1] == 3
    with pytest.raises(_Stopped):
        run(tmp_path / "other", settings, stop_after=1)
    with pytest.raises(TrainingError, match="other settings"):
        run(tmp_path / "other", SMALL)


def test_a_bundle_takes_columns_as_they_are(bundle: Bundle) -> None:
    m = bundle.manifest
    assert (m.input.scale, m.input.zero_point) == (1 / 64, 0)
    assert m.prepare["multiplier"] * 2**9 == 2 ** m.prepare["shift"]
    assert m.arena_bytes["reference"] < 20_480
    assert set(m.files) == {"model.keras", "model.h5", "model_float.tflite", "model.tflite", "card.md"}
    assert "not a medical device" in bundle.path("card.md").read_text()


def test_dense_weights_have_one_scale(bundle: Bundle) -> None:
    (dense,) = (op for op in read_graph(bundle.model, name="small").ops if isinstance(op, Dense))
    assert dense.weight_quant is not None
    assert len(dense.weight_quant.scale) == 1


def test_the_float_twin_answers_as_keras_does(bundle: Bundle, trained: Path) -> None:
    run_ = training.read_run(trained)
    x = run_.validation[:8] / np.float32(64)
    keras = load_keras(trained / "model.keras").predict(x, verbose=0)
    graph = read_graph(bundle.float_model or b"", name="float")
    # float32 sums in another order: 1e-4 of a probability is far below half an int8 step (2e-3).
    np.testing.assert_allclose(interpret.run(graph, x), keras, atol=1e-4)


def test_slimming_changes_no_score(bundle: Bundle, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_edge.learn.quantize.slim", lambda model: model)
    run_ = training.read_run(trained)
    plain = int8_tflite(load_keras(trained / "model.keras"), run_.calibration)
    assert len(bundle.model) < 0.9 * len(plain)
    scores = [interpret.run(read_graph(data, name="m"), run_.validation[:20]) for data in (plain, bundle.model)]
    assert (scores[0] == scores[1]).all()


def test_evaluation_of_a_bundle_has_the_promised_keys(bundle: Bundle) -> None:
    cases = evaluation.synthetic_cases(bundle, per_class=4, seed=1, snr_db=(12, 30), progress=lambda done, total: None)
    report = evaluation.evaluate(bundle, cases, evaluation.answer(bundle, cases.samples_uv))
    assert report["windows"] == 20
    assert 0 <= report["accuracy"] <= 1
    assert 0 <= report["float_accuracy"] <= 1
    assert report["abstained"] == 0
    assert {"precision", "recall", "f1", "support"} <= report["per_class"]["ST Elevation"].keys()


def test_a_flat_window_is_an_abstention_and_wrong(bundle: Bundle) -> None:
    cases = evaluation.Cases("flat", np.zeros((3, 1024), np.int16), np.zeros(3, np.int64))
    report = evaluation.evaluate(bundle, cases, evaluation.answer(bundle, cases.samples_uv))
    assert (report["abstained"], report["accuracy"], report["float_accuracy"]) == (3, 0.0, 0.0)


def test_a_users_keras_and_tflite_become_bundles(bundle: Bundle, trained: Path, tmp_path: Path) -> None:
    from ecg_edge.signal.windows import Windows, write_windows

    rng = np.random.default_rng(1)
    windows = rng.normal(0, 300, (60, 1024)).astype(np.int16)
    write_windows(tmp_path / "c.npz", Windows(windows, 250, np.array(["Normal"] * 60)))
    identity = Identity("mine", 250, 0, CLASSES, "0.1.0", uv_per_unit=1000.0)
    mine = import_keras(trained / "model.h5", tmp_path / "c.npz", tmp_path / "mine", identity, force=False)
    assert mine.manifest.input.scale == pytest.approx(0.016, rel=1e-5)
    assert mine.manifest.hop == 256
    path = bundle.path("model.tflite")
    again = import_tflite(path, bundle.path("model_float.tflite"), tmp_path / "again", identity, force=False)
    assert again.model_sha256 == bundle.model_sha256
    assert again.manifest.prepare["multiplier"] / 2 ** again.manifest.prepare["shift"] == pytest.approx(
        1 / 500, rel=1e-6
    )


def test_no_subject_is_on_both_sides() -> None:
    subjects = np.repeat(np.arange(30), 4)
    data = Dataset(np.zeros((120, 8, 1), np.int8), np.tile([0, 1], 60), subjects, ("a", "b"))
    one, two = split_by_subject(data, held_out=0.2, seed=1)
    assert not set(one.subjects) & set(two.subjects)
    assert len(one.labels) + len(two.labels) == 120
    with pytest.raises(TrainingError, match="1 subject"):
        split_by_subject(data.take(subjects == 3), held_out=0.2, seed=1)


def test_augmentation_is_gentle_and_repeatable() -> None:
    x = np.full((4, 50, 1), 100, np.int8)
    one, two = (augment(x, np.random.default_rng(5)) for _ in range(2))
    assert (one == two).all()
    assert (one != x).any()
    assert np.abs(one.astype(int) - 100).max() <= 8


def test_the_rate_rises_then_falls() -> None:
    rates = [learning_rate(step, 1000, 0.01) for step in range(1000)]
    assert max(rates) == pytest.approx(0.01, rel=0.01)
    assert rates[0] < 0.001
    assert rates[-1] < 0.0001


def test_a_window_too_short_for_the_network_is_refused() -> None:
    with pytest.raises(TrainingError, match="shorter"):
        columns_left(ECG5, 200)
    with pytest.raises(TrainingError, match="shorter"):
        build_model(ECG5, window=200, leads=1, classes=5)


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.keras").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"x\.keras: Keras cannot read it"):
        load_keras(tmp_path / "x.keras")
    with pytest.raises(TrainingError, match="no training run"):
        training.read_run(tmp_path)
    with pytest.raises(SignalError):
        training.npz_source(tmp_path / "none.npz").load(training.Shape(), lambda done, total: None)


def test_biases_move_only_where_it_pays() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 3000)
    fair = np.eye(3)[labels] * 2.0 + rng.normal(0, 1.0, (3000, 3))
    shifted = fair + np.array([0.0, 1.5, 0.0])  # one class is called too often
    biases = fit_biases(shifted, labels)
    assert biases.mean() == pytest.approx(0.0)
    accuracy = [float((scores.argmax(axis=1) == labels).mean()) for scores in (fair, shifted, shifted + biases)]
    assert accuracy[1] + 0.05 < accuracy[2]
    assert accuracy[2] > accuracy[0] - 0.005
    certain = np.eye(3)[labels] * 9.0
    assert (fit_biases(certain, labels) == 0).all()


def test_a_synthetic_run_is_balanced_and_says_so(trained: Path) -> None:
    moved = json.loads((trained / "run.json").read_text())["training"]["biases moved by"]
    assert len(moved) == len(CLASSES)
