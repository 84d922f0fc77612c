"""report/render.py, html.py and svg.py on a made-up bench run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.report import svg
from ecg_edge.report.agreement import agreement, changes, verdict_changes
from ecg_edge.report.html import Answer, Strip, bench_html, evaluation_html
from ecg_edge.report.metrics import by_bin, calibration, classification, percentiles
from ecg_edge.report.render import (
    bench_text,
    calibration_text,
    classification_text,
    confusion_text,
    groups_text,
    number,
    percent,
    points,
    text_table,
)

CLASSES = ("Normal", "Arrhythmia", "ST Depression", "ST Elevation", "T Wave Inversion")
N = 400


def softmax_scores(rng: np.random.Generator, truth: NDArray[np.int64]) -> NDArray[np.float32]:
    logits = rng.normal(0, 1.2, (truth.size, 5)) + 4 * np.eye(5)[truth]
    e = np.exp(logits)
    shares: NDArray[np.float32] = (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def made_up_report(*, broken: bool = False) -> tuple[dict[str, Any], list[Strip], NDArray[np.int64]]:
    """A bench report as bench/compare.py writes it, from made-up scores."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 5, N)
    share = softmax_scores(rng, truth)
    golden = np.clip(np.rint((share + rng.normal(0, 0.004, share.shape)) * 256) - 128, -128, 127).astype(np.int8)
    device = golden.copy()
    if broken:
        device[7] = np.roll(device[7], 1)
    pairs = {
        "device_vs_golden": agreement(golden, device, scale=1 / 256, zero_point=-128),
        "device_vs_float": agreement(share, device, scale=1 / 256, zero_point=-128),
    }
    verdicts = {"float": share.argmax(axis=1), "device": device.argmax(axis=1)}
    times = rng.integers(900, 1400, N)
    report: dict[str, Any] = {
        "verdict": {"passed": not broken, "text": "The device answers what the model answers: 400 of 400 windows."},
        "model": {"name": "ecg5", "version": "0.1.0", "sha256": "9f2c41d0" * 8, "classes": list(CLASSES)},
        "device": {
            "url": "virtual:native",
            "board": "host",
            "engine": "native",
            "engine_version": "0.1.0",
            "firmware": "0.1.0",
            "note": "virtual board on this host: not hardware",
        },
        "source": {"text": "400 synthetic windows, seed 1 <script>alert(1)</script>", "citation": ""},
        "pairs": {name: pair.to_json() for name, pair in pairs.items()},
        "pairs_missing": {"host_vs_golden": "the device runs the native engine itself"},
        "flips": {"device_vs_float": verdict_changes(verdicts["float"], verdicts["device"], CLASSES)},
        "changes": changes(truth, verdicts["float"], verdicts["device"], CLASSES).to_json(),
        "results": {name: classification(truth, v, CLASSES).to_json() for name, v in verdicts.items()},
        "groups": {
            "SNR": [
                g.to_json()
                for g in by_bin(truth, verdicts["device"], rng.uniform(0, 30, N), [0, 6, 12, 18, 30], unit="dB")
            ]
        },
        "states": {"ok": N, "abstained": 0},
        "mix": {
            "title": "annotation",
            "columns": [*CLASSES, "abstained"],
            "rows": [{"name": "only N beats", "windows": 3, "answers": dict.fromkeys([*CLASSES, "abstained"], 0)}],
            "note": "MIT-BIH, ODC-By 1.0",
        },
        "examples": {"title": "Where they part", "note": "Float and device differ here."},
        "latency_us": percentiles(times) | {"prepare": percentiles(times // 9), "inference": percentiles(times)},
        "link": {
            "bytes_per_s": 81234.5,
            "windows_per_s": 40.2,
            "repeats": 0,
            "losses": 0,
            "resets": 0,
            "replugs": 0,
            "crc_errors": 0,
        },
        "provenance": {"command": "ecg-edge bench", "versions": {"numpy": "1.26.4"}},
    }
    t = np.arange(1024) / 250
    beat = np.rint(1000 * np.exp(-(((t % 0.8) - 0.4) ** 2) / 0.0003) + 150 * np.exp(-(((t % 0.8) - 0.65) ** 2) / 0.003))
    answers = tuple(Answer(n, "Normal", (0.9, 0.02, 0.03, 0.03, 0.02)) for n in ("float", "int8", "device"))
    strips = [Strip(f"Window {i}", "truth Normal", beat.astype(np.int16), 250, answers) for i in range(4)]
    return report, strips, times


class Outline(HTMLParser):
    """Checks that tags nest, and gathers what the page would load."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [v or "" for k, v in attrs if k in ("src", "href")]
        self.loads += ["script"] * (tag == "script")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def test_the_bench_page_is_well_formed_carries_everything_and_escapes_names() -> None:
    report, strips, times = made_up_report()
    page = bench_html(report, strips, times.tolist())
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.loads == []
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)
    assert "&lt;script&gt;" in page
    assert len(page) < 2_000_000
    assert page.index("The device answers") < page.index("Agreement")


def test_the_bench_page_says_fail_when_the_gate_failed() -> None:
    report, strips, times = made_up_report(broken=True)
    page = bench_html(report, strips, times.tolist())
    assert '<span class="badge">FAIL</span>' in page
    assert "PASS" not in page


def test_the_bench_page_needs_no_truth_no_examples_and_no_float_model() -> None:
    report, _, times = made_up_report()
    del report["pairs"]["device_vs_float"]
    report |= {"results": {}, "groups": {}, "changes": None, "mix": None, "flips": {}}
    page = bench_html(report, [], times.tolist())
    assert "Against the truth" not in page
    assert "device = int8 golden" in page


def test_the_evaluation_page_shows_each_answer_and_each_group() -> None:
    report, strips, _ = made_up_report()
    page = evaluation_html(
        {
            "title": "ecg5 on 400 synthetic windows",
            "source": "seed 1",
            "model": report["model"],
            "results": {"int8": report["results"]["device"], "float": report["results"]["float"]},
            "groups": report["groups"],
            "calibration": calibration([0, 1], [[0.9, 0.1], [0.4, 0.6]]).to_json(),
            "changes": report["changes"],
            "pair": report["pairs"]["device_vs_float"],
        },
        strips,
    )
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert "12 to 18 dB" in page
    assert "Per class, float" in page


def test_the_text_report_starts_with_the_verdict_and_says_what_the_board_is_not() -> None:
    report, _, _ = made_up_report()
    text = bench_text(report)
    assert text.startswith("PASS  The device answers")
    assert text.count("not hardware") == 2
    assert text.endswith("Research use; not a medical device.")
    json.dumps(report, allow_nan=False)


def test_text_tables_line_up() -> None:
    lines = text_table(["name", "n"], [["a", 1], ["longer", 1000]]).splitlines()
    assert [len(line) for line in lines] == [12, 12, 12, 12]
    assert lines[2] == "a          1"


def test_the_classification_text_shows_what_abstained() -> None:
    result = classification([0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 255], CLASSES)
    text = classification_text(result)
    assert "accuracy 83.33 % (5 of 6; 95 %: 43.65 % to 96.99 %)" in text
    assert "abstained 1, counted as wrong; of the answered 100.00 % are right" in text
    assert confusion_text(result).splitlines()[2].split()[-1] == "1"
    assert "0 to 6 dB" in groups_text("SNR", by_bin([0], [0], [3.0], [0, 6], unit="dB"))
    assert "expected calibration error 10.00 %" in calibration_text(calibration([0], [[0.9, 0.1]]))


@given(total=st.integers(2, 10**7))
def test_one_miss_is_never_rounded_away(total: int) -> None:
    assert percent((total - 1) / total) != "100.00 %"
    assert percent(1 / total) != "0.00 %"
    assert percent(1.0) == "100.00 %"
    assert percent(0.0) == "0.00 %"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (number(5000), "5,000"),
        (number(1234.5), "1,234"),
        (number(0.012345), "0.0123"),
        (number(None), "-"),
        (percent(None), "-"),
        (points(-0.0123), "-1.23"),
        (points(-0.0), "+0.00"),
    ],
)
def test_numbers_are_written_for_people(shown: str, wanted: str) -> None:
    assert shown == wanted


def drawn(d: str) -> NDArray[np.float64]:
    """The points that a path of svg.polyline() goes through."""
    first, _, steps = d.removeprefix("M").partition("l")
    values = [[float(v) for v in first.split()]] + (
        [[float(v) for v in p] for p in zip(steps.split()[::2], steps.split()[1::2], strict=True)] if steps else []
    )
    return np.cumsum(values, axis=0)


@given(st.lists(st.tuples(st.integers(-5000, 5000), st.integers(-5000, 5000)), min_size=1, max_size=50))
def test_a_drawn_line_goes_through_its_points(tenths: list[tuple[int, int]]) -> None:
    points_mm = np.array(tenths) / 10
    np.testing.assert_allclose(drawn(svg.polyline(points_mm[:, 0], points_mm[:, 1])), points_mm, atol=1e-9)


def test_a_strip_is_drawn_at_25_mm_per_second_and_10_mm_per_millivolt() -> None:
    samples = np.zeros(1000, np.int16)
    samples[500] = 1000  # one millivolt
    path = svg.ecg_path(samples, 250)
    assert path.width == 100.0
    line = drawn(path.d)
    assert line[0, 1] - line[500, 1] == pytest.approx(10.0)
    assert line[500, 0] == pytest.approx(50.0)


def test_a_strip_cuts_what_leaves_the_paper() -> None:
    samples = np.zeros(100, np.int16)
    samples[10], samples[20] = 32767, -32768
    path = svg.ecg_path(samples, 250)
    assert path.height == 90.0
    assert drawn(path.d)[:, 1].min() == 0.0
    assert drawn(path.d)[:, 1].max() == 90.0


def test_lsb_bars_count_every_score_once() -> None:
    bars = svg.lsb_bars({"-40": 1, "-1": 5, "0": 100, "1": 2, "3": 4, "7": 1})
    assert [(b.label, b.count) for b in bars] == [
        ("equal", 100),
        ("±1", 7),
        ("±2", 0),
        ("±3 to 4", 4),
        ("±5 to 8", 1),
        ("±9 to 16", 0),
        ("±17 to 32", 0),
        ("±33 to 64", 1),
    ]
    assert [b.label for b in svg.lsb_bars({"0": 9})] == ["equal", "±1", "±2", "±3 to 4"]


def test_time_bars_count_every_verdict_and_name_the_slow_end() -> None:
    bars = svg.time_bars([*range(1000), 50_000])
    assert sum(b.count for b in bars) == 1001
    assert bars[-1].label.endswith("and more")
    assert [b.count for b in svg.time_bars([7, 7])] == [2]


def test_equal_verdicts_in_a_row_become_one_stretch_and_abstentions_have_no_class() -> None:
    names = {0: "a", 1: "b", 255: "abstained"}
    starts = np.array([0, 100, 200, 300])
    runs = svg.verdict_runs(starts, 400, 100, np.array([0, 0, 255, 1]), names, total=1000)
    # Each window stands for the 100 samples in its middle, from 150 after its start.
    assert [(r.start, r.width, r.kind, r.name) for r in runs] == [
        (150.0, 200.0, 0, "a"),
        (350.0, 100.0, -1, "abstained"),
        (450.0, 100.0, 1, "b"),
    ]


def test_ticks_stand_where_the_beats_are() -> None:
    assert svg.ticks(np.array([0, 250, 251, 999]), 1000) == "M0 0v10M250 0v10M251 0v10M999 0v10"


def test_a_long_recording_is_shown_at_a_glance_with_its_rhythms() -> None:
    report, strips, times = made_up_report()
    stretch = svg.Stretch(0.0, 1000.0, 0, "Normal")
    rhythm = svg.Stretch(0.0, 500.0, -1, "atrial <fibrillation>")
    timeline = svg.Timeline(30.1, (("device", (stretch,)),), (rhythm,), (("V", "M1 0v10"),))
    page = bench_html(report, strips, times.tolist(), timeline)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert "The recording at a glance" in page
    assert "atrial &lt;fibrillation&gt;" in page
    assert "The recording at a glance" not in bench_html(report, strips, times.tolist())
