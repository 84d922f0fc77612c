"""Reports as one self-contained HTML page. Layer: report; imports errors, report and jinja2.

The page carries its style and drawings with it, asks no server for anything and runs no script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from ecg_edge.report import backends, ec57_text, loopback, svg
from ecg_edge.report.render import DISCLAIMER, PAIR_TITLES, number, percent, points

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Answer:
    """One column under a strip: who answered, with what, and the scores as shares of 1."""

    name: str
    verdict: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """One window, drawn as on ECG paper."""

    title: str
    note: str
    samples_uv: NDArray[np.int16]  # (n,)
    fs_hz: int
    answers: tuple[Answer, ...] = ()

    @property
    def path(self) -> svg.Path:
        return svg.ecg_path(self.samples_uv, self.fs_hz)


def bench_html(
    report: Mapping[str, Any],
    strips: Sequence[Strip],
    latency_us: Sequence[float],
    timeline: svg.Timeline | None = None,
) -> str:
    """The page of a bench run.

    Args:
        report: the bench report, as in report.json.
        strips: windows to show: disagreements first, or else typical ones.
        latency_us: (n,) device-clock time of every verdict, for the histogram.
        timeline: of a long recording.
    """
    times = svg.time_bars(latency_us) if len(latency_us) else []
    return _page("bench.html.j2", report=report, strips=strips, times=times, timeline=timeline)


def beats_html(
    report: Mapping[str, Any], strips: Sequence[Strip], latency_us: Sequence[float], timeline: svg.Timeline
) -> str:
    """The page of a bench run of a model of beats.

    Args:
        report: as in its report.json.
        strips: beats to show.
        latency_us: (n,) device-clock time from beat to beat, for the histogram.
        timeline: of the recording.
    """
    times = svg.time_bars(latency_us) if len(latency_us) else []
    return _page("bench_beats.html.j2", report=report, strips=strips, times=times, timeline=timeline)


def evaluation_html(report: Mapping[str, Any], strips: Sequence[Strip] = ()) -> str:
    """The page of an evaluation.

    Args:
        report: `title`, `source`, `model` {name, version, sha256, classes}, `results` {name: Classification.to_json()},
            and where there are any `groups` {title: [Group.to_json()]}, `calibration`, `changes` (int8 against float),
            `pair` (the agreement of both), `provenance`.
        strips: windows to show.
    """
    optional: dict[str, Any] = {"groups": {}, "calibration": None, "changes": None, "pair": None, "provenance": {}}
    return _page("evaluate.html.j2", report={**optional, **report}, strips=strips)


def ec57_html(report: Mapping[str, Any]) -> str:
    """The page of an evaluation by EC57.

    Args:
        report: as in its report.json.
    """
    return _page(
        "ec57.html.j2",
        report=report,
        titles=ec57_text.TITLES,
        names=ec57_text.FIGURES,
        counts=ec57_text.counts,
        span=ec57_text.span,
    )


def loopback_html(report: Mapping[str, Any]) -> str:
    """The page of a loopback benchmark.

    Args:
        report: as in its report.json.
    """
    return _page(
        "loopback.html.j2",
        report=report,
        rates=loopback.chart(loopback.rate_series(report)),
        trips=loopback.chart(loopback.trip_series(report)),
        baud_name=loopback.baud_name,
        depth_name=loopback.depth_name,
        carries_lines=loopback.carries_lines,
    )


def backends_html(report: Mapping[str, Any]) -> str:
    """The page of a comparison of backends.

    Args:
        report: as in its report.json.
    """
    return _page(
        "backends.html.j2",
        report=report,
        rails=backends.rails(report),
        microseconds=backends.microseconds,
        mebibytes=backends.mebibytes,
        times=backends.times,
    )


def _page(template: str, **values: Any) -> str:
    # StrictUndefined: a key that the page expects and the report lacks is a bug, not an empty cell.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {"percent": percent, "points": points, "number": number}
    environment.filters.update(filters)
    environment.globals.update(lsb_bars=svg.lsb_bars, pair_titles=PAIR_TITLES, disclaimer=DISCLAIMER)
    return environment.get_template(template).render(**values) + "\n"
