"""Stream a source to a device and gather what comes back. Layer: bench; composes device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.source import Progress, Source
from ecg_edge.bundle import Bundle
from ecg_edge.device.boards import boards
from ecg_edge.device.client import Device, engine_name
from ecg_edge.device.exchange import Answer
from ecg_edge.device.frame import SampleFlag
from ecg_edge.device.messages import Hello, SelfTestState
from ecg_edge.errors import DeviceError
from ecg_edge.report.metrics import ABSTAINED, Json

Clock = Callable[[], float]
EMULATED = ("qemu:", "simavr:")
_OF_THE_BOARD = ("crc_errors", "cobs_errors", "length_errors", "gaps", "duplicates", "overruns")  # it counts them
HOST_BOARD = "host"  # what an image that runs as a process calls its board


@dataclass(frozen=True, slots=True)
class Answers:
    """What a device said of n windows, in their order."""

    scores: NDArray[np.int8]  # (n, classes)
    verdicts: NDArray[np.int64]  # (n,) class index or ABSTAINED
    states: NDArray[np.uint8]  # (n,)
    prepare_us: NDArray[np.int64]  # (n,) device clock
    inference_us: NDArray[np.int64]  # (n,) device clock
    link: Json  # what it took, see _link()

    @property
    def total_us(self) -> NDArray[np.int64]:
        return self.prepare_us + self.inference_us


def matching_hello(device: Device, bundle: Bundle) -> Hello:
    """What the device says of the bundle's model.

    Raises:
        DeviceError: the device holds other models only, or this one with other parameters.
    """
    hello, m = device.require(bundle.model_sha256), bundle.manifest
    for what, theirs, ours in (
        ("fs_hz", hello.fs_hz, m.fs_hz),
        ("window", hello.window, m.window),
        ("hop", hello.hop, m.hop),
        ("leads", hello.leads, m.leads),
        ("classes", hello.classes, len(m.classes)),
        ("input zero point", hello.in_zero, m.input.zero_point),
        ("input scale", hello.in_scale, float(np.float32(m.input.scale))),
        ("output zero point", hello.out_zero, m.output.zero_point),
        ("output scale", hello.out_scale, float(np.float32(m.output.scale))),
    ):
        if theirs != ours:
            raise DeviceError(f"the device runs {m.name} with {what} {theirs:g}; the bundle says {ours:g}")
    takes = "beats" if hello.takes_beats else "windows"
    if takes != m.takes:
        raise DeviceError(f"the device shows {m.name} {takes}; the bundle says {m.takes}")
    return hello


def ask(device: Device, source: Source, progress: Progress, clock: Clock = time.perf_counter) -> Answers:
    """Send the whole source and wait for every answer.

    Raises:
        DeviceError: the link broke, or an answer is missing or of another window.
    """
    n = len(source.starts)
    before = line_counts(device)
    began_s = clock()
    answers: list[Answer] = []
    if source.stream:
        flags = np.where(source.clipped, np.uint8(SampleFlag.CLIPPED), np.uint8(0))
        for answer in device.stream(source.signal_uv, flags):
            answers.append(answer)
            progress(len(answers), n)
    else:
        answers = device.classify_many(source.signal_uv, progress=progress)
    seconds = clock() - began_s
    _check_order(answers, source)
    return Answers(
        scores=np.stack([a.scores for a in answers]),
        verdicts=np.array([ABSTAINED if a.verdict is None else a.verdict for a in answers], dtype=np.int64),
        states=np.array([a.state for a in answers], dtype=np.uint8),
        prepare_us=np.array([a.prepare_us for a in answers], dtype=np.int64),
        inference_us=np.array([a.inference_us for a in answers], dtype=np.int64),
        link=_link(counted_since(before, line_counts(device)), source, seconds),
    )


def _check_order(answers: list[Answer], source: Source) -> None:
    if len(answers) != len(source.starts):
        raise DeviceError(f"the device answered {len(answers)} of {len(source.starts)} windows")
    if not source.stream:
        return
    wanted = source.starts + source.length - 1
    for answer, last in zip(answers, wanted.tolist(), strict=True):
        if answer.last_index != last:
            raise DeviceError(f"the device answered for the window that ends at {answer.last_index}, not at {last}")


def line_counts(device: Device) -> dict[str, int]:
    """What both sides counted on the line so far, what went wrong included."""
    theirs, ours = device.stats(), device.counters
    return {
        "bytes_out": ours.bytes_out,
        "bytes_in": ours.bytes_in,
        "repeats": ours.repeats,
        "losses": ours.losses,
        "resets": ours.resets,
        "replugs": ours.replugs,
        "damaged_in": ours.damaged,
    } | {name: int(getattr(theirs, name)) for name in _OF_THE_BOARD}


def counted_since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was counted meanwhile. A board that was reset counts from 0: then all that it counted is told."""
    began_anew = after["resets"] + after["replugs"] > before["resets"] + before["replugs"]
    return {k: v if began_anew and k in _OF_THE_BOARD else v - before[k] for k, v in after.items()}


def _link(counts: dict[str, int], source: Source, seconds: float) -> Json:
    """Transport: how much went over the line, how fast, and what went wrong."""
    samples, both = source.signal_uv.size, counts["bytes_out"] + counts["bytes_in"]
    return {
        "seconds": seconds,
        "windows_per_s": len(source.starts) / seconds,
        "bytes_per_s": both / seconds,
        "bytes_per_window": both / len(source.starts),
        "times_real_time": samples / source.fs_hz / seconds,
        "share_of_samples_in_bytes_out": samples * 2 / counts["bytes_out"],
        **counts,
    }


def describe(url: str, hello: Hello) -> Json:
    """The device's part of the report. `note` says what kind of proof it is when it is no hardware."""
    known = boards().get(hello.board)
    note = ""
    if url.startswith("virtual:") or hello.board == HOST_BOARD:
        note = "virtual board on this host: not hardware"
    elif url.startswith(EMULATED) or (known is not None and known.emulator.startswith(EMULATED)):
        note = "emulated core: equal bits are proof, times are not hardware"
    if url.startswith("simavr:"):
        note = "emulated AVR: equal bits are proof, cycles are the data sheet's, not hardware"
    engine = engine_name(hello)
    return {
        "url": url,
        "board": hello.board,
        "hardware": not note,
        "note": note,
        "engine": engine,
        "engine_version": hello.engine_version.removeprefix(engine).strip(),
        "firmware": ".".join(map(str, hello.firmware)),
        "self_test": SelfTestState(hello.selftest).name.lower().replace("_", " "),
        "streams": hello.streams,
        "credit_samples": hello.credit_samples,
        "scratch_bytes": hello.scratch_bytes,
        "arena_used": hello.arena_used or None,
    }
