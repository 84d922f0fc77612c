"""Follow an emulated processor, instruction by instruction, from function to function. Layer: device.

QEMU names the address of every instruction it executes. That is a line each, so they come through a pipe and are
counted as they come.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.elf import Image, Symbol, read_image
from ecg_edge.device.qemu import run_to_end
from ecg_edge.errors import DeviceError

_ADDRESS = re.compile(rb"\[[0-9a-f]+/[0-9a-f]*([0-9a-f]{8})/")  # the last 32 bits of 32 or 64
_CHUNK_BYTES = 1 << 22
_TIMEOUT_S = 1800.0  # some million instructions a second
_NOWHERE = Symbol("", 0, 0, True)

Addresses = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instructions one after another in one function."""

    function: Symbol
    instructions: int
    entered: bool = False  # at its first instruction: a call, and no return into it


def trace_image(url: str, image: Path, folder: Path) -> list[Stretch]:
    """Run an image to its end.

    Args:
        url: of an emulated board.
        image: from `images.build_engine`.
        folder: where the files are that it opens; the pipe is made there.

    Returns:
        everything it executed, in order.

    Raises:
        DeviceError: it fails, or does not end.
    """
    return follow(url, image, folder, lambda addresses: stretches(read_image(image), addresses))


def follow(url: str, image: Path, folder: Path, take: Callable[[Iterator[Addresses]], T]) -> T:
    """Run an image to its end, and give the addresses of what it executes, in order, in arrays, to `take`.

    Otherwise as `trace_image`.
    """
    pipe, failed = folder / "trace", list[DeviceError]()
    os.mkfifo(pipe)

    def emulate() -> None:
        try:
            run_to_end(url, image, folder, timeout_s=_TIMEOUT_S, trace=pipe)
        except DeviceError as error:
            failed.append(error)
        with contextlib.suppress(OSError):  # whoever waits for a writer that never came
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    emulator = threading.Thread(target=emulate, daemon=True)
    emulator.start()
    found = take(_addresses(pipe))
    emulator.join()
    if failed:
        raise failed[0]
    return found


def stretches(image: Image, addresses: Iterator[Addresses]) -> list[Stretch]:
    """Addresses in order, in arrays -> stretches of functions; what lies in no function is nowhere, name ""."""
    functions = image.functions()
    starts = np.array([function.start for function in functions], np.int64)
    ends = np.array([function.start + max(function.size, 1) for function in functions], np.int64)
    found: list[Stretch] = []
    for some in addresses:
        index = np.searchsorted(starts, some, side="right") - 1
        index[(index < 0) | (some >= ends[index])] = -1
        edges = np.flatnonzero(np.diff(index)) + 1
        bounds = [0, *edges.tolist(), len(index)]
        for begin, end in itertools.pairwise(bounds):
            function = _NOWHERE if index[begin] < 0 else functions[index[begin]]
            if found and found[-1].function == function:
                found[-1] = replace(found[-1], instructions=found[-1].instructions + end - begin)
            else:
                found.append(Stretch(function, end - begin, bool(some[begin] == function.start)))
    return found


def _addresses(pipe: Path) -> Iterator[Addresses]:
    with pipe.open("rb") as lines:
        rest = b""
        while chunk := lines.read(_CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if found := _ADDRESS.findall(whole + newline):
                yield np.frombuffer(bytes.fromhex(b"".join(found).decode()), ">u4").astype(np.int64)
