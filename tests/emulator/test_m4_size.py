"""The firmware keeps to its budgets on a Cortex-M4: flash, RAM, stack; and never calls itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import m4_identity
import numpy as np
import pytest
import size
from m4 import need_tools

from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, size.Sizes]:
    need_tools()
    folder = tmp_path_factory.mktemp("size")
    return folder, size.measure(Bundle.load("ecg5"), folder)


@pytest.fixture(scope="module")
def sizes(built: tuple[Path, size.Sizes]) -> size.Sizes:
    return built[1]


def test_every_budget_is_kept(sizes: size.Sizes) -> None:
    for what, found, most in sizes.budgets():
        assert found <= most, what
    core = sizes.part("core")
    assert core.flash > 3000
    assert core.ram > 1500
    assert core.stack > 200


def test_the_budgets_of_the_core_are_kept_at_the_optimization_of_sketches_too(tmp_path: Path) -> None:
    need_tools()
    core = size.measure(Bundle.load("ecg5"), tmp_path, optimize="-Os").part("core")
    assert core.flash <= size.CORE_FLASH_BUDGET
    assert core.stack <= size.CORE_STACK_BUDGET


def test_the_parts_are_the_whole_but_for_alignment(sizes: size.Sizes) -> None:
    assert 0 <= sizes.flash - sum(part.flash for part in sizes.parts) < 200
    assert 0 <= sizes.ram - sum(part.ram for part in sizes.parts) < 64


def test_the_core_has_no_variables_of_its_own(built: tuple[Path, size.Sizes]) -> None:
    files = [f"{name}.o" for name in (*size.CORE, *size.BEATS)]
    done = subprocess.run(["arm-none-eabi-size", *files], cwd=built[0], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert len(rows) == len(files)
    assert all(int(data) == int(bss) == 0 for _, data, bss, *_ in rows)


def test_an_image_without_a_model_of_beats_leaves_the_detector_out(sizes: size.Sizes) -> None:
    assert (sizes.part("beats").flash, sizes.part("beats").ram) == (0, 0)


def test_two_models_fit_one_image_and_its_budgets(tmp_path: Path) -> None:
    need_tools()
    both = size.measure((Bundle.load("ecg5"), Bundle.load("aami")), tmp_path)
    for what, found, most in both.budgets():
        assert found <= most, what
    assert both.part("beats").ram > 1500


def test_every_entry_of_the_core_is_in_the_call_graph(sizes: size.Sizes) -> None:
    assert {"ecg_edge_init", "ecg_edge_receive", "ecg_edge_sample"} <= set(sizes.functions)
    assert {"ecg_prepare_push", "ecg_frame_encode", "ecg_selftest_run"} <= set(sizes.functions)


def test_a_run_uses_no_more_stack_than_was_computed_and_not_much_less(sizes: size.Sizes, tmp_path: Path) -> None:
    """Start-up paints the stack; the image that is run has another main, which costs about as much as the wire's."""
    board = m4_identity.make_board(Bundle.load("ecg5"), tmp_path)
    samples = np.random.default_rng(0).integers(-500, 500, (2, 1024, 1)).astype(np.int16)
    used = board.windows(samples).stack_bytes
    assert sizes.stack / 2 < used <= sizes.stack


def test_what_is_over_budget_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need_tools()
    monkeypatch.setattr(size, "CORE_FLASH_BUDGET", 1000)
    monkeypatch.setattr("sys.argv", ["size.py"])
    assert size.main() == 3
    said = capsys.readouterr()
    assert "OVER core flash" in said.out
    assert said.err == "over budget: core flash\n"


def test_recursion_is_found_through_pointers_too() -> None:
    graph = size.CallGraph()
    graph.read(
        'node: { title: "a" label: "a\\nx.c:1:1\\n8 bytes (static)" }\n'
        'node: { title: "b" label: "b\\nx.c:2:1\\n24 bytes (dynamic)" }\n'
        'edge: { sourcename: "a" targetname: "b" }\n'
        'edge: { sourcename: "b" targetname: "__indirect_call" }\n'
    )
    assert graph.worst("a", []) == 32
    assert graph.worst("a", ["memcpy"]) == 32 + size.LIBRARY_STACK
    assert graph.kinds["b"] == "dynamic"
    with pytest.raises(EcgEdgeError, match="recursion: a -> b -> a"):
        graph.worst("a", ["a"])
