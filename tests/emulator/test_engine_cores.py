"""Each core's kernels against the golden interpreter: random graphs, golden models, numbers that break tricks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from board_rungs import need_emulator
from m4 import board_cache
from numpy.typing import NDArray
from random_graphs import extreme, random_graph, random_inputs

from ecg_edge.codegen.bare import bare_files
from ecg_edge.codegen.target import CORES, Opt, find_target
from ecg_edge.device import machines
from ecg_edge.device.enginerun import EngineBoard
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import find_core
from ecg_edge.graph import interpret
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.plan import make_plan
from ecg_edge.graph.tflite import read_graph

pytestmark = pytest.mark.emulator

MODELS = Path(__file__).parents[1] / "golden" / "models"
# One core for each kernel set.
NAMES = {CORES[core]: core for core in reversed(machines.CORES)}
TARGETS = [(name, opt) for name in NAMES.values() for opt in get_args(Opt)]
SEEDS = range(30 if os.environ.get("ECG_SOAK") else 4)
INPUTS = 12


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


def golden(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def assert_scores(graph: Graph, core: str, opt: str, folder: Path, cache: Path) -> None:
    """An image of the graph's engine answers what the interpreter answers."""
    need_emulator(find_core(core))
    name = graph.name
    folder.mkdir()
    for file, text in bare_files(
        make_plan(graph, hop=graph.input.shape[0]), name=name, fs_hz=250, target=find_target(core, opt)
    ).items():
        (folder / file).write_text(text, encoding="utf-8")
    given = random_inputs(graph, INPUTS, seed=1)
    every = given if isinstance(given, tuple) else (given,)
    flat: NDArray[np.int8] = np.concatenate([array.reshape(INPUTS, -1) for array in every], axis=1)
    classes = int(np.prod(graph.output.shape))
    engine = EngineFolder(folder, name, flat.shape[1], classes)
    found = EngineBoard(find_core(core), engine, optimize=("-O2",), cache=cache).run(flat)
    assert np.array_equal(found.scores, interpret.run(graph, given).reshape(INPUTS, classes)), (name, core, opt)


@pytest.mark.parametrize(("core", "opt"), TARGETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_graph_gives_the_interpreters_scores(
    seed: int, core: str, opt: str, tmp_path: Path, cache: Path
) -> None:
    assert_scores(random_graph(seed), core, opt, tmp_path / "engine", cache)


@pytest.mark.parametrize(("core", "opt"), TARGETS)
@pytest.mark.parametrize("name", ["bench_a", "bench_b", "separable", "excite"])
def test_a_golden_model_gives_the_interpreters_scores(
    name: str, core: str, opt: str, tmp_path: Path, cache: Path
) -> None:
    assert_scores(golden(name), core, opt, tmp_path / "engine", cache)


@pytest.mark.parametrize(("core", "opt"), TARGETS)
@pytest.mark.parametrize("name", ["bench_b", "separable", "random0"])
def test_extreme_numbers_give_the_interpreters_scores(
    name: str, core: str, opt: str, tmp_path: Path, cache: Path
) -> None:
    """Weights of -128, sums shifted left, not at all or far right, and bounds that are not int8's."""
    graph = random_graph(0) if name == "random0" else golden(name)
    random = np.random.default_rng(5)
    assert_scores(
        replace(graph, ops=tuple(extreme(op, random) for op in graph.ops)), core, opt, tmp_path / "engine", cache
    )


@pytest.mark.parametrize(("core", "opt"), TARGETS)
def test_a_loop_over_columns_reads_each_of_them(core: str, opt: str, tmp_path: Path, cache: Path) -> None:
    """Graph 8 has two inputs, so that its columns are in memory: what a kernel reads in asm must not leave the loop."""
    assert_scores(random_graph(8), core, opt, tmp_path / "engine", cache)


def test_every_kernel_set_of_an_arm_core_is_emulated() -> None:
    assert {"portable", "host", "avr", *NAMES} == set(CORES.values())  # avr: test_mega_engine.py
