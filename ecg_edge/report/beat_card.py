"""The model card of a model of beats, from its manifest. Layer: report; imports report.

Source for its questions: Mitchell et al. 2019, "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_edge.report.card import affine_text, opening, plain_text, size_line
from ecg_edge.report.ec57_text import span
from ecg_edge.report.render import number, percent

_TITLES = {"n": "N", "sveb": "S", "veb": "V"}


def beat_card_text(manifest: Mapping[str, Any], model_bytes: int, delay: int) -> str:
    """Markdown.

    Args:
        manifest: the manifest's JSON object.
        model_bytes: size of model.tflite.
        delay: of the preparation, samples.
    """
    m = manifest
    facts = {key: value for key, value in m["training"].items() if key != "tried"}
    lines = [
        *opening(m),
        f"Tells each heartbeat of one lead of ECG at {m['fs_hz']} Hz as {', '.join(m['classes'])}, the classes of AAMI"
        " EC57: N normal, S early from above the ventricles, V from the ventricles. Fusion beats and those that nobody"
        " can class are given one of the three. For research and for testing firmware; not for diagnosis.",
        "",
        "## The model",
        "",
        size_line(m, model_bytes),
        f"- input: the view of a beat, {m['window']} columns of {m['channels']} (signal/beatview.py);"
        f" {affine_text(m['input'])}; output: {affine_text(m['output'])}",
        f"- a beat is judged when the next two are known; preparation has {delay} samples"
        f" ({1000 * delay / m['fs_hz']:.0f} ms) of delay",
        "- it adapts to the patient by itself, without labels: what is usual is learnt from the beats as they come",
        "",
        "## Data and training",
        "",
        *[f"- {key}: {_listed(value)}" for key, value in facts.items()],
        "",
        "## Measured",
        "",
        *_measured(m["metrics"].get("cross_validation")),
        *_tried(m["training"].get("tried", ())),
        "## Known limits",
        "",
        "- Runs of supraventricular or ventricular tachycardia that last longer than the sinus rhythm around them, and"
        " ventricular flutter, become what is usual and are called N: record 207 has both.",
        "- Aberrantly conducted S look like V and are called V, as in record 201.",
        "- In atrial fibrillation some beats are called S or V that are N (records 201, 203).",
        "- The first minutes of a recording, until the patient's usual beat and rhythm are known, are less certain;"
        " EC57 leaves out five.",
        "- Lead II or one like it; 22 patients. Paced hearts, children and other leads were not looked at.",
        "- A beat about which the signal is flat, clipped, off the lead or has a gap is an abstention, not a class.",
        "",
    ]
    return "\n".join(lines)


def _measured(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["Nothing yet: `ecg-edge train --beats DIR --cross-validate`.", ""]
    rows = [
        f"| {_TITLES[kind]} | {_with_span(found, kind, 'se')} | {_with_span(found, kind, 'ppv')}"
        f" | {_with_span(found, kind, 'f1')} |"
        for kind in _TITLES
    ]
    seeds = [f"{percent(one['macro_f1'])} (float {percent(one['float_macro_f1'])})" for one in found["per_seed"]]
    return [
        f"### {found['protocol']}",
        "",
        f"{len(found['records'])} patients in {len(found['folds'])} folds, each judged by a model that has seen neither"
        f" them nor what was made of their beats; seeds {_listed(found['seeds'])} added up. The model here was"
        " trained in the same way on all of them. 95 % intervals: drawn from the patients.",
        "",
        "| class | Se | +P | F1 |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Macro F1 {percent(found['macro_f1'])} ({span(found['macro_f1_ci95'])}); by seed {', '.join(seeds)}.",
        "",
        "| record | beats | S: Se, +P | V: Se, +P |",
        "|---|---|---|---|",
        *[
            f"| {row['name']} | {number(row['beats'])} | {_pair(row['sveb'])} | {_pair(row['veb'])} |"
            for row in found["records"]
        ],
        "",
        "Synthetic patients, made of the beats of those who were held out; `sick` has more atrial than sinus beats:",
        "",
        "| kind | S: Se, FPR | V: Se, FPR |",
        "|---|---|---|",
        *[
            f"| {kind} | {_pair(row['sveb'], 'fpr')} | {_pair(row['veb'], 'fpr')} |"
            for kind, row in found["synthetic"].items()
        ],
        "",
    ]


def _with_span(found: Mapping[str, Any], kind: str, figure: str) -> str:
    return f"{percent(found[kind]['gross'][figure])} ({span(found[kind]['ci95'][figure])})"


def _pair(figures: Mapping[str, Any], second: str = "ppv") -> str:
    return f"{percent(figures['se'], 1)}, {percent(figures[second], 1)}"


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else plain_text(value)


def _tried(lines: Any) -> list[str]:
    return ["## What was tried", "", *[f"- {line}" for line in lines], ""] if lines else []
