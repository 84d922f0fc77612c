"""The native engine on this host against LiteRT and the tflite-micro wheel, in one run. Layer: bench.

All are called from Python: the engine by ctypes, the others by their own bindings, whose calls cost about the same (a
microsecond or less). Only the inference itself is timed, with the input in place.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ecg_edge.bench.engine import Row
from ecg_edge.bench.subject import Int8s, Subject, flat
from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.target import Target, flags
from ecg_edge.device import toolchain
from ecg_edge.device.build import build
from ecg_edge.errors import DeviceError
from ecg_edge.runtime.backend import RuntimeMissingError
from ecg_edge.runtime.lite import LiteBackend
from ecg_edge.runtime.litert import litert_backend
from ecg_edge.runtime.tflm import TflmBackend

HOST = Target("host", "speed")
ROUNDS = 15  # the median counts
ROUND_S = 0.02  # as many calls a round as take this long

_Run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class _Descriptor(ctypes.Structure):
    """ecg_model_t."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_uint8 * 32),
        ("fs_hz", ctypes.c_uint16),
        ("window", ctypes.c_uint16),
        ("hop", ctypes.c_uint16),
        ("leads", ctypes.c_uint8),
        ("classes", ctypes.c_uint8),
        ("scratch_bytes", ctypes.c_size_t),
        ("reset", ctypes.c_void_p),
        ("push", ctypes.c_void_p),
        ("run", _Run),
    )


@dataclass(frozen=True, slots=True)
class HostTimes:
    """What one run found."""

    rows: list[Row]
    skipped: list[str]  # engines that are not here, and why
    over_native: dict[str, float]  # engine -> its time over the native engine's


class HostEngine:
    """A generated engine as a shared library."""

    def __init__(self, subject: Subject, *, target: Target = HOST, cache: Path | None = None) -> None:
        """Export and compile.

        Raises:
            EcgEdgeError: there is no C compiler, or the engine cannot be made.
        """
        compiler = toolchain.find("cc")
        if compiler is None:
            raise DeviceError("no C compiler: sudo apt-get install --no-install-recommends gcc libc6-dev")
        options = ["-std=c99", *flags(target), "-fPIC", "-shared"]
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
            folder = Path(work) / "engine"
            export_bare(subject.path, folder, target=target, name=subject.name)
            sources, headers = sorted(folder.glob("*.c")), sorted(folder.glob("*.h"))
            step = [*options, *map(str, sources)]
            library = build(f"{subject.name}.so", compiler, [*sources, *headers], [step], flags=options, cache=cache)
        self._library = ctypes.CDLL(str(library))
        self._model = _Descriptor.in_dll(self._library, f"ecg_model_{subject.name}")
        self._scratch = np.zeros(self._model.scratch_bytes // 16 + 2, np.complex128)
        self._scores = np.zeros(subject.classes, np.int8)
        self._input_bytes = subject.input_bytes

    def prepared(self, row: Int8s) -> Callable[[], object]:
        """What runs the engine on one row, (bytes) of all inputs, and no more."""
        assert row.shape == (self._input_bytes,), row.shape
        self._row = np.ascontiguousarray(row)
        # A function of the library itself: ctypes calls those in half the time of one with a prototype of its own.
        library: Any = self._library
        run = library._FuncPtr(ctypes.cast(self._model.run, ctypes.c_void_p).value)
        run.argtypes = (ctypes.c_void_p,) * 3
        scratch = -(-self._scratch.ctypes.data // 16) * 16
        window, scores = self._row.ctypes.data, self._scores.ctypes.data
        return partial(run, ctypes.c_void_p(scratch), ctypes.c_void_p(window), ctypes.c_void_p(scores))

    def run(self, rows: Int8s) -> Int8s:
        """(n, bytes) -> (n, classes)."""
        out = np.empty((len(rows), len(self._scores)), np.int8)
        for row, scores in zip(rows, out, strict=True):
            self.prepared(row)()
            scores[:] = self._scores
        return out


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
    native = HostEngine(subject, cache=cache)
    rows_in = flat(given)
    equal = {"native": bool(np.array_equal(native.run(rows_in), expected))}
    calls: dict[str, Callable[[], object]] = {"native": native.prepared(rows_in[-1])}
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
