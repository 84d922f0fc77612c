"""What a run sends, step by step, and which answers fall due. Layer: device; imports errors and numpy.

A script knows the signal and nothing of the line: it can start at any answer and go on from any sample, which is all
that repeating and replaying need. Indices count samples without wrapping; only a step's payload is modulo 2^32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.frame import FrameType, SampleFlag
from ecg_edge.device.messages import MAX_SAMPLES, Hello, Index, Mode, Samples, Start

INDEX_MODULUS = 1 << 32
KEPT_RESULTS = 4  # that a device can repeat
SAMPLES_PER_OVERHEAD = 32  # PROTOCOL.md, Flow: the device's room counts one frame's overhead for every so many samples

Chunk = tuple[NDArray[np.int16], NDArray[np.uint8]]  # samples (n, leads) in uV; SampleFlag of each (n,)


class Phase(Enum):
    """What comes next."""

    START = auto()
    SAMPLES = auto()
    END = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a script."""

    phase: Phase
    answer: int  # START: the answer to begin with
    index: int = 0  # SAMPLES, END: the next sample


@dataclass(frozen=True, slots=True)
class Step:
    """One frame to send."""

    kind: FrameType
    payload: bytes
    flags: int
    samples: int  # in it
    end: int  # the index that the device stands at once it took this
    answers: int  # answers that are complete then, from the script's first


class Script(Protocol):
    """A run, as the exchange sees it."""

    def due(self, answer: int) -> int | None:
        """Last sample of the window that `answer` is for, None when there is no such answer."""

    def answer_at(self, last_index: int) -> int | None:
        """The answer whose window ends there, None when there is none."""

    def step(self, cursor: Cursor, most: int) -> tuple[Step, Cursor]:
        """The frame at `cursor`, of at most `most` samples, and the place after it. Not at DONE, nor when `starved`."""

    def starved(self, cursor: Cursor) -> bool:
        """Whether the next step needs samples that nobody gave yet."""

    def pull(self) -> None:
        """Wait for more samples, or learn that there are none."""

    def resume(self, cursor: Cursor, expected: int) -> Cursor | None:
        """The place of sample `expected`, None when the device is not within the run that `cursor` is in."""

    def forget(self, answer: int) -> None:
        """Answers before `answer` will not be asked for again."""


def wire_index(index: int) -> int:
    """A sample index as frames carry it."""
    return index % INDEX_MODULUS


def near_index(wire: int, reference: int, modulus: int = INDEX_MODULUS) -> int:
    """The index that `wire` stands for, given one that is less than half the modulus away."""
    half = modulus // 2
    return reference + (wire - reference + half) % modulus - half


class WindowScript:
    """Isolated windows: START, SAMPLES..., END for each.

    Between two windows one index stays unused. A device that missed both the END of one window and the START of the
    next then sees a gap, and cannot take the second for a continuation of the first.
    """

    def __init__(self, windows: NDArray[np.int16], hello: Hello, first_index: int) -> None:
        """Args: windows (n, window, leads) in uV; first_index unused so far in this life of the device."""
        self._windows, self._model, self._first = windows, hello.model_index, first_index
        self._length = hello.window
        self._pitch = hello.window + 1

    def due(self, answer: int) -> int | None:
        if answer >= len(self._windows):
            return None
        return self._first + answer * self._pitch + self._length - 1

    def answer_at(self, last_index: int) -> int | None:
        answer, rest = divmod(last_index - self._first, self._pitch)
        return answer if rest == self._length - 1 and 0 <= answer < len(self._windows) else None

    def step(self, cursor: Cursor, most: int) -> tuple[Step, Cursor]:
        answer = cursor.answer
        first = self._first + answer * self._pitch
        end = first + self._length
        if cursor.phase is Phase.START:
            start = Start(self._model, Mode.WINDOW, wire_index(first))
            return Step(FrameType.START, start.pack(), 0, 0, first, answer), Cursor(Phase.SAMPLES, answer, first)
        if cursor.phase is Phase.SAMPLES:
            at = cursor.index
            values = self._windows[answer, at - first : at - first + most]
            after = at + len(values)
            step = samples_step(at, values, 0, answers=answer)
            return step, Cursor(Phase.END if after == end else Phase.SAMPLES, answer, after)
        assert cursor.phase is Phase.END
        more = answer + 1 < len(self._windows)
        after_end = Cursor(Phase.START if more else Phase.DONE, answer + 1)
        return Step(FrameType.END, Index(wire_index(end)).pack(), 0, 0, end, answer + 1), after_end

    def starved(self, cursor: Cursor) -> bool:
        return False

    def pull(self) -> None:
        raise AssertionError("windows are all there from the start")

    def resume(self, cursor: Cursor, expected: int) -> Cursor | None:
        answer, offset = divmod(expected - self._first, self._pitch)
        if not 0 <= answer < len(self._windows):
            return None
        current = cursor.answer if cursor.phase in (Phase.SAMPLES, Phase.END) else cursor.answer - 1
        if answer != current:
            return None
        return Cursor(Phase.END if offset == self._length else Phase.SAMPLES, answer, expected)

    def forget(self, answer: int) -> None:
        pass  # the caller owns the windows


class StreamScript:
    """A stream of any length, its windows overlapping: START, SAMPLES..., END."""

    def __init__(self, chunks: Iterator[Chunk], hello: Hello, first_index: int) -> None:
        """Args: chunks of the signal, in order; first_index unused so far in this life of the device."""
        self._chunks, self._hello, self._first = chunks, hello, first_index
        self._samples = np.empty((0, hello.leads), np.int16)
        self._flags = np.empty(0, np.uint8)
        self._kept_from = first_index  # index of the first sample still kept
        self._ended = False

    @property
    def _end(self) -> int:
        return self._kept_from + len(self._samples)

    def due(self, answer: int) -> int | None:
        last = self._first + self._hello.window - 1 + answer * self._hello.hop
        return None if self._ended and last >= self._end else last

    def answer_at(self, last_index: int) -> int | None:
        answer, rest = divmod(last_index - self._first - self._hello.window + 1, self._hello.hop)
        return answer if rest == 0 and answer >= 0 else None

    def _answers_before(self, end: int) -> int:
        """How many windows end before sample `end`."""
        return max(0, (end - self._first - self._hello.window) // self._hello.hop + 1)

    def step(self, cursor: Cursor, most: int) -> tuple[Step, Cursor]:
        if cursor.phase is Phase.START:
            return self._start(cursor.answer)
        if cursor.index == self._end:
            assert self._ended
            end = Step(
                FrameType.END, Index(wire_index(self._end)).pack(), 0, 0, self._end, self._answers_before(self._end)
            )
            return end, Cursor(Phase.DONE, cursor.answer, self._end)
        at = cursor.index - self._kept_from
        flags = self._flags[at : at + most]
        cut = np.flatnonzero(flags[1:] != flags[0] & ~np.uint8(SampleFlag.GAP))
        count = int(cut[0]) + 1 if cut.size else len(flags)
        complete = self._answers_before(cursor.index + count - self._hello.delay)
        step = samples_step(cursor.index, self._samples[at : at + count], int(flags[0]), answers=complete)
        return step, Cursor(Phase.SAMPLES, cursor.answer, step.end)

    def _start(self, answer: int) -> tuple[Step, Cursor]:
        """START so that the next RESULT is that of `answer`, all that it can depend on included."""
        window_start = self._first + answer * self._hello.hop
        first = max(self._first, window_start - self._hello.history)
        start = Start(self._hello.model_index, Mode.STREAM, wire_index(first), window_start - first)
        return Step(FrameType.START, start.pack(), 0, 0, first, answer), Cursor(Phase.SAMPLES, answer, first)

    def starved(self, cursor: Cursor) -> bool:
        return not self._ended and cursor.phase is Phase.SAMPLES and cursor.index == self._end

    def pull(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
            return
        samples, flags = chunk
        if len(self._samples) == 0:
            self._samples, self._flags = samples, flags  # a whole record comes as one chunk: no copy
        else:
            self._samples = np.concatenate((self._samples, samples))
            self._flags = np.concatenate((self._flags, flags))

    def resume(self, cursor: Cursor, expected: int) -> Cursor | None:
        if cursor.phase is Phase.START:
            return None
        first = self._start(cursor.answer)[0].end
        return Cursor(Phase.SAMPLES, cursor.answer, expected) if first <= expected <= cursor.index else None

    def forget(self, answer: int) -> None:
        needed_from = self._first + answer * self._hello.hop - self._hello.history
        surplus = min(needed_from - self._kept_from, len(self._samples))
        if surplus > 0:
            self._samples, self._flags = self._samples[surplus:], self._flags[surplus:]
            self._kept_from += surplus


def samples_step(index: int, values: NDArray[np.int16], flags: int, *, answers: int) -> Step:
    """SAMPLES with `values` (n, leads); `answers` are complete then."""
    payload = Samples(wire_index(index), values.reshape(-1)).pack()
    return Step(FrameType.SAMPLES, payload, flags, len(values), index + len(values), answers)


def most_samples(hello: Hello) -> int:
    """How many samples one frame may hold: they must fit, and complete no more answers than the device keeps."""
    credit = hello.credit_samples
    room = credit // 2 if credit >= 2 * SAMPLES_PER_OVERHEAD else credit  # two on the way keep the line busy
    return max(1, min(MAX_SAMPLES // hello.leads, KEPT_RESULTS * hello.hop, room))
