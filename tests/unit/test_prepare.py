"""The integer preparation: its words, its edges, its states, and how little it bends the ST segment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.prepare import (
    Prepare,
    PrepareStream,
    State,
    prepare,
    scaled_prepare,
    stream_states,
    window_states,
)
from ecg_edge.signal.waves import Atoms, Grid, rate_scale, render_gaussians

P = Prepare()
ST_SHIFT_LIMIT_UV = 10.0  # DESIGN.md 1
DELAY_LIMIT = 260


def by_the_words(samples: list[int], p: Prepare) -> list[int]:
    """The module's docstring, one sample at a time, with Python's own integers."""
    length, half = 1 << p.average_log2, 1 << (p.average_log2 - 1)
    x, m1, h = [samples[0]] * length, [samples[0]] * length, [0] * len(p.fir)
    columns = []
    for value in [*samples, *[samples[-1]] * p.delay]:
        x = [*x[1:], value]
        m1 = [*m1[1:], (sum(x) + half) >> p.average_log2]
        b = (sum(m1) + half) >> p.average_log2
        h = [max(-32768, min(32767, x[0] - b)), *h[:-1]]
        a = sum(tap * value for tap, value in zip(p.fir, h, strict=True))
        columns.append(max(-128, min(127, p.zero_point + ((a * p.multiplier + (1 << (p.shift - 1))) >> p.shift))))
    return columns[p.delay :]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=300), st.integers(1, 8), st.integers(-128, 127))
def test_prepare_is_what_its_words_say(samples: list[int], average_log2: int, zero_point: int) -> None:
    p = Prepare(average_log2=average_log2, zero_point=zero_point)
    assert prepare(np.array(samples, np.int16), p).tolist() == by_the_words(samples, p)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 400), min_size=1, max_size=8))
def test_any_chunks_give_the_columns_of_the_whole(seed: int, sizes: list[int]) -> None:
    x = np.random.default_rng(seed).integers(-32768, 32768, sum(sizes) + 1).astype(np.int16)
    stream = PrepareStream(P)
    parts = [stream.push(part) for part in np.split(x, np.cumsum(sizes))]
    assert np.concatenate([*parts, stream.end()]).tolist() == prepare(x, P).tolist()


def test_a_constant_is_zero_at_any_level() -> None:
    for level in (-32768, -1, 0, 1, 32767):
        assert not prepare(np.full(600, level, np.int16), P).any()


def test_the_delay_is_within_the_contract() -> None:
    assert P.delay == 258 <= DELAY_LIMIT


def test_one_step_of_input_is_16_uv() -> None:
    assert scaled_prepare(uv_per_lsb=16.0, zero_point=0) == P
    slow = np.arange(3000) % 2 * 0 + np.where(np.arange(3000) < 1500, 0, 160)
    step = prepare(slow.astype(np.int16), P)
    assert step[1510] - step[1490] == 10  # 160 uV are 10 steps, before the baseline follows


def beats(rate: float, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """A plain lead II at a steady rate: mV, and the samples of the PR segment and of J+60 ms in each beat."""
    rr = 60.0 / rate
    scale = float(rate_scale(np.array([rr]))[0])
    r = np.arange(0.5, grid.length / grid.fs_hz, rr)
    waves = (
        (-0.16 * (0.45 + 0.55 * scale), 0.02, 0.15),
        (-0.028, 0.008, -0.1),
        (0.0, 0.010, 1.2),
        (0.03, 0.010, -0.25),
    )
    t = (0.30 * scale, 0.045 * (0.35 + 0.65 * scale), 0.3)
    x = np.zeros((1, grid.length))
    for offset, sigma, height in (*waves, t):
        width = np.full(r.size, sigma)
        x += render_gaussians(
            Atoms(np.zeros(r.size, np.int64), r + offset, width, width, np.full(r.size, height)), grid
        )
    pr, st60 = np.round((r - 0.055) * grid.fs_hz), np.round((r + 0.056 + 0.060) * grid.fs_hz)
    return x[0], pr.astype(np.int64), st60.astype(np.int64)


@pytest.mark.parametrize("rate", [40, 60, 75, 100, 125, 160])
def test_the_st_level_is_shifted_by_10_uv_at_most(rate: int) -> None:
    grid = Grid(1, 20_000, 250.0)
    clean, pr, st60 = beats(rate, grid)
    # Every J+60 and PR sample, unsaturated: 2 uV a step reaches +-256 uV around the removed baseline.
    fine = scaled_prepare(uv_per_lsb=2.0, zero_point=0)
    columns = prepare(np.round(clean * 1000).astype(np.int16), fine) * 2.0
    middle = (pr > 1000) & (st60 < 19_000)
    levels = columns[st60[middle]] - columns[pr[middle]]
    assert (np.abs(columns[st60[middle]]) < 250).all()
    truth = 1000 * (clean[st60[middle]] - clean[pr[middle]])
    assert abs(float(np.mean(levels - truth))) <= ST_SHIFT_LIMIT_UV


def test_mains_is_removed_and_the_band_of_ecg_kept() -> None:
    t = np.arange(5000) / 250.0
    fine = scaled_prepare(uv_per_lsb=10.0, zero_point=0)

    def gain(f: float) -> float:
        out = prepare(np.round(1000 * np.sin(2 * np.pi * f * t)).astype(np.int16), fine)[1000:4000] * 10.0
        return float(np.sqrt(2) * out.std() / 1000)

    assert gain(50.0) < 0.02
    assert gain(60.0) < 0.02
    assert 0.88 < gain(10.0) < 0.93
    assert gain(0.1) < 0.06


def test_states_have_names_and_the_worst_wins() -> None:
    quiet = np.random.default_rng(1).integers(-50, 50, 1024).astype(np.int16)
    flat, clipped, both = quiet.copy(), quiet.copy(), quiet.copy()
    flat[200:801] = 7
    clipped[500] = -32768
    both[200:801], both[900] = 7, 32767
    states = window_states(np.stack([quiet, flat, clipped, both]), P)
    assert states.tolist() == [State.OK, State.FLAT, State.CLIPPED, State.CLIPPED]


def test_one_sample_less_than_flat_is_not_flat() -> None:
    x = np.random.default_rng(2).integers(-500, 500, 1024).astype(np.int16)
    x[100:700] = 3  # 599 differences of 0
    x[99], x[700] = 400, -400
    assert window_states(x, P) == State.OK
    x[700] = 3
    assert window_states(x, P) == State.FLAT


def test_a_stream_window_carries_what_its_columns_have_seen() -> None:
    states = np.zeros(4000, np.uint8)
    states[1500] = State.CLIPPED
    got = stream_states(states, P, window=1024, hop=256)
    starts = np.arange(got.size) * 256
    seen = (starts - P.delay <= 1500) & (starts + 1024 + P.delay > 1500)
    assert got.tolist() == np.where(seen, State.CLIPPED, State.OK).tolist()


@pytest.mark.parametrize(
    "fields", [{"average_log2": 9}, {"fir": (1, 2)}, {"fir": (1, 2, 3)}, {"multiplier": 0}, {"shift": 0}]
)
def test_parameters_outside_their_limits_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(SignalError, match="prepare: "):
        Prepare(**fields)  # type: ignore[arg-type]


def test_a_manifest_gives_back_what_it_was_given() -> None:
    p = scaled_prepare(uv_per_lsb=12.34, zero_point=-7)
    assert Prepare.from_manifest(p.to_manifest()) == p
    with pytest.raises(SignalError, match="manifest"):
        Prepare.from_manifest({"fir": [1], "nonsense": 3})
