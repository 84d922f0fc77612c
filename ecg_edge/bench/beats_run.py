"""A bench run of a model of beats: recording, device, both answers, report, files. Layer: bench; composes stages."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.ask import counted_since, describe, line_counts, matching_hello
from ecg_edge.bench.beat_source import MakeRecording, Recording
from ecg_edge.bench.beats import Beats, classify_beats, require_beats
from ecg_edge.bench.beats_compare import BeatAgreement, compare_beats
from ecg_edge.bench.beats_device import TimedBeats, device_beats
from ecg_edge.bench.board import open_board
from ecg_edge.bench.run import OpenBoard, Steps, provenance
from ecg_edge.bench.sizes import sizes
from ecg_edge.bundle import Bundle
from ecg_edge.errors import SignalError
from ecg_edge.files import json_text, replacing_file
from ecg_edge.report.html import Answer, Strip, beats_html
from ecg_edge.report.metrics import ABSTAINED, Json, percentiles
from ecg_edge.report.svg import Timeline, ticks
from ecg_edge.signal.prepare import State

SHOWN = 8  # beats, with their place
STRIP_S = 4.0
NOBODY = "nothing there"


@dataclass(frozen=True, slots=True)
class BeatsOrder:
    """What to run."""

    bundle: Bundle
    url: str
    recording: MakeRecording
    command: str  # for the provenance


@dataclass(frozen=True, slots=True)
class BeatsRun:
    """Everything that a run gathered."""

    bundle: Bundle
    recording: Recording
    golden: Beats
    device: TimedBeats
    agreement: BeatAgreement


def run_beats(order: BeatsOrder, steps: Steps, *, open_board: OpenBoard = open_board) -> tuple[BeatsRun, Json]:
    """Ask the golden model and the device, and compare beat for beat.

    Args:
        order: what to run.
        steps: told how far it is.
        open_board: gives the device of a URL, for this bundle.

    Raises:
        EcgEdgeError: the recording cannot be used, or the device cannot be reached or holds another model.
    """
    bundle = order.bundle
    require_beats(bundle)
    with steps.step("signal") as progress:
        recording = order.recording(progress)
    samples_uv, states = recording.samples_uv, recording.states
    with steps.step("int8 golden"):
        golden = classify_beats(bundle, samples_uv, states)
    if not len(golden.at):
        raise SignalError(f"{recording.text}: no heartbeat is found in it, so there is nothing to compare")
    with ExitStack() as boards:
        with steps.step(f"start {order.url}"):
            device = boards.enter_context(open_board(order.url, bundle))
            hello = matching_hello(device, bundle)
        before, began_s = line_counts(device), time.perf_counter()
        with steps.step(hello.board) as progress:
            found = device_beats(device, samples_uv, states, lambda at: progress(at, len(samples_uv)))
        seconds = time.perf_counter() - began_s
        counts = counted_since(before, line_counts(device))
    run = BeatsRun(bundle, recording, golden, found, compare_beats(golden, found.beats))
    m = bundle.manifest
    report = {
        "format": 1,
        "kind": "bench_beats",
        "verdict": _verdict(run.agreement),
        "model": {
            "name": m.name,
            "version": m.version,
            "sha256": bundle.model_sha256,
            "classes": list(m.classes),
            "fs_hz": m.fs_hz,
        },
        "device": describe(order.url, hello),
        "source": {
            "kind": recording.kind,
            "text": recording.text,
            "minutes": recording.seconds / 60,
            "citation": recording.citation,
        },
        "beats": _beats(run.agreement),
        "answers": {"golden": _answers(golden, m.classes), "device": _answers(found.beats, m.classes)},
        "states": {state.name.lower(): int((found.beats.state == state).sum()) for state in State},
        "examples": _examples(run),
        "latency_us": _latency(found),
        "sizes": sizes(bundle, hello.board),
        "link": _link(counts, run, seconds),
        "provenance": provenance(bundle, order.command, samples_uv),
        "disclaimer": "Research use; not a medical device.",
    }
    return run, report


def write_report(run: BeatsRun, report: Json, out: Path) -> None:
    """Write report.json and report.html into `out`: both, or none."""
    texts = {
        "report.json": json_text(report) + "\n",
        "report.html": beats_html(report, strips(run), run.device.total_us.tolist(), timeline(run)),
    }
    with ExitStack() as files:
        for name, text in texts.items():
            files.enter_context(replacing_file(out / name)).write_text(text, encoding="utf-8")


def _verdict(agreement: BeatAgreement) -> Json:
    n, same = agreement.golden, int(agreement.identical.sum())
    if agreement.all_identical:
        text = f"The device finds and answers what the model does: {n:,} of {n:,} beats identical."
    else:
        missing, extra = int(agreement.missing.sum()), agreement.extra.size
        text = (
            f"The device does not answer what the model answers: of {n:,} beats {same:,} identical, "
            f"{n - same - missing:,} differ, {missing:,} missing; {extra:,} that are none."
        )
    gate = "every beat identical: R peak, RR, state, scores and verdict; none missing, none extra"
    return {"passed": agreement.all_identical, "text": text, "gate": gate}


def _beats(agreement: BeatAgreement) -> Json:
    return {
        "golden": agreement.golden,
        "device": agreement.other,
        "identical": int(agreement.identical.sum()),
        "missing": int(agreement.missing.sum()),
        "extra": int(agreement.extra.size),
        "differing": agreement.differing,
    }


def _answers(beats: Beats, classes: tuple[str, ...]) -> Json:
    counts = {name: int((beats.verdict == k).sum()) for k, name in enumerate(classes)}
    return {**counts, "abstained": int((beats.verdict == ABSTAINED).sum())}


def _latency(found: TimedBeats) -> Json:
    if not len(found.total_us):
        return {}
    parts = {"prepare": percentiles(found.prepare_us), "inference": percentiles(found.inference_us)}
    return {**percentiles(found.total_us), "clock": "device", **parts}


def _link(counts: dict[str, int], run: BeatsRun, seconds: float) -> Json:
    both = counts["bytes_out"] + counts["bytes_in"]
    return {
        "seconds": seconds,
        "beats_per_s": len(run.device.beats.at) / seconds,
        "bytes_per_s": both / seconds,
        "times_real_time": run.recording.seconds / seconds,
        "share_of_samples_in_bytes_out": len(run.recording.samples_uv) * 2 / counts["bytes_out"],
        **counts,
    }


def shown_beats(run: BeatsRun) -> tuple[str, str, list[int]]:
    """Title, note and R peaks of the beats to show: where both part, else the closest calls, classes taking turns."""
    golden = run.golden
    apart = np.sort(np.concatenate([golden.at[~run.agreement.identical], run.agreement.extra]))
    if apart.size:
        return "Where the device parts from the model", "Both saw the same samples.", apart[:SHOWN].tolist()
    margin = np.diff(np.sort(golden.scores.astype(np.int64), axis=1)[:, -2:], axis=1)[:, 0]
    answered = np.flatnonzero(golden.state == State.OK)
    order = answered[np.argsort(margin[answered], kind="stable")]
    turn = np.zeros(order.size, np.int64)  # how many of the same verdict came before
    for verdict in np.unique(golden.verdict[order]):
        mine = golden.verdict[order] == verdict
        turn[mine] = np.arange(int(mine.sum()))
    close = golden.at[order[np.argsort(turn, kind="stable")]][:SHOWN]
    return "The closest calls", "No answer parts from another. These beats have the least margin.", close.tolist()


def _examples(run: BeatsRun) -> Json:
    title, note, places = shown_beats(run)
    rows = [
        {"at": at, "time": _clock(at, run.recording.fs_hz)}
        | {name: _said(beats, at, run.bundle.manifest.classes) for name, beats in _both(run)}
        for at in places
    ]
    return {"title": title, "note": note, "beats": rows}


def _both(run: BeatsRun) -> tuple[tuple[str, Beats], ...]:
    return ("golden", run.golden), ("device", run.device.beats)


def _said(beats: Beats, at: int, classes: tuple[str, ...]) -> Json | None:
    """What one of them says of the beat with this R peak; None: it has none there."""
    if (row := _row(beats, at)) is None:
        return None
    verdict = int(beats.verdict[row])
    return {
        "verdict": "abstained" if verdict == ABSTAINED else classes[verdict],
        "rr": int(beats.rr[row]),
        "state": State(int(beats.state[row])).name.lower(),
        "scores": beats.scores[row].tolist(),
    }


def _row(beats: Beats, at: int) -> int | None:
    rows = np.flatnonzero(beats.at == at)
    return int(rows[0]) if rows.size else None


def _clock(at: int, fs_hz: int) -> str:
    return f"{at / fs_hz // 60:.0f}:{at / fs_hz % 60:05.2f}"


def strips(run: BeatsRun) -> list[Strip]:
    """The beats of shown_beats(), each in the middle of its strip, with both answers."""
    recording, m = run.recording, run.bundle.manifest
    half = round(STRIP_S * recording.fs_hz / 2)
    drawn = []
    for at in shown_beats(run)[2]:
        first = min(max(0, at - half), max(0, len(recording.samples_uv) - 2 * half))
        title = f"R peak at {_clock(at, recording.fs_hz)}"
        place = f"{(at - first) / recording.fs_hz:.2f} s into the strip"
        answers = tuple(
            Answer(name, said["verdict"] if said else NOBODY, _shares(run, said["scores"] if said else []))
            for name, said in ((name, _said(beats, at, m.classes)) for name, beats in _both(run))
        )
        drawn.append(Strip(title, place, recording.samples_uv[first : first + 2 * half], recording.fs_hz, answers))
    return drawn


def _shares(run: BeatsRun, scores: list[int]) -> tuple[float, ...]:
    out = run.bundle.manifest.output
    return tuple((score - out.zero_point) * out.scale for score in scores)


def timeline(run: BeatsRun) -> Timeline:
    """The device's beats over time, by class; the commonest class would be one grey bar, and is left out."""
    total, beats, classes = len(run.recording.samples_uv), run.device.beats, run.bundle.manifest.classes
    kinds: list[tuple[str, NDArray[np.int64]]] = [
        (name, beats.at[beats.verdict == k]) for k, name in enumerate(classes)
    ]
    commonest = max(kinds, key=lambda kind: kind[1].size)[0]
    marks = tuple((name, ticks(at, total)) for name, at in kinds if at.size and name != commonest)
    return Timeline(run.recording.seconds / 60, (), (), marks)
