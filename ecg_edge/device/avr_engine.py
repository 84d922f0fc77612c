"""Run one model's engine on an emulated ATmega2560: scores, exact cycles, bytes. Layer: device.

The image is firmware/simavr/engine_main.c with an exported engine and nothing else: what `enginerun.py` is for QEMU's
cores. simavr counts cycles as the data sheet has them, so that at 16 MHz these are times, emulated.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import package_data
from ecg_edge.device import avr
from ecg_edge.device.build import build
from ecg_edge.device.elf import read_image
from ecg_edge.device.emulator import BoardLink
from ecg_edge.device.enginerun import EngineRun, EngineSize
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.simavr import URL, run_image
from ecg_edge.errors import DeviceError

OPTIMIZE = ("-O2",)  # what ecg_ops_avr.h asks for by its own pragma where a sketch is compiled with -Os
_FLAGS = ("-mmcu=atmega2560", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
_WINDOWS, _STREAM = b"w", b"s"
_PATIENCE_S = 120.0
_CYCLES_BYTES = 4


class AvrEngineBoard:
    """An emulated ATmega2560 that runs one engine."""

    def __init__(self, engine: EngineFolder, *, optimize: Sequence[str] = OPTIMIZE, cache: Path | None = None) -> None:
        """Build its image, unless that was done before.

        Raises:
            DeviceError: a tool is missing, it does not compile, or the board has too little RAM.
        """
        self._engine, self._cache = engine, cache
        self.image = self._build(optimize, harness_only=False)
        whole, rest = read_image(self.image), read_image(self._build(optimize, harness_only=True))
        self.size = EngineSize(whole.flash_bytes - rest.flash_bytes, whole.ram_bytes - rest.ram_bytes)
        self._scratch = next(symbol.size for symbol in whole.symbols if symbol.name == "scratch")

    def run(self, inputs: NDArray[np.int8]) -> EngineRun:
        """Each of n windows by itself, (n, ...): all inputs of the model, in its order."""
        return self._ask(_WINDOWS, [window.tobytes() for window in inputs], len(inputs))

    def push(self, columns: NDArray[np.int8], *, verdicts: int) -> EngineRun:
        """A stream, (length, leads): a window, then a hop for each further verdict."""
        hop = 64  # columns at a time: the UART of simavr takes what fits
        blocks = [columns[at : at + hop].tobytes() for at in range(0, len(columns), hop)]
        return self._ask(_STREAM, blocks, verdicts)

    def _ask(self, mode: bytes, blocks: Sequence[bytes], count: int) -> EngineRun:
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
            report = Path(work) / "report"
            link = BoardLink(URL, *run_image(self.image, options=("--report", str(report)), cache=self._cache))
            try:
                said = self._talk(link, mode, blocks, count)
            finally:
                link.close()
            stack = int(dict(line.split() for line in report.read_text().splitlines())["stack"])
        size = 1 + self._engine.classes
        dtype = np.dtype([("status", "i1"), ("scores", "i1", (self._engine.classes,)), ("cycles", "<u4")])
        assert dtype.itemsize == size + _CYCLES_BYTES
        rows = np.frombuffer(said, dtype, count)
        if rows["status"].any():
            raise DeviceError(f"{URL}: {self._engine.name} answers status {rows['status'].tolist()}")
        return EngineRun(rows["scores"].copy(), rows["cycles"].astype(np.float64), self._scratch, stack)

    def _talk(self, link: BoardLink, mode: bytes, blocks: Sequence[bytes], count: int) -> bytes:
        """What it answers, count answers long."""
        give_up_s = link.clock.now_s() + _PATIENCE_S
        said, answer = b"", 1 + self._engine.classes + _CYCLES_BYTES

        def hear(until: int) -> None:
            nonlocal said
            while len(said) < until:
                if link.clock.now_s() > give_up_s:
                    raise DeviceError(f"{URL}: {self._engine.name} gave {len(said)} bytes in {_PATIENCE_S:g} s")
                said += link.read(0.1)

        hear(1)
        link.write(mode)
        while not said.endswith(mode):
            hear(len(said) + 1)
        said = b""
        for index, block in enumerate(blocks):
            link.write(block)
            if mode == _WINDOWS:
                hear((index + 1) * answer)
        hear(count * answer)
        return said[: count * answer]

    def _build(self, optimize: Sequence[str], *, harness_only: bool) -> Path:
        compiler = shutil.which(avr.COMPILER)
        if compiler is None:
            raise DeviceError(f"{URL} needs {avr.COMPILER}, and there is none: {avr.APT}")
        main = (package_data("firmware") / "simavr" / "engine_main.c").resolve()
        folder = self._engine.folder.resolve()
        sources = [] if harness_only else sorted(folder.glob("*.c"))
        flags = (*_FLAGS, *optimize, *self._engine.defines)
        absent = [f"-Wl,--defsym={self._engine.symbol}=0"] if harness_only else []
        step = [*flags, *absent, f"-I{folder}", str(main), *map(str, sources)]
        files = [main, *sources, *sorted(folder.glob("*.h"))]
        return build(f"{self._engine.name}.elf", compiler, files, [step], flags=(*flags, *absent), cache=self._cache)
