"""What finding and classifying heartbeats costs on a Cortex-M4 keeps to its budgets."""

from __future__ import annotations

from collections.abc import Callable

import beat_cost
import pytest
from m4 import need_tools

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.costs import work_estimate
from ecg_edge.codegen.image import read_model
from ecg_edge.codegen.target import find_target

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> beat_cost.Cost:
    need_tools()
    return beat_cost.measure(Bundle.load("aami"), tmp_path_factory.mktemp("beats"))


def test_detector_and_pipeline_keep_to_their_budgets(cost: beat_cost.Cost, figure: Callable[[str], None]) -> None:
    for line in beat_cost.lines(cost):
        figure(f"Cortex-M4, {line}")
    for what, found, most in cost.budgets():
        assert found <= most, what
    assert 70 <= cost.beats_a_second * 60 <= 76  # the first half a second and the last beats may have none
    assert cost.pipeline_a_second > 250 * cost.detector_a_sample


def test_the_estimate_for_a_board_holds(cost: beat_cost.Cost) -> None:
    plan = read_model(Bundle.load("aami")).plan
    assert plan is not None
    least, most = work_estimate(plan, find_target("cortex-m4", "size"), "cortex-m4", takes="beats").hop.range
    assert least <= cost.pipeline_a_second * 60 / beat_cost.BEATS_A_MINUTE <= most
