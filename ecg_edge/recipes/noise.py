"""How good a model of beats stays as noise grows: the noise stress test. Layer: recipes; composes signal and report.

It is `evaluate --protocol ec57` on recordings that signal/stress.py has spoilt; figures count what EC57 counts, so the
clean stretches between those with noise too, as NSTDB has it. Those of the noisy stretches alone stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import ecg_edge
from ecg_edge.bench.beats import classify_beats, require_beats
from ecg_edge.bench.source import CITATIONS
from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError, SignalError
from ecg_edge.recipes.ec57 import Judged, known_states, labelled, read_judged, trained_on
from ecg_edge.report import ec57
from ecg_edge.report.metrics import Json, finite
from ecg_edge.signal.physionet import records_folder
from ecg_edge.signal.prepare import Prepare
from ecg_edge.signal.record import Record, read_record, resample_record
from ecg_edge.signal.recordset import find_records
from ecg_edge.signal.stress import add_noise, noise_gain, noisy_spans, qrs_amplitude_uv

KINDS = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle"}
SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0, -6.0)
NSTDB_RECORDS = ("118", "119")  # what the set's makers took, since a detector without error there is easy

Progress = Callable[[int, int], None]  # done, total
Tables = tuple[ec57.Table, ec57.Table]  # of all that EC57 counts, and of the noisy stretches alone


@dataclass(frozen=True, slots=True)
class Subject:
    """One clean recording: as it was recorded, and as it is judged."""

    raw: Record
    judged: Judged

    @property
    def quiet(self) -> tuple[tuple[int, int], ...]:
        """(first, last) sample of each stretch without noise, at the rate it is judged at."""
        fs_hz, length = self.judged.record.fs_hz, self.judged.record.samples_uv.size
        edges = [0, *(edge for span in noisy_spans(length, fs_hz) for edge in span), length]
        return tuple((first, stop - 1) for first, stop in zip(edges[::2], edges[1::2], strict=True) if first < stop)


def stress(
    bundle: Bundle,
    paths: Sequence[Path],
    noises: dict[str, Path],
    snr_db: Sequence[float],
    *,
    lead: str | None,
    annotator: str,
    progress: Progress,
) -> Json:
    """The noise stress test as one JSON object.

    Args:
        bundle: a model of beats whose classes are EC57's.
        paths: of clean annotated recordings.
        noises: kind -> path of a record of noise, whose first lead is taken, in raw units.
        snr_db: what to add it at.
        lead: to judge; by default MLII or II, and else the first.
        annotator: suffix of the annotation files.
        progress: told how many recordings were classified.

    Raises:
        EcgEdgeError: the model does not fit, or no recording can be judged and measured.
    """
    require_beats(bundle)
    subjects, skipped = _read(paths, bundle.manifest.fs_hz, lead=lead, annotator=annotator)
    units = {(kind, fs): read_record(noises[kind], raw_uv=True, fs_hz=fs) for kind in noises for fs in _rates(subjects)}
    total, done = len(subjects) * (1 + len(noises) * len(snr_db)), 0

    def judge(subject: Subject, record: Record) -> Tables:
        nonlocal done
        tables = _tables(bundle, subject, record)
        done += 1
        progress(done, total)
        return tables

    clean = [judge(subject, subject.judged.record) for subject in subjects]
    results = list[Json]()
    for kind in noises:
        for snr in snr_db:
            gains = [noise_gain(subject.raw, units[kind, subject.raw.fs_hz], snr) for subject in subjects]
            spoilt = [
                add_noise(subject.raw, units[kind, subject.raw.fs_hz], gain)
                for subject, gain in zip(subjects, gains, strict=True)
            ]
            found = [
                judge(subject, resample_record(record, bundle.manifest.fs_hz))
                for subject, record in zip(subjects, spoilt, strict=True)
            ]
            rows = [
                {
                    "name": subject.judged.name,
                    "gain": gain,
                    "clipped_s": record.clipped.size / record.fs_hz,
                    **_row(two),
                }
                for subject, gain, record, two in zip(subjects, gains, spoilt, found, strict=True)
            ]
            results.append({"kind": kind, "snr_db": snr, **_figures(found), "records": rows})
    report = _report(bundle, subjects, noises, snr_db, clean, results)
    return {**report, "skipped": skipped}


def records_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """The recordings of a folder to test: those named, or `all`; by default 118 and 119 where they are, and else all.

    Raises:
        EcgEdgeError: one is not there.
    """
    found = find_records(folder)
    if not names or list(names) == ["all"]:
        return found if names else [path for path in found if path.stem in NSTDB_RECORDS] or found
    if missing := [name for name in names if name not in {path.stem for path in found}]:
        raise EcgEdgeError(f"{folder} has no record {missing[0]}; it has {len(found)}")
    return [path for path in found if path.stem in names]


def noise_records(nstdb: Path | None, beside: Path, kinds: Sequence[str]) -> dict[str, Path]:
    """Where each kind of noise lies: in the folder given, else in nstdb beside the recordings or in the cache.

    Raises:
        EcgEdgeError: an unknown kind, or no such record.
    """
    if not kinds:
        raise EcgEdgeError(f"no kind of noise; NSTDB has {', '.join(KINDS)}")
    if odd := [kind for kind in kinds if kind not in KINDS]:
        raise EcgEdgeError(f"noise of kind {odd[0]!r}; NSTDB has {', '.join(KINDS)}")
    places = [nstdb] if nstdb is not None else [beside.resolve().parent / "nstdb", records_folder(Path("nstdb"))]
    for place in places:
        if all((place / f"{kind}.hea").is_file() for kind in kinds):
            return {kind: place / kind for kind in kinds}
    wanted = ", ".join(f"{kind}.hea" for kind in kinds)
    raise EcgEdgeError(
        f"no {wanted} in {places[0]}: `ecg-edge data nstdb` downloads the noise, --nstdb names its folder"
    )


def _read(paths: Sequence[Path], fs_hz: int, *, lead: str | None, annotator: str) -> tuple[list[Subject], list[Json]]:
    """The recordings that can be judged and measured, and the name of each other with the reason."""
    subjects, skipped = list[Subject](), list[Json]()
    for path in paths:
        try:
            judged = read_judged(path, path.stem, fs_hz, lead=lead, annotator=annotator)
            raw = read_record(path, lead=lead, annotator=annotator, gaps=True)
            qrs_amplitude_uv(raw)
        except SignalError as reason:
            skipped.append({"name": path.stem, "reason": str(reason)})
        else:
            subjects.append(Subject(raw, judged))
    if not subjects:
        raise EcgEdgeError(
            f"none of {len(paths)} recordings can be judged; {skipped[0]['name']}: {skipped[0]['reason']}"
        )
    return subjects, skipped


def _rates(subjects: Sequence[Subject]) -> set[int]:
    return {subject.raw.fs_hz for subject in subjects}


def _tables(bundle: Bundle, subject: Subject, record: Record) -> Tables:
    """What the model says of a recording, clean or spoilt, against what is known of the clean one."""
    judged = replace(subject.judged, record=record)
    beats = classify_beats(
        bundle, record.samples_uv, known_states(record, Prepare.from_manifest(bundle.manifest.prepare))
    )
    found = labelled(beats, bundle.manifest, length=record.samples_uv.size)
    whole, noisy = (
        ec57.beat_table(judged.reference, found, fs_hz=record.fs_hz, fibrillation=(*judged.fibrillation, *left_out))
        for left_out in ((), subject.quiet)
    )
    return whole, noisy


def _figures(found: Sequence[Tables]) -> Json:
    """Gross figures of some recordings."""
    whole, noisy = (np.sum(tables, axis=0) for tables in zip(*found, strict=True))
    return {**_of(whole), "noisy": _of(noisy)}


def _row(two: Tables) -> Json:
    return _figures([two])


def _of(table: ec57.Table) -> Json:
    covered = ec57.coverage(table)
    share = covered["abstained"] / covered["found"] if covered["found"] else None
    return {
        **ec57.figures_json(table),
        "macro_f1": finite(float(ec57.macro_f1(table))),
        "coverage": {**covered, "abstained_share": share},
        "confusion": table.tolist(),
    }


def _report(
    bundle: Bundle,
    subjects: Sequence[Subject],
    noises: dict[str, Path],
    snr_db: Sequence[float],
    clean: Sequence[Tables],
    results: Sequence[Json],
) -> Json:
    m = bundle.manifest
    names = [subject.judged.name for subject in subjects]
    trained = [subject.judged.name for subject in subjects if subject.raw.name in trained_on(m)]
    return {
        "title": f"{m.name} under noise",
        "protocol": "MIT-BIH noise stress test: clean for 5 minutes, then 2 minutes with noise and 2 without in turns; "
        "SNR as nst(1) has it; figures by ANSI/AAMI EC57",
        "model": {"name": m.name, "version": m.version, "sha256": bundle.model_sha256, "classes": list(m.classes)},
        "records": names,
        "leads": {subject.judged.name: subject.raw.lead for subject in subjects},
        "kinds": {kind: KINDS[kind] for kind in noises},
        "snr_db": list(snr_db),
        "clean": {
            **_figures(clean),
            "records": [{"name": name, **_row(two)} for name, two in zip(names, clean, strict=True)],
        },
        "results": list(results),
        "training_records": trained,
        "citations": [CITATIONS["mitdb"], CITATIONS["nstdb"]],
        "provenance": {"ecg-edge": ecg_edge.__version__},
    }
