"""The comparison of QRS detectors, on a record whose beats are known; neurokit2 takes part where it is installed."""

from __future__ import annotations

from pathlib import Path

import bench_qrs
import numpy as np
import pytest

from ecg_edge.signal.record import Annotations, Record, write_wfdb

FS_HZ, SECONDS = 360, 330


@pytest.mark.slow
def test_detectors_are_counted_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(bench_qrs.DETECTORS, "neurokit2")  # in no lock
    monkeypatch.setitem(bench_qrs.DETECTORS, "nobody", (bench_qrs.neurokit, "no_such_package"))
    at = np.arange(FS_HZ // 2, SECONDS * FS_HZ, FS_HZ * 5 // 6)
    time = np.arange(SECONDS * FS_HZ)
    phase = np.abs((time - FS_HZ // 2 + FS_HZ * 5 // 12) % (FS_HZ * 5 // 6) - FS_HZ * 5 // 12)
    samples = np.random.default_rng(1).normal(0, 8, time.size) + 1000 * np.clip(1 - phase / 14, 0, None)
    marks = Annotations(at, ("N",) * at.size, ("",) * at.size)
    write_wfdb(tmp_path, [Record("a", FS_HZ, "MLII", samples.astype(np.int16), annotations=marks)])
    report = bench_qrs.measure(tmp_path)
    assert report["detectors"].keys() == {"ecg-edge", "XQRS"}
    for found in report["detectors"].values():
        assert found["counts"]["tp"] > 30
        assert found["gross"]["se"] > 0.9
        assert found["gross"]["ppv"] > 0.9
        assert found["s_per_hour"] > 0
    text = bench_qrs.report_text(report)
    assert "1 records, 0.1 h, EC57" in text
    assert "nobody is not installed: pip install no_such_package" in text
