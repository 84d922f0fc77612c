"""A stream of beats over a line that may lose, damage and delay: every beat once, in order. Layer: device.

Of beats the host does not know how many fall due, nor when: their numbers and CREDIT's count tell which are missing.
What the board knows of the patient reaches back to START. So where a beat cannot be had any more, and after a reset,
the stream begins anew from its first sample, and the beats that are here already are passed over: they are the same.

Nothing is sent behind START until its CREDIT came, so that whatever is heard then is of this course.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.exchange import Conversation
from ecg_edge.device.frame import Frame, FrameType, SampleFlag
from ecg_edge.device.messages import Beat, Credit, Hello, Index, Mode, Start
from ecg_edge.device.script import INDEX_MODULUS, Cursor, Phase, Step, near_index, samples_step, wire_index
from ecg_edge.device.session import Session

MOST_SAMPLES = 64  # in a frame
MOST_AHEAD = 128  # samples on the way: a board gives no more beats of them than it can repeat, but for bursts
_COUNT_MODULUS = 1 << 16
_HELD = 1024  # samples that a device holds behind the end, at most: it may take the edge for a beat


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """What the device says of one beat."""

    at: int  # its R peak, counted from the first sample given
    rr: int  # samples since the beat before, 65,535 at most; 0 of the first
    state: int  # 0 ok; else why it abstains
    scores: NDArray[np.int8]  # (classes,)
    verdict: int | None  # index of the class; None: the device abstains
    prepare_us: int  # on the device's clock
    inference_us: int  # on the device's clock


class BeatScript:
    """One recording: START, SAMPLES..., END. Its answers are counted by the device."""

    def __init__(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8], hello: Hello, first_index: int) -> None:
        """Args: samples_uv (n, 1); flags (n,) SampleFlag; first_index unused so far in this life of the device."""
        self._samples, self._flags, self._model, self.first = samples_uv, flags, hello.model_index, first_index
        self.end = first_index + len(samples_uv)
        self.total: int | None = None  # beats there are; None: not known yet

    def due(self, answer: int) -> int | None:
        """Some sample of the run, while there may be such an answer."""
        return None if self.total is not None and answer >= self.total else self.first

    def answer_at(self, last_index: int) -> int | None:
        raise AssertionError("beats are told by their numbers")

    def step(self, cursor: Cursor, most: int) -> tuple[Step, Cursor]:
        if cursor.phase is Phase.START:
            start = Start(self._model, Mode.STREAM, wire_index(self.first))
            return Step(FrameType.START, start.pack(), 0, 0, self.first, 0), Cursor(Phase.SAMPLES, 0, self.first)
        if cursor.index == self.end:
            end = Index(wire_index(self.end)).pack()
            return Step(FrameType.END, end, 0, 0, self.end, 0), Cursor(Phase.DONE, 0, self.end)
        at = cursor.index - self.first
        flags = self._flags[at : at + min(most, MOST_SAMPLES)]
        cut = np.flatnonzero(flags[1:] != flags[0] & ~np.uint8(SampleFlag.GAP))
        count = int(cut[0]) + 1 if cut.size else len(flags)
        step = samples_step(cursor.index, self._samples[at : at + count], int(flags[0]), answers=0)
        return step, Cursor(Phase.SAMPLES, 0, step.end)

    def starved(self, cursor: Cursor) -> bool:
        return False

    def pull(self) -> None:
        raise AssertionError("a recording is all there from the start")

    def resume(self, cursor: Cursor, expected: int) -> Cursor | None:
        known = cursor.phase is not Phase.START and self.first <= expected <= cursor.index
        return Cursor(Phase.SAMPLES, 0, expected) if known else None

    def forget(self, answer: int) -> None:
        pass  # all of it may be needed again


class BeatExchange(Conversation[Beat]):
    """Runs a BeatScript to its end."""

    def __init__(self, session: Session, script: BeatScript, hello: Hello, greet: Callable[[], Hello]) -> None:
        super().__init__(session, script, hello, greet)
        self._recording = script
        self._started = False  # the CREDIT of START came
        self._given = 0  # beats since START

    def _may_send(self, step: Step, cost: int) -> bool:
        if not self._sent:
            return True
        ahead = sum(sent.step.samples for sent in self._sent) + step.samples
        return self._started and ahead <= MOST_AHEAD and super()._may_send(step, cost)

    def _name_of(self, answer: int) -> int:
        return answer

    def _restart(self) -> None:
        super()._restart()
        self._cursor = Cursor(Phase.START, 0)
        self._started, self._given, self._recording.total = False, 0, None

    def _on_credit(self, credit: Credit) -> None:
        if not self._started:
            if (credit.next_index, credit.beats) != (wire_index(self._recording.first), 0):
                return  # of an earlier course
            self._started = True
        super()._on_credit(credit)
        stands_at = self._near(credit.next_index)
        self._given += max(0, near_index(credit.beats - self._given, 0, _COUNT_MODULUS))
        self._done = max(self._done, self._given)
        over = credit.credit_samples == 0 and stands_at == self._recording.end
        if over and self._cursor.phase is Phase.DONE:
            self._recording.total = self._given

    def _on_answer(self, frame: Frame) -> None:
        if frame.type != FrameType.BEAT or not self._started:
            return
        beat = Beat.unpack(frame.payload)
        at = self._near(beat.at)
        if beat.number < self._next or beat.number in self._early or not self._recording.first <= at < self._stop:
            return  # a repeat, or of an earlier run
        self._given = max(self._given, beat.number + 1)
        self._take(beat.number, beat)

    @property
    def _stop(self) -> int:
        """Behind the last sample that was ever sent, or held at the end: no beat is there yet."""
        over = self._cursor.phase is Phase.DONE
        return self._recording.end + _HELD if over else max(self._cursor.index, self._furthest)

    def answer_of(self, beat: Beat) -> BeatAnswer:
        """A beat in the caller's terms."""
        at = (beat.at - self._recording.first) % INDEX_MODULUS
        verdict = None if beat.state else beat.verdict
        return BeatAnswer(at, beat.rr, beat.state, beat.scores, verdict, beat.prepare_us, beat.inference_us)
