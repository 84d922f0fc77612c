"""The kernel set of a target. Layer: codegen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ...graph.ir import Conv1D, DepthwiseConv1D
from ..target import Kernels, Opt, Target
from . import avr, dsp, host, mve, portable, thumb1
from .layer import Layer


class KernelSet(Protocol):
    """What each module of kernels/ gives."""

    WIDE_BYTES: int  # sizeof(ecg_wide_t)

    def matrix(self, name: str, op: Conv1D, *, opt: Opt, aligned: bool) -> Layer:
        """A convolution's column; aligned: those it reads always begin on a word."""

    def depthwise(self, name: str, op: DepthwiseConv1D, *, opt: Opt) -> Layer:
        """A depthwise convolution's column."""


_SETS: Mapping[Kernels, KernelSet] = {
    "portable": portable,
    "thumb1": thumb1,
    "dsp": dsp,
    "mve": mve,
    "avr": avr,
    "host": host,
}


def kernel_set(target: Target) -> KernelSet:
    """The one that the target's core runs."""
    return _SETS[target.kernels]
