"""interpret.py against the tflite-micro wheel, tensor by tensor, for the bytes of any model."""

from __future__ import annotations

import numpy as np
from random_tflite import random_inputs

from ecg_edge.graph.check import check
from ecg_edge.graph.interpret import run, tensors
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph, read_raw
from ecg_edge.runtime.tflm import TflmBackend


def equal_to_wheel(data: bytes, *, windows: int = 6, seed: int = 0) -> Graph:
    """Hold every tensor of a run to the wheel's.

    Args:
        data: a `.tflite` file; its graph must be legal.
        windows: how many to run.
        seed: of the windows.

    Returns:
        The graph, for more questions.
    """
    graph = read_graph(data, name="x")
    check(graph, int8=True, dense_per_channel=True)
    index = {tensor.name: i for i, tensor in enumerate(read_raw(data, name="x").tensors)}
    inputs = random_inputs(graph, windows, seed)
    ours = tensors(graph, inputs)
    wheel = TflmBackend(data, keep_tensors=True)
    scores = run(graph, inputs)
    for n in range(windows):
        one = tuple(x[n : n + 1] for x in inputs) if isinstance(inputs, tuple) else inputs[n : n + 1]
        assert np.array_equal(wheel.run(one), scores[n : n + 1])
        for op in graph.ops:
            name = op.output.name
            if name in index:  # a Reshape's own copy of a tensor is none of the file's
                theirs = wheel.tensor(index[name]).reshape(-1)
                assert ours[name][n].reshape(-1).tolist() == theirs.tolist(), f"{op.name} gives another {name}"
    return graph
