"""signal/resample.py gives SciPy's samples, without its import."""

from __future__ import annotations

import subprocess
import sys
from math import gcd

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecg_edge.signal.resample import resample

RATES = [(360, 250), (500, 250), (1000, 250), (257, 250), (100, 250), (128, 250), (250, 360), (100_000, 250)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("n", [1, 2, 40, 5003])
def test_samples_are_those_of_scipy(from_hz: int, to_hz: int, n: int) -> None:
    samples = np.rint(np.cumsum(np.random.default_rng(n).normal(0, 40, (2, n)), axis=-1))
    common = gcd(from_hz, to_hz)
    expected = resample_poly(samples, to_hz // common, from_hz // common, axis=-1, padtype="edge")
    found = resample(samples, from_hz, to_hz)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)  # uV; float sums in another order


def test_a_level_stays_a_level_up_to_its_ends() -> None:
    np.testing.assert_allclose(resample(np.full(1000, 1234.0), 360, 250), 1234.0, rtol=1e-3)


def test_a_recording_is_classified_without_scipy() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None; import numpy as np\n"
        "from ecg_edge.live import open, run, lines; from ecg_edge.signal.resample import resample\n"
        "resample(np.zeros(9), 360, 250)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
