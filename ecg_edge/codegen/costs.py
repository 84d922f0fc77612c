"""What engines do on each core, as measured on emulated ones: costs.toml, and what it says of a plan. Layer: codegen.

`python tools/costs.py` writes costs.toml. Counts are emulated instructions (of AVR: cycles), and no time on hardware.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..bundle import Takes
from ..graph.plan import Plan
from .target import Target
from .whole import make_memory
from .workload import work

# Of a stream of beats at 75 a minute: samples from one to the next, and what the detector and a beat's view take beside
# preparing them, in samples prepared: `python tools/beat_cost.py` on a Cortex-M4, whose ratio stands for the others'.
BEAT_SAMPLES = 200
_DETECTOR, _VIEW = 0.3, 90

TABLE = Path(__file__).with_name("costs.toml")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Emulated instructions, and by how many they may be off either way."""

    instructions: float
    error: float

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most."""
        return max(0.0, self.instructions - self.error), self.instructions + self.error


@dataclass(frozen=True, slots=True)
class Work:
    """Of one model: preparing its samples, and its engine."""

    window: Estimate  # by itself
    hop: Estimate  # for each further verdict of a stream


def work_estimate(plan: Plan, target: Target, counted: str, *, takes: Takes = "windows") -> Work:
    """What one verdict takes: on a window, or on a beat, which is always one of a stream.

    Args:
        plan: of the model, for its hop.
        target: what its engine is written for.
        counted: the core of costs.toml whose costs stand for the target's.
        takes: what the model takes.
    """
    window, leads = plan.graph.input.shape
    prepare = costs()[counted]["prepare"]

    def estimate(*, hop: bool) -> Estimate:
        samples = leads * prepare["hop"] * plan.hop if hop else leads * prepare["window"] * window
        if takes == "beats":
            samples = prepare["hop"] * ((1 + _DETECTOR) * BEAT_SAMPLES + _VIEW)
        total = samples + engine_instructions(plan, target, counted, hop=hop)
        return Estimate(total, error_of(counted, target.opt) * max(total, costs()["floor"]))

    return Work(estimate(hop=False), estimate(hop=True))


def engine_instructions(plan: Plan, target: Target, counted: str, *, hop: bool = False) -> float:
    """What the engine alone takes; see `work_estimate`."""
    counts = work(plan, make_memory(plan, target)[0], hop=hop)
    prices: Mapping[str, float] = costs()[counted][target.opt]["costs"]
    return sum(price * counts[name] for name, price in prices.items())


def error_of(counted: str, opt: str) -> float:
    """Of the instructions, a fraction: the worst over models that costs.toml was not fitted to."""
    found: float = costs()[counted][opt]["error"]
    return found


@cache
def costs() -> dict[str, Any]:
    """All of costs.toml."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
