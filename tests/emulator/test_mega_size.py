"""ecg5 keeps to its budgets on an emulated Arduino Mega 2560: flash, RAM with the stack, time."""

from __future__ import annotations

import mega
import pytest
from mega_board import board_cache

from ecg_edge.bundle import Bundle
from ecg_edge.recipes.fit import fit

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> mega.Measured:
    return mega.measure(Bundle.load("ecg5"), tmp_path_factory.mktemp("mega"), hops=6, cache=board_cache(request))


def test_every_budget_is_kept(measured: mega.Measured) -> None:
    for what, found, most in measured.budgets():
        assert found <= most, what


def test_what_was_measured_is_of_a_whole_image_that_ran(measured: mega.Measured) -> None:
    bundle = Bundle.load("ecg5")
    assert measured.flash_bytes > 20_000  # the weights alone are 18 KB
    assert measured.static_bytes > 3_000
    assert 200 < measured.stack_bytes < 1_000
    hops = bundle.manifest.window / bundle.manifest.hop
    assert 2 < measured.window.inference_ms / measured.hop.inference_ms < hops  # a stream computes no column twice
    assert measured.hop.prepare_ms > 5


def test_a_record_goes_through_faster_than_it_was_recorded(measured: mega.Measured) -> None:
    assert measured.line_speed > 2


def test_what_fit_estimates_is_what_it_takes(measured: mega.Measured) -> None:
    """Prepare and engine, in milliseconds: simavr's cycles are the clock's, and Arduino's core is around it."""
    (found,) = fit([Bundle.load("ecg5")], board_ids=["mega2560"])
    (timing,) = found.timings
    for cost, (least, most) in ((measured.window, timing.window_ms), (measured.hop, timing.hop_ms)):
        assert least <= cost.prepare_ms + cost.inference_ms <= most
