"""An EC57 report for a terminal. Layer: report; imports report. A pure function of the JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecg_edge.report.render import DISCLAIMER, number, percent, text_table

TITLES = {"qrs": "QRS", "veb": "VEB", "sveb": "SVEB"}
FIGURES = {"se": "Se", "ppv": "+P", "fpr": "FPR", "f1": "F1"}
SKIPPED_SHOWN = 12
_COLUMNS = [(kind, figure) for kind in TITLES for figure in ("se", "ppv")]


def ec57_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge evaluate --protocol ec57` prints: records, figures, confusion, and what was left out."""
    model = report["model"]
    head = [f"{model['name']} {model['version']}, {report['answered_by']}, on {report['source']}", report["citation"]]
    parts = [
        "\n".join(line for line in (*head, report["protocol"]) if line),
        "\n".join(f"note: {note}" for note in (*report["notes"], f"lead {report['lead']}")),
        records_table(report),
        figures_table(report),
        confusion_table(report["confusion"]),
        coverage_line(report["coverage"]),
        "\n".join(skipped_lines(report["skipped"])),
        DISCLAIMER,
    ]
    return "\n\n".join(part for part in parts if part)


def records_table(report: Mapping[str, Any]) -> str:
    """A line for each record, and gross and average below."""
    header = ["record", "lead", "beats", *(f"{TITLES[kind]} {FIGURES[f]}" for kind, f in _COLUMNS), "abstained"]
    rows = [
        [
            f"{row['name']}{' *' if row['trained_on'] else ''}",
            row["lead"],
            number(row["coverage"]["beats"]),
            *(percent(row[kind][figure]) for kind, figure in _COLUMNS),
            number(row["coverage"]["abstained"]),
        ]
        for row in report["records"]
    ]
    rows += [
        [name, "", *ends, *(percent(report[kind][name][figure]) for kind, figure in _COLUMNS), *last]
        for name, ends, last in (
            ("gross", [number(report["coverage"]["beats"])], [number(report["coverage"]["abstained"])]),
            ("average", [""], [""]),
        )
    ]
    star = "\n* the model has learnt from this record" if report["training_records"] else ""
    return text_table(header, rows) + star


def figures_table(report: Mapping[str, Any]) -> str:
    """The gross figures with their intervals, and macro F1."""
    rows = [
        [TITLES[kind], FIGURES[name], percent(value), span(report[kind]["ci95"][name]), counts(report, kind, name)]
        for kind in TITLES
        for name, value in report[kind]["gross"].items()
    ]
    rows.append(["N, S, V", "macro F1", percent(report["macro_f1"]), span(report["macro_f1_ci95"]), ""])
    patients = report["bootstrap"]["patients"]
    return f"{text_table(['gross', '', '', '95 %', ''], rows)}\n95 %: drawn from {number(patients)} patients"


def span(ends: Sequence[float] | None) -> str:
    """[low, high] -> "91.2 % to 95.8 %"."""
    return "-" if ends is None else f"{percent(ends[0], 1)} to {percent(ends[1], 1)}"


def counts(report: Mapping[str, Any], kind: str, figure: str) -> str:
    """What a gross figure is the share of: "1,126 of 3,214"; of F1 nothing."""
    c = report[kind]["counts"]
    shares = {"se": ("tp", "fn"), "ppv": ("tp", "fp"), "fpr": ("fp", "tn")}
    if figure not in shares:
        return ""
    part, rest = (c[name] for name in shares[figure])
    return f"{number(part)} of {number(part + rest)}"


def confusion_table(confusion: Mapping[str, Any]) -> str:
    """Rows are the annotator's, columns what was answered."""
    rows = [[row, *(number(n) for n in line)] for row, line in zip(confusion["rows"], confusion["counts"], strict=True)]
    rows[-1][-1] = ""  # no beat, and none found: nobody counts these
    table = text_table(["annotated \\ answered", *confusion["columns"]], rows)
    return f"{table}\nO: no beat annotated; q: found, no class given (abstained); o: not found"


def coverage_line(coverage: Mapping[str, Any]) -> str:
    """How much of it all was answered."""
    return (
        f"answered {percent(coverage['answered_share'])} of {number(coverage['beats'])} beats: "
        f"{number(coverage['beats'] - coverage['found'])} not found, "
        f"{number(coverage['abstained'])} found and abstained from, which count as missed by class; "
        f"{number(coverage['extra'])} found where none is"
    )


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each recording that was left out, up to a dozen."""
    lines = [f"left out {one['name']}: {one['reason']}" for one in skipped[:SKIPPED_SHOWN]]
    more = len(skipped) - SKIPPED_SHOWN
    return lines + ([f"left out {more} more (--json names them)"] if more > 0 else [])
