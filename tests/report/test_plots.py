"""report/plots.py: the files are pictures, and matplotlib is asked for by name when it is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.html import Strip
from ecg_edge.report.metrics import by_bin, calibration, classification
from ecg_edge.report.plots import Point, pareto_front, save_evaluation, save_pareto, save_strips

PNG = b"\x89PNG\r\n\x1a\n"


def evaluation() -> dict[str, Any]:
    truth, answer = [0, 0, 1, 1], [0, 1, 1, 255]
    return {
        "results": {"int8": classification(truth, answer, ["a", "b"]).to_json()},
        "groups": {
            "SNR": [g.to_json() for g in by_bin(truth, answer, [1.0, 2.0, 8.0, 9.0], [0, 6, 12], unit="dB")],
            "severity": [],
        },
        "calibration": calibration([0, 1], [[0.9, 0.1], [0.4, 0.6]]).to_json(),
    }


def strip() -> Strip:
    return Strip("Window 1", "truth a", np.arange(-500, 500, dtype=np.int16), 250)


def test_an_evaluation_is_drawn_as_one_picture_a_question(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    made = save_evaluation(evaluation(), tmp_path / "plots")
    assert [p.name for p in made] == ["confusion_int8.png", "accuracy_by_snr.png", "calibration.png"]
    assert all(p.read_bytes().startswith(PNG) for p in made)
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == sorted(p.name for p in made)


def test_strips_are_drawn_in_the_format_of_the_suffix(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    save_strips([strip()] * 3, tmp_path / "strips.svg")
    assert "<svg" in (tmp_path / "strips.svg").read_text(encoding="utf-8")


def test_another_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(EcgEdgeError, match=r"png, svg, pdf, not 'bmp'"):
        save_strips([strip()], tmp_path / "strips.bmp")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_matplotlib_is_asked_for_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # what import sees when it is not installed
    with pytest.raises(EcgEdgeError, match=r"pip install 'ecg-edge\[report\]'"):
        save_evaluation(evaluation(), tmp_path)


def points() -> list[Point]:
    figures = {"small": (900, 100), "middle": (500, 200), "beaten": (600, 300), "fast": (100, 900)}
    return [Point("m", "cortex-m4", name, *figure, ours=True) for name, figure in figures.items()]


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    assert [point.label for point in pareto_front(points()[::-1])] == ["small", "middle", "fast"]


def test_engines_are_drawn_by_what_they_cost(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    save_pareto(points(), tmp_path / "engine.png")
    assert (tmp_path / "engine.png").read_bytes().startswith(PNG)
