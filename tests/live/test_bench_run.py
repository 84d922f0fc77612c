"""tools/bench_run.py measures the command as a user starts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_run import growth, live, start_s, whole

from ecg_edge.signal.csvfile import write_csv


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "made.csv"
    steps = np.random.default_rng(4).normal(0, 40, 3000)
    write_csv(path, 250, {"II": np.clip(np.cumsum(steps), -9000, 9000).astype(np.int16)})
    return path


def test_start_time_and_memory_are_those_of_the_process(record: Path) -> None:
    (began,) = start_s(record, 1)
    used = whole(record)
    assert began > 0
    assert used["cpu_s"] > 0
    assert 20 < used["peak_mib"] < 1000
    assert growth(0.01)["settled_mib"] > 20


def test_a_page_is_watched_while_cpu_is_counted(record: Path) -> None:
    assert 0 <= live(record, 0.2, web=True) < 2


def test_a_record_too_short_for_a_verdict_is_said(tmp_path: Path) -> None:
    write_csv(tmp_path / "short.csv", 250, {"II": np.zeros(100, np.int16)})
    with pytest.raises(SystemExit, match="no verdict"):
        start_s(tmp_path / "short.csv", 1)
