"""A sheet of example windows as a picture. Layer: report; matplotlib inside the function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.files import replacing_file


@dataclass(frozen=True, slots=True)
class Example:
    """One window and its beats."""

    title: str
    note: str
    samples_uv: NDArray[np.int16]  # (n,)
    fs_hz: float
    beats: NDArray[np.int64]  # (k,) sample of each R


def save_examples(path: Path, examples: Sequence[Example], *, columns: int = 3) -> None:
    """Draw the examples on ECG paper, 25 mm/s and 10 mm/mV; the suffix of `path` chooses the format (png, svg, pdf)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    rows = -(-len(examples) // columns)
    figure = Figure(figsize=(5.2 * columns, 1.9 * rows), layout="constrained")
    for i, example in enumerate(examples):
        axes = figure.add_subplot(rows, columns, i + 1)
        seconds = np.arange(example.samples_uv.size) / example.fs_hz
        millivolts = example.samples_uv / 1000.0
        axes.plot(seconds, millivolts, color="#1b2a41", linewidth=0.8)
        axes.plot(example.beats / example.fs_hz, millivolts[example.beats], ".", color="#c1121f", markersize=4)
        axes.xaxis.set_major_locator(MultipleLocator(0.2))
        axes.yaxis.set_major_locator(MultipleLocator(0.5))
        axes.grid(color="#f4b6b6", linewidth=0.4)
        axes.tick_params(labelbottom=False, labelsize=6, length=0)
        axes.set_xlim(0, seconds[-1])
        axes.set_title(f"{example.title} · {example.note}", fontsize=8, loc="left")
    figure.suptitle("Synthetic ECG, not clinical · 0.2 s and 0.5 mV a box", fontsize=9)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
