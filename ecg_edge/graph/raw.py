"""A `.tflite` file as plain data: what the flatbuffer says, not yet what it means. Layer: graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RawTensor:
    """One tensor of the file's first subgraph."""

    name: str
    shape: tuple[int, ...]
    dynamic: bool  # the file says that a dimension may change
    dtype: str  # name of the schema's TensorType: "INT8", "FLOAT32", ...
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: NDArray[np.uint8] | None  # None: computed at run time


@dataclass(frozen=True, slots=True)
class RawOp:
    """One operator: name, tensors by index (-1: optional and absent), options as numbers."""

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RawModel:
    """One model file."""

    sha256: str
    tensors: tuple[RawTensor, ...]
    ops: tuple[RawOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
