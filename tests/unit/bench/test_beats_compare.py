"""bench/beats_compare.py: what counts as the same beat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecg_edge.bench.beats import Beats
from ecg_edge.bench.beats_compare import FIELDS, compare_beats
from ecg_edge.bench.beats_device import flags_of
from ecg_edge.device.frame import SampleFlag
from ecg_edge.signal.prepare import State


def beats(at: list[int]) -> Beats:
    places = np.array(at, np.int64)
    n = len(places)
    scores = np.stack([places % 100, -places % 90, places % 7], axis=1).astype(np.int8).reshape(n, 3)
    return Beats(places, np.diff(places, prepend=places[:1]), np.zeros(n, np.uint8), scores, scores.argmax(axis=1))


GOLDEN = beats([100, 300, 520, 700])


def test_equal_beats_are_identical() -> None:
    found = compare_beats(GOLDEN, beats([100, 300, 520, 700]))
    assert found.all_identical
    assert (found.golden, found.other, found.identical.sum()) == (4, 4, 4)


@pytest.mark.parametrize("field", FIELDS)
def test_a_beat_that_differs_in_one_field_is_not_identical(field: str) -> None:
    columns: dict[str, Any] = {field: getattr(GOLDEN, field).copy()}
    columns[field][2] += 1
    found = compare_beats(GOLDEN, replace(GOLDEN, **columns))
    assert not found.all_identical
    assert found.identical.tolist() == [True, True, False, True]
    assert {name for name, count in found.differing.items() if count} == {field}
    assert not found.missing.any()
    assert not found.extra.size


def test_a_beat_one_sample_off_is_missing_and_extra() -> None:
    other = replace(GOLDEN, at=np.array([100, 301, 520, 700]))
    found = compare_beats(GOLDEN, other)
    assert found.missing.tolist() == [False, True, False, False]
    assert found.extra.tolist() == [301]
    assert found.identical.tolist() == [True, False, True, True]


@pytest.mark.parametrize(("other", "extra"), [([100, 300, 520, 600, 700], [600]), ([100, 300, 520, 700, 700], [700])])
def test_a_beat_too_many_or_twice_is_extra(other: list[int], extra: list[int]) -> None:
    rows = [[100, 300, 520, 700].index(at) if at != 600 else 0 for at in other]
    doubled = Beats(np.array(other), *(getattr(GOLDEN, name)[rows] for name in ("rr", "state", "scores", "verdict")))
    found = compare_beats(GOLDEN, doubled)
    assert not found.all_identical
    assert found.extra.tolist() == extra
    assert found.identical.all()


def test_nothing_against_something_is_all_missing_or_all_extra() -> None:
    nothing = beats([])
    assert compare_beats(GOLDEN, nothing).missing.all()
    assert compare_beats(nothing, GOLDEN).extra.tolist() == GOLDEN.at.tolist()
    assert compare_beats(nothing, nothing).all_identical


def test_another_number_of_classes_differs_everywhere() -> None:
    found = compare_beats(GOLDEN, replace(GOLDEN, scores=GOLDEN.scores[:, :2]))
    assert not found.identical.any()
    assert found.differing["scores"] == 4


def test_states_go_to_a_device_as_flags_except_flat_which_it_sees() -> None:
    states = np.array([State.OK, State.FLAT, State.CLIPPED, State.LEAD_OFF, State.GAP], np.uint8)
    assert flags_of(states).tolist() == [0, 0, SampleFlag.CLIPPED, SampleFlag.LEAD_OFF, SampleFlag.GAP]
