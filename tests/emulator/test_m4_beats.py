"""What finding and classifying heartbeats costs on a Cortex-M4 keeps to its budgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import beat_cost
import pytest
from m4 import need_tools

from ecg_edge.bundle import Bundle

pytestmark = pytest.mark.emulator


def test_detector_and_pipeline_keep_to_their_budgets(tmp_path: Path, figure: Callable[[str], None]) -> None:
    need_tools()
    cost = beat_cost.measure(Bundle.load("aami"), tmp_path)
    for line in beat_cost.lines(cost):
        figure(f"Cortex-M4, {line}")
    for what, found, most in cost.budgets():
        assert found <= most, what
    assert 70 <= cost.beats_a_second * 60 <= 76  # the first half a second and the last beats may have none
    assert cost.pipeline_a_second > 250 * cost.detector_a_sample
