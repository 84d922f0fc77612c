"""The noise stress test for a terminal, and as the lines of a chart. Layer: report; imports report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecg_edge.report.render import DISCLAIMER, percent, text_table

Figure = tuple[str, ...]  # the keys that lead to it
NAMED = 2  # records: more are counted

COLUMNS: dict[str, Figure] = {
    "QRS Se": ("qrs", "se"),
    "QRS +P": ("qrs", "ppv"),
    "VEB Se": ("veb", "se"),
    "VEB +P": ("veb", "ppv"),
    "VEB F1": ("veb", "f1"),
    "SVEB Se": ("sveb", "se"),
    "SVEB +P": ("sveb", "ppv"),
    "macro F1": ("macro_f1",),
    "abstained": ("coverage", "abstained_share"),
}


def figure_of(figures: Mapping[str, Any], keys: Figure) -> float | None:
    """A figure of a result, null where it is 0/0."""
    value: Any = figures
    for key in keys:
        value = value[key]
    return None if value is None else float(value)


def noise_text(report: Mapping[str, Any]) -> str:
    """What `ecg-edge noise` prints: figures by kind and SNR, of everything and of the noisy stretches alone."""
    model = report["model"]
    parts = [
        f"{model['name']} {model['version']}, int8, on {records_text(report['leads'])}\n{report['protocol']}",
        _trained(report),
        _table("after the first 5 minutes", report, noisy=False),
        _table("only where there is noise", report, noisy=True),
        "\n".join(f"left out: {one['name']}, {one['reason']}" for one in report["skipped"]),
        "\n".join(report["citations"]),
        DISCLAIMER,
    ]
    return "\n\n".join(part for part in parts if part)


def lines_of(report: Mapping[str, Any], keys: Figure) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """One line for each kind of noise: its name, and (SNR, figure) where there is a figure."""
    for kind, name in report["kinds"].items():
        found = [(one["snr_db"], figure_of(one, keys)) for one in report["results"] if one["kind"] == kind]
        yield f"{kind}: {name}", sorted((snr, value) for snr, value in found if value is not None)


def records_text(leads: Mapping[str, str]) -> str:
    """What was tested, by lead: "118 and 119, lead MLII"."""
    by_lead = {lead: [name for name, own in leads.items() if own == lead] for lead in leads.values()}
    return "; ".join(f"{_named(names)}, lead {lead}" for lead, names in by_lead.items())


def _named(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) <= NAMED else f"{len(names)} records"


def _trained(report: Mapping[str, Any]) -> str:
    if not report["training_records"]:
        return ""
    names = _named(report["training_records"])
    return f"TRAINING SET: the model learnt from {names} of these; read how figures fall, not where they begin"


def _table(title: str, report: Mapping[str, Any], *, noisy: bool) -> str:
    rows = [["clean", "", *_cells(report["clean"], noisy=noisy)]]
    for one in report["results"]:
        rows.append([f"{one['kind']}, {report['kinds'][one['kind']]}", f"{one['snr_db']:g}", *_cells(one, noisy=noisy)])
    return text_table([title, "SNR dB", *COLUMNS], rows)


def _cells(result: Mapping[str, Any], *, noisy: bool) -> list[str]:
    return [percent(figure_of(result["noisy"] if noisy else result, keys)) for keys in COLUMNS.values()]
