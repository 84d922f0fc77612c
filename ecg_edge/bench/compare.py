"""Put the answers side by side: the report of a bench run. Layer: bench; composes report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.answers import Expected, verdicts
from ecg_edge.bench.ask import Answers
from ecg_edge.bench.source import Source
from ecg_edge.bundle import Bundle
from ecg_edge.report import metrics
from ecg_edge.report.agreement import Agreement, agreement, changes, verdict_changes
from ecg_edge.report.html import Answer, Strip
from ecg_edge.report.metrics import Json
from ecg_edge.report.mix import AAMI, RHYTHMS, mix_table
from ecg_edge.report.svg import Stretch, Timeline, ticks, verdict_runs
from ecg_edge.signal.prepare import State

SNR_EDGES_DB = (-10.0, 0.0, 6.0, 12.0, 18.0, 24.0, 30.0, 60.0)
SEVERITY_EDGES_MV = (0.1, 0.2, 0.3, 0.4, 1.0)
STRIPS = 8
CLOSE = 6


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a bench run gathered."""

    bundle: Bundle
    source: Source
    expected: Expected
    golden: NDArray[np.int8]  # (n, classes)
    floats: NDArray[np.float32] | None  # (n, classes)
    host: NDArray[np.int8] | None  # (n, classes)
    device: Answers

    def verdicts(self) -> dict[str, NDArray[np.int64]]:
        """Name of the answer -> (n,) verdicts. The device's are its own; the others' abstain by the host's states."""
        found: dict[str, NDArray[np.int64]] = {}
        if self.floats is not None:
            found["float"] = verdicts(self.floats, self.expected.states)
        found["golden"] = verdicts(self.golden, self.expected.states)
        if self.host is not None:
            found["host"] = verdicts(self.host, self.expected.states)
        return found | {"device": self.device.verdicts}


def compare(run: Run, *, device: Json, sizes: Json, missing: Mapping[str, str], provenance: Json) -> Json:
    """The whole report; its keys are a promise to scripts.

    Args:
        run: the answers.
        device: ask.describe().
        sizes: sizes.sizes().
        missing: pair -> why it is not there.
        provenance: versions, command and the like.
    """
    m = run.bundle.manifest
    pairs = _pairs(run)
    said = run.verdicts()
    states_equal = int((run.device.states == run.expected.states).sum())
    verdicts_equal = int((run.device.verdicts == said["golden"]).sum())
    return {
        "format": 1,
        "kind": "bench",
        "verdict": _verdict(pairs["device_vs_golden"], states_equal, verdicts_equal),
        "model": {
            "name": m.name,
            "version": m.version,
            "sha256": run.bundle.model_sha256,
            "classes": list(m.classes),
            "fs_hz": m.fs_hz,
            "window": m.window,
            "hop": m.hop,
        },
        "device": device,
        "source": {
            "kind": run.source.kind,
            "text": run.source.text,
            "stream": run.source.stream,
            "windows": len(run.golden),
            "citation": run.source.citation,
        },
        "pairs": {name: pair.to_json() for name, pair in pairs.items()},
        "pairs_missing": dict(missing),
        "flips": {
            f"device_vs_{name}": verdict_changes(said[name], said["device"], m.classes)
            for name in ("golden", "float")
            if name in said
        },
        "changes": _changes(run, said),
        "results": _results(run, said),
        "groups": _groups(run),
        "states": _states(run, states_equal),
        "mix": _mix(run),
        "latency_us": {
            **metrics.percentiles(run.device.total_us),
            "clock": "device",
            "prepare": metrics.percentiles(run.device.prepare_us),
            "inference": metrics.percentiles(run.device.inference_us),
        },
        "sizes": sizes,
        "link": run.device.link,
        "provenance": provenance,
        "examples": _examples_text(run),
        "disclaimer": "Research use; not a medical device.",
    }


def _pairs(run: Run) -> dict[str, Agreement]:
    out = run.bundle.manifest.output

    def pair(reference: NDArray[Any], other: NDArray[Any]) -> Agreement:
        return agreement(reference, other, scale=out.scale, zero_point=out.zero_point)

    pairs = {"device_vs_golden": pair(run.golden, run.device.scores)}
    if run.host is not None:
        pairs["host_vs_golden"] = pair(run.golden, run.host)
    if run.floats is not None:
        pairs["device_vs_float"] = pair(run.floats, run.device.scores)
        pairs["golden_vs_float"] = pair(run.floats, run.golden)
    return pairs


def _verdict(pair: Agreement, states_equal: int, verdicts_equal: int) -> Json:
    n = pair.windows
    passed = pair.identical == states_equal == verdicts_equal == n
    if passed:
        text = f"The device answers what the model answers: {n:,} of {n:,} windows identical."
    elif pair.identical < n:
        text = (
            f"The device does not answer what the model answers: {n - pair.identical:,} of {n:,} windows differ, "
            f"{pair.argmax_flips:,} change class."
        )
    else:
        text = (
            f"The scores are identical, but not what the device makes of them: "
            f"{n - states_equal:,} signal states and {n - verdicts_equal:,} verdicts of {n:,} differ."
        )
    return {"passed": passed, "text": text, "gate": "device_vs_golden: all scores, states and verdicts identical"}


def _changes(run: Run, said: Mapping[str, NDArray[np.int64]]) -> Json | None:
    if run.source.truth is None or "float" not in said:
        return None
    return changes(run.source.truth, said["float"], said["device"], run.bundle.manifest.classes).to_json()


def _results(run: Run, said: Mapping[str, NDArray[np.int64]]) -> Json:
    if run.source.truth is None:
        return {}
    classes = run.bundle.manifest.classes
    return {name: metrics.classification(run.source.truth, v, classes).to_json() for name, v in said.items()}


def _groups(run: Run) -> Json:
    truth, groups = run.source.truth, {}
    if truth is not None and run.source.snr_db is not None:
        groups["SNR"] = metrics.by_bin(truth, run.device.verdicts, run.source.snr_db, SNR_EDGES_DB, unit="dB")
    if truth is not None and run.source.severity_mv is not None and np.any(run.source.severity_mv):
        graded = np.where(run.source.severity_mv == 0, np.nan, np.abs(run.source.severity_mv))
        groups["severity of the ST or T change"] = metrics.by_bin(
            truth, run.device.verdicts, graded, SEVERITY_EDGES_MV, unit="mV"
        )
    return {title: [g.to_json() for g in found] for title, found in groups.items()}


def _states(run: Run, equal: int) -> Json:
    counts = {state.name.lower(): int((run.device.states == state).sum()) for state in State}
    return counts | {"abstained": int((run.device.verdicts == metrics.ABSTAINED).sum()), "equal_to_host": equal}


def _mix(run: Run) -> Json | None:
    source, marks = run.source, run.source.annotations
    if marks is None:
        return None
    classes = run.bundle.manifest.classes
    beats, rhythms = marks.beats(), marks.rhythms(source.signal_uv.size)
    return mix_table(source.starts, source.length, run.device.verdicts, classes, beats=beats, rhythms=rhythms)


def interesting(run: Run) -> tuple[str, NDArray[np.int64]]:
    """Which windows to show, and why: where the device errs, else where the float model parts, else the closest calls.

    Returns:
        one of "device", "float", "close", and (k,) indices.
    """
    differs = np.flatnonzero((run.device.scores != run.golden).any(axis=1) | (run.device.states != run.expected.states))
    if differs.size:
        return "device", differs[:STRIPS]
    margin = np.diff(np.sort(run.golden.astype(np.int64), axis=1)[:, -2:], axis=1)[:, 0]
    if run.floats is not None:
        flipped = np.flatnonzero(run.floats.argmax(axis=1) != run.golden.argmax(axis=1))
        if flipped.size:
            return "float", flipped[np.argsort(-_apart(run, flipped), kind="stable")][:STRIPS]
    return "close", _closest(run, margin)


def _closest(run: Run, margin: NDArray[np.int64]) -> NDArray[np.int64]:
    """The windows with the least margin, the verdicts taking turns; abstentions are left out."""
    top = run.golden.argmax(axis=1)
    answered = np.flatnonzero(run.expected.states == State.OK)
    order = answered[np.argsort(margin[answered], kind="stable")]
    turn = np.zeros(order.size, dtype=np.int64)  # how many of the same verdict came before
    for verdict in np.unique(top[order]):
        mine = top[order] == verdict
        turn[mine] = np.arange(int(mine.sum()))
    return order[np.argsort(turn, kind="stable")][:CLOSE]


def _apart(run: Run, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far float and int8 are apart in the windows `rows`, as a share."""
    assert run.floats is not None
    apart: NDArray[np.float64] = np.abs(run.floats[rows] - _shares(run, run.golden[rows])).max(axis=1)
    return apart


def _examples_text(run: Run) -> Json:
    reason, rows = interesting(run)
    title, note = {
        "device": ("Where the device parts from the model", "Golden and device saw the same samples."),
        "float": (
            "Where quantization changed the verdict",
            "The device equals the int8 model everywhere; here the float model says something else. Widest first.",
        ),
        "close": ("The closest calls", "No answer parts from another. These are the windows with the least margin."),
    }[reason]
    return {"reason": reason, "title": title, "note": note, "windows": rows.tolist()}


def strips(run: Run) -> list[Strip]:
    """The windows of interesting(), drawn, with every answer to them."""
    m, said = run.bundle.manifest, run.verdicts()
    shares = {"golden": _shares(run, run.golden), "device": _shares(run, run.device.scores)}
    if run.floats is not None:
        shares["float"] = run.floats.astype(np.float64)
    windows_uv = run.source.windows_uv
    names = [*m.classes, *[""] * (metrics.ABSTAINED - len(m.classes)), "abstained"]
    return [
        Strip(
            run.source.title(i),
            run.source.facts(i, m.classes),
            windows_uv[i],
            m.fs_hz,
            tuple(
                Answer(name, names[int(said[name][i])], tuple(shares[name][i].tolist()))
                for name in ("float", "golden", "device")
                if name in shares
            ),
        )
        for i in interesting(run)[1].tolist()
    ]


def timeline(run: Run) -> Timeline | None:
    """The whole recording on one line: verdicts over time, above what was annotated; None for isolated windows."""
    source, m = run.source, run.bundle.manifest
    if not source.stream:
        return None
    total = source.signal_uv.size
    names = {**dict(enumerate(m.classes)), metrics.ABSTAINED: "abstained"}
    said = run.verdicts()
    rows = tuple(
        (who, verdict_runs(source.starts, source.length, m.hop, said[who], names, total))
        for who in ("float", "device")
        if who in said
    )
    rhythms: tuple[Stretch, ...] = ()
    marks: list[tuple[str, str]] = []
    if source.annotations is not None:
        rhythms = tuple(
            Stretch(1000 * start / total, 1000 * (stop - start) / total, -1, RHYTHMS.get(name, name))
            for start, stop, name in source.annotations.rhythms(total)
        )
        at, symbols = source.annotations.beats()
        kinds = np.array([AAMI.get(symbol, "Q") for symbol in symbols])
        marks = [(kind, ticks(at[kinds == kind], total)) for kind in "SVFQ" if (kinds == kind).any()]
    return Timeline(total / source.fs_hz / 60, rows, rhythms, tuple(marks))


def _shares(run: Run, scores: NDArray[np.int8]) -> NDArray[np.float64]:
    out = run.bundle.manifest.output
    shares: NDArray[np.float64] = (scores.astype(np.float64) - out.zero_point) * out.scale
    return shares
