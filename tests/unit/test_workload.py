"""What an engine does for one verdict, counted from its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.target import CORES, Target
from ecg_edge.codegen.whole import make_memory
from ecg_edge.codegen.workload import Counts, work
from ecg_edge.graph.ir import Conv1D, Dense, DepthwiseConv1D, Graph
from ecg_edge.graph.plan import make_plan
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"


def products(graph: Graph) -> int:
    total = 0
    for op in graph.ops:
        if isinstance(op, Conv1D | DepthwiseConv1D):
            total += op.output.shape[0] * op.weights.size
        if isinstance(op, Dense):
            total += op.weights.size
    return total


def counted_products(counts: Counts) -> int:
    return sum(count for name, count in counts.items() if name.endswith("macs"))


@pytest.mark.parametrize("core", [core for core in CORES if core != "host"])
@pytest.mark.parametrize("name", ["causal", "pools", "residual", "separable"])
def test_every_product_of_a_window_is_counted_whatever_the_kernels(name: str, core: str) -> None:
    graph = read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)
    plan = make_plan(graph, hop=graph.input.shape[0])
    assert counted_products(work(plan, make_memory(plan, Target(core))[0])) == products(graph)


def test_a_hop_of_a_stream_is_its_share_of_a_window() -> None:
    bundle = Bundle.load("ecg5")
    graph = read_graph(bundle.model, name="ecg5")
    plan = make_plan(graph, hop=bundle.manifest.hop)
    memory = make_memory(plan, Target("cortex-m4"))[0]
    window, hop = work(plan, memory), work(plan, memory, hop=True)
    assert hop["signal_columns"] == bundle.manifest.hop
    assert set(hop) <= set(window)
    assert all(hop[name] <= window[name] for name in window)
    dense = window["dense_macs"]  # of every verdict
    share = (counted_products(hop) - dense) / (counted_products(window) - dense)
    # A window without padding has fewer columns in every layer than its hops have together.
    assert bundle.manifest.hop / bundle.manifest.window < share < 1.3 * bundle.manifest.hop / bundle.manifest.window
