"""Training on beats, small: the real network, the real converter, and two real patients where there are any."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.errors import SignalError, TrainingError
from ecg_edge.learn.beatdata import CLASSES, SHARES, SYNTHETIC, UNUSED, BeatSet, Sampler, calibration, vary_signal
from ecg_edge.learn.beatmodel import BeatSettings, build_beat_model
from ecg_edge.learn.quantize import load_keras
from ecg_edge.recipes import beat_training, training
from ecg_edge.recipes.beat_patients import Corpus, load_corpus
from ecg_edge.recipes.ec57 import trained_on
from ecg_edge.report.beat_text import cross_validation_text
from ecg_edge.signal.beatview import CHANNELS, COLUMNS

pytest.importorskip("tensorflow", reason="misses TensorFlow: pip install 'ecg-edge[train]'")

SMALL = BeatSettings(steps=20, batch=64, seed=3)
FEW = (("208",), ("223",))  # patients with all three classes
NOISE = np.random.default_rng(1).normal(size=2000).astype(np.float32)


def beats(labels: list[int], *, kind: str = "", shape: int = -80, seed: int = 1) -> BeatSet:
    """Beats that tell nothing but their shape's feature."""
    tensors = np.random.default_rng(seed).integers(-40, 40, (len(labels), COLUMNS, CHANNELS)).astype(np.int8)
    tensors[:, :, 2:] = shape
    return BeatSet(tensors, np.array(labels), kind)


def silent(count: int, *_: object) -> None:
    assert count >= 0


def test_a_batch_has_its_shares_of_classes_and_of_synthetic_patients() -> None:
    many, few = beats([0] * 900 + [1] * 30, shape=-80), beats([0] * 100 + [2] * 50, shape=-50, seed=2)
    drawn = beats([0] * 300 + [1] * 300, kind="sick", seed=3)
    sampler = Sampler([many, few, drawn], NOISE, seed=1)
    tensors, labels = sampler.batch(20_000)
    assert tensors.shape == (20_000, COLUMNS, CHANNELS)
    np.testing.assert_allclose(np.bincount(labels) / labels.size, SHARES, atol=0.02)
    found = sampler._cumulative[-1] - sampler._cumulative[-593]  # of the synthetic one, which is last
    assert found == pytest.approx(SYNTHETIC * (SHARES[0] + SHARES[1]), abs=0.01)


def test_beats_that_mislead_and_those_before_the_rhythm_is_known_are_not_learnt() -> None:
    wide = beats([1] * 10 + [2] * 10, shape=-50)
    assert wide.labels[wide.learnable].tolist() == [2] * 10
    usual = beats([0] * 10 + [1] * 10 + [2] * 10 + [UNUSED] * 10, shape=-100)
    assert usual.labels[usual.learnable].tolist() == [0] * 2 + [1] * 10


def test_a_class_without_beats_is_refused() -> None:
    with pytest.raises(TrainingError, match="class V has no beat among 1 training patients"):
        Sampler([beats([0] * 20 + [1] * 20)], NOISE, seed=1)


def test_the_same_seed_draws_the_same_batches() -> None:
    sets = [beats([0] * 20 + [1] * 20), beats([2] * 20, shape=0)]
    one, two, other = (Sampler(sets, NOISE, seed=seed).batch(50)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_varied_beat_differs_from_the_usual_one_by_twice_what_it_changed() -> None:
    """Both channels tell of one beat: what comes on top of it comes doubled on its difference."""
    rng = np.random.default_rng(4)
    signal = np.stack([beat := rng.normal(0, 20, (100, COLUMNS)), 2 * (beat - 7)], axis=-1).astype(np.float32)
    varied = vary_signal(signal, NOISE, rng)
    gain = (varied[..., 0] - varied[..., 1] / 2) / 7
    np.testing.assert_allclose(gain, np.repeat(gain[:, :1], COLUMNS, axis=1), rtol=1e-3)
    assert np.abs(varied[..., 0] - gain * signal[..., 0]).max() > 1


def test_quantization_sees_every_class_of_every_real_patient() -> None:
    sets = [beats([0] * 100 + [1] * 5), beats([2] * 40), beats([1] * 40, kind="sick")]
    assert len(calibration(sets, seed=1, per_class=25)) == 25 + 5 + 25


def test_the_network_is_the_size_that_it_is_meant_to_be() -> None:
    _, model = build_beat_model()
    assert model.count_params() == 4907
    assert model.input_shape == (None, COLUMNS, CHANNELS)
    assert model.output_shape == (None, len(CLASSES))


@pytest.fixture(scope="module")
def mitdb() -> Path:
    folder = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        missing(f"no {folder}: training on beats is not tested on real ECG (ECG_EDGE_DATA)")
    return folder


@pytest.fixture(scope="module")
def corpus(mitdb: Path) -> Corpus:
    return load_corpus(mitdb, seed=1, progress=silent, folds=FEW)


@pytest.fixture(scope="module")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beats") / "run"
    found = beat_training.cross_validate(corpus, SMALL, seeds=(3,), progress=silent, folds=FEW)
    beat_training.train_run(corpus, folder, SMALL, name="small", cross_validation=found, force=False, progress=silent)
    return folder


def test_nothing_made_of_a_patient_is_learnt_when_the_patient_is_held_out(corpus: Corpus) -> None:
    assert {a.name for a in corpus.synthetic} == {"208", "223"}
    left = corpus.without(("208",))
    assert len(left) == 1 + sum(a.name == "223" for a in corpus.synthetic)
    mine = [a.beats for a in (*corpus.patients, *corpus.synthetic) if a.name == "208"]
    assert not any(s is m for s in left for m in mine)


def test_beats_of_real_patients_are_labelled_as_annotated(corpus: Corpus) -> None:
    v_beats = {a.name: int((a.beats.labels == 2).sum()) for a in corpus.patients}
    assert v_beats["208"] == pytest.approx(992, abs=3)
    assert v_beats["223"] == pytest.approx(473, abs=3)


def test_cross_validation_judges_every_beat_once_a_seed(trained: Path) -> None:
    found = json.loads((trained / "run.json").read_text())["metrics"]["cross_validation"]
    assert [row["name"] for row in found["records"]] == ["208", "223"]
    assert sum(row["beats"] for row in found["records"]) == found["coverage"]["beats"]
    assert found["veb"]["gross"]["se"] > 0.3  # 20 steps are few; chance is far below
    assert {"sick", "runs", "fibrillation"} <= found["synthetic"].keys()
    text = cross_validation_text(found)
    assert "not a medical device" in text
    assert "208" in text


def test_a_run_becomes_a_bundle_of_beats_with_its_figures(trained: Path, tmp_path: Path) -> None:
    bundle, text = training.quantize_run(trained, tmp_path / "small", version="0.1.0", force=False, tried=["a: b"])
    m = bundle.manifest
    assert (m.takes, m.columns, m.leads, m.hop, m.classes) == ("beats", (COLUMNS, CHANNELS), 1, COLUMNS, CLASSES)
    assert (m.input.scale, m.input.zero_point) == (1 / 64, 0)
    assert len(bundle.model) <= 15 * 1024
    assert trained_on(m) == {"208", "223"}
    card = bundle.path("card.md").read_text()
    assert "not a medical device" in card
    assert "- a: b" in card
    assert f"{100 * m.metrics['cross_validation']['macro_f1']:.2f} %" in card
    assert "beats" in text
    assert Bundle.load(bundle.folder).manifest == m


def test_the_same_seed_trains_the_same_model(corpus: Corpus, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    beat_training.train_run(corpus, again, SMALL, name="small", cross_validation=None, force=False, progress=silent)
    one, two = (load_keras(folder / "model.keras").get_weights() for folder in (trained, again))
    for a, b in zip(one, two, strict=True):
        # Sums over threads have no fixed order: the last bits of float32 may differ, and 20 steps do not amplify them.
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_a_folder_without_the_patients_is_refused(tmp_path: Path, mitdb: Path) -> None:
    with pytest.raises(SignalError, match="209"):
        load_corpus(_beside_noise(tmp_path, mitdb), seed=1, progress=silent)
    with pytest.raises(SignalError, match="nstdb"):
        load_corpus(tmp_path / "elsewhere" / "mitdb", seed=1, progress=silent)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--cross-validate"], "--cross-validate is for --beats"),
        (["--beats", "mitdb"], "--out says where the run goes"),
        (["--beats", "mitdb", "--npz", "x.npz", "--out", "run"], "four sources; give one"),
    ],
)
def test_orders_that_do_not_fit_are_refused(words: list[str], complaint: str) -> None:
    result = CliRunner().invoke(make_app(), ["train", *words])
    assert result.exit_code == 2
    assert complaint in result.stderr


def _beside_noise(folder: Path, mitdb: Path) -> Path:
    (folder / "nstdb").symlink_to((mitdb.parent / "nstdb").resolve())
    (folder / "mitdb").mkdir()
    return folder / "mitdb"
