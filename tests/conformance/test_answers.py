"""Every board answers what the model answers: equal bits, equal states, in windows and in streams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from board_bench import Reference, said
from board_rungs import Rung
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Hello
from ecg_edge.errors import DeviceError

References = Callable[[Bundle], Reference]


def models(device: Device, rung: Rung, reference_of: References) -> list[tuple[Hello, Reference]]:
    """Each model that the board holds, and what it must answer."""
    return [(hello, reference_of(rung.bundle(hello.sha256))) for hello in device.hello()]


def ecg_like(n: int, leads: int, seed: int) -> NDArray[np.int16]:
    """(n, leads) uV: spikes on a wandering line, now and then far out of range."""
    random = np.random.default_rng(seed)
    wander = np.cumsum(random.normal(0, 20, (n, leads)), axis=0)
    spikes = (random.random((n, leads)) < 0.01) * random.normal(0, 3000, (n, leads))
    values: NDArray[np.float64] = np.clip(wander + spikes + random.normal(0, 30, (n, leads)), -32767, 32766)
    return values.astype(np.int16)


def test_hello_says_what_the_bundle_says(device: Device, rung: Rung, reference_of: References) -> None:
    for hello, reference in models(device, rung, reference_of):
        m = reference.manifest
        assert (hello.name, hello.fs_hz, hello.window, hello.hop) == (m.name, m.fs_hz, m.window, m.hop)
        assert (hello.leads, hello.classes) == (m.leads, len(m.classes))
        assert (hello.delay, hello.history) == (reference.prepare.delay, reference.prepare.history)
        assert (hello.in_scale, hello.in_zero) == (float(np.float32(m.input.scale)), m.input.zero_point)
        assert (hello.out_scale, hello.out_zero) == (float(np.float32(m.output.scale)), m.output.zero_point)
        assert hello.selftest == 1


def test_another_model_is_refused(device: Device) -> None:
    with pytest.raises(DeviceError, match="wanted 000000000000"):
        device.require("0" * 64)


@pytest.mark.parametrize("kind", ["ecg", "noise", "extremes", "still", "constant"])
def test_isolated_windows_are_answered_bit_by_bit(
    device: Device, rung: Rung, reference_of: References, kind: str
) -> None:
    random = np.random.default_rng(1)
    for hello, reference in models(device, rung, reference_of):
        device.require(hello.sha256)
        shape = (8, hello.window, hello.leads)
        signals: dict[str, NDArray[np.int64]] = {
            "ecg": ecg_like(8 * hello.window, hello.leads, 2).reshape(shape).astype(np.int64),
            "noise": random.integers(-2000, 2001, shape),
            "extremes": random.choice([-32768, -1, 0, 32767], shape),
            "still": random.integers(0, 2, shape),
            "constant": np.full(shape, -1234),
        }
        windows = signals[kind].astype(np.int16)
        assert said(device.classify_many(windows)) == reference.windows(windows)


@pytest.mark.parametrize("extra", [-1, 0, 1, 400])
def test_a_stream_is_answered_bit_by_bit(device: Device, rung: Rung, reference_of: References, extra: int) -> None:
    for hello, reference in models(device, rung, reference_of):
        device.require(hello.sha256)
        samples = ecg_like(hello.window + extra + (extra > 0) * 4 * hello.hop, hello.leads, 3)
        assert said(list(device.stream(samples))) == reference.stream(samples)


def test_flags_and_flat_stretches_in_a_stream_give_the_same_states(
    device: Device, rung: Rung, reference_of: References
) -> None:
    for hello, reference in models(device, rung, reference_of):
        device.require(hello.sha256)
        n = 6 * hello.history + hello.window
        samples = ecg_like(n, hello.leads, 4)
        samples[hello.history : 3 * hello.history] = 50
        samples[4 * hello.history, 0] = 32767
        flags = np.zeros(n, np.uint8)
        flags[[5 * hello.history, n - 1]] = 2, 1
        flags[5 * hello.history + 7 : 5 * hello.history + 9] = 4
        answers = said(list(device.stream(samples, flags)))
        assert answers == reference.stream(samples, flags)
        assert {answer.state for answer in answers} == {0, 1, 2, 3, 4}


def test_chunks_of_a_live_source_are_the_same_stream(device: Device, rung: Rung, reference_of: References) -> None:
    for hello, reference in models(device, rung, reference_of):
        device.require(hello.sha256)
        samples = ecg_like(hello.window + 5 * hello.hop + 13, hello.leads, 5)
        chunks = np.array_split(samples, 23)
        assert said(list(device.stream(iter(chunks)))) == reference.stream(samples)


def test_the_selftest_passes_and_the_counters_count(device: Device) -> None:
    hello = device.hello()[0]
    before = device.stats()
    device.classify(np.zeros((hello.window, hello.leads), np.int16))
    after = device.stats()
    assert after.results - before.results == 1
    assert after.bytes_in - before.bytes_in > 2 * hello.window * hello.leads
    assert (after.crc_errors, after.gaps) == (before.crc_errors, before.gaps)
    assert device.selftest().passed
