"""The arithmetic of ecg_quant.h and ecg_ops*.c, number by number, against the interpreter's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Graph, Quant, Softmax, Tensor
from ecg_edge.graph.quant import requantize, softmax_parameters

SHIM = Path(__file__).with_name("kernel_shim.c")
INT32 = np.iinfo(np.int32)


@pytest.fixture(scope="module")
def shim(build_library: Callable[..., ctypes.CDLL], kernels: tuple[Path, ...]) -> ctypes.CDLL:
    return build_library(SHIM, *kernels)


def in_c(
    shim: ctypes.CDLL, values: NDArray[np.int32], multipliers: NDArray[np.int32], shifts: NDArray[np.int32]
) -> NDArray[np.int32]:
    out = np.empty_like(values)
    shim.shim_requantize(
        *(a.ctypes.data_as(ctypes.c_void_p) for a in (values, multipliers, shifts)),
        values.size,
        out.ctypes.data_as(ctypes.c_void_p),
    )
    return out


def test_requantize_is_the_interpreters_for_every_shift_and_for_extreme_values(shim: ctypes.CDLL) -> None:
    random = np.random.default_rng(1)
    edges = np.array([0, 1, -1, 2, -2, 3, -3, (1 << 30), -(1 << 30), INT32.max, INT32.min, INT32.min + 1], np.int64)
    values = np.concatenate([edges, random.integers(INT32.min, INT32.max, 400), random.integers(-3000, 3000, 400)])
    for shift in range(-31, 8):
        x = np.clip(values >> max(shift, 0), INT32.min, INT32.max).astype(np.int32)
        for multiplier in (1 << 30, (1 << 31) - 1, 1_518_500_250, 0):
            multipliers, shifts = np.full(x.shape, multiplier, np.int32), np.full(x.shape, shift, np.int32)
            assert np.array_equal(
                in_c(shim, x, multipliers, shifts), requantize(x.astype(np.int64), multiplier, shift)
            ), (
                multiplier,
                shift,
            )


def test_a_tie_goes_away_from_zero(shim: ctypes.CDLL) -> None:
    halves = np.array([1, 3, -1, -3], np.int32) * 2  # +-0.5 and +-1.5 once halved twice
    quarter = in_c(shim, halves, np.full(4, 1 << 30, np.int32), np.full(4, -1, np.int32))
    assert quarter.tolist() == [1, 2, -1, -2]


@pytest.mark.parametrize("scale", [0.004, 0.05, 0.13, 0.31, 1.7])
def test_softmax_is_the_interpreters_for_every_pair_of_inputs(shim: ctypes.CDLL, scale: float) -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    pairs = np.stack(np.meshgrid(every, every), axis=-1).reshape(-1, 2)
    assert_softmax(shim, pairs, scale)


def test_softmax_is_the_interpreters_for_many_classes(shim: ctypes.CDLL) -> None:
    random = np.random.default_rng(2)
    for classes in (1, 3, 5, 40, 254):
        assert_softmax(shim, random.integers(-128, 128, (500, classes)).astype(np.int8), 0.1)
        assert_softmax(shim, np.full((1, classes), 7, np.int8), 0.1)


def assert_softmax(shim: ctypes.CDLL, rows: NDArray[np.int8], scale: float) -> None:
    classes = rows.shape[1]
    source, out = (Tensor(name, (classes, 1), "int8", Quant((scale,), 0, None)) for name in ("in", "out"))
    vector, scores = Tensor("in", (1, classes), "int8", source.quant), Tensor("out", (1, classes), "int8", out.quant)
    parameters = softmax_parameters(1.0, scale)
    graph = Graph("softmax", "", (vector,), scores, (Softmax("softmax1", vector, scores, 1.0, *parameters),), ())
    wanted = run(graph, rows[:, None, :])
    got = np.empty_like(rows)
    multiplier, shift, diff_min = parameters
    shim.shim_softmax(
        multiplier,
        shift,
        max(diff_min, -256),
        classes,
        rows.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(len(rows)),
        got.ctypes.data_as(ctypes.c_void_p),
    )
    assert np.array_equal(got, wanted)


def test_an_average_rounds_half_away_from_zero_and_clamps(shim: ctypes.CDLL) -> None:
    columns = np.array([[1, -1, 127, -128, 3], [2, -2, 127, -128, 0]], np.int8)
    out = np.empty(5, np.int8)
    data = ctypes.c_void_p
    shim.shim_average(2, 5, -100, 100, columns.ctypes.data_as(data), out.ctypes.data_as(data))
    assert out.tolist() == [2, -2, 100, -100, 2]


@pytest.mark.parametrize(("span", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (3, 5), (1, 4), (7, 2), (40, 1)])
@pytest.mark.parametrize("room", [0, 1, 2, 7])
def test_a_line_gives_the_columns_that_outputs_need_in_order(
    shim: ctypes.CDLL, span: int, stride: int, room: int
) -> None:
    count = 100
    fence = np.int8(-99)
    columns, windows = np.full(span + room + 1, fence, np.int8), np.zeros((count, span), np.int8)
    data = ctypes.c_void_p
    shim.shim_line.restype = ctypes.c_size_t
    times = shim.shim_line(
        span,
        stride,
        ctypes.c_size_t(span + room),
        ctypes.c_size_t(count),
        columns.ctypes.data_as(data),
        windows.ctypes.data_as(data),
    )
    wanted = [list(range(start, start + span)) for start in range(0, count - span + 1, stride)]
    assert windows[:times].tolist() == wanted
    assert columns[-1] == fence
