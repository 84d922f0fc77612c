"""ecg_prepare.c gives the bits and the states of signal/prepare.py, whatever the signal and the parameters."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toolchain import SOURCES

from ecg_edge.signal.prepare import Prepare, PrepareStream, State, prepare, sample_states, stream_states, window_states

STATE_BYTES = 256  # more than sizeof(ecg_prepare_t)
LEAD_BYTES = 1068  # sizeof(ecg_prepare_lead_t)


class CParams(ctypes.Structure):
    """ecg_prepare_params_t."""

    _fields_ = (
        ("average_log2", ctypes.c_uint8),
        ("taps", ctypes.c_uint8),
        ("fir", ctypes.POINTER(ctypes.c_int16)),
        ("multiplier", ctypes.c_int32),
        ("shift", ctypes.c_uint8),
        ("zero_point", ctypes.c_int8),
        ("flat_samples", ctypes.c_uint16),
        ("flat_uv", ctypes.c_int16),
    )


@dataclass
class Answer:
    """What a whole stream gave: columns (n, leads), and after each its state for a window that ends there."""

    columns: NDArray[np.int8]
    states: NDArray[np.uint8]


@dataclass
class CPrepare:
    """The C side over whole streams."""

    library: ctypes.CDLL

    def params(self, p: Prepare) -> CParams:
        fir = (ctypes.c_int16 * len(p.fir))(*p.fir)
        return CParams(p.average_log2, len(p.fir), fir, p.multiplier, p.shift, p.zero_point, p.flat_samples, p.flat_uv)

    def run(
        self, samples_uv: NDArray[np.int16], p: Prepare, *, flags: NDArray[np.uint8] | None = None, window: int = 64
    ) -> Answer:
        """(n, leads) samples: reset, push all, hold `delay` times."""
        lib, params = self.library, self.params(p)
        assert lib.ecg_prepare_check(ctypes.byref(params)) == 0
        leads = samples_uv.shape[1]
        state = np.full(STATE_BYTES, 0xA5, np.uint8)
        rings = np.full(LEAD_BYTES * leads + 64, 0xA5, np.uint8)  # nothing may depend on what memory held
        lib.ecg_prepare_reset(state.ctypes.data, ctypes.byref(params), rings.ctypes.data, leads)
        column = np.zeros(leads, np.int8)
        columns, states = [], []

        def keep(gave: bool) -> None:
            if gave:
                columns.append(column.copy())
                states.append(lib.ecg_prepare_state(state.ctypes.data, window))

        samples = np.ascontiguousarray(samples_uv)
        for i, sample in enumerate(samples):
            flag = 0 if flags is None else int(flags[i])
            keep(lib.ecg_prepare_push(state.ctypes.data, sample.ctypes.data, flag, column.ctypes.data))
        for _ in range(lib.ecg_prepare_delay(ctypes.byref(params))):
            keep(lib.ecg_prepare_hold(state.ctypes.data, column.ctypes.data))
        assert (rings[LEAD_BYTES * leads :] == 0xA5).all()
        return Answer(np.array(columns, np.int8).reshape(-1, leads), np.array(states, np.uint8))


@pytest.fixture(scope="module")
def c_prepare(build_library: Callable[..., ctypes.CDLL]) -> CPrepare:
    library = build_library(SOURCES / "ecg_prepare.c")
    pointer = ctypes.c_void_p
    library.ecg_prepare_push.argtypes = [pointer, pointer, ctypes.c_uint8, pointer]
    library.ecg_prepare_push.restype = library.ecg_prepare_hold.restype = ctypes.c_bool
    library.ecg_prepare_hold.argtypes = [pointer, pointer]
    library.ecg_prepare_reset.argtypes = [pointer, pointer, pointer, ctypes.c_uint8]
    library.ecg_prepare_state.argtypes = [pointer, ctypes.c_uint16]
    library.ecg_prepare_state.restype = ctypes.c_uint8
    library.ecg_prepare_delay.restype = ctypes.c_uint16
    return CPrepare(library)


@st.composite
def preparations(draw: st.DrawFn) -> Prepare:
    half = draw(st.lists(st.integers(0, 60), min_size=0, max_size=7))
    centre = draw(st.integers(1, 100))
    return Prepare(
        average_log2=draw(st.integers(1, 8)),
        fir=(*half, centre, *half[::-1]),
        multiplier=draw(st.one_of(st.integers(1, 50), st.integers(1, 2**31 - 1))),
        shift=draw(st.one_of(st.integers(1, 20), st.integers(1, 62))),
        zero_point=draw(st.integers(-128, 127)),
        flat_samples=draw(st.integers(1, 60)),
        flat_uv=draw(st.one_of(st.integers(0, 4), st.just(32767))),
    )


@st.composite
def signals(draw: st.DrawFn) -> NDArray[np.int16]:
    """(n,) samples: noise of any size, rails, constants, steps, and pieces of them one after another."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pieces = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 400))
        piece: NDArray[np.generic]
        kind = draw(st.sampled_from(["noise", "small", "extremes", "constant", "rail", "ramp"]))
        if kind == "noise":
            piece = rng.integers(-32768, 32768, n)
        elif kind == "small":
            piece = rng.integers(-3, 4, n) + draw(st.integers(-30000, 30000))
        elif kind == "extremes":
            piece = rng.choice([-32768, 32767], n)
        elif kind == "constant":
            piece = np.full(n, draw(st.integers(-32768, 32767)))
        elif kind == "rail":
            piece = np.full(n, draw(st.sampled_from([-32768, 32767])))
        else:
            piece = np.linspace(draw(st.integers(-32768, 32767)), draw(st.integers(-32768, 32767)), n)
        pieces.append(piece.astype(np.int16))
    return np.concatenate(pieces)


@settings(max_examples=120, deadline=None)
@given(signals(), preparations())
def test_columns_are_equal_bit_for_bit(c_prepare: CPrepare, samples_uv: NDArray[np.int16], p: Prepare) -> None:
    np.testing.assert_array_equal(c_prepare.run(samples_uv[:, None], p).columns[:, 0], prepare(samples_uv, p))


@settings(max_examples=40, deadline=None)
@given(signals(), preparations(), st.lists(st.integers(0, 1600), max_size=8))
def test_chunks_of_a_stream_give_the_same_columns(
    c_prepare: CPrepare, samples_uv: NDArray[np.int16], p: Prepare, cuts: list[int]
) -> None:
    stream = PrepareStream(p)
    chunks = np.split(samples_uv, sorted(c for c in cuts if c <= samples_uv.size))
    columns = np.concatenate([*(stream.push(chunk) for chunk in chunks), stream.end()])
    np.testing.assert_array_equal(c_prepare.run(samples_uv[:, None], p).columns[:, 0], columns)


@settings(max_examples=80, deadline=None)
@given(signals(), preparations(), st.integers(1, 80))
def test_states_are_those_of_the_window_that_ends_there(
    c_prepare: CPrepare, samples_uv: NDArray[np.int16], p: Prepare, window: int
) -> None:
    states = c_prepare.run(samples_uv[:, None], p, window=window).states
    if samples_uv.size >= window:
        expected = stream_states(sample_states(samples_uv, p), p, window=window, hop=1)
        np.testing.assert_array_equal(states[window - 1 :], expected)


@settings(max_examples=60, deadline=None)
@given(signals(), preparations(), st.data())
def test_flags_of_the_caller_hold_as_long_as_the_filters_reach(
    c_prepare: CPrepare, samples_uv: NDArray[np.int16], p: Prepare, data: st.DataObject
) -> None:
    flags = np.zeros(samples_uv.size, np.uint8)
    for at in data.draw(st.lists(st.integers(0, samples_uv.size - 1), max_size=4)):
        flags[at] = data.draw(st.integers(0, 7))
    raised = np.select([flags & 1 > 0, flags & 2 > 0, flags & 4 > 0], [State.GAP, State.LEAD_OFF, State.CLIPPED], 0)
    window = data.draw(st.integers(1, samples_uv.size))
    per_sample = np.maximum(sample_states(samples_uv, p), raised.astype(np.uint8))
    states = c_prepare.run(samples_uv[:, None], p, flags=flags, window=window).states
    np.testing.assert_array_equal(states[window - 1 :], stream_states(per_sample, p, window=window, hop=1))


def test_leads_do_not_mix_and_share_their_states(c_prepare: CPrepare) -> None:
    p = Prepare(average_log2=5, flat_samples=30)
    rng = np.random.default_rng(3)
    samples = rng.integers(-2000, 2000, (500, 3)).astype(np.int16)
    samples[100:200, 1] = 7  # one lead falls off
    answer = c_prepare.run(samples, p, window=20)
    for lead in range(3):
        np.testing.assert_array_equal(answer.columns[:, lead], prepare(samples[:, lead].copy(), p))
    per_sample = np.max([sample_states(lead, p) for lead in samples.T], axis=0)
    np.testing.assert_array_equal(answer.states[19:], stream_states(per_sample, p, window=20, hop=1))
    assert State.FLAT in answer.states


def test_the_shipped_parameters_agree_over_a_whole_window(c_prepare: CPrepare) -> None:
    p = Prepare()
    rng = np.random.default_rng(1)
    drift = 4000 * np.sin(np.arange(1024) / 300) + rng.normal(0, 300, 1024)
    samples = np.clip(drift, -32768, 32767).astype(np.int16)
    answer = c_prepare.run(samples[:, None], p, window=1024)
    np.testing.assert_array_equal(answer.columns[:, 0], prepare(samples, p))
    assert len(answer.states) == 1024
    assert answer.states[-1] == window_states(samples, p) == State.OK


def test_a_line_is_flat_from_the_first_sample_that_has_enough_small_differences(c_prepare: CPrepare) -> None:
    p = Prepare(average_log2=1, fir=(1,), flat_samples=5, flat_uv=2)  # delay 1
    samples = np.array([0, 50, 52, 50, 52, 50, 52, 99, 0, 99], np.int16)
    states = c_prepare.run(samples[:, None], p, window=1).states
    # Sample 6 is the fifth small difference in a row; one sample on both sides of a column counts.
    assert states.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]


def test_a_stream_without_samples_gives_no_columns(c_prepare: CPrepare) -> None:
    assert c_prepare.run(np.zeros((0, 1), np.int16), Prepare()).columns.size == 0


def test_delays_agree(c_prepare: CPrepare) -> None:
    for p in (Prepare(), Prepare(average_log2=1, fir=(1,)), Prepare(average_log2=6, fir=(1,) * 15)):
        assert c_prepare.library.ecg_prepare_delay(ctypes.byref(c_prepare.params(p))) == p.delay


@pytest.mark.parametrize(
    "broken",
    [
        {"average_log2": 0}, {"average_log2": 9}, {"average_log2": 255}, {"taps": 6}, {"taps": 17}, {"taps": 0},
        {"multiplier": 0}, {"multiplier": -1}, {"shift": 0}, {"shift": 63}, {"flat_samples": 0},
        {"flat_samples": 65535}, {"flat_uv": -1}, {"fir": None},
    ],
)  # fmt: skip
def test_parameters_outside_their_limits_are_refused(c_prepare: CPrepare, broken: dict[str, int | None]) -> None:
    params = c_prepare.params(Prepare())
    for name, value in broken.items():
        setattr(params, name, value)
    assert c_prepare.library.ecg_prepare_check(ctypes.byref(params)) == -3


@pytest.mark.parametrize("fir", [(1, 2, 3), (0, 0, 0), (-1, 4, -1), (500, 500, 500)])
def test_filters_outside_their_limits_are_refused(c_prepare: CPrepare, fir: tuple[int, ...]) -> None:
    params = c_prepare.params(replace(Prepare(), fir=(1, 1, 1)))
    params.fir = (ctypes.c_int16 * 3)(*fir)
    assert c_prepare.library.ecg_prepare_check(ctypes.byref(params)) == -3
