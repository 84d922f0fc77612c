"""Mutants of good `.tflite` files, and a process that feeds them to the reader under limits of memory and time.

    python tests/helpers/hostile.py FIRST COUNT      prints one JSON object: outcomes counted, and each failure

A mutant must give GraphError, or a graph that `check` passes and that one window runs through. The number of a mutant
decides everything about it, so a failure can be repeated alone.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
from random_tflite import random_inputs, random_tflite

from ecg_edge.errors import GraphError
from ecg_edge.graph.check import check
from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"
WRITTEN = 12  # seeds of random_tflite beside the golden models
MEMORY_BYTES = 600 << 20  # beyond what the process holds after its imports
SECONDS = 5.0  # for one mutant
# What wrong offsets, counts, dimensions and codes look like.
WORDS: tuple[int, ...] = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
)
WORDS += (0xFFFFFFFF, 0xFFFFFFFE, 0x3F800000, 0x7F800000, 0x7FC00000, 0xFF800000, 0x00000080, 1 << 20, 1 << 24, 1 << 28)


def originals() -> tuple[bytes, ...]:
    """Good files: those of the converter, and small ones of every op."""
    converted = tuple(path.read_bytes() for path in sorted(MODELS.glob("*.tflite")))
    return converted + tuple(random_tflite(seed) for seed in range(WRITTEN))


def mutant(number: int, files: tuple[bytes, ...]) -> bytes:
    """The file of a number: one to four changes of one original."""
    random = np.random.default_rng(number)
    data = bytearray(files[number % len(files)])
    for _ in range(1 + int(random.integers(0, 4)) * int(random.random() < 0.5)):
        if len(data) > 16:
            change = MUTATIONS[int(random.integers(0, len(MUTATIONS)))]
            change(data, random)
    return bytes(data)


def _place(data: bytearray, random: np.random.Generator, align: int = 1) -> int:
    """Somewhere; half of the time in the tables at the end, where a writer puts what is not weights."""
    start = 0 if random.random() < 0.5 else max(0, len(data) - 3000)
    return int(random.integers(start, len(data) - 4)) // align * align


def _flip(data: bytearray, random: np.random.Generator) -> None:
    data[_place(data, random)] ^= 1 << int(random.integers(0, 8))


def _byte(data: bytearray, random: np.random.Generator) -> None:
    data[_place(data, random)] = int(random.integers(0, 256))


def _word(data: bytearray, random: np.random.Generator) -> None:
    value = int(random.choice(np.array(WORDS, np.int64)))
    at = _place(data, random, 4)
    data[at : at + 4] = value.to_bytes(4, "little")


def _offset(data: bytearray, random: np.random.Generator) -> None:
    """An offset or a count that is off by a little, or leads anywhere in the file, back to itself included."""
    at = _place(data, random, 4)
    old = int.from_bytes(data[at : at + 4], "little")
    new = (
        old + int(random.integers(-8, 9)) * 4 if random.random() < 0.5 else int(random.integers(-len(data), len(data)))
    )
    data[at : at + 4] = (new & 0xFFFFFFFF).to_bytes(4, "little")


def _truncate(data: bytearray, random: np.random.Generator) -> None:
    del data[_place(data, random) :]


def _copy(data: bytearray, random: np.random.Generator) -> None:
    """One piece over another: tables that point at each other's fields."""
    size = int(random.choice(np.array([4, 8, 16, 64])))
    source, target = _place(data, random, 4), _place(data, random, 4)
    piece = data[source : source + size]
    data[target : target + len(piece)] = piece


def _swap(data: bytearray, random: np.random.Generator) -> None:
    a, b = _place(data, random, 4), _place(data, random, 4)
    data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]


def _insert(data: bytearray, random: np.random.Generator) -> None:
    at = _place(data, random, 4)
    data[at:at] = bytes(4 * int(random.integers(1, 4)))


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip, _flip, _byte, _word, _word, _word, _offset, _offset, _truncate, _copy, _swap, _insert,
)  # fmt: skip


def feed(data: bytes) -> Graph | None:
    """Read, judge and run a file that may be anything.

    Returns:
        The graph that ran, or None where GraphError was raised, in one line.
    """
    try:
        graph = read_graph(data, name="hostile")
        check(graph, int8=graph.input.dtype == "int8", dense_per_channel=True)
    except GraphError as error:
        if "\n" in str(error) or "MemoryError" in str(error):
            raise AssertionError(f"an error of several lines, or of too much memory: {error}") from error
        return None
    inputs = random_inputs(graph, 1, 0)
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    with np.errstate(all="ignore"):  # a float graph may overflow: that is its own affair
        scores = run(graph, tuple(x.astype(graph.input.dtype) for x in given))
    assert scores.shape == (1, int(np.prod(graph.output.shape)))
    return graph


def _main(first: int, count: int) -> None:
    files = originals()
    for data in files:
        feed(data)  # what imports and caches need is not counted against a mutant
    limit = _held_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _too_long)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    slowest = 0.0
    for number in range(first, first + count):
        data = mutant(number, files)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        start = time.perf_counter()
        try:
            outcomes["refused" if feed(data) is None else "ran"] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this looks for
            failures.append(f"mutant {number}: {type(error).__name__}: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.perf_counter() - start)
    # Not ru_maxrss: it begins with what the process was before it became this program.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) >> 10
    report = {**outcomes, "failures": failures, "slowest_s": round(slowest, 3), "peak_mb": peak}
    sys.stdout.write(json.dumps(report) + "\n")


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def _held_bytes() -> int:
    """Address space in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
