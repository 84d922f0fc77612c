"""Costs are found from what was measured, and their error is that of the worst model."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cost_fit import FLOOR, Row, fit, misses

TRUE = {"macs": 5.5, "outputs": 31.0, "verdicts": 900.0}


def rows(count: int, noise: float = 0.0) -> list[Row]:
    random = np.random.default_rng(1)
    made = []
    for index in range(count):
        counts = Counter(macs=int(random.integers(1, 400_000)), outputs=int(random.integers(1, 9_000)), verdicts=1)
        took = sum(TRUE[name] * n for name, n in counts.items()) * (1 + noise * random.uniform(-1, 1))
        made.append(Row(f"model {index}", counts, took))
    return made


def test_costs_that_explain_everything_are_found() -> None:
    assert fit(rows(30)) == pytest.approx(TRUE, rel=1e-3)


def test_no_cost_is_negative_and_one_of_nothing_is_left_out() -> None:
    with_more = [
        Row(row.what, row.counts + Counter(free=index), row.instructions) for index, row in enumerate(rows(30))
    ]
    assert "free" not in {name for name, cost in fit(with_more).items() if cost > 1.0}
    assert min(fit(rows(30, noise=0.3)).values()) > 0


def test_the_worst_miss_comes_first_with_its_sign() -> None:
    slow = Row("slow", Counter(macs=100_000), 5.5 * 100_000 * 1.2)
    fast = Row("fast", Counter(macs=100_000), 5.5 * 100_000 * 0.9)
    found = misses({"macs": 5.5}, [fast, slow])
    assert [what for _, what in found] == ["slow", "fast"]
    assert [miss for miss, _ in found] == pytest.approx([0.2, -0.1])


def test_a_miss_of_a_tiny_model_is_one_of_the_floor() -> None:
    tiny = Row("tiny", Counter(macs=10), 500.0)
    ((miss, _),) = misses({"macs": 5.5}, [tiny])
    assert miss == pytest.approx((500 - 55) / FLOOR)
