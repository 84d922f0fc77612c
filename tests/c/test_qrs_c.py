"""ecg_qrs.c finds the beats of signal/qrs.py: the same samples, in the same order, on anything."""

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

from ecg_edge.signal.qrs import DELAY, FS_HZ, Detection, QrsStream
from ecg_edge.signal.record import read_record

RAM_BYTES = 1500
MOST_WAITING = 12  # samples that a beat may wait for others to be told
HARNESS = """
#include <stddef.h>
#include "ecg_qrs.h"
size_t qrs_bytes(void);
size_t qrs_beats(const int16_t *samples_uv, size_t n, int32_t *beats);
size_t qrs_bytes(void) { return sizeof(ecg_qrs_t); }
size_t qrs_beats(const int16_t *samples_uv, size_t n, int32_t *beats)
{
    static ecg_qrs_t state;
    size_t count = 0u;
    ecg_qrs_reset(&state);
    for (size_t i = 0; i < n; i++) {
        uint32_t ago;
        if (ecg_qrs_push(&state, samples_uv[i], &ago)) {
            beats[2u * count] = (int32_t)((uint32_t)i - ago);
            beats[2u * count++ + 1u] = (int32_t)i;
        }
    }
    return count;
}
"""


@pytest.fixture(scope="module")
def library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    source = tmp_path_factory.mktemp("qrs") / "harness.c"
    source.write_text(HARNESS)
    built = build_library(source, SOURCES / "ecg_qrs.c")
    built.qrs_beats.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    built.qrs_beats.restype = built.qrs_bytes.restype = ctypes.c_size_t
    return built


def beats_in_c(library: ctypes.CDLL, samples_uv: NDArray[np.int16]) -> list[Detection]:
    """Beats of a stream that is held at its end, and by which sample each was known."""
    held = np.concatenate((samples_uv, np.repeat(samples_uv[-1:], DELAY + MOST_WAITING)))
    beats = np.zeros((len(held), 2), np.int32)
    count = library.qrs_beats(held.ctypes.data, len(held), beats.ctypes.data)
    return [Detection(at, known) for at, known in beats[:count].tolist()]


def beats_in_python(samples_uv: NDArray[np.int16]) -> list[Detection]:
    stream = QrsStream()
    return [*stream.push(samples_uv), *stream.end()]


def drawn(seed: int, n: int) -> NDArray[np.int16]:
    """(n,) of anything: noise, steps and spikes of any size, silence."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 10.0 ** random.uniform(0, 4), n)
    for at in random.integers(0, n, int(random.integers(1, 60))):
        signal[at : at + int(random.integers(1, 30))] += random.normal(0, 10.0 ** random.uniform(2, 4.5))
    quiet = int(random.integers(0, n))
    signal[quiet : quiet + int(random.integers(1, n + 1))] *= random.choice([0.0, 0.02, 1.0])
    return np.clip(signal, -32768, 32767).astype(np.int16)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6000))
def test_any_signal_gives_the_same_beats(library: ctypes.CDLL, seed: int, n: int) -> None:
    signal = drawn(seed, n)
    held = np.concatenate((signal, np.repeat(signal[-1:], MOST_WAITING)))
    assert beats_in_c(library, signal) == beats_in_python(held)


def test_the_state_is_small(library: ctypes.CDLL) -> None:
    assert library.qrs_bytes() <= RAM_BYTES


def test_real_records_give_the_same_beats(library: ctypes.CDLL) -> None:
    """Source: MIT-BIH Arrhythmia Database (ODC-By 1.0)."""
    folder = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        missing(f"no {folder}: ecg_qrs.c is not held to signal/qrs.py on real ECG (ECG_EDGE_DATA)")
    for name in ("108", "201", "203", "207", "208"):
        signal = read_record(folder / name, fs_hz=FS_HZ).samples_uv
        found = beats_in_c(library, signal)
        assert len(found) > 1500
        assert found == beats_in_python(signal), name
