"""Lowering to column steps: what each layer keeps, what stops a stream, what cannot be lowered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ecg_edge.codegen.budget import state_bytes
from ecg_edge.errors import GraphError, UnsupportedOpError
from ecg_edge.graph.ir import Graph, Tensor
from ecg_edge.graph.plan import MeanGather, WindowGather, buffers, make_plan
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"


def graph_of(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def test_a_layer_keeps_as_many_columns_as_its_kernel_reaches() -> None:
    plan = make_plan(graph_of("bench_a"), hop=360)
    assert [(step.span, step.stride) for step in plan.lines] == [(7, 2), (5, 2), (3, 2)]
    columns = {name: (shape, count) for name, shape, count in buffers(plan) if name.endswith("_columns")}
    assert columns == {
        "conv1_columns": ((7, 1), 8),  # whole words
        "conv2_columns": ((5, 16), 80),
        "conv3_columns": ((3, 24), 72),
    }


def test_overlapping_windows_share_blocks_of_one_hop() -> None:
    plan = make_plan(graph_of("bench_a"), hop=88)  # 43 columns a window, 11 a hop
    assert plan.streams
    assert isinstance(plan.gather, MeanGather)
    assert (plan.gather.blocks, plan.gather.block_columns) == (4, 11)


def test_windows_side_by_side_need_one_block() -> None:
    plan = make_plan(graph_of("bench_a"), hop=360)
    assert isinstance(plan.gather, MeanGather)
    assert (plan.gather.blocks, plan.gather.block_columns) == (1, 43)


def test_a_flat_dense_layer_keeps_the_windows_columns() -> None:
    plan = make_plan(graph_of("flat"), hop=4)
    assert isinstance(plan.gather, WindowGather)
    assert plan.gather.source.shape[0] == plan.gather.stride * 12  # a hop is a twelfth of the window


def test_a_stride_that_does_not_divide_the_hop_is_named() -> None:
    plan = make_plan(graph_of("bench_a"), hop=90)
    assert plan.obstacle == "Conv1D conv2 brings the stride to 4, which does not divide the hop 90"
    assert not plan.overlaps


def test_padding_is_named_and_stops_overlapping_windows_only() -> None:
    graph = graph_of("bench_b")
    obstacle = make_plan(graph, hop=360).obstacle
    assert obstacle is not None
    assert "Conv1D conv1 pads the window's edges" in obstacle
    assert make_plan(graph, hop=720).streams


@pytest.mark.parametrize(
    ("name", "op"),
    [("residual", "Add add1"), ("loose", "Reshape reshape1"), ("pools", "AveragePool1D avgpool1 with SAME")],
)
def test_an_op_without_column_steps_is_named(name: str, op: str) -> None:
    with pytest.raises(UnsupportedOpError, match=op):
        make_plan(graph_of(name), hop=12)


def test_a_graph_too_long_for_the_counters_is_refused() -> None:
    graph = graph_of("bench_a")
    first: Any = replace(cast(Any, graph.ops[0]), input=Tensor(graph.input.name, (40000, 1), "int8", graph.input.quant))
    with pytest.raises(GraphError, match="at most 32767 a dimension"):
        make_plan(replace(graph, inputs=(first.input,), ops=(first, *graph.ops[1:])), hop=40000)


def test_the_state_of_the_benchmark_model_stays_below_the_prototypes_1360_bytes() -> None:
    assert state_bytes(make_plan(graph_of("bench_a"), hop=88)) == 780
    assert state_bytes(make_plan(graph_of("bench_b"), hop=720)) == 1204
