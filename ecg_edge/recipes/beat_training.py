"""Train a model of beats on MIT-BIH DS1, and judge the way of training it between patients. Layer: recipes.

Composes learn, graph, bench and report. Cross-validation trains a model for each fold of patients on the others, and
judges the int8 model that becomes of it by EC57 on those that it has not seen. The model that is shipped is trained in
the same way on all of them: its figures are those of its like.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.answers import verdicts
from ecg_edge.files import replacing_folder
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.learn.beatdata import CLASSES, UNUSED, BeatSet, Sampler, calibration
from ecg_edge.learn.beatmodel import BeatSettings, train_beat_model
from ecg_edge.learn.quantize import INPUT_SCALE, int8_tflite, save_keras
from ecg_edge.recipes.beat_patients import FOLDS, FS_HZ, Answerable, Corpus, Progress
from ecg_edge.report import ec57
from ecg_edge.report.metrics import ABSTAINED, Json
from ecg_edge.signal.beatview import COLUMNS

_BATCH = 256
_CHECKED = 5000  # beats that quantization is reported on


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What one model said of patients that it has not seen."""

    real: list[ec57.Counted]
    real_float: list[ec57.Counted]
    synthetic: list[tuple[str, ec57.Table]]  # kind, table


def cross_validate(
    corpus: Corpus,
    settings: BeatSettings,
    *,
    seeds: Sequence[int],
    progress: Progress,
    folds: Sequence[Sequence[str]] = FOLDS,
) -> Json:
    """Judge by EC57 what training gives, patient-wise.

    Args:
        corpus: all patients.
        settings: of training; the seed apart.
        seeds: each trains a model a fold.
        progress: told of each training step.
        folds: names of the patients that are held out together.

    Returns:
        EC57's summary of the int8 models, tables of all seeds added up; and by seed, by record, and by kind of
        synthetic patient.
    """
    total = len(seeds) * len(folds) * settings.steps
    by_seed = list[list[_Judgement]]()
    for number, seed in enumerate(seeds):
        judged = []
        for f, fold in enumerate(folds):
            began = (number * len(folds) + f) * settings.steps
            sets = corpus.without(fold)

            def on_step(done: int, _: int, began: int = began) -> None:
                progress(began + done, total)

            model = _trained(sets, corpus, replace(settings, seed=seed), on_step)
            real, synthetic = ([a for a in part if a.name in fold] for part in (corpus.patients, corpus.synthetic))
            judged.append(_judge(model, sets, real, synthetic))
        by_seed.append(judged)
    return _report(by_seed, seeds, folds)


def _trained(sets: list[BeatSet], corpus: Corpus, settings: BeatSettings, progress: Progress) -> Any:
    sampler = Sampler(sets, corpus.noise, seed=settings.seed)
    return train_beat_model(sampler, settings, input_scale=INPUT_SCALE, on_step=progress)


def _judge(model: Any, sets: list[BeatSet], held_out: list[Answerable], synthetic: list[Answerable]) -> _Judgement:
    graph = read_graph(int8_tflite(model, calibration(sets, seed=0)), name="fold")

    def int8(a: Answerable) -> ec57.Table:
        tensors = a.beats.tensors
        parts = [interpret.run(graph, tensors[k : k + _BATCH]) for k in range(0, len(tensors), _BATCH)]
        return a.table(_labels(np.concatenate(parts), a.state))

    def real(a: Answerable) -> ec57.Table:
        scores = model.predict(a.beats.tensors * np.float32(INPUT_SCALE), batch_size=1024, verbose=0)
        return a.table(_labels(scores, a.state))

    return _Judgement(
        [ec57.Counted(a.name, a.name, int8(a)) for a in held_out],
        [ec57.Counted(a.name, a.name, real(a)) for a in held_out],
        [(a.beats.kind, int8(a)) for a in synthetic],
    )


def _labels(scores: NDArray[np.generic], state: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Scores -> index into ec57.LABELS, whose first three are the classes."""
    verdict = verdicts(scores, state)
    return np.where(verdict == ABSTAINED, ec57.UNCLASSIFIED, verdict)


def _report(by_seed: list[list[_Judgement]], seeds: Sequence[int], folds: Sequence[Sequence[str]]) -> Json:
    per_seed = [_one_seed(seed, judged) for seed, judged in zip(seeds, by_seed, strict=True)]
    counted = [record for judged in by_seed for j in judged for record in j.real]
    tables: dict[str, list[ec57.Table]] = {}
    for kind, table in (pair for judged in by_seed for j in judged for pair in j.synthetic):
        tables.setdefault(kind, []).append(table)
    return {
        "protocol": "patient-wise cross-validation, int8, ANSI/AAMI EC57 after the first 5 minutes",
        "seeds": list(seeds),
        "folds": [list(fold) for fold in folds],
        **ec57.summary(counted),
        "per_seed": per_seed,
        "records": [
            _one_record(name, [r.table for r in counted if r.name == name])
            for name in dict.fromkeys(r.name for r in counted)
        ],
        "synthetic": {kind: ec57.figures_json(np.sum(parts, axis=0)) for kind, parts in tables.items()},
    }


def _one_record(name: str, tables: list[ec57.Table]) -> Json:
    total = np.sum(tables, axis=0)
    figures = ec57.figures_json(total)
    return {
        "name": name,
        "beats": int(total[: ec57.NONE].sum()) // len(tables),
        "veb": figures["veb"],
        "sveb": figures["sveb"],
        "confusion": total.tolist(),
    }


def _one_seed(seed: int, judged: list[_Judgement]) -> Json:
    int8, real = (np.sum([r.table for r in counted], axis=0) for counted in _both(judged))
    figures = ec57.figures_json(int8)
    return {
        "seed": seed,
        "macro_f1": float(ec57.macro_f1(int8)),
        "float_macro_f1": float(ec57.macro_f1(real)),
        "veb": figures["veb"],
        "sveb": figures["sveb"],
    }


def _both(judged: list[_Judgement]) -> tuple[list[ec57.Counted], list[ec57.Counted]]:
    return [r for j in judged for r in j.real], [r for j in judged for r in j.real_float]


def train_run(
    corpus: Corpus,
    folder: Path,
    settings: BeatSettings,
    *,
    name: str,
    cross_validation: Json | None,
    force: bool,
    progress: Progress,
) -> None:
    """Train on all patients and write the run folder, as recipes/training.py has it; `ecg-edge quantize` goes on.

    Args:
        corpus: all patients.
        folder: of the run.
        settings: of training.
        name: of the bundle to come.
        cross_validation: what cross_validate gave, for the manifest.
        force: replace a run that is there.
        progress: told of each step.
    """
    sets = corpus.without(())
    model = _trained(sets, corpus, settings, progress)
    tensors = np.concatenate([a.beats.tensors for a in corpus.patients])
    labels = np.concatenate([a.beats.labels for a in corpus.patients])
    known = np.flatnonzero(labels != UNUSED)
    rows = np.random.default_rng(settings.seed).permutation(known)[:_CHECKED]
    counts = np.bincount(labels[known], minlength=len(CLASSES)).tolist()
    facts = {
        "name": name,
        "takes": "beats",
        "shape": {"fs_hz": FS_HZ, "window": COLUMNS, "hop": COLUMNS},
        "classes": list(CLASSES),
        "training": {
            "data": "MIT-BIH Arrhythmia Database, DS1 (ODC-By 1.0), every beat found; noise of NSTDB (ODC-By 1.0)",
            "records": [a.name for a in corpus.patients],
            "beats": dict(zip(CLASSES, counts, strict=True)),
            "synthetic": f"{len(corpus.synthetic)} patients made of these beats, 35 % of each class in a batch",
            "settings": asdict(settings),
            "parameters": int(model.count_params()),
        },
        "metrics": {} if cross_validation is None else {"cross_validation": cross_validation},
    }
    with replacing_folder(folder, force=force, marker="run.json") as temporary:
        save_keras(model, temporary)
        held = {"columns": tensors[rows], "labels": labels[rows], "calibration": calibration(sets, seed=0)}
        np.savez_compressed(temporary / "data.npz", **held)
        (temporary / "run.json").write_text(json.dumps(facts, indent=2) + "\n")
