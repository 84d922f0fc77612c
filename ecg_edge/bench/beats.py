"""What a model of beats says of a recording: the whole pipeline in Python, which a device must equal.

Layer: bench; composes signal and graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.answers import Expected, golden_scores, verdicts
from ecg_edge.bundle import Bundle
from ecg_edge.errors import BundleError
from ecg_edge.signal.beatview import CHANNELS, COLUMNS, BeatView, beat_views
from ecg_edge.signal.prepare import Prepare


@dataclass(frozen=True, slots=True)
class Beats:
    """n beats in the order of time."""

    at: NDArray[np.int64]  # (n,) sample index of the R peak
    rr: NDArray[np.int64]  # (n,) samples since the beat before; 0 of the first
    state: NDArray[np.uint8]  # (n,) State
    scores: NDArray[np.int8]  # (n, classes)
    verdict: NDArray[np.int64]  # (n,) class, or report.metrics.ABSTAINED where the state is not OK


def require_beats(bundle: Bundle) -> None:
    """Refuse a model that is not shown beats, or other views of them than this package makes.

    Raises:
        BundleError: says which.
    """
    m = bundle.manifest
    if m.takes != "beats":
        raise BundleError(f"bundle {m.name} takes windows, not beats; aami takes beats")
    if m.columns != (COLUMNS, CHANNELS):
        raise BundleError(f"bundle {m.name} takes beats as {m.columns}, this version shows them as {COLUMNS, CHANNELS}")


def classify_beats(bundle: Bundle, samples_uv: NDArray[np.int16], states: NDArray[np.uint8] | None = None) -> Beats:
    """Find and classify the beats of a recording.

    Args:
        bundle: a model of beats.
        samples_uv: (n,), uV, at 250 Hz.
        states: (n,) State of each sample; by default what the samples say by themselves.

    Raises:
        BundleError: the model takes no beats.
    """
    require_beats(bundle)
    views = beat_views(samples_uv, Prepare.from_manifest(bundle.manifest.prepare), states)
    expected = expect_beats(views)
    scores = golden_scores(bundle, expected, lambda done, total: None)
    at, rr = (np.array([getattr(view, name) for view in views], np.int64) for name in ("at", "rr"))
    return Beats(at, rr, expected.states, scores, verdicts(scores, expected.states))


def expect_beats(views: list[BeatView]) -> Expected:
    """What any engine is asked about n beats, and the states that a device must find."""
    tensors = np.array([view.tensor for view in views], np.int8).reshape(-1, COLUMNS, CHANNELS)
    return Expected(tensors, np.array([view.state for view in views], np.uint8))
