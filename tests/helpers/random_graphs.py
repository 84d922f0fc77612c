"""Random legal graphs for the native engine, read from the files of `random_tflite`.

The same seed gives the wheel its bytes (`random_tflite`), interpreter and engine the graph, and all of them their
windows (`random_inputs`: an array, or a tuple where the graph has several inputs).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from random_tflite import random_inputs, random_tflite

from ecg_edge.graph.ir import Conv1D, DepthwiseConv1D, Graph, Op
from ecg_edge.graph.tflite import read_graph

__all__ = ["extreme", "random_graph", "random_inputs", "random_tflite"]


def random_graph(seed: int) -> Graph:
    """The graph of a seed: legal, of one to three inputs."""
    return read_graph(random_tflite(seed), name=f"random{seed}")


def extreme(op: Op, random: np.random.Generator) -> Op:
    """Convolutions with weights at their ends, multipliers of any size, and a clamp; other ops as they are."""
    if not isinstance(op, Conv1D | DepthwiseConv1D):
        return op
    weights = random.choice(np.array([-128, -128, -127, 0, 127], np.int8), op.weights.shape)
    shifts = random.integers(-14, 3, op.shifts.shape).astype(op.shifts.dtype)
    multipliers = random.integers(1 << 30, 1 << 31, op.multipliers.shape).astype(op.multipliers.dtype)
    low, high = sorted(int(bound) for bound in random.integers(-128, 128, 2))
    return replace(op, weights=weights, shifts=shifts, multipliers=multipliers, act_min=low, act_max=high)
