"""What cross-validation of a model of beats found, for a terminal.

Layer: report; a pure function of the JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_edge.report.ec57_text import confusion_table, figures_table
from ecg_edge.report.render import DISCLAIMER, number, percent, text_table


def cross_validation_text(found: Mapping[str, Any]) -> str:
    """Gross figures, confusion, seeds, records, and synthetic patients by kind."""
    seeds = [
        [one["seed"], *_figures(one), percent(one["macro_f1"]), percent(one["float_macro_f1"])]
        for one in found["per_seed"]
    ]
    return "\n\n".join(
        [
            f"{found['protocol']}; seeds {', '.join(map(str, found['seeds']))} added up",
            figures_table(found),
            confusion_table(found["confusion"]),
            text_table(["seed", *_HEADER, "macro F1", "float"], seeds),
            text_table(
                ["record", "beats", *_HEADER],
                [[row["name"], number(row["beats"]), *_figures(row)] for row in found["records"]],
            ),
            text_table(["synthetic", *_HEADER], [[kind, *_figures(row)] for kind, row in found["synthetic"].items()]),
            DISCLAIMER,
        ]
    )


_HEADER = ("SVEB Se", "SVEB +P", "VEB Se", "VEB +P")


def _figures(row: Mapping[str, Any]) -> list[str]:
    return [percent(row[kind][figure]) for kind in ("sveb", "veb") for figure in ("se", "ppv")]
