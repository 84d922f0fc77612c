"""The stream in Python gives what the firmware gives: columns, windows, states, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from board_bench import Reference, Said
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.runtime.numpy import NumpyBackend


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


def signal(n: int, seed: int) -> NDArray[np.int16]:
    """(n, 1) uV: lively, flat in the middle, out of range once."""
    random = np.random.default_rng(seed)
    samples: NDArray[np.int16] = np.clip(np.cumsum(random.normal(0, 60, n)), -9000, 9000).astype(np.int16)
    samples[n // 2 : n // 2 + 700] = 12
    samples[n // 5] = 32767
    return samples[:, None]


def said(verdicts: list[Verdict], first: int = 0) -> list[Said]:
    return [Said(v.scores.tolist(), v.label, int(v.state), v.last_index - first) for v in verdicts]


@given(st.integers(0, 2**32 - 1), st.integers(900, 4000), st.integers(1, 40))
@settings(max_examples=20)
def test_any_chunks_give_the_verdicts_of_the_definition(seed: int, n: int, cuts: int) -> None:
    bundle = Bundle.load("ecg5")
    samples = signal(n, seed)
    random = np.random.default_rng(seed)
    flags = ((random.random(n) < 0.0005) * random.choice([1, 2, 4], n)).astype(np.uint8)
    stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
    places = np.sort(random.integers(0, n + 1, cuts))
    verdicts = []
    for part, marks in zip(np.split(samples, places), np.split(flags, places), strict=True):
        verdicts += stream.push(part, marks)
    verdicts += stream.end()
    assert said(verdicts) == Reference(bundle).stream(samples, flags)


def test_a_restart_forgets_what_came_and_counts_on(bundle: Bundle) -> None:
    stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
    stream.push(signal(1700, 1))
    samples = signal(2500, 2)
    stream.restart(5000)
    verdicts = [*stream.push(samples), *stream.end()]
    assert said(verdicts, first=5000) == Reference(bundle).stream(samples)
    assert stream.index == 7500


def test_memory_does_not_grow_with_the_stream(bundle: Bundle) -> None:
    stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
    for chunk in np.array_split(signal(40_000, 3), 100):
        stream.push(chunk)
    kept = len(stream._states) + len(stream._columns) + len(stream._states_of._recent)
    assert kept < 4 * bundle.manifest.window
