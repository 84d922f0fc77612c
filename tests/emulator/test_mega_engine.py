"""The AVR's kernels on an emulated ATmega2560 against the interpreter, as test_engine_cores.py has it for Arm's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from mega_board import board_cache, engine_image, run
from numpy.typing import NDArray
from random_graphs import extreme, random_graph, random_inputs

from ecg_edge.codegen.budget import require_tables, state_bytes
from ecg_edge.codegen.target import Opt, Target
from ecg_edge.errors import BudgetError
from ecg_edge.graph import interpret
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.plan import make_plan
from ecg_edge.graph.tflite import read_graph

pytestmark = pytest.mark.emulator

MODELS = Path(__file__).parents[1] / "golden" / "models"
SEEDS = range(60 if os.environ.get("ECG_SOAK") else 8)
INPUTS = 8
RAM_BYTES = 7_000  # of 8,192, for an engine and its input
LAYOUTS = [("avr", opt) for opt in get_args(Opt)] + [("portable", "size")]


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


def golden(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def assert_scores(graph: Graph, target: Target, folder: Path, cache: Path) -> bool:
    """An image of the graph's engine answers what the interpreter answers. False where the board cannot hold it."""
    plan = make_plan(graph, hop=graph.input.shape[0])
    given = random_inputs(graph, INPUTS, seed=1)
    every = given if isinstance(given, tuple) else (given,)
    flat: NDArray[np.int8] = np.concatenate([array.reshape(INPUTS, -1) for array in every], axis=1)
    try:
        require_tables([plan], Target("avr"))
    except BudgetError:
        return False
    if state_bytes(plan, target) + flat.shape[1] > RAM_BYTES:
        return False
    classes = int(np.prod(graph.output.shape))
    found = run(engine_image(plan, target, folder, cache), flat, classes, cache)
    assert np.array_equal(found, interpret.run(graph, given).reshape(INPUTS, classes)), (graph.name, target)
    return True


@pytest.mark.parametrize(("core", "opt"), LAYOUTS)
def test_random_graphs_give_the_interpreters_scores(core: str, opt: Opt, tmp_path: Path, cache: Path) -> None:
    ran = [assert_scores(random_graph(seed), Target(core, opt), tmp_path / f"{seed}", cache) for seed in SEEDS]
    assert sum(ran) > len(SEEDS) // 2


@pytest.mark.parametrize(("core", "opt"), LAYOUTS)
@pytest.mark.parametrize("name", ["bench_a", "separable", "excite", "residual"])
def test_a_golden_model_gives_the_interpreters_scores(
    name: str, core: str, opt: Opt, tmp_path: Path, cache: Path
) -> None:
    assert assert_scores(golden(name), Target(core, opt), tmp_path / "engine", cache)


@pytest.mark.parametrize(("core", "opt"), LAYOUTS)
@pytest.mark.parametrize("name", ["separable", "random0"])
def test_extreme_numbers_give_the_interpreters_scores(
    name: str, core: str, opt: Opt, tmp_path: Path, cache: Path
) -> None:
    """Weights of -128, sums shifted left, not at all or far right, and bounds that are not int8's."""
    graph = random_graph(0) if name == "random0" else golden(name)
    for seed in range(5, 8):
        random = np.random.default_rng(seed)
        broken = replace(graph, ops=tuple(extreme(op, random) for op in graph.ops))
        assert assert_scores(broken, Target(core, opt), tmp_path / f"{seed}", cache)
