"""The application core in C at the end of a line, on a virtual clock: hours of conversation in seconds."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from core_bench import signal
from numpy.typing import NDArray
from toy import TOYS, Toy, Verdict, expected_verdicts

from ecg_edge.device import Answer, Device, FakeLink, Frame, FrameReader, FrameType, Link, encode_frame
from ecg_edge.device.faults import BITS_PER_BYTE
from ecg_edge.device.messages import MAX_SAMPLES, Index, Samples, Start
from ecg_edge.errors import LinkError

GARBAGE_BYTES = 10_000
BAUD = 115_200

_NONCES, _STRIDE = 65_521, 7919  # coprime: no two resets near each other draw the same


class CoreBoard:
    """The toy image's core as a board: `link` leads to it, `reset` is its button."""

    def __init__(self, library: ctypes.CDLL, *, credit: int = 1024, compute_s: float = 0.0) -> None:
        """Args: library, of harness.c; credit, of HELLO; compute_s, what a verdict takes, while the line goes on."""
        self._library, self._compute_s = library, compute_s
        self._out = np.zeros(1 << 16, np.uint8)
        self.boots = 0
        self.link = FakeLink(self._answer, name="core:")
        library.harness_clock(0, 3)
        library.harness_config()
        library.harness_credit(credit)
        library.harness_output(self._out.ctypes.data, self._out.size)
        self.reset()

    def reset(self) -> None:
        """What is on its way to the board is lost with all that it knew; it says HELLO."""
        self.boots += 1
        assert self._library.harness_boot(1 + self.boots * _STRIDE % _NONCES) == 0
        self.link.reset(self._taken())

    def _answer(self, data: bytes) -> bytes:
        self._library.ecg_edge_receive(self._library.harness_edge(), data, len(data))
        said = self._taken()
        if self._compute_s:
            verdicts = sum(frame.type == FrameType.RESULT for frame in FrameReader().feed(said))
            self.link.clock.sleep_s(verdicts * self._compute_s)
        return said

    def _taken(self) -> bytes:
        return self._out[: self._library.harness_taken()].tobytes()


@dataclass(frozen=True)
class Case:
    """Signal for one of the toy models, and what its definition says to it."""

    toy: Toy
    samples_uv: NDArray[np.int16]  # (n, leads)
    isolated: bool  # its windows one by one, else a stream

    @property
    def expected(self) -> list[Verdict]:
        if not self.isolated:
            return expected_verdicts(self.toy, self.samples_uv)
        return [expected_verdicts(self.toy, window)[0] for window in self.windows]

    @property
    def windows(self) -> NDArray[np.int16]:
        """(n, window, leads)"""
        return self.samples_uv.reshape(-1, self.toy.window, self.toy.leads)

    def ask(self, device: Device, each: Callable[[], None] = lambda: None) -> list[Verdict]:
        """What the device says; `each` is called after every answer."""
        hello = next(hello for hello in device.hello() if hello.name == self.toy.name)
        device.require(hello.sha256)
        if self.isolated:
            return [_verdict(answer) for answer in device.classify_many(self.windows, lambda *_: each())]
        answers = []
        for answer in device.stream(self.samples_uv):
            answers.append(_verdict(answer))
            each()
        return answers


def cases(samples: int, *, seeds: range) -> list[Case]:
    """Streams and isolated windows of every toy model; so many samples each, in whole windows."""
    made = []
    for seed in seeds:
        for toy in TOYS:
            stream = signal(samples, toy.leads, seed)
            stream[samples // 3 : samples // 3 + 200] = 77  # flat: a replay must find the same state
            windows = signal(samples // (4 * toy.window) * toy.window, toy.leads, seed + 1000)
            made += [Case(toy, stream, isolated=False), Case(toy, windows, isolated=True)]
    return made


def _verdict(answer: Answer) -> Verdict:
    return Verdict(
        answer.last_index, 255 if answer.verdict is None else answer.verdict, answer.state, answer.scores.tolist()
    )


def fewest_bytes(samples_uv: NDArray[np.int16], window: int | None) -> int:
    """What (n, 1) samples take on the wire in the longest frames there are: as windows of that length, or a stream."""
    run = window or len(samples_uv)
    frames = []
    for first in range(0, len(samples_uv), run):
        frames += [Frame(FrameType.START, Start(0, 0, first).pack()), Frame(FrameType.END, Index(first + run).pack())]
        for at in range(first, first + run, MAX_SAMPLES):
            values = samples_uv[at : min(at + MAX_SAMPLES, first + run), 0]
            frames.append(Frame(FrameType.SAMPLES, Samples(at, values).pack()))
    return sum(len(encode_frame(frame)) for frame in frames)


@dataclass
class Troubled:
    """A board's line in trouble for a while, every so often: whatever is sent or said then is lost.

    `reset`: in the end the board is reset. `garbage`: in the end the board gets 10 KB of it; `noise`: so does the host,
    at the line's rate. `unplug`: the port is gone, and what a bouncing plug leaves is on the board's line.
    """

    board: CoreBoard
    kind: str
    every_s: float
    for_s: float
    ended_s: list[float] = field(default_factory=list)  # when the line was quiet again
    name: str = "troubled:"

    def __post_init__(self) -> None:
        self.clock = self.board.link.clock
        self._random = np.random.default_rng(0)
        self._next_s = self.every_s
        self._garbage = b""  # on its way to the host

    def opened(self) -> Link:
        """Open the port."""
        if self._in_trouble():
            self._lose()
        return self

    def read(self, timeout_s: float) -> bytes:
        if self._in_trouble():
            self._lose()
            self.clock.sleep_s(min(timeout_s, 0.01))
            return b""
        if self._garbage:
            garbage, self._garbage = self._garbage, b""
            return garbage
        return self.board.link.read(timeout_s)

    def write(self, data: bytes) -> None:
        if self._in_trouble():
            self._lose()
        else:
            self.board.link.write(data)

    def close(self) -> None:
        """It can be opened again."""

    def _lose(self) -> None:
        if self.kind == "unplug":
            raise LinkError(f"{self.name}: unplugged")

    def _in_trouble(self) -> bool:
        now_s = self.clock.now_s()
        if now_s >= self._next_s + self.for_s:
            self._end(now_s)
        return now_s >= self._next_s

    def _end(self, now_s: float) -> None:
        quiet_s = now_s
        garbage = self._random.integers(0, 256, GARBAGE_BYTES).astype(np.uint8).tobytes()
        if self.kind == "reset":
            self.board.reset()
        else:
            self.board.link.write(garbage)
        if self.kind == "noise":
            self._garbage = garbage
            quiet_s += GARBAGE_BYTES * BITS_PER_BYTE / BAUD
        self.ended_s.append(quiet_s)
        self._next_s = quiet_s + self.every_s
