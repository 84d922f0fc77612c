"""What an image needs of a board, estimated before anything is compiled. Layer: codegen; imports errors, graph.

Weights, tables and state of this graph are counted. Code sizes are measured once and stated below; with model and core
they differ by some 20 % (`python tools/costs.py` prints by how much an engine's flash is missed): an estimate refuses
what cannot fit, and the build decides the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BudgetError
from ..graph.ir import Conv1D, Dense, DepthwiseConv1D
from ..graph.ir import Table as TableOp
from ..graph.plan import Plan
from .image import Model
from .target import PORTABLE, Target
from .whole import make_memory

# Flash of code, bytes. Source: ecg5 with TFLM 90b983c2b on a Cortex-M4 at -O2, linked without model, core and board:
# 64 KB with reference kernels, 110 KB with CMSIS-NN and the default registrations of the resolver, printf included.
TFLM_CODE_BYTES = 110_000
# The rest by arm-none-eabi-gcc 12.2 -O2 for a Cortex-M4, and some 4 KB for startup and C library.
# Loops over a layer's known depth are written out for speed, and are as long as the model is deep: ecg5's here.
NATIVE_CODE_BYTES = {"size": 4_000, "speed": 9_000}
CORE_CODE_BYTES = 11_000  # wire, prepare, self-test with its vectors
# RAM beside the engine: the core's state, its stack, the rings of prepare for each lead.
CORE_RAM_BYTES = 3_500
LEAD_RAM_BYTES = 1_100
# The detector of beats and what makes views of them (`python tools/beat_cost.py`); only where a model takes beats.
BEATS_CODE_BYTES, BEATS_RAM_BYTES = 5_800, 2_000
_DESCRIPTOR_BYTES = 40  # of one layer
# By avr-gcc 5.4 -Os for an ATmega2560, with the Arduino core: `python tools/mega.py` less what the model takes.
AVR_CODE_BYTES = {"size": 6_000, "speed": 8_000}
AVR_CORE_CODE_BYTES = 13_000
AVR_CORE_RAM_BYTES = 2_400  # the stack, strings and the serial line's buffers in it
# What 16 bits reach of flash, less the vectors and others' tables, which come first. What avr-gcc takes as an array.
AVR_TABLE_BYTES = 65_536 - 1_024
AVR_ARRAY_BYTES = 32_767


@dataclass(frozen=True, slots=True)
class Limits:
    """What a board has."""

    board: str
    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class Need:
    """What one engine's image needs: of flash model and code, of RAM engine and core."""

    engine: str
    model_flash_bytes: int
    code_flash_bytes: int
    scratch_bytes: int  # for the largest model
    other_ram_bytes: int  # core, prepare, and the window that an engine without push needs

    @property
    def flash_bytes(self) -> int:
        """All of it."""
        return self.model_flash_bytes + self.code_flash_bytes

    @property
    def ram_bytes(self) -> int:
        """All of it."""
        return self.scratch_bytes + self.other_ram_bytes


def native_need(models: list[Model], target: Target = PORTABLE) -> Need | None:
    """None when one of the models has no native engine."""
    plans = [model.plan for model in models if model.plan is not None]
    if len(plans) < len(models):
        return None
    windows = [0 if plan.streams else plan.graph.input.shape[0] * plan.graph.input.shape[1] for plan in plans]
    return Need(
        "native",
        sum(model_flash_bytes(plan, target) for plan in plans),
        _native_code(target) + (BEATS_CODE_BYTES if _has_beats(models) else 0),
        max(state_bytes(plan, target) for plan in plans),
        _core_ram(models, target) + max(windows),
    )


def tflm_need(models: list[Model]) -> Need | None:
    """With CMSIS-NN, the kernels an Arm board gets. None when one of the models has no measured arena."""
    arenas = [model.arena for model in models if model.arena is not None]
    if len(arenas) < len(models):
        return None
    windows = [math.prod(model.bundle.manifest.columns) for model in models]
    return Need(
        "tflm",
        sum(len(model.data) for model in models),
        TFLM_CODE_BYTES + CORE_CODE_BYTES + (BEATS_CODE_BYTES if _has_beats(models) else 0),
        max(arena.reference + arena.cmsis_nn for arena in arenas) + 16,
        _core_ram(models, PORTABLE) + max(windows),
    )


def require_room(need: Need, limits: Limits) -> None:
    """Refuse a board that is too small.

    Raises:
        BudgetError: flash or RAM; the line says how much is needed and how much there is.
    """
    for what, needed, there in (
        ("flash", need.flash_bytes, limits.flash_bytes),
        ("RAM", need.ram_bytes, limits.ram_bytes),
    ):
        if needed > there:
            raise BudgetError(
                f"board {limits.board} has {there} bytes of {what}; "
                f"the {need.engine} engine needs about {needed} with this model"
            )


def require_tables(plans: Sequence[Plan], target: Target) -> None:
    """Refuse what an AVR would link and read wrong: tables beyond the first 64 KB of flash, and arrays beyond its int.

    Raises:
        BudgetError: names the model, and the layer where it is one.
    """
    if target.kernels != "avr":
        return
    for plan in plans:
        for op in plan.graph.ops:
            size = op.weights.size if isinstance(op, Conv1D | DepthwiseConv1D | Dense) else 0
            if size > AVR_ARRAY_BYTES:
                raise BudgetError(
                    f"{plan.graph.name}: {op.name} has {size} weights; an array on AVR has {AVR_ARRAY_BYTES} at most"
                )
    total = sum(model_flash_bytes(plan, target) for plan in plans)
    if total > AVR_TABLE_BYTES:
        names = ", ".join(plan.graph.name for plan in plans)
        raise BudgetError(
            f"{names}: {total} bytes of tables; an AVR reads {AVR_TABLE_BYTES} in its first 64 KB of flash"
        )


def model_flash_bytes(plan: Plan, target: Target = PORTABLE) -> int:
    """Weights, biases, multipliers, shifts, tables and descriptors of the generated C."""
    wide = target.kernels == "host" or (target.kernels == "dsp" and target.opt == "speed")
    per_weight, per_unit = (2, 14) if wide else (1, 9)  # two int32 and an int8, or three and some padding
    per_unit = 15 if target.kernels == "avr" else per_unit
    total = 0
    for op in plan.graph.ops:
        total += _DESCRIPTOR_BYTES
        if isinstance(op, Conv1D | DepthwiseConv1D | Dense):
            total += (1 if isinstance(op, Dense) else per_weight) * op.weights.size + per_unit * op.bias.size
    return total + 256 * sum(isinstance(op, TableOp) for op in plan.graph.ops)


def state_bytes(plan: Plan, target: Target = PORTABLE) -> int:
    """RAM of the generated engine on a 32-bit core."""
    return make_memory(plan, target)[0].bytes


def _native_code(target: Target) -> int:
    if target.kernels == "avr":
        return AVR_CODE_BYTES[target.opt] + AVR_CORE_CODE_BYTES
    return NATIVE_CODE_BYTES[target.opt] + CORE_CODE_BYTES


def _core_ram(models: list[Model], target: Target) -> int:
    core = AVR_CORE_RAM_BYTES if target.kernels == "avr" else CORE_RAM_BYTES
    beats = BEATS_RAM_BYTES if _has_beats(models) else 0
    return core + beats + LEAD_RAM_BYTES * max(model.bundle.manifest.leads for model in models)


def _has_beats(models: list[Model]) -> bool:
    return any(model.bundle.manifest.takes == "beats" for model in models)
