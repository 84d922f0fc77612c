"""Run one model's engine on an emulated core: scores, exact instruction counts, bytes. Layer: device.

The image is firmware/qemu/engine_main.c with an exported engine and nothing else. Under QEMU's -icount an instruction
takes one nanosecond of the board's time. These are instructions (emulated), and no time on hardware.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.elf import read_image
from ecg_edge.device.images import EngineFolder, build_engine
from ecg_edge.device.machines import find_machine
from ecg_edge.device.qemu import run_to_end
from ecg_edge.device.trace import Stretch, trace_image
from ecg_edge.errors import DeviceError

_MAGIC = 0x32474345
_QUESTION = struct.Struct("<3I")
_SUMMARY = struct.Struct("<6I")


class Mode(IntEnum):
    """How the engine takes its input."""

    RUN = 0  # a window at a time, all of it
    PUSH = 1  # a stream: a window column by column, then a hop for each further verdict
    TRACE = 2  # as RUN, each window once


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What n verdicts took."""

    scores: NDArray[np.int8]  # (n, classes)
    instructions: NDArray[np.float64]  # (n,), emulated, each to a tick of the clock
    scratch_bytes: int  # as the descriptor says
    stack_bytes: int  # peak, below the caller

    def mean(self, start: int = 0) -> float:
        """Instructions of a verdict, from the `start`-th on: ticks average out to about one instruction over 200."""
        return float(self.instructions[start:].mean())


@dataclass(frozen=True, slots=True)
class EngineSize:
    """What linking the engine adds to an image without one, in bytes."""

    flash_bytes: int  # model in, harness out; what is copied to RAM counts here and there
    ram_bytes: int  # .data and .bss; scratch, input and stack are the caller's


class EngineBoard:
    """An emulated core that runs one engine."""

    def __init__(self, url: str, engine: EngineFolder, *, optimize: Sequence[str], cache: Path | None = None) -> None:
        """Build its image, unless that was done before.

        Args:
            url: of an emulated board.
            engine: what to run.
            optimize: the compiler's options for the engine's files.
            cache: where to keep builds; the user's cache folder by default.

        Raises:
            DeviceError: a tool is missing, or it does not compile.
        """
        self.image = build_engine(url, engine, optimize=optimize, cache=cache)
        harness = build_engine(url, engine, optimize=optimize, harness_only=True, cache=cache)
        whole, rest = read_image(self.image), read_image(harness)
        self.size = EngineSize(whole.flash_bytes - rest.flash_bytes, whole.ram_bytes - rest.ram_bytes)
        self._url, self._engine = url, engine

    def run(self, inputs: NDArray[np.int8], *, timeout_s: float | None = None) -> EngineRun:
        """Each of n windows by itself, (n, ...): all inputs of the model, in its order."""
        flat = inputs.reshape(len(inputs), -1)
        assert flat.shape[1] == self._engine.input_bytes, inputs.shape
        return self._ask(Mode.RUN, flat, len(inputs), timeout_s)

    def push(self, columns: NDArray[np.int8], *, verdicts: int, timeout_s: float | None = None) -> EngineRun:
        """A stream, (length, leads): a window, then a hop for each further verdict."""
        return self._ask(Mode.PUSH, columns, verdicts, timeout_s)

    def trace(self, inputs: NDArray[np.int8]) -> list[Stretch]:
        """Where the processor was while it ran one window, (bytes,), instruction by instruction."""
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
            self.question(Path(work), inputs)
            return trace_image(self._url, self.image, Path(work))

    def question(self, folder: Path, inputs: NDArray[np.int8]) -> None:
        """Write what makes the image run one window, (bytes,), once, for whoever follows it."""
        assert inputs.shape == (self._engine.input_bytes,), inputs.shape
        question = _QUESTION.pack(_MAGIC, Mode.TRACE, 1)
        (folder / "questions.bin").write_bytes(question + inputs.tobytes())

    def _ask(self, mode: Mode, data: NDArray[np.int8], count: int, timeout_s: float | None) -> EngineRun:
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
            folder = Path(work)
            question = _QUESTION.pack(_MAGIC, mode, count)
            (folder / "questions.bin").write_bytes(question + np.ascontiguousarray(data, dtype=np.int8).tobytes())
            # The slowest runs, of some ten million instructions, take a tenth of a second each.
            run_to_end(self._url, self.image, folder, timeout_s=timeout_s or 60.0 + 0.5 * count)
            return self._parse((folder / "answers.bin").read_bytes(), count)

    def _parse(self, data: bytes, count: int) -> EngineRun:
        dtype = np.dtype([("ticks", "<u4"), ("scores", "i1", (self._engine.classes,))], align=True)
        if len(data) != count * dtype.itemsize + _SUMMARY.size:
            raise DeviceError(f"{self._url}: {len(data)} bytes are no file of {count} answers")
        magic, answers, scratch, stack, reads, ticks = _SUMMARY.unpack(data[-_SUMMARY.size :])
        if (magic, answers) != (_MAGIC, count):
            raise DeviceError(f"{self._url}: answers.bin has no summary of {count} answers")
        rows = np.frombuffer(data, dtype, count)
        counts = (rows["ticks"] - ticks / reads) * find_machine(self._url).instructions_per_tick
        return EngineRun(rows["scores"].copy(), counts, scratch, stack)
