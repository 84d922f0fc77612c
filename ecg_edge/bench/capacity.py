"""What a line that was measured carries for a model. Layer: bench; composes device and signal.

The real client talks to the reference device over a virtual line of the measured rate and delay: framing, credits,
RESULTs and waits are those of the protocol, whatever they come to be. The device takes no time to compute, so what
comes out is the line's limit, and no board's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.fake import FakeDevice, FakeModel, fake_hello
from ecg_edge.device.faults import BITS_PER_BYTE, LimitedLink
from ecg_edge.device.link import Clock, FakeLink, Link
from ecg_edge.device.messages import Hello
from ecg_edge.device.script import KEPT_RESULTS
from ecg_edge.errors import DeviceError
from ecg_edge.report.metrics import Json
from ecg_edge.signal.prepare import Prepare

CREDIT_SAMPLES = 1024  # of most boards: ecg_arduino.h, esp-idf/main/main.c
# To time. From the first to the last are 63 hops: of an even length, a whole number of frames of 126 samples.
ANSWERS = 64
_SIGNAL_UV = 2000


@dataclass(frozen=True, slots=True)
class LineFacts:
    """A line as it was measured."""

    bytes_per_s: float  # each way, both ways at once
    delay_s: float  # there and back, beyond the time that the bytes themselves take


@dataclass(frozen=True, slots=True)
class Carried:
    """What went over the line from the first answer to the last."""

    answers_per_s: float
    bytes_out: float  # an answer: host to board
    bytes_in: float  # an answer: board to host


def capacity(bundle: Bundle, line: LineFacts, *, credit: int = CREDIT_SAMPLES, seed: int = 0) -> Json:
    """Isolated windows a second, and leads of a live stream, that the line carries.

    Args:
        bundle: the model.
        line: what was measured.
        credit: samples that the board's receive path holds.
        seed: of the signal, whose bytes decide a little of the framing.

    Returns:
        `windows` and `stream`, each with the reason where the line is too slow for the protocol's patience.
    """
    hello, random = _hello(bundle, credit), np.random.default_rng(seed)
    # More than is timed: up to the last answer that counts, the host sends ahead as far as credit and protocol allow.
    ahead = hello.credit_samples + hello.delay + KEPT_RESULTS * hello.hop
    windows = _signal(random, ANSWERS + KEPT_RESULTS + 1, hello.window, hello.leads)
    samples = _signal(random, hello.window + ANSWERS * hello.hop + ahead, hello.leads)

    def ask_windows(device: Device, answered: Callable[[], None]) -> None:
        device.classify_many(windows, lambda done, total: answered())

    def ask_stream(device: Device, answered: Callable[[], None]) -> None:
        for _ in device.stream(samples):
            answered()

    isolated, live = _carried(hello, line, ask_windows), _carried(hello, line, ask_stream)
    return {
        "model": hello.name,
        "fs_hz": hello.fs_hz,
        "window": hello.window,
        "hop": hello.hop,
        "leads": hello.leads,
        "credit_samples": credit,
        "windows": _told(isolated, lambda c: {"windows_per_s": c.answers_per_s}),
        "stream": _told(live, lambda c: _leads(c, hello)),
    }


def _leads(carried: Carried, hello: Hello) -> dict[str, float]:
    samples_per_s = carried.answers_per_s * hello.hop
    return {"samples_per_s": samples_per_s, "live_leads": samples_per_s / hello.fs_hz * hello.leads}


def _told(carried: Carried | str, rates: Callable[[Carried], dict[str, float]]) -> Json:
    return {"reason": carried} if isinstance(carried, str) else {**rates(carried), **asdict(carried)}


def _hello(bundle: Bundle, credit: int) -> Hello:
    """What a board with this bundle says of it."""
    m = bundle.manifest
    p = Prepare.from_manifest(m.prepare)
    return fake_hello(
        window=m.window,
        hop=m.hop,
        delay=p.delay,
        flat_samples=p.flat_samples,
        fs_hz=m.fs_hz,
        leads=m.leads,
        classes=len(m.classes),
        credit_samples=max(1, credit // m.leads),
        sha256=bundle.model_sha256,
        name=m.name,
    )


def _signal(random: np.random.Generator, *shape: int) -> NDArray[np.int16]:
    return random.integers(-_SIGNAL_UV, _SIGNAL_UV, shape).astype(np.int16)


def _carried(hello: Hello, line: LineFacts, ask: Callable[[Device, Callable[[], None]], None]) -> Carried | str:
    """Let the client ask, and see how fast answers come; or why it gave up."""
    scores = np.zeros(hello.classes, np.int8)
    link = FakeLink(FakeDevice([FakeModel(hello, lambda context: scores)]).receive, name="the line")
    limited = LimitedLink(link, max(1, round(line.bytes_per_s * BITS_PER_BYTE)))
    device = Device(_DelayedLink(limited, line.delay_s), first_index=0)
    seen: list[tuple[float, int, int]] = []

    def answered() -> None:
        if len(seen) < ANSWERS:
            seen.append((link.clock.now_s(), device.counters.bytes_out, device.counters.bytes_in))

    try:
        ask(device, answered)
    except DeviceError as error:
        return str(error)
    (first_s, first_out, first_in), (last_s, last_out, last_in) = seen[0], seen[-1]
    answers = len(seen) - 1
    return Carried(answers / (last_s - first_s), (last_out - first_out) / answers, (last_in - first_in) / answers)


class _DelayedLink:
    """A link whose bytes come to the host so much later."""

    def __init__(self, link: Link, delay_s: float) -> None:
        self._link, self._delay_s = link, delay_s
        self._coming: deque[tuple[float, bytes]] = deque()
        self.name = link.name
        self.clock: Clock = link.clock

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self.clock.now_s() + timeout_s
        while True:
            now_s = self.clock.now_s()
            came = b""
            while self._coming and self._coming[0][0] <= now_s:
                came += self._coming.popleft()[1]
            if came or now_s >= deadline_s:
                return came
            wake_s = min(deadline_s, self._coming[0][0]) if self._coming else deadline_s
            if data := self._link.read(wake_s - now_s):
                self._coming.append((self.clock.now_s() + self._delay_s, data))

    def write(self, data: bytes) -> None:
        self._link.write(data)

    def close(self) -> None:
        self._link.close()
