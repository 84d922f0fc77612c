"""The integer reference: equal to the wheel's committed answers, and to plain sums where those are easy to write."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_writer import Writer

from ecg_edge.graph import interpret, interpret_int8, ir
from ecg_edge.graph.interpret import float_input, run, tensors
from ecg_edge.graph.quant import IDENTITY, requantize
from ecg_edge.graph.tflite import read_graph

GOLDEN = Path(__file__).parents[1] / "golden"
VECTORS = sorted(path.stem for path in (GOLDEN / "vectors").glob("*.npz"))
SHIPPED = Path(__file__).parents[2] / "models"


def model(name: str) -> bytes:
    path = GOLDEN / "models" / f"{name}.tflite"
    return (path if path.exists() else SHIPPED / name / "model.tflite").read_bytes()


def graph(name: str) -> ir.Graph:
    return read_graph(model(name), name=name)


def noise(g: ir.Graph, n: int, seed: int = 5) -> Any:
    return np.random.default_rng(seed).integers(-128, 128, (n, *g.input.shape)).astype(np.int8)


@pytest.mark.parametrize("name", VECTORS)
def test_scores_equal_the_golden_vectors(name: str) -> None:
    golden = np.load(GOLDEN / "vectors" / f"{name}.npz")
    header = json.loads(str(golden["header"]))
    g = graph(name)
    assert header["sha256"] == g.sha256, "the vectors are of another model: run tools/golden.py"
    assert {"seed", "tflite_micro", "numpy"} <= header.keys()
    assert run(g, golden["windows"]).tolist() == golden["scores"].tolist()


def test_golden_vectors_exist_for_every_op_and_differ_from_window_to_window() -> None:
    ops = {type(op) for name in VECTORS for op in graph(name).ops}
    assert ops == set(interpret_int8.INT8_KERNELS)
    for name in VECTORS:
        scores = np.load(GOLDEN / "vectors" / f"{name}.npz")["scores"]
        assert len(np.unique(scores, axis=0)) >= 8, f"{name}: vectors that say little"


def test_a_window_alone_scores_as_it_does_among_others() -> None:
    g = graph("residual")
    windows = noise(g, 9)
    assert [run(g, w[None])[0].tolist() for w in windows] == run(g, windows).tolist()


def test_many_windows_run_in_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    g = graph("columns")
    windows = noise(g, 23)
    whole = run(g, windows)
    monkeypatch.setattr(interpret, "CHUNK_BYTES", 40_000)
    assert run(g, windows).tolist() == whole.tolist()


def test_no_windows_give_no_scores() -> None:
    g = graph("conv1d")
    assert run(g, noise(g, 0)).shape == (0, 5)


def test_windows_of_one_lead_may_leave_the_lead_axis_out() -> None:
    g = graph("conv1d")
    windows = noise(g, 3)
    assert run(g, windows[..., 0]).tolist() == run(g, windows).tolist()


@pytest.mark.parametrize(
    "windows", [np.zeros((2, 47, 1), np.int8), np.zeros((2, 48, 1), np.float32), np.zeros(48, np.int8)]
)
def test_windows_of_another_shape_or_type_are_a_bug_of_the_caller(windows: Any) -> None:
    with pytest.raises(ValueError, match=r"conv1d takes \(n, 48, 1\) int8"):
        run(graph("conv1d"), windows)


@pytest.mark.parametrize("name", ["bench_b", "columns", "causal"])
def test_a_convolution_is_the_plain_sum_of_its_formula(name: str) -> None:
    g = graph(name)
    values = tensors(g, noise(g, 2))
    for op in g.ops:
        if isinstance(op, ir.Conv1D):
            source, out = values[op.input.name].astype(int), values[op.output.name]
            for t in (0, 1, op.output.shape[0] // 2, op.output.shape[0] - 1):
                acc = np.tile(op.bias.astype(np.int64), (2, 1))
                for k in range(op.weights.shape[1]):
                    at = t * op.stride + k * op.dilation - op.pad_before
                    if 0 <= at < op.input.shape[0]:
                        acc += (source[:, at] - op.input_zero) @ op.weights[:, k].T.astype(np.int64)
                wanted = np.clip(requantize(acc, op.multipliers, op.shifts) + op.output_zero, op.act_min, op.act_max)
                assert out[:, t].tolist() == wanted.tolist()


def test_sums_too_large_for_single_precision_are_still_exact() -> None:
    rng = np.random.default_rng(2)
    weights = rng.choice(np.array([127, -127], np.int8), (2, 4096))
    weights[:, 0] = 126  # makes the sum one that single precision has to round
    assert interpret_int8.exact_float(weights) is np.float64
    assert interpret_int8.exact_float(weights[:, :1000]) is np.float32
    windows = np.where(weights > 0, 127, -128).astype(np.int8)  # every product positive: the largest sums there are
    acc = windows.astype(np.int64) @ weights.T.astype(np.int64)
    assert acc.max() > 1 << 24
    quant = ir.Quant((1.0,), 0, None)
    op = ir.Dense(
        "dense", ir.Tensor("in", (4096,), "int8", quant), ir.Tensor("out", (2,), "int8", quant), weights,
        bias=np.full(2, -int(acc[0, 0]) + 5, np.int32),  # so that int8 shows the sum's last bits
        activation="NONE", weight_quant=None, multipliers=np.array([IDENTITY[0]], np.int32),
        shifts=np.array([IDENTITY[1]], np.int32), input_zero=0, output_zero=0, act_min=-128, act_max=127,
    )  # fmt: skip
    assert interpret_int8.dense(op, windows).tolist() == np.clip(acc + op.bias, -128, 127).tolist()
    assert interpret_int8.dense(op, windows)[0, 0] == 5


def test_an_average_rounds_halves_away_from_zero_and_counts_existing_columns_only() -> None:
    quant = ir.Quant((1.0,), 0, None)
    op = ir.AveragePool1D(
        "avgpool", ir.Tensor("in", (4, 1), "int8", quant), ir.Tensor("out", (2, 1), "int8", quant),
        2, 3, "SAME", 1, 0, "NONE", -128, 127,
    )  # fmt: skip
    x = np.array([[[-7], [0], [5], [-10]], [[7], [0], [5], [-10]]], np.int8)
    assert interpret_int8.average_pool1d(op, x)[..., 0].tolist() == [[-7, -3], [7, -3]]


def test_a_softmax_of_equal_inputs_splits_evenly_and_of_far_ones_saturates() -> None:
    op = graph("bench_a").ops[-1]
    assert isinstance(op, ir.Softmax)
    even = interpret_int8.softmax(op, np.full((1, 5), 9, np.int8))
    assert even.tolist() == [[-77] * 5]  # 256 / 5 = 51.2
    far = interpret_int8.softmax(op, np.array([[127, -128, -128, -128, -128]], np.int8))
    assert far.tolist() == [[127, -128, -128, -128, -128]]


@pytest.mark.parametrize("name", ["conv1d", "residual", "loose", "causal"])
def test_softmax_and_sigmoid_are_within_one_step_of_the_real_functions(name: str) -> None:
    g = graph(name)
    op = g.ops[-1]
    assert isinstance(op, ir.Softmax | ir.Logistic)
    assert op.input.quant is not None
    q = np.random.default_rng(4).integers(-128, 128, (500, 5)).astype(np.int8)
    quant = op.input.quant
    real = float_input(q, scale=quant.scale[0], zero_point=quant.zero_point).astype(np.float64)
    if isinstance(op, ir.Softmax):
        e = np.exp(real - real.max(axis=1, keepdims=True))
        wanted, got = e / e.sum(axis=1, keepdims=True), interpret_int8.softmax(op, q)
    else:
        wanted, got = 1.0 / (1.0 + np.exp(-real)), interpret_int8.logistic(op, q)
    # Half a step of rounding, and the fixed-point functions' own error; 1 saturates at 255/256.
    assert np.abs(got.astype(int) + 128 - np.minimum(wanted * 256, 255)).max() < 0.6


def test_a_changed_weight_changes_the_scores() -> None:
    g = graph("conv1d")
    dense = g.ops[-2]
    assert isinstance(dense, ir.Dense)
    weights = -dense.weights
    changed = replace(g, ops=(*g.ops[:-2], replace(dense, weights=weights), g.ops[-1]))
    windows = noise(g, 5)
    assert run(changed, windows).tolist() != run(g, windows).tolist()


def test_several_inputs_come_as_a_tuple_in_the_order_of_the_graph() -> None:
    net = Writer(seed=2)
    signal, features = net.input((1, 1, 20, 2)), net.input((1, 3))
    pooled = net.unary("QUANTIZE", net.mean(net.conv(signal, 4, 3)), scale=features.scale)
    g = read_graph(net.finish(net.dense(net.concat([features, pooled]), 5)), name="two")
    random = np.random.default_rng(3)
    windows, extras = (random.integers(-128, 128, (7, *tensor.shape)).astype(np.int8) for tensor in g.inputs)
    scores = run(g, (windows, extras))
    assert scores.shape == (7, 5)
    assert run(g, (windows[3:4], extras[3:4])).tolist() == scores[3:4].tolist()
    for other in ((windows, np.roll(extras, 1, axis=0)), (windows[::-1], extras)):
        assert run(g, other).tolist() != scores.tolist(), "an input that changes nothing"
    for wrong in (windows, (windows, extras[:4]), (extras, windows)):
        with pytest.raises(ValueError, match=r"^two takes \(n, 20, 2\) int8, \(n, 3\) int8, not "):
            run(g, wrong)
