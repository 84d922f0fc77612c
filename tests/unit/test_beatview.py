"""What a model of beats is shown, on ECG whose beats are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.signal.beatview import CHANNELS, COLUMNS, FEATURES, BeatStream, BeatView, beat_views, lg
from ecg_edge.signal.prepare import Prepare, State, sample_states

P = Prepare()
CHANNEL = {name: 2 + k for k, name in enumerate(FEATURES)}


def ecg(
    beats: NDArray[np.int64], n: int, *, wide: tuple[int, ...] = (), without_p: tuple[int, ...] = ()
) -> NDArray[np.int16]:
    """(n,) uV: P, QRS and T at each beat; a wide QRS without P, or no P, at those numbered."""
    time, signal = np.arange(n), np.random.default_rng(0).normal(0, 4, n)
    for number, beat in enumerate(beats):
        width, height = (14, -1500) if number in wide else (5, 1000)
        signal += height * np.clip(1 - np.abs(time - beat) / width, 0, None)
        signal += 200 * np.exp(-0.5 * ((time - beat - 70) / 14) ** 2)
        if number not in wide and number not in without_p:
            signal += 120 * np.exp(-0.5 * ((time - beat + 42) / 6) ** 2)
    return np.asarray(np.clip(np.rint(signal), -32768, 32767), np.int16)


def feature(view: BeatView, name: str) -> int:
    values = view.tensor[:, CHANNEL[name]]
    assert (values == values[0]).all()
    return int(values[0])


@pytest.fixture(scope="module")
def sinus() -> list[BeatView]:
    beats = np.arange(300, 20_000, 200)
    return beat_views(ecg(beats, 20_200), P)


def test_every_beat_is_given_once_and_in_order(sinus: list[BeatView]) -> None:
    at = np.array([view.at for view in sinus])
    assert np.abs(at - np.arange(300, 20_000, 200)).max() <= 2
    assert [view.rr for view in sinus] == [0, *np.diff(at)]
    assert all(view.tensor.shape == (COLUMNS, CHANNELS) and view.state is State.OK for view in sinus)


def test_a_usual_beat_of_a_regular_rhythm_has_nothing_remarkable(sinus: list[BeatView]) -> None:
    view = sinus[50]
    assert all(abs(feature(view, name)) <= 2 for name in ("r0", "r1", "r-1", "r2", "recent"))
    assert feature(view, "alike") > 110
    assert np.abs(view.tensor[:, 1]).mean() <= 3
    assert view.tensor[:, 0].max() > 60


def test_a_premature_beat_stands_out_by_its_interval() -> None:
    beats = np.arange(300, 20_000, 200)
    beats[50] -= 70
    views = beat_views(ecg(beats, 20_200), P)
    assert feature(views[50], "r0") == pytest.approx(64 * np.log2(130 / 200), abs=3)
    assert feature(views[50], "r1") == pytest.approx(64 * np.log2(270 / 200), abs=3)
    assert feature(views[51], "r-1") == feature(views[50], "r0") == feature(views[48], "r2")


def test_a_wide_beat_stands_out_by_its_shape_and_teaches_nothing() -> None:
    beats = np.arange(300, 20_000, 200)
    beats[50] -= 60
    views = beat_views(ecg(beats, 20_200, wide=(50,)), P)
    assert feature(views[50], "shape") > 0 > feature(views[49], "shape")
    assert np.abs(views[50].tensor[:, 1].astype(int)).max() > 60
    assert np.abs(views[52].tensor[:, 1]).mean() <= 4


def test_ectopic_beats_in_the_majority_do_not_become_the_reference() -> None:
    """A patient whose premature beats outnumber the sinus ones: a running median of intervals would follow them."""
    intervals = np.tile([310, 150, 150, 150], 80)
    beats = 300 + np.cumsum(intervals)
    ectopic = tuple(k for k in range(len(beats)) if k % 4 != 0)
    views = beat_views(ecg(beats, int(beats[-1]) + 300, without_p=ectopic), P)[40:-4]
    r0 = np.array([feature(view, "r0") for view in views])
    premature = np.array([view.rr < 200 for view in views])
    assert r0[premature].max() < -10
    assert r0[~premature].min() > 30
    alike = np.array([feature(view, "alike") for view in views])
    assert np.median(alike[~premature]) > np.median(alike[premature]) + 40


def test_a_first_beat_of_another_kind_is_voted_out() -> None:
    beats = np.arange(300, 20_000, 200)
    views = beat_views(ecg(beats, 20_200, wide=(0,)), P)
    assert feature(views[1], "shape") > -10
    assert feature(views[20], "shape") < -60


def test_beats_near_clipped_samples_have_their_state_and_teach_nothing() -> None:
    beats = np.arange(300, 20_000, 200)
    samples = ecg(beats, 20_200)
    samples[10_000:10_200] = 32767
    states = [view.state for view in beat_views(samples, P)]
    touched = [abs(view.at - 10_100) < 700 for view in beat_views(samples, P)]
    assert State.CLIPPED in states
    assert all(state is State.OK for state, near in zip(states, touched, strict=True) if not near)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_any_pieces_give_the_views_of_the_whole(seed: int, cuts: int) -> None:
    random = np.random.default_rng(seed)
    beats = 100 + np.cumsum(random.integers(60, 500, 25))
    n = int(beats[-1]) + int(random.integers(0, 300))
    samples = ecg(beats, n, wide=tuple(random.integers(0, 25, 4)))
    states = np.maximum(sample_states(samples, P), (random.random(n) < 0.0002) * np.uint8(State.GAP))
    places = np.sort(random.integers(0, n + 1, cuts))
    stream = BeatStream(P)
    pieces = zip(np.split(samples, places), np.split(states, places), strict=True)
    given_views = [view for part in pieces for view in stream.push(*part)] + stream.end()
    whole = beat_views(samples, P, states)
    assert [(v.at, v.rr, v.state) for v in given_views] == [(v.at, v.rr, v.state) for v in whole]
    assert all((a.tensor == b.tensor).all() for a, b in zip(given_views, whole, strict=True))


def test_no_signal_has_no_beats() -> None:
    assert beat_views(np.empty(0, np.int16), P) == []
    assert beat_views(np.full(3000, 77, np.int16), P) == []


@given(st.integers(1, 65535))
def test_the_logarithm_is_within_two(v: int) -> None:
    assert abs(lg(v) - 64 * np.log2(v)) <= 2
