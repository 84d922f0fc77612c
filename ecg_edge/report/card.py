"""The model card of a bundle, from its manifest. Layer: report; imports report.

Source for its questions: Mitchell et al. 2019, "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecg_edge.report.render import number, percent


def opening(manifest: Mapping[str, Any]) -> list[str]:
    """The first lines of any card, up to what the model is for."""
    title = f"# {manifest['name']} {manifest['version']}"
    return [title, "", "**Research use; not a medical device.**", "", "## Intended use", ""]


def size_line(manifest: Mapping[str, Any], model_bytes: int) -> str:
    """What the model takes, on a card."""
    measured = ", ".join(f"{number(v)} bytes ({k} kernels)" for k, v in manifest["arena_bytes"].items())
    return f"- `model.tflite`: {number(model_bytes)} bytes, int8 in and out; TFLM arena {measured or 'not measured'}"


def card_text(manifest: Mapping[str, Any], model_bytes: int, delay: int) -> str:
    """Markdown.

    Args:
        manifest: the manifest's JSON object.
        model_bytes: size of model.tflite.
        delay: of the preparation, samples.
    """
    m = manifest
    seconds = m["window"] / m["fs_hz"]
    lines = [
        *opening(m),
        f"Tells {', '.join(m['classes'])} from {m['leads']} lead of ECG at {m['fs_hz']} Hz,"
        f" in windows of {m['window']} samples ({seconds:.2f} s), a new verdict every {m['hop']} samples."
        " For research and for testing firmware; not for diagnosis.",
        "",
        "## The model",
        "",
        size_line(m, model_bytes),
        f"- input: {affine_text(m['input'])}; output: {affine_text(m['output'])}",
        f"- preparation: integers, {delay} samples ({1000 * delay / m['fs_hz']:.0f} ms) of delay; see the manifest",
        "",
        "## Data and training",
        "",
        *[f"- {key}: {plain_text(value)}" for key, value in m["training"].items()],
        "",
        "## Measured",
        "",
        *_measured(m["metrics"]),
        "## Known limits",
        "",
        "- A window that is flat, clipped, off the lead or has a gap is an abstention, not a class.",
        "- One label a window: an arrhythmia together with an ST change is called an arrhythmia.",
        "- ST means the signed level in mV at J+60 ms against the PR segment in the lead as recorded, T inversion a T"
        " peak of -0.1 mV or lower there: in aVR and V1 that is what healthy hearts show.",
        "- Changes of 0.05 to 0.1 mV are in a grey zone on which nothing was trained and nothing is measured.",
        "",
    ]
    return "\n".join(lines)


def plain_text(value: Any) -> str:
    """A value of the manifest as the card has it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain_text(v)}" for k, v in value.items())
    return str(value)


def affine_text(quantization: Mapping[str, Any]) -> str:
    """Scale and zero point."""
    return f"scale {quantization['scale']:g}, zero point {quantization['zero_point']}"


def _with_interval(score: Mapping[str, Any], key: str) -> str:
    low, high = score[f"{key}_ci95"]
    return f"{percent(score[key])} ({percent(low, 1)} to {percent(high, 1)})"


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics:
        return ["Nothing yet: `ecg-edge evaluate`.", ""]
    lines: list[str] = []
    for name, r in metrics.items():
        low, high = r["accuracy_ci95"]
        floats = f"; the float model {percent(r['float_accuracy'])}" if r.get("float_accuracy") is not None else ""
        lines += [
            f"### {name}: {r['source']}",
            "",
            f"int8 accuracy {percent(r['accuracy'])} (95 % interval {percent(low)} to {percent(high)}){floats};"
            f" {r['abstained']} abstained, counted as wrong.",
            "",
            "| class | precision | recall | F1 | windows |",
            "|---|---|---|---|---|",
        ]
        for label, c in r["per_class"].items():
            p, s = (_with_interval(c, key) for key in ("precision", "recall"))
            lines.append(f"| {label} | {p} | {s} | {percent(c['f1'])} | {number(c['support'])} |")
        lines.append("")
    return lines
