"""report/loopback.py: what a line carries is rounded down, and a chart holds every point."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_edge.report.html import loopback_html
from ecg_edge.report.loopback import Series, carries_lines, chart, loopback_text, rate_series, trip_series

NONE = {"lost": 0, "damaged": 0}


def made_lap(size: int, depth: int, *, back: int = 10, **errors: int) -> dict[str, Any]:
    return {
        "payload_bytes": size,
        "wire_bytes": size + 15.0,
        "depth": depth,
        "sent": 10,
        "back": back,
        "frames_per_s": 100.0 * back,
        "bytes_per_s": 100.0 * back * (size + 15),
        "payload_bytes_per_s": 100.0 * back * size,
        "share_of_baud": None,
        "round_trip_us": {"p50": 1500.0, "p95": 2000.0, "p99": 2500.0, "max": 9000.0} if back else None,
        "errors": NONE | errors,
    }


def made_report(*laps: dict[str, Any], windows: dict[str, Any] | None = None) -> dict[str, Any]:
    carries = {
        "model": "<ecg>",
        "fs_hz": 250,
        "hop": 256,
        "windows": windows or {"windows_per_s": 5.0899, "bytes_out": 2265.0, "bytes_in": 289.0},
        "stream": {"live_leads": 21.79, "bytes_out": 550.6, "bytes_in": 82.7},
    }
    run = {"baud": None, "note": "", "bytes_per_s": 1.0, "share_of_baud": None, "laps": list(laps), "carries": carries}
    return {
        "verdict": {"passed": True, "text": "all came back"},
        "line": {"url": "<pty>", "note": "a note", "depth": 8},
        "runs": [run],
        "provenance": {"machine": {"processor": "a processor", "cores": 2, "system": "a system"}},
    }


def test_what_a_line_carries_is_rounded_down() -> None:
    windows, leads = carries_lines(made_report()["runs"][0])
    assert windows.startswith("carries 5.08 isolated windows/s of <ecg>: 2,265 bytes out and 289 back")
    assert leads.startswith("carries 21.7 live leads at 250 Hz")


@pytest.mark.parametrize(("value", "shown"), [(0.0199, "0.01"), (9.999, "9.99"), (10.09, "10.0"), (1234.9, "1,234")])
def test_a_rate_has_as_many_digits_as_it_is_worth(value: float, shown: str) -> None:
    report = made_report(windows={"windows_per_s": value, "bytes_out": 1.0, "bytes_in": 1.0})
    assert carries_lines(report["runs"][0])[0].startswith(f"carries {shown} isolated")


def test_a_reason_takes_the_place_of_a_figure() -> None:
    report = made_report(windows={"reason": "the line: too slow"})
    assert carries_lines(report["runs"][0])[0] == "carries no isolated windows of <ecg>: the line: too slow"


def test_a_line_without_a_rate_carries_nothing() -> None:
    assert carries_lines({"carries": None}) == ["carries nothing: too little came back to tell its rate"]


def test_errors_are_a_table_of_the_laps_that_had_some() -> None:
    laps = [made_lap(8, 1), made_lap(8, 8, back=7, lost=3), made_lap(64, 1), made_lap(64, 8)]
    text = loopback_text(made_report(*laps))
    errors = text[text.index("frame errors") :]
    assert "8 bytes, 8 on the way    10     7     3        0" in errors
    assert "64 bytes" not in errors


def test_a_lap_of_which_nothing_came_back_is_a_row_of_dashes_and_no_point() -> None:
    laps = [made_lap(8, 1, back=0, lost=10), made_lap(8, 8), made_lap(64, 1), made_lap(64, 8)]
    report = made_report(*laps)
    assert [len(series.points) for series in rate_series(report)] == [2, 1]
    assert [len(series.points) for series in trip_series(report)] == [1, 1]
    row = next(line for line in loopback_text(report).splitlines() if line.startswith("8 bytes"))
    assert row.split()[3:7] == ["-"] * 4


def test_a_chart_holds_every_point_between_its_ticks() -> None:
    series = [Series("a", ((8, 90.0), (256, 40_000.0))), Series("b", ((64, 7.0),))]
    drawn = chart(series)
    assert drawn is not None
    assert [tick.text for tick in drawn.y_ticks] == ["1", "10", "100", "1,000", "10,000", "100,000"]
    assert [tick.text for tick in drawn.x_ticks] == ["8", "64", "256"]
    assert (drawn.y_ticks[0].at, drawn.y_ticks[-1].at) == (drawn.height, 0.0)
    for curve in drawn.curves:
        assert all(0 <= x <= drawn.width and 0 <= y <= drawn.height for x, y in curve.points)
    assert drawn.curves[0].points[0][0] == 0.0
    assert drawn.curves[0].points[1][0] == drawn.width


def test_a_chart_of_one_point_and_of_an_empty_payload_can_be_drawn() -> None:
    assert chart([Series("a", ((0, 5.0),))]) is not None
    assert chart([Series("a", ())]) is None
    assert chart([Series("a", ((8, 0.0),))]) is None


def test_the_page_escapes_what_the_user_named() -> None:
    page = loopback_html(made_report(made_lap(8, 1), made_lap(8, 8)))
    assert "&lt;pty&gt;" in page
    assert "<pty>" not in page
    assert "<ecg>" not in page
