"""Lowering to column steps: what each layer keeps, what stops a stream, what cannot be lowered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tflite_writer import Node, Writer

from ecg_edge.codegen.budget import state_bytes
from ecg_edge.errors import GraphError
from ecg_edge.graph.ir import Graph, Tensor
from ecg_edge.graph.plan import AnyStep, Keep, Plan, Step, Sum, make_plan
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"


def graph_of(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def steps_of(plan: Plan) -> list[AnyStep]:
    return [step for section in plan.sections for step in section.steps]


def test_a_layer_keeps_as_many_columns_as_its_kernel_reaches() -> None:
    steps = steps_of(make_plan(graph_of("bench_a"), hop=360))
    lines = [feed.line for step in steps for feed in step.feeds if feed.line is not None]
    assert [(line.span, line.stride, line.columns) for line in lines] == [(7, 2, 7), (5, 2, 5), (3, 2, 3)]


def test_a_layer_of_one_tap_keeps_nothing() -> None:
    steps = steps_of(make_plan(graph_of("bench_b"), hop=720))
    passing = [step.op.name for step in steps if isinstance(step, Step) and step.feeds[0].line is None]
    assert passing == ["conv2", "conv3", "conv4", "conv5"]


@pytest.mark.parametrize(("hop", "blocks", "columns"), [(88, 4, 11), (360, 1, 43)])
def test_windows_share_sums_of_one_hop(hop: int, blocks: int, columns: int) -> None:
    plan = make_plan(graph_of("bench_a"), hop=hop)  # 43 columns a window, 11 in a hop of 88
    assert plan.streams
    last = steps_of(plan)[-1]
    assert isinstance(last, Sum)
    assert (last.blocks, last.block_columns) == (blocks, columns)


def test_columns_are_kept_where_that_takes_less_than_sums() -> None:
    last = steps_of(make_plan(graph_of("bench_a"), hop=8))[-1]  # one column a hop: 43 sums of 4 bytes a channel
    assert isinstance(last, Keep)


def test_a_flat_dense_layer_keeps_the_windows_columns() -> None:
    last = steps_of(make_plan(graph_of("flat"), hop=4))[-1]
    assert isinstance(last, Keep)
    assert last.feeds[0].line is not None
    assert last.feeds[0].source.shape[0] == last.feeds[0].line.stride * 12  # a hop is a twelfth of the window


def test_the_skip_of_a_residual_waits_in_a_queue_as_long_as_the_other_branch_is_late() -> None:
    add = next(step for step in steps_of(make_plan(graph_of("residual"), hop=12)) if len(step.feeds) > 1)
    columns = [feed.line.columns for feed in add.feeds if feed.line is not None]
    assert max(columns) > min(columns) == 1


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


def test_a_graph_too_long_for_the_counters_is_refused() -> None:
    graph = graph_of("bench_a")
    first: Any = replace(cast(Any, graph.ops[0]), input=Tensor(graph.input.name, (40000, 1), "int8", graph.input.quant))
    with pytest.raises(GraphError, match="at most 32767 a dimension"):
        make_plan(replace(graph, inputs=(first.input,), ops=(first, *graph.ops[1:])), hop=40000)


def test_the_state_of_the_benchmark_model_stays_below_the_prototypes_1360_bytes() -> None:
    assert state_bytes(make_plan(graph_of("bench_a"), hop=88)) < 1000
    assert state_bytes(make_plan(graph_of("bench_b"), hop=720)) < 1300


def test_branches_of_several_strides_do_not_share_columns_between_windows() -> None:
    net = Writer(seed=1)
    x = net.input((1, 1, 16, 3))
    joined = net.concat([net.pool(x, "MAX", 2, stride=2), net.pool(x, "MAX", 9)])  # 8 columns each
    plan = make_plan(read_graph(net.finish(net.dense(net.mean(joined), 4)), name="joined"), hop=4)
    assert plan.obstacle == "Concat concat1 joins branches of several strides: a hop is 2, 4 columns there"


def signal(net: Writer, length: int, leads: int = 1) -> Node:
    return net.input((1, 1, length, leads))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: net.dense(net.conv(signal(net, 1100), 64, 3), 2), "Dense dense1 reads 70272 values"),
        (lambda net: net.conv(net.conv(signal(net, 1100), 64, 3), 2, 1098), "Conv1D conv2 reads 70272 values"),
        (lambda net: net.mean(net.conv(signal(net, 30000), 3, 3, dilation=20000, same=True)), "over 40001 columns"),
        (lambda net: net.dense(net.unary("SOFTMAX", net.dense(signal(net, 9), 600)), 3), "softmax1 has 600 values"),
        (lambda net: net.dense(signal(net, 40), 300), "has 300 classes"),
        (lambda net: net.dense(net.mean(signal(net, 40, 300)), 3), "has 300 leads"),
    ],
)
def test_a_graph_beyond_the_engines_counters_is_refused(make: Callable[[Writer], Node], message: str) -> None:
    net = Writer(seed=1)
    graph = read_graph(net.finish(make(net)), name="large")
    with pytest.raises(GraphError, match=message):
        make_plan(graph, hop=graph.input.shape[0])
