"""The heart rate of a live signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_edge.live.pulse import Pulse
from ecg_edge.live.source import Chunk

FS_HZ = 250


def train(rate_bpm: float, seconds: float) -> NDArray[np.int16]:
    """(n, 1) uV: a spike a beat."""
    time = np.arange(round(seconds * FS_HZ))
    to_beat = np.abs((time - 60) % (60 * FS_HZ / rate_bpm) - 10)
    samples: NDArray[np.int16] = (1000 * np.clip(1 - to_beat / 10, 0, None)).astype(np.int16)[:, None]
    return samples


def fed(pulse: Pulse, samples: NDArray[np.int16], first: int = 0) -> None:
    for at in range(0, len(samples), 25):
        part = samples[at : at + 25]
        pulse.push(Chunk(first + at, part, np.zeros(len(part), np.uint8)))


def test_a_steady_heart_has_its_rate_and_asystole_none() -> None:
    for rate in (40, 72, 150):
        pulse, rates = Pulse(FS_HZ), []
        for first, part in ((0, train(rate, 20)), (20 * FS_HZ, np.zeros((5 * FS_HZ, 1), np.int16))):
            fed(pulse, part, first)
            rates.append(pulse.rate_bpm)
        assert rates == [rate, None]


def test_nothing_is_measured_over_a_gap() -> None:
    pulse = Pulse(FS_HZ)
    fed(pulse, train(60, 20))
    pulse.restart(20_000)
    rates = []
    for at in range(20_000, 30_000, 500):
        fed(pulse, train(90, 2), at)
        rates.append(pulse.rate_bpm)
    assert (rates[0], rates[-1]) == (None, 90)


def test_another_rate_than_the_detectors_has_no_pulse() -> None:
    pulse = Pulse(500)
    fed(pulse, train(60, 20))
    assert pulse.rate_bpm is None
