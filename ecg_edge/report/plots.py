"""Plots as image files, for papers and slides. Layer: report; imports errors and files; the one door to matplotlib.

The HTML reports do not need these. matplotlib comes with the extra `[report]` and is imported when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import replacing_file
from ecg_edge.report.ec57_text import FIGURES, TITLES
from ecg_edge.report.html import Strip
from ecg_edge.report.loopback import Series, rate_series, trip_series
from ecg_edge.report.noise import COLUMNS as NOISE_COLUMNS
from ecg_edge.report.noise import figure_of, lines_of, records_text
from ecg_edge.report.render import percent

FORMATS = ("png", "svg", "pdf")
COLUMNS = 2  # of strips


def save_evaluation(report: Mapping[str, Any], folder: Path, *, suffix: str = "png") -> list[Path]:
    """Draw an evaluation: a confusion matrix for each answer, accuracy for each grouping, the scores' calibration.

    Args:
        report: as html.evaluation_html() takes it.
        folder: where to; it is made.
        suffix: one of FORMATS.

    Returns:
        the files, each written whole.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(suffix)
    made = []
    for name, result in report["results"].items():
        made.append(_save(_confusion(name, result), folder / f"confusion_{_slug(name)}.{suffix}"))
    for title, groups in report.get("groups", {}).items():
        if groups:
            made.append(_save(_accuracy(title, groups), folder / f"accuracy_by_{_slug(title)}.{suffix}"))
    if report.get("calibration"):
        made.append(_save(_calibration(report["calibration"]), folder / f"calibration.{suffix}"))
    return made


def save_ec57(report: Mapping[str, Any], folder: Path, *, suffix: str = "png") -> list[Path]:
    """Draw an evaluation by EC57: the confusion of beats, and sensitivity and +P of every recording.

    Args:
        report: as in its report.json.
        folder: where to; it is made.
        suffix: one of FORMATS.

    Returns:
        the files, each written whole.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(suffix)
    return [
        _save(_beat_confusion(report["confusion"]), folder / f"confusion.{suffix}"),
        _save(_recordings(report), folder / f"recordings.{suffix}"),
    ]


def save_strips(strips: Sequence[Strip], path: Path) -> None:
    """Draw ECG strips one under the other on paper of 25 mm/s and 10 mm/mV.

    Args:
        strips: at least one.
        path: its suffix is one of FORMATS.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(path.suffix.removeprefix("."))
    rows = -(-len(strips) // COLUMNS)
    figure = _new_figure(7.0 * COLUMNS, 2.3 * rows)
    for place, strip in enumerate(strips, 1):
        _draw_strip(figure.add_subplot(rows, COLUMNS, place), strip)
    _save(figure, path)


@dataclass(frozen=True, slots=True)
class Point:
    """One engine on one core, in a plot of what it costs."""

    group: str  # one picture each
    series: str  # one colour each
    label: str
    instructions: int
    ram_bytes: int
    ours: bool


def save_pareto(points: Sequence[Point], path: Path) -> None:
    """Draw instructions against RAM, both on log axes: less of both is better. The front of each picture is joined.

    Args:
        points: at least one.
        path: its suffix is one of FORMATS.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(path.suffix.removeprefix("."))
    groups = list(dict.fromkeys(point.group for point in points))
    figure = _new_figure(5.2 * len(groups), 4.6)
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(point.series for point in points))}
    for place, group in enumerate(groups, 1):
        axes = figure.add_subplot(1, len(groups), place)
        _draw_pareto(axes, [point for point in points if point.group == group], colours)
        axes.set(title=group, xlabel="RAM, bytes", ylabel="instructions (emulated) a window")
    _save(figure, path)


def save_loopback(report: Mapping[str, Any], path: Path) -> None:
    """Draw what a line gave back: payload a second and round trips, by frame size, on log axes.

    Args:
        report: of a loopback benchmark, as in its report.json.
        path: its suffix is one of FORMATS.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(path.suffix.removeprefix("."))
    figure = _new_figure(11.0, 4.6)
    sizes = sorted({lap["payload_bytes"] for run in report["runs"] for lap in run["laps"]})
    for place, (series, title) in enumerate(
        ((rate_series(report), "payload bytes a second, one way"), (trip_series(report), "round trip, ms")), 1
    ):
        axes = figure.add_subplot(1, 2, place)
        _draw_series(axes, series)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set(xlabel="payload of a frame, bytes", ylabel=title)
    figure.suptitle(f"Loopback of {report['line']['url']} ({report['line']['note']})", fontsize=9)
    _save(figure, path)


def save_backends(report: Mapping[str, Any], path: Path) -> None:
    """Draw the time of a window under each backend, p50 to p99 on a log axis, beside how far its scores are off.

    Args:
        report: of a comparison of backends, as in its report.json.
        path: its suffix is one of FORMATS.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(path.suffix.removeprefix("."))
    rows = report["backends"]
    figure = _new_figure(11.0, 1.6 + 0.45 * len(rows))
    times, scores = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        t, lsb = row["latency_us"], row["agreement"]["lsb_histogram"]
        times.plot([t["p50"], t["p99"]], [place, place], color="C0" if row["exact"] else "C1", linewidth=3, alpha=0.5)
        times.plot([t["p50"]], [place], "o", color="C0" if row["exact"] else "C1")
        steps, counts = [int(d) for d in lsb], np.array(list(lsb.values()))
        scores.scatter(steps, [place] * len(steps), 12 * np.log1p(counts), color="C0" if row["exact"] else "C1")
    times.set_yticks(range(len(rows)), [f"{row['name']}{' (exact)' if row['exact'] else ''}" for row in rows])
    times.invert_yaxis()
    for axes in (times, scores):
        axes.grid(axis="x", which="both", alpha=0.2)
    times.set(xscale="log", xlabel="microseconds a window, p50 (dot) to p99")
    scores.set(xlabel="scores off by LSB; the more, the larger (log)")
    figure.suptitle(f"{report['model']['name']}: {report['source']['text']}", fontsize=9)
    _save(figure, path)


def save_noise(report: Mapping[str, Any], path: Path) -> None:
    """Draw a noise stress test: each figure against SNR, a line for each kind of noise, the clean figure dotted.

    Args:
        report: as `ecg-edge noise --json` prints it.
        path: its suffix is one of FORMATS.

    Raises:
        EcgEdgeError: the format is another, or matplotlib is missing.
    """
    _figure_class(path.suffix.removeprefix("."))
    figure = _new_figure(12.0, 8.4)
    for axes, (title, keys) in zip(figure.subplots(3, 3).flat, NOISE_COLUMNS.items(), strict=True):
        for name, points in lines_of(report, keys):
            axes.plot([snr for snr, _ in points], [100 * value for _, value in points], "o-", label=name, markersize=4)
        clean = figure_of(report["clean"], keys)
        if clean is not None:
            axes.axhline(100 * clean, color="gray", linestyle=":", label="clean")
        axes.set(title=title, xlabel="SNR, dB", ylabel="%", ylim=(-3, 103), xticks=report["snr_db"])
        axes.invert_xaxis()  # noise grows to the right
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    m = report["model"]
    figure.suptitle(f"{m['name']} {m['version']} under noise: {records_text(report['leads'])}", fontsize=9)
    _save(figure, path)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, by RAM."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.ram_bytes, p.instructions)):
        if not front or point.instructions < front[-1].instructions:
            front.append(point)
    return front


def _figure_class(suffix: str) -> Any:
    if suffix not in FORMATS:
        raise EcgEdgeError(f"plots can be {', '.join(FORMATS)}, not {suffix!r}")
    try:
        from matplotlib.figure import Figure  # no pyplot: no global state, no display
    except ModuleNotFoundError:
        raise EcgEdgeError("plots need matplotlib: pip install 'ecg-edge[report]'") from None
    return Figure


def _new_figure(width_in: float, height_in: float) -> Any:
    return _figure_class(FORMATS[0])(figsize=(width_in, height_in), dpi=150, layout="constrained")


def _save(figure: Any, path: Path) -> Path:
    with replacing_file(path) as temporary:
        figure.savefig(temporary)
    return path


def _confusion(name: str, result: Mapping[str, Any]) -> Any:
    counts = np.asarray(result["confusion"])
    columns = [*result["classes"], "abstained"]
    if not result["abstained"]:
        counts, columns = counts[:, :-1], columns[:-1]
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _new_figure(1.6 + 0.95 * len(columns), 1.8 + 0.7 * len(result["classes"]))
    axes = figure.add_subplot()
    axes.imshow(part, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(result["classes"])), result["classes"])
    axes.set(xlabel="answer", ylabel="truth", title=f"{name}: accuracy {percent(result['accuracy'])}")
    for (row, column), n in np.ndenumerate(counts):
        axes.text(
            column, row, f"{n:,}", ha="center", va="center", color="white" if part[row, column] > 0.5 else "black"
        )
    return figure


def _beat_confusion(confusion: Mapping[str, Any]) -> Any:
    counts = np.asarray(confusion["counts"])
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _new_figure(5.6, 4.6)
    axes = figure.add_subplot()
    axes.imshow(part, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(counts.shape[1]), confusion["columns"])
    axes.set_yticks(range(counts.shape[0]), confusion["rows"])
    axes.set(xlabel="answered (o: not found, q: abstained)", ylabel="annotated (O: no beat)")
    for (row, column), n in np.ndenumerate(counts):
        dark = part[row, column] > 0.5
        axes.text(column, row, f"{n:,}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
    return figure


def _recordings(report: Mapping[str, Any]) -> Any:
    rows = report["records"]
    figure = _new_figure(10.0, 1.8 + 0.22 * len(rows))
    panels = figure.subplots(1, len(TITLES), sharey=True, squeeze=False)[0]
    for axes, (kind, title) in zip(panels, TITLES.items(), strict=True):
        for figure_name, marker, colour in (("se", "o", "C0"), ("ppv", "D", "C1")):
            known = [
                (100 * row[kind][figure_name], k) for k, row in enumerate(rows) if row[kind][figure_name] is not None
            ]
            axes.plot(
                *zip(*known, strict=True) if known else ([], []), marker, color=colour, label=FIGURES[figure_name]
            )
            if (gross := report[kind]["gross"][figure_name]) is not None:
                axes.axvline(100 * gross, color=colour, alpha=0.4)
        axes.set(xlabel=f"{title}, %")
        axes.grid(alpha=0.2)
    panels[0].set_yticks(range(len(rows)), [row["name"] for row in rows])
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=7)
    figure.suptitle(f"{report['title']}: {report['source']} (lines: gross)", fontsize=9)
    return figure


def _accuracy(title: str, groups: Sequence[Mapping[str, Any]]) -> Any:
    value = np.array([g["accuracy"]["value"] for g in groups])
    low, high = np.array([g["accuracy"]["ci95"] for g in groups]).T
    figure = _new_figure(7.0, 3.6)
    axes = figure.add_subplot()
    axes.errorbar(
        range(len(groups)), 100 * value, yerr=100 * np.stack([value - low, high - value]), fmt="o-", capsize=4
    )
    axes.set_xticks(range(len(groups)), [f"{g['name']}\nn = {g['accuracy']['total']:,}" for g in groups])
    axes.set(ylabel="accuracy, % (with 95 % interval)", title=f"Accuracy by {title}")
    axes.grid(axis="y", alpha=0.3)
    return figure


def _calibration(result: Mapping[str, Any]) -> Any:
    full = [i for i, n in enumerate(result["counts"]) if n]
    figure = _new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="honest")
    axes.plot([result["claimed"][i] for i in full], [result["observed"][i] for i in full], "o-", label="this model")
    axes.set(xlabel="top score", ylabel="share that is right", title=f"Calibration error {percent(result['ece'])}")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def _draw_pareto(axes: Any, points: Sequence[Point], colours: Mapping[str, str]) -> None:
    for series, colour in colours.items():
        some = [point for point in points if point.series == series]
        front = pareto_front(some)
        axes.plot([p.ram_bytes for p in front], [p.instructions for p in front], color=colour, alpha=0.3, zorder=1)
        for ours, marker in ((True, "o"), (False, "s")):
            place = [(p.ram_bytes, p.instructions) for p in some if p.ours == ours]
            if place:
                axes.scatter(*zip(*place, strict=True), color=colour, marker=marker, zorder=2, label=some[0].series)
    for point in points:
        side = 1 if point.ours else -1  # ours lie on the left, where there is room to their right
        axes.annotate(
            point.label,
            (point.ram_bytes, point.instructions),
            (5 * side, 0),
            textcoords="offset points",
            fontsize=6,
            ha="left" if point.ours else "right",
            va="center",
        )
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # one of each name
    axes.legend(handles.values(), handles.keys(), fontsize=7)
    axes.set(xscale="log", yscale="log")
    axes.margins(x=0.3, y=0.1)  # room for the labels
    low, high = axes.get_xlim()
    ticks = [step * 10**power for power in range(8) for step in (1, 2, 5) if low <= step * 10**power <= high]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.grid(which="both", alpha=0.2)


def _draw_series(axes: Any, series: Sequence[Series]) -> None:
    for one in series:
        if one.points:
            axes.plot(*zip(*one.points, strict=True), "o-", label=one.name)
    axes.set_xscale("symlog", base=2, linthresh=1)  # a payload may be empty
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=7)


def _draw_strip(axes: Any, strip: Strip) -> None:
    seconds = np.arange(strip.samples_uv.size) / strip.fs_hz
    level_mv = (strip.samples_uv.astype(np.float64) - np.median(strip.samples_uv)) / 1000
    low, high = np.floor(min(level_mv.min(), -0.8) * 2) / 2, np.ceil(max(level_mv.max(), 1.0) * 2) / 2
    for step, width in ((0.04, 0.2), (0.2, 0.6)):  # a box is as long as 2.5 times its height in mV
        axes.vlines(np.arange(0, seconds[-1] + step, step), low, high, color="#eeb6ae", linewidth=width)
        axes.hlines(np.arange(low, high + step, step * 2.5), 0, seconds[-1], color="#eeb6ae", linewidth=width)
    axes.plot(seconds, level_mv, color="black", linewidth=0.8)
    axes.set(xlim=(0, seconds[-1]), ylim=(low, high), xticks=[], yticks=[])
    axes.set_title(f"{strip.title}  {strip.note}", fontsize=9, loc="left")
    axes.set_aspect(0.4)  # 25 mm/s against 10 mm/mV


def _slug(text: str) -> str:
    return "_".join(text.lower().split())
