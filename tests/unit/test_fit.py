"""Whether a model fits a board, by memory and by time: the estimate, its verdicts, and what `export` makes of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from board_rungs import golden_bundle
from typer.testing import CliRunner

from ecg_edge.bundle import MODEL, Bundle, save_bundle
from ecg_edge.cli.app import make_app
from ecg_edge.codegen.costs import costs, error_of, work_estimate
from ecg_edge.codegen.image import read_model
from ecg_edge.codegen.target import Target, find_target
from ecg_edge.codegen.verdict import Amount, Share, Verdict, worst
from ecg_edge.device.boards import Board, cores, find_board, owned_boards
from ecg_edge.errors import BudgetError, BundleError
from ecg_edge.recipes.firmware import core_of, export
from ecg_edge.recipes.fit import fit
from ecg_edge.recipes.timing import Timing, timings
from ecg_edge.signal.prepare import Prepare

BOARD = find_board("nano33ble")
TARGET = find_target("cortex-m4", "size")
SHIPPED = Bundle.load("ecg5")


def one(clock_hz: int = BOARD.clock_hz, flash_wait: tuple[float, float] = BOARD.flash_wait) -> Timing:
    board = replace(BOARD, clock_hz=clock_hz, flash_wait=flash_wait)
    (found,) = timings([read_model(SHIPPED)], board, TARGET)
    return found


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped model, asked for a verdict every 8 ms; no columns can be shared, so each is a whole window's work."""
    manifest = replace(SHIPPED.manifest, name="hasty", hop=2)
    return save_bundle(tmp_path_factory.mktemp("hasty") / "hasty", manifest, {MODEL: SHIPPED.model})


def test_a_time_is_instructions_by_cycles_by_waits_over_the_clock() -> None:
    model, core, found = read_model(SHIPPED), cores()["cortex-m4f"], one()
    assert model.plan is not None
    work = work_estimate(model.plan, TARGET, core.counted)
    error = error_of(core.counted, "size")
    for estimate, told_ms in ((work.window, found.window_ms), (work.hop, found.hop_ms)):
        for sign, cycles, wait, ms in zip((-1, 1), core.size, BOARD.flash_wait, told_ms, strict=True):
            instructions = estimate.instructions * (1 + sign * error)
            assert ms == pytest.approx(1000 * instructions * cycles * wait / BOARD.clock_hz, abs=1e-3)
    hop_ms = 1000 * SHIPPED.manifest.hop / SHIPPED.manifest.fs_hz
    assert found.cpu == pytest.approx([ms / hop_ms for ms in found.hop_ms], abs=1e-4)
    assert found.window_instructions > 2 * found.hop_instructions  # a stream computes no column twice


def test_twice_the_clock_takes_half_the_time_and_slower_flash_takes_more() -> None:
    slow, fast = one(), one(clock_hz=2 * BOARD.clock_hz)
    assert fast.window_instructions == slow.window_instructions
    assert fast.hop_ms == pytest.approx([ms / 2 for ms in slow.hop_ms], abs=1e-3)
    assert fast.cpu == pytest.approx([share / 2 for share in slow.cpu], abs=1e-4)
    without = one(flash_wait=(1.0, 1.0))
    assert without.hop_ms[0] == slow.hop_ms[0]
    assert without.hop_ms[1] < slow.hop_ms[1]


def test_a_model_of_few_instructions_is_off_by_as_much_as_one_of_the_floor(tmp_path: Path) -> None:
    plan = read_model(golden_bundle(tmp_path, "flat", hop=8, prepare=Prepare())).plan
    assert plan is not None
    hop = work_estimate(plan, TARGET, "cortex-m4").hop
    assert hop.instructions < costs()["floor"]
    assert hop.error == error_of("cortex-m4", "size") * costs()["floor"]


@pytest.mark.parametrize("opt", ["size", "speed"])
@pytest.mark.parametrize("board", owned_boards(), ids=lambda board: board.id)
def test_every_board_has_costs_of_its_kernels_and_an_error_measured_on_other_models(board: Board, opt: str) -> None:
    counted = cores()[board.core].counted
    assert Target(counted).kernels == Target(core_of(board.id)).kernels
    found = costs()[counted][opt]
    assert 0.01 <= found["error"] < 0.5
    assert found["held_out_models"] >= 20
    assert found["fitted_models"] >= 60
    assert min(found["costs"].values()) > 0
    assert 20 < costs()[counted]["prepare"]["hop"] < 5_000


def test_what_keeps_up_at_its_best_only_is_tight_and_what_never_does_is_too_slow() -> None:
    room = Amount("flash", 10, 0, 20)
    assert worst([room, Share("m", 0.2, 0.9)]) == (Verdict.FITS, "")
    assert worst([room, Share("m", 0.8, 1.5)]) == (
        Verdict.TIGHT,
        "time: m live takes 80 to 150 % of the CPU, estimated",
    )
    assert worst([room, Share("m", 1.1, 1.5)])[0] is Verdict.SLOW
    assert worst([Amount("flash", 21, 0, 20), Share("m", 1.1, 1.5)]) == (Verdict.NO, "flash: 1 bytes too many")


def test_a_board_that_cannot_keep_up_is_too_slow_and_export_refuses_it(hasty: Bundle, tmp_path: Path) -> None:
    (found,) = fit([hasty], board_ids=["mega2560"])
    assert (found.verdict, found.reason[:22]) == ("too slow", "time: hasty live takes")
    with pytest.raises(
        BudgetError, match=r"board mega2560 is too slow: time: hasty live takes .* of the CPU, estimated"
    ):
        export(hasty, tmp_path / "firmware", board="mega2560")
    assert not (tmp_path / "firmware").exists()
    assert export(hasty, tmp_path / "firmware").warning == ""


def test_export_warns_of_a_board_that_may_not_keep_up(hasty: Bundle, tmp_path: Path) -> None:
    verdicts = {found.board: found for found in fit([hasty])}
    tight = next(found for found in verdicts.values() if found.verdict == "tight" and found.reason.startswith("time"))
    report = export(hasty, tmp_path / "firmware", board=tight.board)
    assert report.warning == f"board {tight.board} may be too slow: {tight.reason}"


def test_nothing_is_told_of_what_was_not_measured() -> None:
    model = read_model(SHIPPED)
    assert timings([model], find_board("microbit"), find_target("cortex-m0", "size")) == ()  # its clock is none
    assert timings([model], BOARD, find_target("portable", "size")) == ()  # not the kernels that were measured there
    assert timings([model], replace(BOARD, core="cortex-a53"), TARGET) == ()
    (tflm,) = fit([SHIPPED], board_ids=["nano33ble"], engines=["tflm"])
    assert tflm.timings == ()


def test_two_bundles_of_one_name_are_refused_as_export_refuses_them(tmp_path: Path) -> None:
    said = "two bundles are named ecg5; an image needs different names"
    with pytest.raises(BundleError, match=said):
        fit([SHIPPED, SHIPPED])
    with pytest.raises(BundleError, match=said):
        export([SHIPPED, SHIPPED], tmp_path / "firmware")


def test_each_model_of_an_image_has_its_time(hasty: Bundle) -> None:
    (found,) = fit([SHIPPED, hasty], board_ids=["pico"])
    assert [timing.model for timing in found.timings] == ["ecg5", "hasty"]


def test_json_has_the_numbers_and_text_says_what_they_are() -> None:
    said = CliRunner().invoke(make_app(), ["fit", "ecg5", "--board", "nano33ble", "--json"])
    (row,) = json.loads(said.stdout)
    assert row["timings"] == json.loads(json.dumps([asdict(one())]))
    text = CliRunner().invoke(make_app(), ["fit", "ecg5", "--board", "nano33ble", "--engine", "both"]).stdout
    native, tflm, footnote = text.splitlines()[1:4]
    low, high = one().window_ms
    assert f"{low:.0f} to {high:.0f}" in native
    assert tflm.count("no estimate") == 3
    assert "emulated instructions" in footnote
    assert "nothing was measured on hardware" in footnote


def test_a_board_that_is_too_slow_ends_with_3(hasty: Bundle) -> None:
    ended = CliRunner().invoke(make_app(), ["fit", str(hasty.folder), "--board", "mega2560"])
    assert ended.exit_code == 3
    assert "mega2560, native: time: hasty live takes" in ended.stderr
