"""Random legal graphs for the native engine, read from the files of `random_tflite`.

The same seed gives the wheel its bytes (`random_tflite`), interpreter and engine the graph, and all of them their
windows (`random_inputs`: an array, or a tuple where the graph has several inputs).
"""

from __future__ import annotations

from random_tflite import random_inputs, random_tflite

from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph

__all__ = ["random_graph", "random_inputs", "random_tflite"]


def random_graph(seed: int) -> Graph:
    """The graph of a seed: legal, of one to three inputs."""
    return read_graph(random_tflite(seed), name=f"random{seed}")
