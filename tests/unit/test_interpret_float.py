"""The float reference, against its int8 twin and against plain formulas. Against LiteRT: tests/golden."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_edge.graph import interpret_float, ir
from ecg_edge.graph.interpret import float_input, run
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"


def graph(name: str) -> ir.Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def walks(g: ir.Graph, n: int) -> Any:
    steps = np.random.default_rng(8).normal(0.0, 0.4, (n, *g.input.shape))
    return np.cumsum(steps, axis=1).astype(np.float32)


def test_probabilities_sum_to_one() -> None:
    g = graph("float")
    scores = run(g, walks(g, 20))
    assert scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-6)


def test_the_int8_twin_agrees_within_what_quantization_costs() -> None:
    whole, quantized = graph("float"), graph("conv1d")
    assert quantized.input.quant is not None
    windows = np.clip(np.rint(walks(whole, 200) / quantized.input.quant.scale[0]), -128, 127).astype(np.int8)
    quant = quantized.input.quant
    exact = run(whole, float_input(windows, scale=quant.scale[0], zero_point=quant.zero_point))
    coarse = (run(quantized, windows).astype(np.float32) + 128) / 256
    assert np.abs(exact - coarse).mean() < 0.02  # random weights: a few percent at worst, far from a wrong layer's
    assert (exact.argmax(axis=1) == coarse.argmax(axis=1)).mean() > 0.9


def test_float_input_is_the_real_value_of_the_quantized_window() -> None:
    got = float_input(np.array([[-128, 3, 127]], np.int8), scale=1 / 64, zero_point=3)
    assert got.dtype == np.float32
    assert got.tolist() == [[-131 / 64, 0.0, 124 / 64]]


def test_pools_look_at_existing_columns_only() -> None:
    source, out = ir.Tensor("in", (4, 1), "float32", None), ir.Tensor("out", (2, 1), "float32", None)
    x = np.array([[[-4.0], [-1.0], [2.0], [-8.0]]], np.float32)
    biggest = ir.MaxPool1D("maxpool", source, out, 2, 3, "SAME", 1, 0, "NONE", 0, 0)
    average = ir.AveragePool1D("avgpool", source, out, 2, 3, "SAME", 1, 0, "NONE", 0, 0)
    assert interpret_float.max_pool1d(biggest, x)[0, :, 0].tolist() == [-4.0, 2.0]
    assert interpret_float.average_pool1d(average, x)[0, :, 0].tolist() == [-4.0, -3.0]


def test_a_sigmoid_far_out_neither_overflows_nor_leaves_its_range() -> None:
    source, out = ir.Tensor("in", (3,), "float32", None), ir.Tensor("out", (3,), "float32", None)
    op = ir.Logistic("logistic", source, out, 0, 0, 0, 0)
    with np.errstate(over="raise", invalid="raise"):
        assert interpret_float.logistic(op, np.array([[-300.0, 0.0, 300.0]], np.float32)).tolist() == [[0.0, 0.5, 1.0]]
