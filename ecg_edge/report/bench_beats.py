"""The report of a bench run of a model of beats, for a terminal. Layer: report; a pure function of the JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_edge.report.render import DISCLAIMER, bench_head, line_text, number, text_table


def beats_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge bench` prints: the verdict first, then the evidence."""
    parts = [bench_head(report), answers_table(report)]
    if not report["verdict"]["passed"]:
        parts += [differing_text(report["beats"]), examples_table(report["examples"])]
    return "\n\n".join([*parts, _tail(report)])


def answers_table(report: Mapping[str, Any]) -> str:
    """How many beats of each class both found."""
    names = [*report["model"]["classes"], "abstained"]
    rows = [
        [f"{who} ({'in Python' if who == 'golden' else 'as it answered'})", number(sum(said.values()))]
        + [number(said[name]) for name in names]
        for who, said in report["answers"].items()
    ]
    return text_table(["beats", "all", *names], rows)


def differing_text(beats: Mapping[str, Any]) -> str:
    """In what beats differ that both have."""
    found = [f"{name} in {number(count)}" for name, count in beats["differing"].items() if count]
    return f"of those that both have, {', '.join(found) if found else 'none'} differ"


def examples_table(examples: Mapping[str, Any]) -> str:
    """The beats that are shown, and what each said."""
    rows = [[beat["time"], *(_said(beat[who]) for who in ("golden", "device"))] for beat in examples["beats"]]
    return text_table(["R peak", "golden", "device"], rows)


def _said(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "no beat"
    return f"{answer['verdict']} {answer['scores']}, RR {answer['rr']}, {answer['state']}"


def _tail(report: Mapping[str, Any]) -> str:
    t, link = report["latency_us"], report["link"]
    note = f"; {report['device']['note']}" if report["device"]["note"] else ""
    lines = []
    if t:
        times = f"{number(t['p50'])} us p50, {number(t['p95'])} us p95, {number(t['max'])} us max"
        lines.append(f"latency {times} from beat to beat (device clock{note})")
    speed = f"{number(link['bytes_per_s'])} bytes/s, {number(link['times_real_time'])} times real time"
    return "\n".join([*lines, f"link    {speed}; {line_text(link)}", DISCLAIMER])
