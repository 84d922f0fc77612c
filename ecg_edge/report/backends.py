"""What a comparison of backends says, as text and as the marks of a chart. Layer: report; imports report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecg_edge.report.render import DISCLAIMER, number, percent, text_table
from ecg_edge.report.svg import lsb_bars


def backends_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge bench --backends` prints: the verdict first, then the evidence."""
    model, host = report["model"], report["provenance"]["machine"]
    head = [
        f"{'PASS' if report['verdict']['passed'] else 'FAIL'}  {report['verdict']['text']}",
        f"model   {model['name']} {model['version']}, sha256 {model['sha256'][:12]}",
        f"host    {host['processor']}, {host['cores']} cores, {host['system']}",
        *([f"        emulated {host['emulated']}"] if "emulated" in host else []),
        f"signal  {report['source']['text']}",
        *([f"        {report['source']['citation']}"] if report["source"]["citation"] else []),
    ]
    missing = [f"{name}: {why}" for name, why in report["missing"].items()]
    return "\n\n".join(
        part
        for part in ("\n".join(head), _cost_text(report), _answers_text(report), "\n".join([*missing, DISCLAIMER]))
        if part
    )


def microseconds(value: float) -> str:
    """A time that Python measured: no digit after the point means anything from 100 us on."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def mebibytes(value: int | None) -> str:
    """Bytes as MiB; "-" where nobody knows."""
    return "-" if value is None else f"{value / 2**20:.1f}"


def times(value: float | None) -> str:
    """How many times another."""
    return "-" if value is None else f"{value:.2f}"


def _cost_text(report: Mapping[str, Any]) -> str:
    header = ["us a window", "p50", "p95", "p99", "max", "native = 1", "windows/s", "load ms", "MiB more"]
    rows = []
    for row in report["backends"]:
        t = row["latency_us"]
        rows.append(
            [
                row["name"],
                *(microseconds(t[name]) for name in ("p50", "p95", "p99", "max")),
                times(row["over_native"]),
                number(round(row["windows_per_s"])),
                "-" if row["load_s"] is None else number(round(1000 * row["load_s"])),
                mebibytes(row["memory_bytes"]),
            ]
        )
    return text_table(header, rows)


def _answers_text(report: Mapping[str, Any]) -> str:
    header = ["golden model", "has to be", "identical", "", "flips", "clear", "scores off, LSB"]
    rows = []
    for row in report["backends"]:
        a = row["agreement"]
        off = [f"{bar.label}: {bar.count:,}" for bar in lsb_bars(a["lsb_histogram"])[1:] if bar.count]
        rows.append(
            [
                row["name"],
                "exact" if row["exact"] else "close",
                f"{a['identical']:,} of {a['windows']:,}",
                percent(a["identical_share"]["value"]),
                number(a["argmax_flips"]),
                number(a["clear_flips"]),
                ", ".join(off) or "none",
            ]
        )
    return text_table(header, rows)


@dataclass(frozen=True, slots=True)
class Rail:
    """The time of a window under one backend, on a logarithmic rail: places from 0 to 1."""

    name: str
    exact: bool
    p50: float
    p99: float
    text: str


def rails(report: Mapping[str, Any]) -> tuple[tuple[Rail, ...], tuple[str, str]]:
    """Every backend's rail, and what the two ends of all rails stand for: whole powers of ten."""
    told = [(row, row["latency_us"]["p50"], row["latency_us"]["p99"]) for row in report["backends"]]
    low = math.floor(math.log10(min(p50 for _, p50, _ in told)))
    high = max(low + 1, math.ceil(math.log10(max(p99 for _, _, p99 in told))))

    def place(value: float) -> float:
        return (math.log10(value) - low) / (high - low)

    made = tuple(
        Rail(row["name"], row["exact"], place(p50), place(p99), f"{microseconds(p50)} us") for row, p50, p99 in told
    )
    return made, (f"{10.0**low:,g} us", f"{10.0**high:,g} us")
