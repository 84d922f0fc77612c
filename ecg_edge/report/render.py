"""Reports as text. Layer: report; imports errors and report.

A bench report is one JSON object (its keys are a promise to scripts); text and HTML are pure functions of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecg_edge.report.metrics import Calibration, Classification, Group

DISCLAIMER = "Research use; not a medical device."


def percent(value: float | None, digits: int = 2) -> str:
    """0.98765 -> "98.77 %". Only all is "100.00 %" and only nothing is "0.00 %": rounding must not hide one miss."""
    if value is None or not math.isfinite(value):
        return "-"
    step = 10.0**-digits
    shown = round(100 * value, digits)
    if shown >= 100 and value < 1:
        shown = 100 - step
    if shown == 0 and value != 0:
        shown = math.copysign(step, value)
    return f"{shown:.{digits}f} %"


def points(value: float | None, digits: int = 2) -> str:
    """A difference of two shares, in percentage points, with its sign."""
    return "-" if value is None or not math.isfinite(value) else f"{100 * value + 0.0:+.{digits}f}"


def number(value: float | None) -> str:
    """Thousands with commas; small numbers with three significant digits."""
    if value is None or not math.isfinite(value):
        return "-"
    if float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns with two spaces between; the first flush left, the others flush right."""
    cells = [[str(c) for c in row] for row in [header, *rows]]
    assert len({len(row) for row in cells}) == 1, "every row has as many cells as the header"
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def classification_text(result: Classification) -> str:
    """Per class and in all, with 95 % intervals: what scikit-learn's classification_report shows, and abstentions."""
    rows = [
        [
            c.name,
            percent(c.precision.value),
            percent(c.recall.value),
            f"{percent(c.recall.low, 1)} to {percent(c.recall.high, 1)}",
            f"{c.f1:.4f}" if math.isfinite(c.f1) else "-",
            number(c.support),
        ]
        for c in result.per_class
    ]
    a = result.accuracy
    table = text_table(["class", "precision (+P)", "recall (Se)", "95 %", "F1", "windows"], rows)
    return (
        f"{table}\n\n"
        f"accuracy {percent(a.value)} ({number(a.count)} of {number(a.total)}; "
        f"95 %: {percent(a.low)} to {percent(a.high)}), macro F1 {result.macro_f1:.4f}\n"
        f"abstained {number(result.abstained)}, counted as wrong; "
        f"of the answered {percent(result.answered_accuracy.value)} are right"
    )


def confusion_text(result: Classification) -> str:
    """Rows are the truth, columns the answer."""
    short = [_short(name) for name in result.classes]
    rows = [
        [name, *(number(n) for n in row)] for name, row in zip(result.classes, result.confusion.tolist(), strict=True)
    ]
    return text_table(["truth \\ answer", *short, "abstained"], rows)


def groups_text(title: str, groups: Sequence[Group]) -> str:
    """Accuracy by a property of the windows."""
    rows = [
        [
            g.name,
            number(g.accuracy.total),
            percent(g.accuracy.value),
            f"{percent(g.accuracy.low, 1)} to {percent(g.accuracy.high, 1)}",
            number(g.abstained),
        ]
        for g in groups
    ]
    return text_table([title, "windows", "accuracy", "95 %", "abstained"], rows)


def calibration_text(result: Calibration) -> str:
    """How right the answers are that claim to be sure."""
    rows = [
        [f"{percent(low, 0)} to {percent(high, 0)}", number(n), percent(claimed), percent(observed)]
        for low, high, n, claimed, observed in zip(
            result.edges[:-1], result.edges[1:], result.counts, result.claimed, result.observed, strict=True
        )
        if n
    ]
    table = text_table(["top score", "windows", "claimed", "right"], rows)
    return f"{table}\n\nexpected calibration error {percent(result.ece)}"


PAIR_TITLES = {
    "device_vs_golden": "device = int8 golden",
    "host_vs_golden": "host engine = int8 golden",
    "device_vs_float": "device ~ float model",
    "golden_vs_float": "int8 golden ~ float model",
}


def pairs_text(pairs: Mapping[str, Mapping[str, Any]]) -> str:
    """The agreement of each pair of answers, ST Edge AI's columns included."""
    rows = [
        [
            PAIR_TITLES.get(name, name),
            number(p["windows"]),
            number(p["identical"]),
            percent(p["identical_share"]["value"]),
            number(p["argmax_flips"]),
            number(p["max_abs_lsb"]),
            percent(p["acc"]),
            *(number(p[key]) for key in ("rmse", "mae", "l2r")),
            "-" if p["cos"] is None else f"{p['cos']:.6f}",
        ]
        for name, p in pairs.items()
    ]
    header = ["pair", "windows", "identical", "", "flips", "max LSB", "acc", "rmse", "mae", "l2r", "cos"]
    return text_table(header, rows)


def bench_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge bench` prints: the verdict first, then the evidence."""
    parts = [bench_head(report), pairs_text(report["pairs"])]
    parts += [f"{PAIR_TITLES.get(name, name)}: {why}" for name, why in report["pairs_missing"].items()]
    parts += [_flips_text(name, moved) for name, moved in report["flips"].items() if moved]
    if report["results"]:
        parts.append(_results_text(report["results"]))
    if report["mix"]:
        parts.append(mix_text(report["mix"]))
    parts.append(_bench_tail(report))
    return "\n\n".join(parts)


def mix_text(mix: Mapping[str, Any]) -> str:
    """Answers by what the annotations of a record say of each window."""
    header = [mix["title"], "windows", *(_short(name) for name in mix["columns"])]
    rows = [[r["name"], number(r["windows"]), *(number(r["answers"][c]) for c in mix["columns"])] for r in mix["rows"]]
    return f"{text_table(header, rows)}\n{mix['note']}"


def bench_head(report: Mapping[str, Any]) -> str:
    """The verdict, and who was asked what."""
    model, device = report["model"], report["device"]
    engine = f"{device['engine']} {device['engine_version']}".strip()
    lines = [
        f"{'PASS' if report['verdict']['passed'] else 'FAIL'}  {report['verdict']['text']}",
        f"model   {model['name']} {model['version']}, sha256 {model['sha256'][:12]}",
        f"device  {device['url']}: {device['board']}, engine {engine}, firmware {device['firmware']}",
    ]
    if device["note"]:
        lines.append(f"        {device['note']}")
    lines.append(f"signal  {report['source']['text']}")
    if report["source"]["citation"]:
        lines.append(f"        {report['source']['citation']}")
    return "\n".join(lines)


def _flips_text(pair: str, moved: Sequence[Mapping[str, Any]]) -> str:
    rows = [[f"{m['from']} -> {m['to']}", number(m["windows"])] for m in moved]
    return text_table([f"verdicts that changed: {PAIR_TITLES.get(pair, pair)}", "windows"], rows)


def _results_text(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            percent(r["accuracy"]),
            f"{percent(r['accuracy_ci95'][0])} to {percent(r['accuracy_ci95'][1])}",
            "-" if r["macro_f1"] is None else f"{r['macro_f1']:.4f}",
            number(r["abstained"]),
        ]
        for name, r in results.items()
    ]
    return text_table(["answer", "accuracy", "95 %", "macro F1", "abstained"], rows)


def _bench_tail(report: Mapping[str, Any]) -> str:
    t, link = report["latency_us"], report["link"]
    clock = "device clock" + (f"; {report['device']['note']}" if report["device"]["note"] else "")
    return "\n".join(
        [
            f"latency {number(t['p50'])} us p50, {number(t['p95'])} us p95, {number(t['max'])} us max ({clock})",
            f"link    {number(link['bytes_per_s'])} bytes/s, {number(link['windows_per_s'])} windows/s; "
            f"{line_text(link)}",
            DISCLAIMER,
        ]
    )


def line_text(link: Mapping[str, Any]) -> str:
    """What went wrong on the line."""
    return (
        f"{number(link['repeats'])} repeats, {number(link['losses'])} losses, {number(link['resets'])} resets, "
        f"{number(link['replugs'])} replugs, {number(link['crc_errors'])} CRC errors"
    )


def _short(name: str, most: int = 12) -> str:
    """A class name that fits a column: initials of all but the last word when it is long."""
    if len(name) <= most:
        return name
    *front, last = name.split()
    return " ".join([*(w[0] + "." if len(w) > 2 else w for w in front), last])[: most + 4]
