"""A bench report as Markdown, for pull requests and issue trackers. Layer: report; imports report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecg_edge.report.render import DISCLAIMER, PAIR_TITLES, number, percent


def bench_markdown(report: Mapping[str, Any]) -> str:
    """The verdict first, then the evidence; the same figures as report.json."""
    model, device, source = report["model"], report["device"], report["source"]
    engine = f"{device['engine']} {device['engine_version']}".strip()
    parts = [
        f"# {'PASS' if report['verdict']['passed'] else 'FAIL'}: {report['verdict']['text']}",
        f"- model: {model['name']} {model['version']}, sha256 `{model['sha256'][:12]}`\n"
        f"- device: `{device['url']}`, {device['board']}, engine {engine}"
        + (f"; **{device['note']}**" if device["note"] else "")
        + f"\n- signal: {source['text']}"
        + (f"\n- {source['citation']}" if source["citation"] else ""),
        "## Agreement",
        _pairs(report["pairs"]),
    ]
    if report["results"]:
        parts += ["## Against the truth", _results(report["results"])]
    parts += ["## Latency and link", _latency(report), "## Size against the boards", _sizes(report["sizes"])]
    parts += ["## Provenance", _facts(report["provenance"]), f"*{DISCLAIMER}*"]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; a bar in a cell is escaped."""
    lines = [list(header), ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _pairs(pairs: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["pair", "windows", "identical", "argmax flips", "largest LSB", "acc", "rmse", "cos"]
    rows = [
        [
            PAIR_TITLES.get(name, name),
            number(p["windows"]),
            number(p["identical"]),
            number(p["argmax_flips"]),
            number(p["max_abs_lsb"]),
            percent(p["acc"]),
            number(p["rmse"]),
            number(p["cos"]),
        ]
        for name, p in pairs.items()
    ]
    return table(header, rows)


def _results(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            percent(r["accuracy"]),
            f"{percent(r['accuracy_ci95'][0])} to {percent(r['accuracy_ci95'][1])}",
            number(r["abstained"]),
        ]
        for name, r in results.items()
    ]
    return table(["answer", "accuracy", "95 %", "abstained"], rows)


def _latency(report: Mapping[str, Any]) -> str:
    t, link = report["latency_us"], report["link"]
    rows = [
        ["verdict, device clock, p50 / p95 / max", f"{number(t['p50'])} / {number(t['p95'])} / {number(t['max'])} us"],
        ["link", f"{number(link['bytes_per_s'])} bytes/s, {number(link['windows_per_s'])} windows/s"],
        ["repeats / losses / CRC errors", " / ".join(number(link[k]) for k in ("repeats", "losses", "crc_errors"))],
    ]
    return table(["what", "figure"], rows)


def _sizes(sizes: Mapping[str, Any]) -> str:
    engines = sizes["engines"]
    header = ["board", "flash", "RAM"]
    header += [f"{e}: {number(n['flash_bytes'])} + {number(n['ram_bytes'])}" for e, n in engines.items()]
    rows = [
        [
            b["board"],
            number(b["flash_bytes"]),
            number(b["ram_bytes"]),
            *("fits" if b["fits"][e] else "too big" for e in engines),
        ]
        for b in sizes["boards"]
    ]
    return f"model.tflite: {number(sizes['model_bytes'])} bytes; {sizes['note']}.\n\n{table(header, rows)}"


def _facts(facts: Mapping[str, Any]) -> str:
    rows = [
        [key, ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value]
        for key, value in facts.items()
    ]
    return table(["what", "value"], rows)
