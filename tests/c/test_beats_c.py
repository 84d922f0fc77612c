"""ecg_beats.c gives the views of signal/beatview.py: the same beats, the same bits, on anything."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toolchain import SOURCES

from ecg_edge.bundle import Bundle
from ecg_edge.signal.beatview import CHANNELS, COLUMNS, BeatView, beat_views
from ecg_edge.signal.prepare import Prepare, sample_states
from ecg_edge.signal.record import read_record

RAM_BYTES = 2048
FLAGS = np.array([0, 0, 4, 2, 1], np.uint8)  # of the wire, for each State; a flat line has none
BEAT = np.dtype([("at", "<u4"), ("rr", "<u4"), ("state", "<u4"), ("view", "i1", (COLUMNS, CHANNELS))])
HARNESS = """
#include <stddef.h>
#include <string.h>
#include "ecg_beats.h"
#include "ecg_prepare.h"
typedef struct { uint32_t at, rr, state; int8_t view[ECG_BEATS_COLUMNS][ECG_BEATS_CHANNELS]; } row_t;
size_t beats_bytes(void);
size_t beats_of(const ecg_prepare_params_t *params, const int16_t *uv, const uint8_t *flags, size_t n, row_t *rows);
size_t beats_bytes(void) { return sizeof(ecg_beats_t); }
static size_t give(ecg_beats_t *b, bool ended, row_t *row)
{
    const ecg_beat_t *const beat = ecg_beats_next(b, ended);
    if (beat == NULL) {
        return 0u;
    }
    row->at = beat->at;
    row->rr = beat->rr;
    row->state = beat->state;
    for (uint8_t k = 0; k < ECG_BEATS_COLUMNS; k++) {
        ecg_beats_view(beat, k, row->view[k]);
    }
    return 1u;
}
size_t beats_of(const ecg_prepare_params_t *params, const int16_t *uv, const uint8_t *flags, size_t n, row_t *rows)
{
    static ecg_beats_t b;
    static ecg_prepare_lead_t lead;
    ecg_prepare_t prepare;
    size_t count = 0u;
    memset(&b, 0xA5, sizeof b);
    ecg_beats_reset(&b);
    ecg_prepare_reset(&prepare, params, &lead, 1u);
    for (size_t i = 0; i < n + ecg_prepare_delay(params) + ECG_BEATS_TAIL; i++) {
        int8_t column;
        ecg_beats_sample(&b, uv[i < n ? i : n - 1u]);
        if (i < n ? ecg_prepare_push(&prepare, uv + i, flags[i], &column) : ecg_prepare_hold(&prepare, &column)) {
            const uint16_t span = ecg_beats_column(&b, column);
            if (span != 0u) {
                ecg_beats_see(&b, ecg_prepare_state(&prepare, span));
            }
        }
        count += give(&b, false, rows + count);
    }
    while (give(&b, true, rows + count) != 0u) {
        count++;
    }
    return count;
}
"""


class Parameters(ctypes.Structure):
    """ecg_prepare_params_t."""

    _fields_ = (
        ("average_log2", ctypes.c_uint8),
        ("taps", ctypes.c_uint8),
        ("fir", ctypes.c_void_p),
        ("multiplier", ctypes.c_int32),
        ("shift", ctypes.c_uint8),
        ("zero_point", ctypes.c_int8),
        ("flat_samples", ctypes.c_uint16),
        ("flat_uv", ctypes.c_int16),
    )


@pytest.fixture(scope="module")
def library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    source = tmp_path_factory.mktemp("beats") / "harness.c"
    source.write_text(HARNESS)
    built = build_library(source, *(SOURCES / f"ecg_{name}.c" for name in ("beats", "qrs", "prepare")))
    built.beats_of.argtypes = [ctypes.POINTER(Parameters), *[ctypes.c_void_p] * 2, ctypes.c_size_t, ctypes.c_void_p]
    built.beats_of.restype = built.beats_bytes.restype = ctypes.c_size_t
    return built


@pytest.fixture(scope="module")
def prepare() -> Prepare:
    return Prepare.from_manifest(Bundle.load("aami").manifest.prepare)


def views_in_c(
    library: ctypes.CDLL, p: Prepare, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8]
) -> NDArray[np.void]:
    """(k,) BEAT."""
    fir = np.array(p.fir, np.int16)
    parameters = Parameters(
        p.average_log2, len(p.fir), fir.ctypes.data, p.multiplier, p.shift, p.zero_point, p.flat_samples, p.flat_uv
    )
    rows = np.zeros(len(samples_uv) // 20 + 20, BEAT)
    count = library.beats_of(
        ctypes.byref(parameters), samples_uv.ctypes.data, flags.ctypes.data, len(samples_uv), rows.ctypes.data
    )
    return rows[:count]


def assert_same(found: NDArray[np.void], views: list[BeatView]) -> None:
    assert found["at"].tolist() == [view.at for view in views]
    assert found["rr"].tolist() == [min(view.rr, 65535) for view in views]
    assert found["state"].tolist() == [int(view.state) for view in views]
    for row, view in zip(found, views, strict=True):
        assert row["view"].tolist() == view.tensor.tolist(), f"the beat at {view.at}"


def drawn(random: np.random.Generator, n: int) -> NDArray[np.int16]:
    """(n,) of anything: beats of drawn shapes at drawn intervals, P waves or none, noise, steps, spikes, silence."""
    signal = random.normal(0, 10.0 ** random.uniform(-1, 2.5), n)
    shapes = [np.convolve(random.normal(0, 10.0 ** random.uniform(2, 4), 12), np.hanning(9)) for _ in range(3)]
    p_uv, at, period = random.normal(0, 100), 0.0, random.uniform(40, 500)
    while at < n:
        here = int(at)
        for start, wave in (
            (here, shapes[int(random.choice(3, p=(0.8, 0.15, 0.05)))]),
            (here - 40, p_uv * np.hanning(20)),
        ):
            part = signal[max(0, start) : max(0, start + len(wave))]
            part += wave[len(wave) - len(part) :] if start < 0 else wave[: len(part)]
        at += period * random.choice([1.0, 1.0, 1.0, 0.6, 1.4, 3.0]) * random.uniform(0.95, 1.05)
    for at in random.integers(0, n, int(random.integers(0, 6))):
        signal[at : at + int(random.integers(1, 400))] += random.normal(0, 10.0 ** random.uniform(1, 4.5))
    quiet = int(random.integers(0, n))
    signal[quiet : quiet + int(random.integers(1, n + 1))] *= random.choice([0.0, 0.1, 1.0, 1.0])
    return np.clip(signal, -32768, 32767).astype(np.int16)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8000))
def test_any_signal_gives_the_same_views(library: ctypes.CDLL, prepare: Prepare, seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    signal = drawn(random, n)
    marks = np.zeros(n, np.uint8)
    for at in random.integers(0, n, int(random.integers(0, 3))):
        marks[at : at + int(random.integers(1, 50))] = random.choice([2, 3, 4])
    states = np.maximum(sample_states(signal, prepare), marks)
    assert_same(views_in_c(library, prepare, signal, FLAGS[marks]), beat_views(signal, prepare, states))


def test_the_shortest_streams_give_the_same_views(library: ctypes.CDLL, prepare: Prepare) -> None:
    beats = np.tile(np.concatenate((np.zeros(90), 900 * np.hanning(20), np.zeros(90))), 8).astype(np.int16)
    for n in (1, 2, 300, 499, 500, 501, 620, 700, 1000):
        none = np.zeros(n, np.uint8)
        assert_same(views_in_c(library, prepare, beats[:n], none), beat_views(beats[:n], prepare))


def test_the_state_is_small(library: ctypes.CDLL) -> None:
    assert library.beats_bytes() <= RAM_BYTES


def test_real_records_give_the_same_views(library: ctypes.CDLL, prepare: Prepare) -> None:
    """Source: MIT-BIH Arrhythmia Database (ODC-By 1.0)."""
    folder = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        missing(f"no {folder}: ecg_beats.c is not held to signal/beatview.py on real ECG (ECG_EDGE_DATA)")
    for name in ("108", "201", "203", "207", "208"):
        signal = read_record(folder / name, fs_hz=250).samples_uv
        views = beat_views(signal, prepare)
        assert len(views) > 1500
        assert_same(views_in_c(library, prepare, signal, np.zeros(len(signal), np.uint8)), views)
