"""What `ecg-edge fit` estimates is what engines take on emulated cores, within the error that it states."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_rungs import need_emulator
from m4 import board_cache

from ecg_edge.bench.costing import sample
from ecg_edge.bench.subject import find_subject
from ecg_edge.codegen.bare import read_plan
from ecg_edge.codegen.costs import costs, engine_instructions, error_of
from ecg_edge.codegen.target import Opt, Target
from ecg_edge.device.machines import find_core

pytestmark = pytest.mark.emulator

MODELS = Path(__file__).parents[1] / "golden" / "models"
COUNTED = {core: core for core in ("cortex-m0", "cortex-m4", "cortex-m55", "rv32imc")} | {"cortex-m7": "cortex-m4"}


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


@pytest.mark.parametrize("core", COUNTED)
@pytest.mark.parametrize(("model", "opt"), [("ecg5", "size"), (str(MODELS / "residual.tflite"), "speed")])
def test_a_model_that_was_not_fitted_lies_within_the_stated_error(model: str, opt: Opt, core: str, cache: Path) -> None:
    need_emulator(find_core(core))
    subject, counted = find_subject(model), COUNTED[core]
    found = sample(subject, core, opt, count=2, cache=cache)
    assert found is not None
    plan = read_plan(subject.path, hop=found.hop)
    for hop, took in ((False, found.window_instructions), (True, found.hop_instructions)):
        if took is not None:
            estimate = engine_instructions(plan, Target(core, opt), counted, hop=hop)
            assert abs(took - estimate) <= error_of(counted, opt) * max(estimate, costs()["floor"])
    assert (found.hop_instructions is not None) == (subject.name == "ecg5")
