"""How good a model of beats is on annotated recordings, by EC57. Layer: recipes; composes signal, bench and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ecg_edge
from ecg_edge.bench.ask import describe
from ecg_edge.bench.beats import Beats, classify_beats, require_beats
from ecg_edge.bench.beats_device import beats_board, device_beats
from ecg_edge.bench.source import CITATIONS
from ecg_edge.bundle import Bundle, Manifest
from ecg_edge.errors import BundleError, EcgEdgeError, SignalError
from ecg_edge.files import write_json, write_text
from ecg_edge.report import ec57
from ecg_edge.report.html import ec57_html
from ecg_edge.report.metrics import ABSTAINED, Json
from ecg_edge.report.render import percent
from ecg_edge.signal.aami import aami_class
from ecg_edge.signal.prepare import Prepare, State, sample_states
from ecg_edge.signal.record import Annotations, Record, read_record, resample_record
from ecg_edge.signal.recordset import find_records

Progress = Callable[[int, int], None]  # done, total

_FLUTTER_ON, _FLUTTER_OFF = "[", "]"
_PACED_SYMBOLS = frozenset("/f")  # paced, and fusion of paced and normal
_SAME_PATIENT = {"201": "201 and 202", "202": "201 and 202"}  # of MIT-BIH
RULES = (
    "escape beats (e, j, n) are N, as in de Chazal 2004; bxb has them S",
    "by EC57 a fusion beat (F) called V is no false VEB, called S it is a false SVEB; one annotated Q is neither",
)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Who finds and classifies the beats of a recording."""

    name: str  # for people
    classify: Callable[[NDArray[np.int16], NDArray[np.uint8]], Beats]  # (n,) uV, and (n,) State of each -> beats
    device: Json | None = None  # what it says of itself; None: it is no device


def python_pipeline(bundle: Bundle) -> Pipeline:
    """This package's own, which a device must equal."""
    return Pipeline("int8 in Python", partial(classify_beats, bundle))


@contextmanager
def device_pipeline(bundle: Bundle, url: str) -> Iterator[Pipeline]:
    """That of the device behind a URL, which gets the samples and gives the beats.

    Raises:
        BundleError: the model takes no beats.
        DeviceError: nothing answers there, it holds another model, or the line fails.
    """
    with beats_board(url, bundle) as device:
        facts = describe(url, device.model)
        note = f" ({facts['note']})" if facts["note"] else ""
        yield Pipeline(
            f"the device {url}{note}", lambda samples_uv, states: device_beats(device, samples_uv, states).beats, facts
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """One recording that can be judged, at the model's rate."""

    name: str
    fs_hz: int  # as recorded
    record: Record
    reference: ec57.Labelled
    fibrillation: tuple[tuple[int, int], ...]  # first and last sample

    @property
    def patient(self) -> str:
        """Whose heart it is, as far as is known: everybody's own but for one."""
        return _SAME_PATIENT.get(self.record.name, self.name)


def judge_folder(
    bundle: Bundle,
    folder: Path,
    pipeline: Pipeline,
    *,
    lead: str | None,
    annotator: str,
    progress: Progress,
) -> Json:
    """The EC57 report on every annotated recording under a folder, or on one recording.

    Args:
        bundle: a model of beats whose classes are EC57's.
        folder: what find_records() takes, or the path of one record.
        pipeline: who finds and classifies the beats.
        lead: the lead to judge; by default MLII or II, and else the first.
        annotator: suffix of the annotation files.
        progress: told how many recordings are done.

    Raises:
        EcgEdgeError: the model does not fit, or there is nothing to judge.
    """
    require_beats(bundle)
    label_of_class(bundle.manifest)  # refused before long work, not after
    paths = find_records(folder) if folder.is_dir() else [folder]
    trained = trained_on(bundle.manifest)
    counted, rows, skipped = list[ec57.Counted](), list[Json](), list[Json]()
    for done, path in enumerate(paths):
        progress(done, len(paths))
        name = path.relative_to(folder).with_suffix("").as_posix() if path != folder else path.stem
        try:
            judged = read_judged(path, name, bundle.manifest.fs_hz, lead=lead, annotator=annotator)
        except SignalError as reason:
            skipped.append({"name": name, "reason": str(reason)})
            continue
        table, row = _judge(judged, bundle, pipeline)
        counted.append(ec57.Counted(judged.name, judged.patient, table))
        rows.append({**row, "trained_on": judged.record.name in trained})
    if not counted:
        first = f"; {skipped[0]['name']}: {skipped[0]['reason']}" if skipped else ""
        raise EcgEdgeError(f"{folder}: of {_recordings(len(paths))} none can be judged by EC57{first}")
    leads = "MLII, or II, or else a recording's first" if lead is None else lead
    return {**_report(bundle, folder, pipeline, counted, rows, skipped), "lead": leads}


def read_judged(path: Path, name: str, fs_hz: int, *, lead: str | None, annotator: str) -> Judged:
    """Read a recording with its annotations, at the model's rate.

    Raises:
        SignalError: it cannot be read, has no beats annotated, is of a paced heart, or is over when EC57 begins.
    """
    raw = read_record(path, lead=lead, annotator=annotator, gaps=True)
    if raw.annotations is None:
        raise SignalError(f"no annotations ({path.stem}.{annotator})")
    symbols = raw.annotations.beats()[1]
    if not symbols:
        raise SignalError(f"its annotations ({annotator}) mark no beat")
    paced = sum(symbol in _PACED_SYMBOLS for symbol in symbols)
    if 2 * paced > len(symbols):
        raise SignalError(f"paced: {paced} of {len(symbols)} beats, and EC57 leaves paced hearts out")
    if raw.samples_uv.size <= ec57.LEARNING_S * raw.fs_hz:
        raise SignalError(f"{raw.samples_uv.size / raw.fs_hz:.0f} s long, and EC57 begins after {ec57.LEARNING_S}")
    record = resample_record(raw, fs_hz)
    assert record.annotations is not None
    there = raw.annotations.beats()[0] < raw.samples_uv.size  # of a record cut short
    at = record.annotations.beats()[0][there]
    label = np.array([ec57.LABELS.index(aami_class(symbol) or "Q") for symbol in symbols], np.int64)[there]
    order = np.argsort(at, kind="stable")
    spans = flutter_spans(record.annotations, record.samples_uv.size)
    return Judged(name, raw.fs_hz, record, ec57.Labelled(at[order], label[order]), spans)


def flutter_spans(annotations: Annotations, length: int) -> tuple[tuple[int, int], ...]:
    """(first, last) sample of each stretch of ventricular flutter or fibrillation; an open one lasts to the end."""
    spans, since = list[tuple[int, int]](), None
    for at, symbol in zip(annotations.samples.tolist(), annotations.symbols, strict=True):
        if symbol == _FLUTTER_ON and since is None:
            since = at
        elif symbol == _FLUTTER_OFF and since is not None:
            spans.append((since, at))
            since = None
    return tuple(spans) if since is None else (*spans, (since, length))


def known_states(record: Record, p: Prepare) -> NDArray[np.uint8]:
    """The state of each sample of a recording: what it says by itself, and where it was clipped or is missing."""
    states = sample_states(record.samples_uv, p)
    states[record.clipped] = np.maximum(states[record.clipped], State.CLIPPED)
    states[record.missing] = State.GAP
    return states


def label_of_class(manifest: Manifest) -> NDArray[np.int64]:
    """Class of the model -> index of EC57's label.

    Raises:
        BundleError: a class is none of EC57's.
    """
    if odd := [name for name in manifest.classes if name not in ec57.LABELS]:
        raise BundleError(f"bundle {manifest.name} knows {odd[0]}; EC57 knows {', '.join(ec57.LABELS)}")
    return np.array([ec57.LABELS.index(name) for name in manifest.classes], np.int64)


def labelled(beats: Beats, manifest: Manifest, *, length: int) -> ec57.Labelled:
    """What a model said of a recording of `length` samples, in EC57's labels.

    What it saw behind the end, where the last sample is held, is of no recording and left out.

    Raises:
        BundleError: a class of the model is none of EC57's.
    """
    given = beats.verdict != ABSTAINED
    label = np.where(given, label_of_class(manifest)[np.where(given, beats.verdict, 0)], ec57.UNCLASSIFIED)
    there = beats.at < length
    return ec57.Labelled(beats.at[there], label[there])


def trained_on(manifest: Manifest) -> frozenset[str]:
    """Names of the recordings that the model has learnt from, as its manifest lists them."""
    names = manifest.training.get("records")
    return frozenset(str(name) for name in names) if isinstance(names, list) else frozenset()


def _judge(judged: Judged, bundle: Bundle, pipeline: Pipeline) -> tuple[ec57.Table, Json]:
    """The table of one recording, and its row of the report."""
    record = judged.record
    began = time.perf_counter()
    beats = pipeline.classify(record.samples_uv, known_states(record, Prepare.from_manifest(bundle.manifest.prepare)))
    took_s = time.perf_counter() - began
    found = labelled(beats, bundle.manifest, length=record.samples_uv.size)
    table = ec57.beat_table(judged.reference, found, fs_hz=record.fs_hz, fibrillation=judged.fibrillation)
    return table, {
        "name": judged.name,
        "patient": judged.patient,
        "lead": record.lead,
        "fs_hz": judged.fs_hz,
        "minutes": record.samples_uv.size / record.fs_hz / 60,
        "missing_s": record.missing.size / record.fs_hz,
        "fibrillation_s": sum(last - first for first, last in judged.fibrillation) / record.fs_hz,
        "took_s": took_s,
        "beats": dict(zip(ec57.LABELS, table[: ec57.NONE].sum(axis=1).tolist(), strict=True)),
        **{kind: {**one, **ec57.counts_of(table, kind)} for kind, one in ec57.figures_json(table).items()},
        "coverage": ec57.coverage(table),
        "confusion": table.tolist(),
    }


def _report(
    bundle: Bundle,
    folder: Path,
    pipeline: Pipeline,
    counted: list[ec57.Counted],
    rows: list[Json],
    skipped: list[Json],
) -> Json:
    m = bundle.manifest
    warnings = _warnings(m, rows)
    citation = next((text for set_name, text in CITATIONS.items() if set_name in folder.resolve().parts), "")
    return {
        "title": f"{m.name} by ANSI/AAMI EC57",
        "protocol": "ANSI/AAMI EC57: 150 ms, first 5 minutes and ventricular flutter left out",
        "source": f"{_recordings(len(rows))} in {folder}, at {m.fs_hz} Hz",
        "citation": citation,
        "answered_by": pipeline.name,
        "device": pipeline.device,
        "model": {"name": m.name, "version": m.version, "sha256": bundle.model_sha256, "classes": list(m.classes)},
        **ec57.summary(counted),
        "records": rows,
        "skipped": skipped,
        "training_records": [row["name"] for row in rows if row["trained_on"]],
        "warnings": warnings,
        "notes": [*warnings, *RULES],
        "provenance": {"ecg-edge": ecg_edge.__version__},
    }


def _warnings(m: Manifest, rows: list[Json]) -> list[str]:
    """What must be known of the figures, where the model has learnt from these hearts."""
    learnt = [row["name"] for row in rows if row["trained_on"]]
    patients = {_SAME_PATIENT.get(name, name) for name in trained_on(m)}
    lines = [
        f"{row['name']} is of a patient whose other recording the model has learnt from"
        for row in rows
        if row["patient"] in patients and not row["trained_on"]
    ]
    if not learnt:
        return lines
    lines.insert(0, f"training set: the model has learnt from {len(learnt)} of the {_recordings(len(rows))}")
    found = m.metrics.get("cross_validation")
    if not (isinstance(found, dict) and found.keys() >= {"veb", "sveb", "macro_f1"}):
        return [*lines, "figures on patients that it has not learnt from, if there are any, are in its card.md"]
    veb, sveb = (found[kind]["gross"] for kind in ("veb", "sveb"))
    return [
        *lines,
        f"trained alike and judged on patients not learnt from: VEB Se {percent(veb['se'])}, "
        f"+P {percent(veb['ppv'])}; SVEB Se {percent(sveb['se'])}, +P {percent(sveb['ppv'])}; "
        f"macro F1 {percent(found['macro_f1'])}",
    ]


def _recordings(count: int) -> str:
    return "1 recording" if count == 1 else f"{count} recordings"


def write_report(report: Json, folder: Path) -> None:
    """Write report.json and report.html, each whole or not at all."""
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", ec57_html(report))
