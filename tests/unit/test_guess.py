"""The AVR's guess at an output is the interpreter's wherever it claims to be sure, for every sum within reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.codegen.kernels.avr import Guess, find_guesses
from ecg_edge.codegen.kernels.layer import folded_bias, reach
from ecg_edge.graph.ir import Conv1D, DepthwiseConv1D
from ecg_edge.graph.quant import requantize
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"
NEAR, SOME = 4_000, 10_000  # sums that are tried about 0, and anywhere within reach
Op = Conv1D | DepthwiseConv1D
Ints = NDArray[np.int64]


def layers() -> list[Op]:
    graph = read_graph((MODELS / "bench_b.tflite").read_bytes(), name="bench_b")
    return [op for op in graph.ops if isinstance(op, Conv1D | DepthwiseConv1D)]


def outputs(op: Op, unit: int, sums: Ints) -> Ints:
    """What the interpreter makes of sums."""
    values = requantize(sums, int(op.multipliers[unit]), int(op.shifts[unit])) + op.output_zero
    return np.asarray(np.clip(values, op.act_min, op.act_max), np.int64)


def guessed(op: Op, guess: Guess, slack: int, sums: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The outputs that ecg_ops_avr.h has, byte by byte, and where it takes them for sure."""
    s = sums + guess.offset
    assert np.abs(s).max() < 1 << 23  # 24 bits, with a sign
    positive = np.maximum(s, 0)
    product = np.zeros_like(s)
    for i in range(3):
        for j in range(4):
            if i + j >= 2:  # the others lie too low
                product += ((positive >> 8 * i) & 255) * (guess.factor >> 8 * j & 255) << 8 * (i + j - 2)
    assert product.max() < 1 << 32  # of r12..r15
    level, rest = np.minimum(product >> 16, 255), (product >> 8) & 255
    found = op.act_min + np.minimum(level, op.act_max - op.act_min)
    return np.where(s < 0, op.act_min, found), (s < 0) | (rest >= slack)


def sure_ones(op: Op, guesses: Sequence[Guess]) -> float:
    """Compares what is sure; the share of sums within the output's range that is."""
    slack = max(guess.slack for guess in guesses)
    furthest = int(reach(op, folded_bias(op)).max())
    anywhere = np.random.default_rng(0).integers(-furthest, furthest + 1, SOME)
    sums = np.concatenate([np.arange(-NEAR, NEAR), anywhere, [-furthest, furthest]])
    shares = []
    for unit, guess in enumerate(guesses):
        wanted, (found, sure) = outputs(op, unit, sums), guessed(op, guess, slack, sums)
        assert np.array_equal(found[sure], wanted[sure]), (op.name, unit)
        inside = (wanted > op.act_min) & (wanted < op.act_max)
        shares.append(sure[inside].mean() if inside.any() else 1.0)
    return float(np.mean(shares))


@pytest.mark.parametrize("index", range(9))
def test_every_layer_of_a_separable_net_is_guessed_and_nearly_always_for_sure(index: int) -> None:
    op = layers()[index]
    guesses = find_guesses(op)
    assert guesses is not None
    assert 0.9 < sure_ones(op, guesses) < 1.0


@pytest.mark.parametrize("seed", range(30))
def test_a_guess_of_any_numbers_is_the_interpreters_or_there_is_none(seed: int) -> None:
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
    guesses = find_guesses(op)
    if guesses is not None:
        assert sure_ones(op, guesses) > 0.8


def test_layers_whose_numbers_leave_24_bits_or_a_factor_of_32_are_not_guessed() -> None:
    op = layers()[0]
    assert find_guesses(replace(op, bias=np.full_like(op.bias, 1 << 23))) is None
    assert find_guesses(replace(op, shifts=np.full_like(op.shifts, 1))) is None
    assert find_guesses(replace(op, act_min=5, act_max=5)) is None
