"""Measured instructions and counts of what was done -> what each thing costs, and how far off that is. For costs.py.

Non-negative least squares on relative errors, so that a small model counts as much as a large one; but below FLOOR
instructions, which take a millisecond on the slowest board, nobody waits, and an error is one of FLOOR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from ecg_edge.codegen.workload import Counts

FLOOR = 20_000
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict that was measured."""

    what: str  # model, and window or hop
    counts: Counts
    instructions: float


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Instructions of one of each count; what costs nothing is left out."""
    names = sorted({name for row in rows for name in row.counts})
    values = np.array([row.instructions for row in rows])
    scale = np.maximum(values, FLOOR)
    matrix = np.array([[row.counts[name] for name in names] for row in rows], np.float64) / scale[:, None]
    units = np.maximum(matrix.max(axis=0), _TINY)
    found, _ = nnls(matrix / units, values / scale, maxiter=100 * len(names))
    costs = (found / units).tolist()
    return {name: float(f"{cost:.4g}") for name, cost in zip(names, costs, strict=True) if cost > _TINY}


def misses(costs: Mapping[str, float], rows: Sequence[Row]) -> list[tuple[float, str]]:
    """By how much each row was missed, a fraction of the estimate (of FLOOR at least), and which; the worst first.

    Above 0: it took more than estimated.
    """
    found = []
    for row in rows:
        estimate = sum(cost * row.counts[name] for name, cost in costs.items())
        found.append(((row.instructions - estimate) / max(estimate, FLOOR), row.what))
    return sorted(found, key=lambda miss: -abs(miss[0]))
