"""The QRS detector on signals whose beats are known, and on real records where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.recipes.ec57 import read_judged
from ecg_edge.report import ec57
from ecg_edge.signal.aami import DS1
from ecg_edge.signal.qrs import DELAY, FS_HZ, OLDEST, Detection, QrsStream, find_beats


def train(beats: list[int], n: int, *, tall_uv: int = 1000, t_wave: float = 0.25, seed: int = 0) -> NDArray[np.int16]:
    """(n,) uV: a triangle of 80 ms at each beat, a slow T wave behind it, a little noise."""
    signal = np.random.default_rng(seed).normal(0, 5, n)
    time = np.arange(n)
    for beat in beats:
        signal += tall_uv * np.clip(1 - np.abs(time - beat) / 10, 0, None)
        signal += t_wave * tall_uv * np.exp(-0.5 * ((time - beat - 70) / 14) ** 2)
    return np.clip(signal, -32768, 32767).astype(np.int16)


def regular(every: int, n: int, first: int = 60) -> list[int]:
    return list(range(first, n - 40, every))


@pytest.mark.parametrize("rate", [30, 40, 60, 75, 100, 150, 200, 250])
@pytest.mark.parametrize("tall_uv", [300, 1000, -1000, 5000])
def test_a_regular_train_is_found_beat_for_beat(rate: int, tall_uv: int) -> None:
    beats = regular(round(60 * FS_HZ / rate), 30 * FS_HZ)
    found = find_beats(train(beats, 30 * FS_HZ, tall_uv=tall_uv, t_wave=0.0 if rate > 180 else 0.25))
    assert len(found) == len(beats)
    assert np.abs(found - beats).max() <= 2


def test_a_tall_t_wave_is_no_beat() -> None:
    beats = regular(220, 40 * FS_HZ)
    assert len(find_beats(train(beats, 40 * FS_HZ, t_wave=0.6))) == len(beats)


def test_a_small_beat_among_large_ones_is_found_by_search_back() -> None:
    beats = regular(200, 40 * FS_HZ)
    small = beats[20]
    signal = train([beat for beat in beats if beat != small], 40 * FS_HZ)
    signal += train([small], 40 * FS_HZ, tall_uv=300, t_wave=0.0)
    assert np.abs(find_beats(signal) - beats).max() <= 2


def test_a_pause_of_six_seconds_has_no_beats() -> None:
    beats = [beat for beat in regular(200, 60 * FS_HZ) if not 20 * FS_HZ < beat < 26 * FS_HZ]
    assert np.abs(find_beats(train(beats, 60 * FS_HZ)) - beats).max() <= 2


def test_beats_that_become_ten_times_smaller_are_found_again() -> None:
    large, small = regular(200, 30 * FS_HZ), [30 * FS_HZ + beat for beat in regular(200, 60 * FS_HZ)]
    found = find_beats(train(large, 90 * FS_HZ) + train(small, 90 * FS_HZ, tall_uv=100, t_wave=0.0, seed=1))
    again = found[found >= 30 * FS_HZ]
    assert again[0] < 40 * FS_HZ
    assert set(again) <= {near for beat in small for near in range(beat - 2, beat + 3)}


def test_a_flat_line_has_no_beats() -> None:
    assert len(find_beats(np.full(20 * FS_HZ, 1234, np.int16))) == 0
    assert len(find_beats(np.empty(0, np.int16))) == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_any_pieces_give_the_beats_of_the_whole(seed: int, cuts: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 4000))
    signal = train([int(beat) for beat in np.cumsum(random.integers(60, 400, 20)) if beat < n], n, seed=seed)
    stream, found = QrsStream(), list[Detection]()
    for part in np.split(signal, np.sort(random.integers(0, n + 1, cuts))):
        found += stream.push(part)
    assert [beat.at for beat in (*found, *stream.end())] == find_beats(signal).tolist()


def test_a_beat_is_known_when_the_page_says() -> None:
    beats = regular(190, 30 * FS_HZ)
    signal, stream = train(beats, 30 * FS_HZ), QrsStream()
    late = [now - beat.at for now, sample in enumerate(signal) for beat in stream.push(np.array([sample]))]
    assert max(late[5:]) <= DELAY  # the first ones wait for two seconds to be learnt from


@given(st.integers(0, 2**32 - 1))
def test_no_beat_is_known_later_than_the_page_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    gaps = random.choice([60, 190, 210, 450, 490, 900], 30)
    n = int(gaps.sum()) + 300
    signal = train(np.cumsum(gaps).tolist(), n, tall_uv=int(random.integers(200, 3000)), seed=seed)
    signal += train(np.cumsum(gaps)[::3].tolist(), n, tall_uv=int(random.integers(-3000, 3000)), seed=seed + 1)
    found = QrsStream().push(signal)
    assert all(beat.known - beat.at <= max(OLDEST, 500) for beat in found)
    known = [beat.known for beat in found]
    assert known == sorted(set(known))


@pytest.mark.slow
def test_the_beats_of_mit_bih_ds1_are_found(figure: Callable[[str], None]) -> None:
    """Source: MIT-BIH Arrhythmia Database (ODC-By 1.0)."""
    folder = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        missing(f"no {folder}: the QRS detector is not tested on real ECG (ECG_EDGE_DATA)")
    counted = []
    for name in DS1:
        judged = read_judged(folder / name, name, FS_HZ, lead=None, annotator="atr")
        at = find_beats(judged.record.samples_uv)
        found = ec57.Labelled(at, np.zeros(at.size, np.int64))
        table = ec57.beat_table(judged.reference, found, fs_hz=FS_HZ, fibrillation=judged.fibrillation)
        counted.append(ec57.Counted(name, judged.patient, table))
    qrs = ec57.summary(counted)["qrs"]
    se, ppv, beats = qrs["gross"]["se"], qrs["gross"]["ppv"], qrs["counts"]["tp"] + qrs["counts"]["fn"]
    figure(f"QRS detector, MIT-BIH DS1 by EC57: gross Se {100 * se:.2f} %, +P {100 * ppv:.2f} %, {beats} beats")
    assert se >= 0.997
    assert ppv >= 0.997
