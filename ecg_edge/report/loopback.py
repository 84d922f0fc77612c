"""What a loopback benchmark says, as text and as the lines of a chart. Layer: report; imports report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecg_edge.report.render import number, percent, text_table

ONE_AT_A_TIME = 1


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart: what it is, and its points."""

    name: str
    points: tuple[tuple[float, float], ...]  # payload bytes, value


def rate_series(report: Mapping[str, Any]) -> list[Series]:
    """Payload bytes a second by frame size, one line for each baud rate and depth."""
    return [
        Series(
            f"{baud_name(run)}{depth_name(depth)}",
            tuple((lap["payload_bytes"], lap["payload_bytes_per_s"]) for lap in laps_of(run, depth) if lap["back"]),
        )
        for run in report["runs"]
        for depth in (report["line"]["depth"], ONE_AT_A_TIME)
    ]


def trip_series(report: Mapping[str, Any]) -> list[Series]:
    """Round trips of single frames in ms by frame size, one line for each baud rate and percentile."""
    return [
        Series(
            f"{baud_name(run)}{percentile}",
            tuple(
                (lap["payload_bytes"], lap["round_trip_us"][percentile] / 1000)
                for lap in laps_of(run, ONE_AT_A_TIME)
                if lap["round_trip_us"]
            ),
        )
        for run in report["runs"]
        for percentile in ("p50", "p99")
    ]


def laps_of(run: Mapping[str, Any], depth: int) -> list[Mapping[str, Any]]:
    """The laps with so many frames on the way, by size."""
    return [lap for lap in run["laps"] if lap["depth"] == depth]


def baud_name(run: Mapping[str, Any]) -> str:
    """How to call one of several runs in a legend."""
    return "" if run["baud"] is None else f"{run['baud']:,} baud, "


def depth_name(depth: int) -> str:
    """How to call a depth."""
    return "one at a time" if depth == ONE_AT_A_TIME else f"{depth} on the way"


def loopback_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge loopback` prints: the verdict first, then the evidence."""
    verdict, line = report["verdict"], report["line"]
    host = report["provenance"]["machine"]
    head = [
        f"{'PASS' if verdict['passed'] else 'FAIL'}  {verdict['text']}",
        f"line  {line['url']}: {line['note']}",
        f"host  {host['processor']}, {host['cores']} cores, {host['system']}",
    ]
    return "\n\n".join(["\n".join(head), *(_run_text(run, line["depth"]) for run in report["runs"])])


def _run_text(run: Mapping[str, Any], depth: int) -> str:
    baud = "as fast as it goes" if run["baud"] is None else f"{run['baud']:,} baud"
    title = f"{baud} ({run['note']})" if run["note"] else baud
    return "\n".join([title, _sizes_text(run, depth), *carries_lines(run), *_errors_lines(run)])


def _sizes_text(run: Mapping[str, Any], depth: int) -> str:
    header = ["payload", "frame", "p50", "p95", "p99", "max us", "bytes/s", f"{depth} on the way", "payload", "of baud"]
    rows = []
    for one, many in zip(laps_of(run, ONE_AT_A_TIME), laps_of(run, depth), strict=True):
        trips = one["round_trip_us"] or {}
        rows.append(
            [
                f"{one['payload_bytes']} bytes",
                f"{one['wire_bytes']:.0f}",
                *(_us(trips.get(name)) for name in ("p50", "p95", "p99", "max")),
                number(round(one["bytes_per_s"])),
                number(round(many["bytes_per_s"])),
                number(round(many["payload_bytes_per_s"])),
                percent(many["share_of_baud"], 1),
            ]
        )
    return text_table(header, rows)


def _us(value: float | None) -> str:
    return "-" if value is None else number(round(value))


def carries_lines(run: Mapping[str, Any]) -> list[str]:
    """What the line carries for the model, a sentence each."""
    carries = run["carries"]
    if carries is None:
        return ["carries nothing: too little came back to tell its rate"]
    windows, stream = carries["windows"], carries["stream"]
    name, fs_hz = carries["model"], carries["fs_hz"]
    lines = []
    if "reason" in windows:
        lines.append(f"carries no isolated windows of {name}: {windows['reason']}")
    else:
        each = f"{windows['bytes_out']:,.0f} bytes out and {windows['bytes_in']:,.0f} back for each"
        lines.append(f"carries {_rate(windows['windows_per_s'])} isolated windows/s of {name}: {each}")
    if "reason" in stream:
        lines.append(f"carries no live lead of {name}: {stream['reason']}")
    else:
        each = f"{stream['bytes_out']:,.0f} bytes out and {stream['bytes_in']:,.0f} back for each hop"
        lines.append(f"carries {_rate(stream['live_leads'])} live leads at {fs_hz} Hz: {each} of {carries['hop']}")
    return lines


def _rate(value: float) -> str:
    """Rounded down: what is promised must fit."""
    step = 1.0 if value >= 100 else 0.1 if value >= 10 else 0.01
    shown = math.floor(value / step + 1e-9) * step
    return f"{shown:,.{0 if step == 1.0 else 1 if step == 0.1 else 2}f}"


def _errors_lines(run: Mapping[str, Any]) -> list[str]:
    names = list(run["laps"][0]["errors"])
    bad = [lap for lap in run["laps"] if any(lap["errors"].values())]
    if not bad:
        return []
    rows = [
        [f"{lap['payload_bytes']} bytes, {depth_name(lap['depth'])}", number(lap["sent"]), number(lap["back"])]
        + [number(lap["errors"][name]) for name in names]
        for lap in bad
    ]
    return ["", text_table(["frame errors", "sent", "back", *names], rows)]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, in the chart's units, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A series as points of a chart."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over frame sizes, both axes logarithmic, in a box of WIDTH x HEIGHT units."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: float = 100.0
    height: float = 56.0


def chart(series: Sequence[Series]) -> Chart | None:
    """Lay series out; None when there is nothing to show. An empty payload is drawn as one of 1 byte."""
    points = [point for one in series for point in one.points if point[1] > 0]
    if not points:
        return None
    sizes = sorted({x for x, _ in points})
    left, right = _log(sizes[0]), max(_log(sizes[-1]), _log(sizes[0]) + 1)
    low = math.floor(math.log10(min(y for _, y in points)))
    high = max(low + 1, math.ceil(math.log10(max(y for _, y in points))))
    box = Chart((), (), ())

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            box.width * (_log(x) - left) / (right - left),
            box.height * (1 - (math.log10(y) - low) / (high - low)),
        )

    return Chart(
        tuple(Curve(one.name, tuple(place(x, y) for x, y in one.points if y > 0)) for one in series),
        tuple(Tick(place(size, 10.0**low)[0], f"{size:g}") for size in sizes),
        tuple(Tick(place(sizes[0], 10.0**power)[1], _power(power)) for power in range(low, high + 1)),
    )


def _log(size: float) -> float:
    return math.log2(max(1.0, size))


def _power(power: int) -> str:
    if power >= 6:
        return f"{10 ** (power - 6):,} M"
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
