"""What the tests of the emulated Mega 2560 share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from board_rungs import missing
from numpy.typing import NDArray

from ecg_edge.codegen.bare import bare_files
from ecg_edge.codegen.target import Target
from ecg_edge.device import avr, simavr
from ecg_edge.device.build import build
from ecg_edge.device.emulator import BoardLink
from ecg_edge.device.images import EngineFolder
from ecg_edge.graph.plan import Plan

MAIN = Path(__file__).with_name("avr_engine_main.c")
PATIENCE_S = 60.0
READY = b"\xaa"
_FLAGS = ("-mmcu=atmega2560", "-Os", "-std=gnu11", "-ffunction-sections", "-Wl,--gc-sections")


def need_tools() -> None:
    """Skip, saying what is missing, unless sketches can be built for the board."""
    if shutil.which(avr.COMPILER) is None or not avr.CORE.is_dir():
        missing(f"no {avr.COMPILER} or no Arduino AVR core: {simavr.URL} is not tested ({avr.APT})")
    if not Path("/usr/include/simavr/sim_avr.h").is_file():
        missing(f"no libsimavr: {simavr.URL} is not tested ({simavr.APT})")


def board_cache(request: pytest.FixtureRequest) -> Path:
    """Where built boards are kept from one test run to the next."""
    need_tools()
    assert request.config.cache is not None
    return request.config.cache.mkdir("boards")


def start(image: Path, cache: Path, *options: str) -> BoardLink:
    """An image, running."""
    return BoardLink(simavr.URL, *simavr.run_image(image, options=options, cache=cache))


def engine_image(plan: Plan, target: Target, folder: Path, cache: Path, *, flags: Sequence[str] = ()) -> Path:
    """The engine of one plan, alone, linked for the board; `run` drives it."""
    graph = plan.graph
    folder.mkdir()
    for file, text in bare_files(plan, name=graph.name, fs_hz=250, target=target).items():
        (folder / file).write_text(text, encoding="utf-8")
    inputs = sum(int(np.prod(tensor.shape)) for tensor in graph.inputs)
    engine = EngineFolder(folder, graph.name, inputs, int(np.prod(graph.output.shape)))
    sources = [*sorted(folder.glob("*.c")), MAIN]
    options = (*_FLAGS, *flags, *engine.defines)
    step = [*options, f"-I{folder}", *map(str, sources)]
    compiler = shutil.which(avr.COMPILER)
    assert compiler is not None
    return build("engine.elf", compiler, [*sources, *folder.glob("*.h")], [step], flags=options, cache=cache)


def run(image: Path, inputs: NDArray[np.int8], classes: int, cache: Path) -> NDArray[np.int8]:
    """Scores, (n, classes), of windows, (n, bytes)."""
    link = start(image, cache)
    try:
        _read(link, lambda said: bool(said))  # it listens
        link.write(READY)
        _read(link, lambda said: said.endswith(READY))
        answers = []
        for window in inputs:
            link.write(window.tobytes())
            status, *scores = _read(link, lambda said: len(said) > classes)
            assert status == 0, "the engine failed"
            answers.append(scores)
        return np.array(answers, np.uint8).view(np.int8)
    finally:
        link.close()


def _read(link: BoardLink, enough: Callable[[bytes], bool]) -> bytes:
    """What comes until it is enough; then the board waits for what it is told."""
    said, give_up_s = b"", link.clock.now_s() + PATIENCE_S
    while not enough(said):
        assert link.clock.now_s() < give_up_s, f"{len(said)} bytes in {PATIENCE_S:g} s"
        said += link.read(0.1)
    return said
