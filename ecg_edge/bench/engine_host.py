"""The native engine on this host against LiteRT and the tflite-micro wheel, in one run. Layer: bench.

All are called from Python: the engine by ctypes, the others by their own bindings, whose calls cost about the same (a
microsecond or less). Only the inference itself is timed, with the input in place.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_edge.bench.engine import Row
from ecg_edge.bench.subject import Int8s, Subject
from ecg_edge.codegen.target import Target, flags
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.lite import LiteBackend
from ecg_edge.runtime.litert import litert_backend
from ecg_edge.runtime.native import NativeBackend
from ecg_edge.runtime.tflm import TflmBackend

HOST = Target("host", "speed")
ROUNDS = 15  # the median counts
ROUND_S = 0.02  # as many calls a round as take this long


@dataclass(frozen=True, slots=True)
class HostTimes:
    """What one run found."""

    rows: list[Row]
    skipped: list[str]  # engines that are not here, and why
    over_native: dict[str, float]  # engine -> its time over the native engine's


def measure_host(
    subject: Subject, given: tuple[Int8s, ...], expected: Int8s, *, cache: Path | None = None
) -> HostTimes:
    """Microseconds of a window under every engine that is here, their rounds taking turns.

    Args:
        subject: a model of one input.
        given: (n, *shape) of each input.
        expected: (n, classes), golden.
        cache: where the built library is kept.

    Raises:
        EcgEdgeError: the native engine cannot be made.
    """
    native = NativeBackend(subject.data, cache=cache)
    equal = {"native": bool(np.array_equal(native.run(given[0]), expected))}
    calls: dict[str, Callable[[], object]] = {"native": native.prepared(given[0][-1])}
    skipped = []
    makers: dict[str, Callable[[bytes], LiteBackend | TflmBackend]] = {"litert": litert_backend, "tflm": TflmBackend}
    for name, make in makers.items():
        try:
            backend = make(subject.data)
            equal[name] = bool(np.array_equal(backend.run(given[0]), expected))
            calls[name] = backend.prepared(given[0][-1])
        except RuntimeMissingError as error:
            skipped.append(str(error))
    times = time_calls(calls)
    details = {"native": " ".join(flags(HOST)), "litert": "XNNPACK, 1 thread", "tflm": "the wheel, reference kernels"}
    rows = [
        Row(
            subject.name,
            "host",
            name,
            "window",
            HOST.opt if name == "native" else details[name],
            None,
            None,
            None,
            equal[name],
            compared=len(expected),
            flags=details[name] if name == "native" else "",
            microseconds=round(took, 3),
        )
        for name, took in times.items()
    ]
    over_native = {name: round(took / times["native"], 2) for name, took in times.items()}
    return HostTimes(rows, skipped, over_native)


def time_calls(calls: dict[str, Callable[[], object]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Median microseconds a call. Every round asks each in turn, so that what disturbs the machine disturbs all."""
    counts = {name: _calls_a_round(call) for name, call in calls.items()}
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            took[name].append(_time(call, counts[name]) / counts[name])
    return {name: statistics.median(found) * 1e6 for name, found in took.items()}


def _calls_a_round(call: Callable[[], object]) -> int:
    count = 1
    while _time(call, count) < ROUND_S / 2:
        count *= 2
    return count


def _time(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start
