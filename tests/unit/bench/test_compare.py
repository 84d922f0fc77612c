"""bench/ end to end against the fake device: the real wire, the real client, the real model; only no compiler."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.bench import source as sources
from ecg_edge.bench.run import Order, run_bench, write_report
from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.fake import FakeDevice, FakeModel
from ecg_edge.device.faults import Faults, FaultyLink
from ecg_edge.device.link import FakeLink
from ecg_edge.errors import DeviceError, EcgEdgeError, SignalError
from ecg_edge.files import json_text
from ecg_edge.report.render import bench_text
from ecg_edge.signal.record import Annotations, Record, write_csv_record, write_wfdb
from ecg_edge.signal.synth import synthesize
from ecg_edge.signal.windows import Windows, write_windows

MakeBoard = Callable[..., FakeModel]
WINDOWS = 12
FS_HZ = 100


class Quiet:
    """Steps that nobody sees."""

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: None


def opener(model: FakeModel, faults: Faults | None = None) -> Callable[[str, Bundle], AbstractContextManager[Device]]:
    """What run_bench() opens instead of a URL."""

    @contextmanager
    def open_board(url: str, _: Bundle) -> Iterator[Device]:
        link = FakeLink(FakeDevice([model]).receive, name=url)
        with Device(link if faults is None else FaultyLink(link, faults, seed=3), first_index=0) as device:
            yield device

    return open_board


def synthetic(bundle: Bundle, count: int = WINDOWS) -> Order:
    def make(progress: sources.Progress) -> sources.Source:
        return sources.synthetic_source(bundle.manifest, count, seed=1, snr_db=(12.0, 30.0), progress=progress)

    return Order(bundle, "fake:", make, host_engine=False, command="pytest")


def test_a_board_that_runs_the_model_passes_and_its_report_keeps_the_promised_keys(
    bundle: Bundle, board: MakeBoard
) -> None:
    run, report = run_bench(synthetic(bundle), Quiet(), open_board=opener(board()))
    pair = report["pairs"]["device_vs_golden"]
    assert (pair["windows"], pair["identical"], pair["argmax_flips"]) == (WINDOWS, WINDOWS, 0)
    assert report["verdict"]["passed"]
    assert report["latency_us"]["p50"] == 30 * 360  # the fake's clock: 10 + 20 us a sample
    assert report["latency_us"]["inference"]["max"] == 20 * 360
    assert report["pairs_missing"]["device_vs_float"] == "the bundle has no model_float.tflite"
    assert report["results"]["device"] == report["results"]["golden"]
    assert sum(g["accuracy"]["total"] for g in report["groups"]["SNR"]) == WINDOWS
    assert json.loads(json_text(report)) == report
    assert bench_text(report).startswith("PASS  The device answers")
    assert len(np.unique(run.golden)) > 5  # the comparison is not of constants


def test_one_lsb_in_one_window_fails_the_gate_and_is_shown(bundle: Bundle, board: MakeBoard) -> None:
    def spoil(answer: NDArray[np.int8], index: int) -> NDArray[np.int8]:
        return answer + np.array([0, 0, 1, 0, 0], np.int8) if index == 5 and answer[2] < 127 else answer

    _, report = run_bench(synthetic(bundle), Quiet(), open_board=opener(board(spoil=spoil)))
    pair = report["pairs"]["device_vs_golden"]
    assert (pair["identical"], pair["lsb_histogram"]["1"], pair["max_abs_lsb"]) == (WINDOWS - 1, 1, 1)
    assert not report["verdict"]["passed"]
    assert report["verdict"]["text"].startswith("The device does not answer what the model answers: 1 of 12 windows")
    assert report["examples"] | {"note": ""} == {
        "reason": "device",
        "title": "Where the device parts from the model",
        "note": "",
        "windows": [5],
    }


def test_the_same_scores_under_another_state_fail_the_gate(bundle: Bundle, board: MakeBoard) -> None:
    deaf = replace(board(), flat_uv=-1)  # never sees a flat line

    def flat(progress: sources.Progress) -> sources.Source:
        made = synthetic(bundle).source(progress)
        made.signal_uv[3] = 500
        return made

    order = replace(synthetic(bundle), source=flat)
    _, fine = run_bench(order, Quiet(), open_board=opener(board()))
    assert fine["verdict"]["passed"]
    assert (fine["states"]["flat"], fine["states"]["abstained"]) == (1, 1)
    _, report = run_bench(order, Quiet(), open_board=opener(deaf))
    assert report["pairs"]["device_vs_golden"]["identical"] == WINDOWS
    assert not report["verdict"]["passed"]
    assert "1 signal states and 1 verdicts of 12 differ" in report["verdict"]["text"]
    assert report["flips"]["device_vs_golden"][0]["from"] == "abstained"


def test_a_board_with_another_model_is_refused(bundle: Bundle, board: MakeBoard) -> None:
    model = board()
    other = replace(model, hello=replace(model.hello, sha256="cd" * 32))
    with pytest.raises(DeviceError, match="cdcdcdcdcdcd") as caught:
        run_bench(synthetic(bundle), Quiet(), open_board=opener(other))
    assert bundle.model_sha256[:12] in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("hop", 45), ("in_zero", 7), ("out_scale", 0.5)])
def test_a_board_with_other_parameters_is_refused(bundle: Bundle, board: MakeBoard, field: str, value: float) -> None:
    model = board()
    other = replace(model, hello=replace(model.hello, **{field: value}))  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match=f"{value:g}"):
        run_bench(synthetic(bundle), Quiet(), open_board=opener(other))


def test_a_bad_line_costs_repeats_and_changes_no_answer(bundle: Bundle, board: MakeBoard) -> None:
    faults = Faults(drop=3e-4, flip=3e-4, double=3e-4)
    _, report = run_bench(synthetic(bundle), Quiet(), open_board=opener(board(), faults))
    assert report["verdict"]["passed"]
    assert report["link"]["repeats"] + report["link"]["losses"] > 0


def a_minute(seed: int = 2) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 60, 60 * FS_HZ).cumsum() % 900
    x[::83] += 1200
    x[2000:2300] = 40  # flat
    x[4000] = 32767  # clipped
    return x.astype(np.int16)


def test_a_record_is_streamed_whole_with_its_states_and_counted_by_its_annotations(
    bundle: Bundle, board: MakeBoard, tmp_path: Path
) -> None:
    pytest.importorskip("wfdb", reason="WFDB records need wfdb")
    at = np.arange(50, 6000, 83)
    symbols = tuple("V" if i == 40 else "N" for i in range(at.size))
    marks = Annotations(np.concatenate([[1], at]), ("+", *symbols), ("(AFIB", *[""] * at.size))
    folder = tmp_path / "mitdb"
    write_wfdb(folder, [Record("r1", FS_HZ, "MLII", a_minute(), annotations=marks)])

    def make(progress: sources.Progress) -> sources.Source:
        return sources.record_source(bundle.manifest, folder / "r1", lead=None, raw_uv=False)

    order = replace(synthetic(bundle), source=make)
    run, report = run_bench(order, Quiet(), open_board=opener(board()))
    windows = (6000 - 360) // 90 + 1
    pair = report["pairs"]["device_vs_golden"]
    assert (pair["windows"], pair["identical"]) == (windows, windows)
    assert report["verdict"]["passed"]
    assert report["states"]["flat"] > 0
    assert report["states"]["clipped"] > 0
    rows = {row["name"]: row["windows"] for row in report["mix"]["rows"]}
    assert rows["all windows"] == rows["atrial fibrillation"] == windows
    assert 0 < rows["with V beats"] < windows
    assert "ODC-By 1.0" in report["source"]["citation"]
    assert "ODC-By 1.0" in bench_text(report)
    assert report["results"] == {}
    assert run.source.title(40) == "0:36.0"


def test_labelled_windows_of_a_file_are_compared_with_their_labels(
    bundle: Bundle, board: MakeBoard, tmp_path: Path
) -> None:
    samples = np.stack([a_minute(seed)[:360] for seed in range(4)])
    write_windows(tmp_path / "w.npz", Windows(samples, FS_HZ, np.array(["Normal", "Arrhythmia"] * 2)))
    order = replace(synthetic(bundle), source=lambda _: sources.npz_source(bundle.manifest, tmp_path / "w.npz"))
    _, report = run_bench(order, Quiet(), open_board=opener(board()))
    assert report["results"]["device"]["per_class"]["Normal"]["support"] == 2
    assert report["groups"] == {}


def test_a_record_shorter_than_a_window_is_refused_in_one_line(bundle: Bundle, tmp_path: Path) -> None:
    write_csv_record(tmp_path / "short.csv", [Record("short", FS_HZ, "I", a_minute()[:300])])
    with pytest.raises(SignalError, match=r"short\.csv: 3\.0 s; one window needs 3\.6 s"):
        sources.record_source(bundle.manifest, tmp_path / "short.csv", lead=None, raw_uv=False)


def test_more_leads_than_one_are_refused(bundle: Bundle) -> None:
    with pytest.raises(EcgEdgeError, match="takes 2 leads"):
        sources.check_one_lead(replace(bundle.manifest, leads=2))


def test_a_model_of_other_classes_is_compared_without_truth(bundle: Bundle) -> None:
    other = replace(bundle.manifest, classes=("a", "b", "c", "d", "e"))
    made = sources.synthetic_source(other, 3, seed=0, snr_db=(12.0, 12.0), progress=lambda *_: None)
    assert made.truth is None
    assert made.windows_uv.shape == (3, 360)


def test_bench_subjects_differ_from_those_of_the_same_seed_in_training(bundle: Bundle) -> None:
    made = synthetic(bundle).source(lambda *_: None)
    assert made.truth is not None
    trained = next(iter(synthesize(made.truth, seed=1, length=360, fs_hz=FS_HZ)))
    assert not (made.signal_uv == trained.samples_uv).all(axis=1).any()


def test_every_report_is_written_or_none(bundle: Bundle, board: MakeBoard, tmp_path: Path) -> None:
    run, report = run_bench(synthetic(bundle), Quiet(), open_board=opener(board()))
    write_report(run, report, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md"]
    assert report["verdict"]["text"] in (tmp_path / "out" / "report.md").read_text()
    assert "5 weight scales" in report["sizes"]["note"]  # bench_a is not for export
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    for blocked in ("report.json", "report.md", "report.html"):
        folder = tmp_path / f"bad {blocked}"
        (folder / blocked).mkdir(parents=True)
        with pytest.raises(OSError, match=blocked):
            write_report(run, report, folder)
    assert [p.name for p in (tmp_path / "bad report.html").iterdir()] == ["report.html"]
