"""Requantization as a staircase is the interpreter's, for every sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.codegen.kernels.layer import folded_bias, reach
from ecg_edge.codegen.kernels.stairs import Stairs, find_stairs
from ecg_edge.graph.ir import Conv1D, DepthwiseConv1D
from ecg_edge.graph.quant import requantize
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"
NEAR, SOME = 10_000, 30_000  # sums that are tried about 0, and anywhere within reach


def layers() -> list[Conv1D | DepthwiseConv1D]:
    graph = read_graph((MODELS / "bench_b.tflite").read_bytes(), name="bench_b")
    return [op for op in graph.ops if isinstance(op, Conv1D | DepthwiseConv1D)]


def outputs(op: Conv1D | DepthwiseConv1D, unit: int, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """What the interpreter makes of sums."""
    values = requantize(sums, int(op.multipliers[unit]), int(op.shifts[unit])) + op.output_zero
    return np.clip(values, op.act_min, op.act_max)


def climbed(op: Conv1D | DepthwiseConv1D, stairs: Stairs, unit: int, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same as ecg_ops_thumb1.h has it; nothing may leave 32 bits."""
    flight = stairs.flights[unit]
    s = np.clip(sums - flight.base, 0, flight.top)
    fine = (s >> stairs.coarse) * flight.low
    value = s * flight.high + (fine >> stairs.fine) + flight.addend - np.where(sums < 0, flight.bend, 0)
    assert fine.max() < 1 << 32
    assert 0 <= value.min() <= value.max() < 1 << 32
    assert max(flight.high, flight.low) < 1 << 16
    return np.asarray(op.act_min + (value >> stairs.scale), np.int64)


def assert_same(op: Conv1D | DepthwiseConv1D, stairs: Stairs) -> None:
    furthest = int(reach(op, folded_bias(op)).max())
    anywhere = np.random.default_rng(0).integers(-furthest, furthest + 1, SOME)
    sums = np.concatenate([np.arange(-NEAR, NEAR), anywhere, [-furthest, furthest]])
    for unit in range(op.bias.size):
        assert np.array_equal(climbed(op, stairs, unit, sums), outputs(op, unit, sums)), (op.name, unit)


@pytest.mark.parametrize("index", range(9))
def test_every_layer_of_a_separable_net_has_stairs_that_are_the_interpreters(index: int) -> None:
    op = layers()[index]
    stairs = find_stairs(op)
    assert stairs is not None
    assert stairs.bent == isinstance(op, DepthwiseConv1D)  # those without a RELU
    assert_same(op, stairs)


@pytest.mark.parametrize("seed", range(30))
def test_stairs_of_any_numbers_are_the_interpreters_or_there_are_none(seed: int) -> None:
    random = np.random.default_rng(seed)
    op = layers()[seed % 9]
    low, high = sorted(int(bound) for bound in random.choice(np.arange(-128, 128), 2, replace=False))
    around = int(random.integers(-12, 1))
    op = replace(
        op,
        multipliers=random.integers(1 << 30, 1 << 31, op.multipliers.shape).astype(op.multipliers.dtype),
        shifts=(around + random.integers(0, 3, op.shifts.shape)).astype(op.shifts.dtype),
        output_zero=int(random.choice(np.array([-128, 127, low, high, 0]))),
        act_min=low,
        act_max=high,
    )
    stairs = find_stairs(op)
    if stairs is not None:
        assert_same(op, stairs)


def test_numbers_without_stairs_are_told() -> None:
    op = layers()[0]
    assert find_stairs(replace(op, act_min=3, act_max=3)) is None  # no step at all
    assert find_stairs(replace(op, shifts=np.full_like(op.shifts, -25))) is None  # steps too far apart
