"""How good a bundle is: float and int8 on the same windows. Layer: recipes; composes signal, graph and report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ecg_edge
from ecg_edge.bundle import Bundle
from ecg_edge.errors import BundleError
from ecg_edge.files import write_json, write_text
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.report import agreement, metrics
from ecg_edge.report.html import Answer, Strip, evaluation_html
from ecg_edge.report.render import DISCLAIMER, classification_text, confusion_text, groups_text, percent
from ecg_edge.signal.prepare import Prepare, State, prepare, window_states
from ecg_edge.signal.synth import CLASSES, Synthetic, balanced_labels, collect, synthesize
from ecg_edge.signal.windows import read_windows

SNR_DB = (12.0, 30.0)  # uniform, what the shipped figures are measured at
SNR_EDGES_DB = (-10.0, 0.0, 6.0, 12.0, 18.0, 24.0, 30.0)
SEVERITY_EDGES_MV = (0.1, 0.15, 0.2, 0.3, 0.4, 0.8)
STRIPS = 24


@dataclass(frozen=True, slots=True)
class Cases:
    """n windows with the truth, and what is known of them besides."""

    source: str
    samples_uv: NDArray[np.int16]  # (n, window)
    truth: NDArray[np.int64]  # (n,)
    snr_db: NDArray[np.float64] | None = None
    severity_mv: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What float and int8 say of n windows."""

    golden: NDArray[np.int8]  # (n, classes) scores
    verdicts: NDArray[np.int64]  # (n,) class, or metrics.ABSTAINED
    floats: NDArray[np.float32] | None  # (n, classes) probabilities
    float_verdicts: NDArray[np.int64] | None


def synthetic_cases(
    bundle: Bundle, *, per_class: int, seed: int, snr_db: tuple[float, float], progress: Callable[[int, int], None]
) -> Cases:
    """Windows of subjects that no training has seen: evaluation seeds are apart from training seeds.

    Raises:
        BundleError: the model's classes are not those of the generator.
    """
    m = bundle.manifest
    if m.classes != CLASSES:
        raise BundleError(f"bundle {m.name} knows {', '.join(m.classes)}; synthetic ECG has {', '.join(CLASSES)}")
    labels = balanced_labels(per_class)
    parts: list[Synthetic] = []
    for part in synthesize(labels, seed=evaluation_seed(seed), snr_db=snr_db, length=m.window, fs_hz=m.fs_hz):
        parts.append(part)
        progress(sum(len(p.label) for p in parts), labels.size)
    s = collect(iter(parts))
    source = f"{labels.size} synthetic windows, seed {seed}, SNR {snr_db[0]:g} to {snr_db[1]:g} dB; not clinical"
    return Cases(source, s.samples_uv, s.label, s.snr_db, s.severity_mv)


def evaluation_seed(seed: int) -> int:
    """Where evaluation subjects come from: 2**32 above the user's seed, out of reach of training's seeds."""
    return 2**32 + seed


def npz_cases(bundle: Bundle, path: Path) -> Cases:
    """Labelled windows from elsewhere. Raises SignalError where they do not fit the model."""
    m = bundle.manifest
    windows = read_windows(path, fs_hz=m.fs_hz, length=m.window, classes=m.classes)
    truth = np.array([m.classes.index(str(name)) for name in windows.labels], np.int64)
    return Cases(f"{len(truth)} windows of {path.name}", windows.samples_uv, truth)


def answer(bundle: Bundle, samples_uv: NDArray[np.int16]) -> Answers:
    """Classify isolated windows, (n, window) uV, as the device would, and with the float model where there is one."""
    m = bundle.manifest
    p = Prepare.from_manifest(m.prepare)
    columns = prepare(samples_uv, p)[..., None]
    good = window_states(samples_uv, p) == State.OK
    golden = interpret.run(read_graph(bundle.model, name=m.name), columns)
    floats = None
    if (data := bundle.float_model) is not None:
        graph = read_graph(data, name=f"{m.name} float")
        inputs = interpret.float_input(columns, scale=m.input.scale, zero_point=m.input.zero_point)
        floats = interpret.run(graph, inputs)
    verdicts = _verdicts(golden, good)
    return Answers(golden, verdicts, floats, None if floats is None else _verdicts(floats, good))


def _verdicts(scores: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(good, scores.argmax(axis=1), metrics.ABSTAINED)


def evaluate(bundle: Bundle, cases: Cases, answers: Answers) -> dict[str, Any]:
    """The evaluation as the JSON object that `evaluate --json` prints and report/html.py draws."""
    m = bundle.manifest
    int8 = metrics.classification(cases.truth, answers.verdicts, m.classes)
    results = {"int8": int8.to_json()}
    report: dict[str, Any] = {
        "title": f"{m.name}: int8 against truth",
        "source": cases.source,
        "model": {"name": m.name, "version": m.version, "sha256": bundle.model_sha256, "classes": list(m.classes)},
        **{k: v for k, v in int8.to_json().items() if k not in ("classes", "confusion")},
        "float_accuracy": None,
        "results": results,
        "groups": {k: [g.to_json() for g in v] for k, v in groups_of(cases, answers).items()},
        "calibration": metrics.calibration(cases.truth, _shares(bundle, answers.golden)).to_json(),
        "provenance": {"ecg-edge": ecg_edge.__version__, "golden": "graph/interpret.py, equal to TFLM"},
    }
    if answers.floats is not None and answers.float_verdicts is not None:
        floats = metrics.classification(cases.truth, answers.float_verdicts, m.classes)
        results["float"] = floats.to_json()
        report["float_accuracy"] = floats.accuracy.value
        pair = agreement.agreement(answers.floats, answers.golden, scale=m.output.scale, zero_point=m.output.zero_point)
        report["pair"] = pair.to_json()
        changed = agreement.changes(cases.truth, answers.float_verdicts, answers.verdicts, m.classes)
        report["changes"] = changed.to_json()
    return report


def _shares(bundle: Bundle, scores: NDArray[np.int8]) -> NDArray[np.float64]:
    out = bundle.manifest.output
    return np.asarray((scores.astype(np.float64) - out.zero_point) * out.scale)


def groups_of(cases: Cases, answers: Answers) -> dict[str, tuple[metrics.Group, ...]]:
    """Accuracy by SNR and by severity, where they are known."""
    groups: dict[str, tuple[metrics.Group, ...]] = {}
    if cases.snr_db is not None:
        found = metrics.by_bin(cases.truth, answers.verdicts, cases.snr_db, SNR_EDGES_DB, unit="dB")
        groups["SNR"] = found
    if cases.severity_mv is not None:
        graded = np.where(cases.severity_mv == 0.0, np.nan, np.abs(cases.severity_mv))
        found = metrics.by_bin(cases.truth, answers.verdicts, graded, SEVERITY_EDGES_MV, unit="mV")
        groups["severity of ST and T changes"] = found
    return groups


def mistakes(bundle: Bundle, cases: Cases, answers: Answers) -> list[Strip]:
    """Strips of the first windows that int8 got wrong, to look at."""
    m = bundle.manifest
    shares = _shares(bundle, answers.golden)
    strips = []
    for i in np.flatnonzero(answers.verdicts != cases.truth)[:STRIPS]:
        facts = [] if cases.snr_db is None else [f"SNR {cases.snr_db[i]:.0f} dB"]
        if cases.severity_mv is not None and cases.severity_mv[i]:
            facts.append(f"change {cases.severity_mv[i]:+.2f} mV")
        said = [Answer("int8", _name(m.classes, answers.verdicts[i]), tuple(shares[i].tolist()))]
        if answers.floats is not None and answers.float_verdicts is not None:
            said.append(Answer("float", _name(m.classes, answers.float_verdicts[i]), tuple(answers.floats[i].tolist())))
        title = f"window {i}: {m.classes[cases.truth[i]]}"
        strips.append(Strip(title, ", ".join(facts), cases.samples_uv[i], m.fs_hz, tuple(said)))
    return strips


def _name(classes: tuple[str, ...], verdict: np.int64) -> str:
    return "abstained" if verdict == metrics.ABSTAINED else classes[verdict]


def write_report(bundle: Bundle, cases: Cases, answers: Answers, report: dict[str, Any], folder: Path) -> None:
    """Write report.json and report.html, each whole or not at all."""
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", evaluation_html(report, mistakes(bundle, cases, answers)))


def report_text(bundle: Bundle, cases: Cases, answers: Answers) -> str:
    """The evaluation for a terminal."""
    m = bundle.manifest
    int8 = metrics.classification(cases.truth, answers.verdicts, m.classes)
    parts = [f"{m.name} {m.version}, int8, on {cases.source}", classification_text(int8), confusion_text(int8)]
    for title, groups in groups_of(cases, answers).items():
        parts.append(groups_text(f"by {title}", groups))
    if answers.float_verdicts is not None:
        floats = metrics.classification(cases.truth, answers.float_verdicts, m.classes)
        parts.append(f"float accuracy {percent(floats.accuracy.value)}, int8 {percent(int8.accuracy.value)}")
    return "\n\n".join([*parts, DISCLAIMER])
