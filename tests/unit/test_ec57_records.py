"""EC57 on folders of annotated recordings: what is judged, what is left out, and the shipped model's figures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from board_rungs import missing
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_edge.bench.beats import Beats
from ecg_edge.bundle import Bundle, Manifest
from ecg_edge.cli.app import make_app
from ecg_edge.errors import BundleError, EcgEdgeError
from ecg_edge.recipes import ec57 as recipe
from ecg_edge.recipes.ec57 import Pipeline, judge_folder, python_pipeline, read_judged
from ecg_edge.report.ec57_text import ec57_text
from ecg_edge.report.metrics import ABSTAINED
from ecg_edge.signal.prepare import Prepare, State
from ecg_edge.signal.record import Annotations

SECONDS = 330
RHYTHM = "NNNV"  # a beat a second; V points down


def write(
    folder: Path,
    name: str,
    *,
    fs_hz: int = 250,
    seconds: int = SECONDS,
    rhythm: str = RHYTHM,
    symbols: dict[str, str] | None = None,
    leads: Sequence[str] = ("MLII",),
    annotator: str | None = "atr",
    marks: Sequence[tuple[float, str]] = (),
    lost: tuple[int, int] = (0, 0),
) -> None:
    """A WFDB record of triangles, one a second at its middle, the first lead's upside down on the others.

    Args:
        rhythm: class of the beats, in turn; V points down.
        symbols: class -> annotation, where it is another.
        marks: (second, symbol) of further annotations.
        lost: (first, last) second of what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    at = np.arange(seconds) * fs_hz + fs_hz // 2
    kinds = [rhythm[k % len(rhythm)] for k in range(seconds)]
    height = np.array([-1000.0 if kind == "V" else 1000.0 for kind in kinds])
    apart_s = (np.arange(seconds * fs_hz) - at.repeat(fs_hz)) / fs_hz
    lead = np.rint(height.repeat(fs_hz) * np.clip(1 - np.abs(apart_s) / 0.04, 0, None)).astype(np.int64)
    lead[lost[0] * fs_hz : lost[1] * fs_hz] = -32768
    signal = np.stack([lead if k == 0 else -lead for k in range(len(leads))], axis=1)
    wfdb.wrsamp(
        name,
        fs=fs_hz,
        units=["uV"] * len(leads),
        sig_name=list(leads),
        d_signal=signal,
        fmt=["16"] * len(leads),
        adc_gain=[1.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )
    if annotator is not None:
        told = [(int(sample), (symbols or {}).get(kind, kind)) for sample, kind in zip(at, kinds, strict=True)]
        told = sorted([*told, *((round(second * fs_hz), symbol) for second, symbol in marks)])
        samples, names = zip(*told, strict=True)
        wfdb.wrann(name, annotator, np.array(samples), list(names), write_dir=str(folder))


def by_sign(samples_uv: NDArray[np.int16], states: NDArray[np.uint8]) -> Beats:
    """Every peak above 0.5 mV is a beat, N upwards and V downwards; none is judged near a sample that is not OK."""
    level = np.abs(samples_uv.astype(np.int64))
    tops = (level > 500) & (level >= np.roll(level, 1)) & (level > np.roll(level, -1))
    at = np.flatnonzero(tops)
    at = at[np.diff(at, prepend=-1000) > 50]
    bad = np.array([states[max(0, k - 250) : k + 250].max() for k in at], np.uint8)
    verdict = np.where(bad > 0, ABSTAINED, np.where(samples_uv[at] > 0, 0, 2))
    return Beats(at, np.diff(at, prepend=0), bad, np.zeros((at.size, 3), np.int8), verdict)


SIGN = Pipeline("its sign", by_sign)


def beat_bundle(**changes: Any) -> Bundle:
    """The shipped model of beats, with another manifest; no model answers here."""
    bundle = Bundle.load("aami")
    return Bundle(bundle.folder, replace(bundle.manifest, **changes))


def judge(folder: Path, *, bundle: Bundle | None = None, lead: str | None = None, annotator: str = "atr") -> Any:
    return judge_folder(bundle or beat_bundle(), folder, SIGN, lead=lead, annotator=annotator, progress=lambda *_: None)


@pytest.mark.parametrize("fs_hz", [128, 250, 257, 360, 1000])
def test_a_record_of_any_rate_gives_the_same_table(tmp_path: Path, fs_hz: int) -> None:
    write(tmp_path, "a", fs_hz=fs_hz)
    report = judge(tmp_path)
    (row,) = report["records"]
    assert (row["fs_hz"], row["minutes"]) == (fs_hz, 5.5)
    assert row["beats"] == {"N": 23, "S": 0, "V": 7, "F": 0, "Q": 0}  # of the last half minute
    assert report["qrs"]["gross"] == {"se": 1.0, "ppv": 1.0, "f1": 1.0}
    assert report["veb"]["gross"] == {"se": 1.0, "ppv": 1.0, "f1": 1.0, "fpr": 0.0}
    assert report["sveb"]["gross"]["se"] is None


def test_records_are_found_at_any_depth_and_named_by_their_path(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path / "more" / "yet", "a")
    assert [row["name"] for row in judge(tmp_path)["records"]] == ["a", "more/yet/a"]
    assert [row["name"] for row in judge(tmp_path / "a.hea")["records"]] == ["a"]  # one record


def test_the_lead_is_found_by_name_and_said(tmp_path: Path) -> None:
    write(tmp_path, "a", leads=("V5", "mlii"))
    write(tmp_path, "b", leads=("ECG1", "ECG2"))
    report = judge(tmp_path)
    assert [row["lead"] for row in report["records"]] == ["mlii", "ECG1"]
    assert [row["veb"]["se"] for row in report["records"]] == [0.0, 1.0]  # the second lead is upside down
    assert "note: lead MLII, or II, or else a recording's first" in ec57_text(report)
    report = judge(tmp_path, lead="v5")
    assert [row["lead"] for row in report["records"]] == ["V5"]
    assert "no lead v5; it has: ECG1, ECG2" in report["skipped"][0]["reason"]


def test_what_cannot_be_judged_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path, "good")
    write(tmp_path, "paced", rhythm="NVVV", symbols={"V": "/"})
    write(tmp_path, "bare", annotator=None)
    write(tmp_path, "rhythm", rhythm="N", symbols={"N": "+"})
    write(tmp_path, "short", seconds=300)
    write(tmp_path, "broken")
    (tmp_path / "broken.dat").write_bytes(b"")
    report = judge(tmp_path)
    assert [row["name"] for row in report["records"]] == ["good"]
    reasons = {one["name"]: one["reason"] for one in report["skipped"]}
    assert reasons.keys() == {"paced", "bare", "rhythm", "short", "broken"}
    assert "paced: 247 of 330 beats" in reasons["paced"]
    assert reasons["bare"] == "no annotations (bare.atr)"
    assert "mark no beat" in reasons["rhythm"]
    assert "300 s long" in reasons["short"]
    text = ec57_text(report)
    assert all(f"left out {name}: " in text for name in reasons)


def test_a_folder_with_nothing_to_judge_is_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, "bare", annotator=None)
    with pytest.raises(EcgEdgeError, match=r"of 1 recording none can be judged by EC57; bare: no annotations"):
        judge(tmp_path)


def test_a_few_paced_beats_are_no_paced_heart_and_count_as_q(tmp_path: Path) -> None:
    write(tmp_path, "a", symbols={"V": "/"})
    (row,) = judge(tmp_path)["records"]
    assert row["beats"] == {"N": 23, "S": 0, "V": 0, "F": 0, "Q": 7}
    assert row["veb"]["fp"] == 0


def test_annotations_in_the_manner_of_aha(tmp_path: Path) -> None:
    """Another suffix; shutdown, R-on-T and escape beats; fibrillation that nobody ends."""
    write(tmp_path, "a", symbols={"V": "r"}, annotator="ari", marks=[(302.1, "~"), (320.0, "["), (321.0, "!")])
    (row,) = judge(tmp_path, annotator="ari")["records"]
    assert row["beats"] == {"N": 15, "S": 0, "V": 5, "F": 0, "Q": 0}  # 300 to 320 s
    assert row["fibrillation_s"] == 10
    assert row["qrs"] == {"se": 1.0, "ppv": 1.0, "f1": 1.0, "tp": 20, "fn": 0, "fp": 0}


def test_flutter_lasts_from_its_mark_to_the_next_end() -> None:
    marks = Annotations(np.array([5, 10, 20, 30, 40, 50]), ("]", "[", "[", "]", "]", "["), ("",) * 6)
    assert recipe.flutter_spans(marks, 99) == ((10, 30), (50, 99))


def test_a_gap_is_a_gap_to_the_pipeline_and_shows_as_abstentions(tmp_path: Path) -> None:
    write(tmp_path, "a", lost=(310, 320))
    report = judge(tmp_path)
    (row,) = report["records"]
    assert row["missing_s"] == 10
    assert row["coverage"] == {
        "beats": 30,
        "found": 20,
        "abstained": 2,  # one on either side
        "answered": 18,
        "answered_share": 0.6,
        "extra": 0,
    }
    assert report["coverage"]["abstained"] == 2
    assert row["qrs"]["se"] == 20 / 30


def test_samples_that_are_clipped_or_missing_have_that_state(tmp_path: Path) -> None:
    write(tmp_path, "a", fs_hz=360, lost=(310, 320))
    judged = read_judged(tmp_path / "a", "a", 250, lead=None, annotator="atr")
    states = recipe.known_states(judged.record, Prepare.from_manifest(Bundle.load("aami").manifest.prepare))
    assert set(states[310 * 250 + 2 : 320 * 250 - 2]) == {State.GAP}
    assert set(states[325 * 250 :]) == {State.OK}


def test_annotations_behind_the_end_of_a_record_cut_short_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a", fs_hz=360, marks=[(SECONDS + 5, "V"), (SECONDS + 6, "N")])
    (row,) = judge(tmp_path)["records"]
    assert row["coverage"]["beats"] == 30


def test_a_beat_found_behind_the_end_is_nobodys(tmp_path: Path) -> None:
    def and_one_more(samples_uv: NDArray[np.int16], states: NDArray[np.uint8]) -> Beats:
        found = by_sign(samples_uv, states)
        return Beats(
            np.append(found.at, samples_uv.size + 2),
            np.append(found.rr, 1),
            np.append(found.state, found.state[:1]),
            np.append(found.scores, found.scores[:1], axis=0),
            np.append(found.verdict, 2),
        )

    write(tmp_path, "a")
    pipeline = Pipeline("one more", and_one_more)
    report = judge_folder(beat_bundle(), tmp_path, pipeline, lead=None, annotator="atr", progress=lambda *_: None)
    assert report["qrs"]["gross"]["ppv"] == 1.0


def test_201_and_202_are_one_patient(tmp_path: Path) -> None:
    for name in ("201", "202", "203"):
        write(tmp_path / ("second" if name == "202" else "first"), name)
    report = judge(tmp_path)
    assert report["bootstrap"]["patients"] == 2
    assert len({row["patient"] for row in report["records"]}) == 2


def test_figures_on_what_the_model_has_learnt_from_say_so(tmp_path: Path) -> None:
    write(tmp_path, "101")
    write(tmp_path, "999")
    validated = {
        "veb": {"gross": {"se": 0.9, "ppv": 0.8}},
        "sveb": {"gross": {"se": 0.7, "ppv": 0.6}},
        "macro_f1": 0.85,
    }
    bundle = beat_bundle(training={"records": ["101", "106"]}, metrics={"cross_validation": validated})
    report = judge(tmp_path, bundle=bundle)
    assert report["training_records"] == ["101"]
    text = ec57_text(report)
    assert "training set: the model has learnt from 1 of the 2 recordings" in text
    assert "judged on patients not learnt from: VEB Se 90.00 %, +P 80.00 %; SVEB Se 70.00 %, +P 60.00 %" in text
    assert "101 *" in text
    assert "999 *" not in text
    assert judge(tmp_path, bundle=beat_bundle(training={}))["warnings"] == []
    (learnt, card) = judge(tmp_path, bundle=beat_bundle(training={"records": ["999"]}, metrics={}))["warnings"]
    assert "learnt from 1 of the 2" in learnt
    assert "card.md" in card


def test_another_recording_of_a_patient_learnt_from_is_named(tmp_path: Path) -> None:
    write(tmp_path, "202")
    report = judge(tmp_path, bundle=beat_bundle(training={"records": ["201", "101"]}))
    assert report["warnings"] == ["202 is of a patient whose other recording the model has learnt from"]
    assert report["training_records"] == []


def test_a_model_that_takes_no_beats_or_knows_other_classes_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with pytest.raises(BundleError, match="ecg5 takes windows, not beats"):
        judge(tmp_path, bundle=Bundle.load("ecg5"))
    with pytest.raises(BundleError, match="knows ectopic; EC57 knows N, S, V, F, Q"):
        judge(tmp_path, bundle=beat_bundle(classes=("N", "ectopic", "V")))


def test_classes_go_by_their_names_not_by_their_order() -> None:
    manifest: Manifest = beat_bundle(classes=("V", "N", "S")).manifest
    assert recipe.label_of_class(manifest).tolist() == [2, 0, 1]


@pytest.mark.slow
def test_the_verb_prints_json_and_writes_report_and_plots(tmp_path: Path) -> None:
    write(tmp_path / "set", "a", rhythm="N")
    write(tmp_path / "set", "b", rhythm="N", fs_hz=360)
    out, plots = tmp_path / "out", tmp_path / "plots"
    args = ["evaluate", "aami", "--protocol", "ec57", str(tmp_path / "set")]
    result = CliRunner().invoke(make_app(), [*args, "--json", "--out", str(out), "--plots", str(plots)])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["qrs"]["gross"]["se"] == report["qrs"]["average"]["se"] == 1.0
    assert report["veb"]["gross"]["se"] is None
    assert [row["name"] for row in report["records"]] == ["a", "b"]
    assert json.loads((out / "report.json").read_text()) == report
    page = (out / "report.html").read_text()
    assert "Research use; not a medical device." in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert {path.name for path in plots.iterdir()} == {"confusion.png", "recordings.png"}
    text = CliRunner().invoke(make_app(), args).stdout
    assert "QRS" in text
    assert "macro F1" in text
    assert "Research use; not a medical device." in text


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["aami", "."], "belong to --protocol ec57"),
        (["aami", "--device", "virtual:native"], "belong to --protocol ec57"),
        (["ecg5", "--protocol", "ec57", ".", "--device", "virtual:native"], "takes windows, not beats"),
        (["aami", "--protocol", "ec57"], "--protocol ec57 needs the folder of the recordings"),
        (["aami", "--protocol", "ec57", ".", "--synthetic"], "judges recordings, not --synthetic"),
        (["aami", "--protocol", "ec57", "nowhere"], "nowhere"),
        (["ecg5", "--protocol", "ec57", "."], "takes windows, not beats"),
    ],
)
def test_a_wrong_order_is_one_line(args: list[str], line: str) -> None:
    result = CliRunner().invoke(make_app(), ["evaluate", *args])
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def mitdb() -> Path:
    folder = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        missing(f"no {folder}: EC57 is not tested on real ECG (ECG_EDGE_DATA)")
    return folder


@pytest.mark.slow
def test_the_shipped_model_on_two_records_of_mit_bih(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Source: MIT-BIH Arrhythmia Database (ODC-By 1.0). The model has learnt from both: this is no figure of merit."""
    bundle = Bundle.load("aami")
    for name in ("119", "209"):
        for suffix in (".hea", ".dat", ".atr"):
            (tmp_path / f"{name}{suffix}").symlink_to((mitdb() / f"{name}{suffix}").resolve())
    pipeline = python_pipeline(bundle)
    report = judge_folder(bundle, tmp_path, pipeline, lead=None, annotator="atr", progress=lambda *_: None)
    slowest_s = max(row["took_s"] for row in report["records"])
    figure(f"aami, the Python pipeline on a record of 30 minutes (wall time, this machine): {slowest_s:.1f} s")
    assert report["qrs"]["gross"]["se"] > 0.999
    assert report["veb"]["gross"]["se"] > 0.95
    assert report["veb"]["gross"]["ppv"] > 0.95
    assert report["sveb"]["gross"]["se"] > 0.6
    assert report["coverage"]["answered_share"] > 0.99
