"""One run over a line that may lose, damage and delay: every answer once, in order. Layer: device; imports errors.

The host's side of the wire, a state machine. What it sends is a walk through a script, as far as the device's credit
goes; what comes back moves the place (the board's side has its picture in ecg_edge.c):

                START              the last SAMPLES            END
     +-------+  sent   +---------+      sent       +-----+    sent    +------+
     | START |-------->| SAMPLES |---------------->| END |----------->| DONE |   wait for what is missing
     +-------+         +---------+                 +-----+            +------+
         ^                  ^                         |                   |
         |                  +--- go on from sample d: index_gap d, or incomplete d
         |                                            |                   |
         +-- start at the first window without an answer: another boot, a replugged line,
             not_started, or no_result (the device does not keep that RESULT any more)

     POLL, in any of them: a CREDIT beyond a window without its RESULT means that the RESULT is lost, since a device
     answers in order and a RESULT before the CREDIT of its frame. Nothing else is sent until that RESULT or
     no_result comes; a CREDIT does not count as its answer, for it may be that to an earlier frame.
     Silence, in any of them: what was sent last goes again, be it the POLL (device/pace.py says when).

Each change of place begins a new course: errors about frames of an earlier one are old news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.frame import Frame, FrameType
from ecg_edge.device.messages import NO_INDEX, Beat, Credit, ErrorCode, ErrorReport, Hello, Index, Result
from ecg_edge.device.script import (
    KEPT_RESULTS,
    SAMPLES_PER_OVERHEAD,
    Cursor,
    Phase,
    Script,
    Step,
    most_samples,
    near_index,
    wire_index,
)
from ecg_edge.device.session import Session, describe_error
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkReplugged

_BYTES_OF_START, _BYTES_OF_END = 27, 19  # on the wire

Reply = TypeVar("Reply", Result, Beat)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device says of one window."""

    scores: NDArray[np.int8]  # (classes,)
    verdict: int | None  # index of the class; None: the device abstains
    state: int  # 0 ok; else why it abstains
    last_index: int  # of the window's last sample, counted from the first sample given
    prepare_us: int  # on the device's clock
    inference_us: int  # on the device's clock
    host_us: int  # from sending what completed the window to having the answer


@dataclass(frozen=True, slots=True)
class _Sent:
    """A frame on its way, not yet answered."""

    seq: int
    step: Step
    cost: int  # samples' worth of the device's room
    course: int  # the course it was sent on; an error on an earlier course is old news


class Conversation(Generic[Reply]):
    """Runs a script to its end, by what answers have in common."""

    def __init__(self, session: Session, script: Script, hello: Hello, greet: Callable[[], Hello]) -> None:
        """Args: greet greets a device that was reset, and gives the model's HELLO again or raises."""
        self._session, self._script, self._hello, self._greet = session, script, hello, greet
        self._sent: list[_Sent] = []
        self._course = 0  # grows with each change of place; what answers an earlier course is old news
        self._cursor = Cursor(Phase.START, 0)
        self._next = 0  # the answer to give next
        self._done = 0  # answers that the device must have given, by its CREDITs
        self._submitted = 0  # answers that are complete by what was sent on this course
        self._claimed = 0  # answers that were complete by what was ever sent
        self._early: dict[int, tuple[Reply, int]] = {}
        self._sent_at_s: dict[int, float] = {}
        self._polls: set[int] = set()  # sequence numbers of the POLLs for the next answer, on this course
        self._polling = False  # waiting for the answer to one
        self._last: _Sent | None = None  # step that was sent
        self._attempts = 0
        self._furthest = -1  # the furthest sample that the device said it stands at
        self._silent_s = 0.0  # spent waiting since something was heard; the caller's and the source's time do not count

    def answers(self) -> Iterator[tuple[Reply, int]]:
        """Every answer to the script, once and in order, with the host's latency in us.

        Raises:
            DeviceTimeout: the device went silent, or the line is too bad to get on.
            DeviceError: the device refuses.
        """
        while self._script.due(self._next) is not None:
            try:
                self._send()
                if self._script.starved(self._cursor) and not self._sent and self._done <= self._next:
                    self._script.pull()
                    continue
                self._receive()
            except LinkReplugged:
                self._session.replugged()
                self._on_reset()
            while (ready := self._early.pop(self._next, None)) is not None:
                self._advance()
                yield ready

    def _receive(self) -> None:
        """Wait for a frame and take it, or find that the silence is too long."""
        session = self._session
        since_s = session.clock.now_s()
        frame = session.receive(since_s + session.pace.wait_s)
        waited_s = session.clock.now_s() - since_s
        if frame is None:
            self._silent_s += waited_s
            self._on_silence()
        else:
            self._silent_s = 0.0
            session.pace.heard(waited_s)
            self._on_frame(frame)

    def _advance(self) -> None:
        self._sent_at_s.pop(self._next, None)
        self._next += 1
        self._attempts = 0
        self._script.forget(self._next)

    # Sending

    def _send(self) -> None:
        """Ask for a missing answer, or send what the device has room for."""
        if not self._polling and self._next < self._done:
            self._poll()
        while not self._polling and self._cursor.phase is not Phase.DONE:
            if self._script.starved(self._cursor):
                break
            step, after = self._script.step(self._cursor, most_samples(self._hello))
            cost = self._cost(step)
            if not self._may_send(step, cost):
                break
            self._cursor = after
            self._queue_step(step, cost)
        self._session.flush()

    def _may_send(self, step: Step, cost: int) -> bool:
        if not self._sent:
            return True
        if self._submitted > self._next and step.answers - self._next > KEPT_RESULTS:
            return False  # a lost RESULT could not be asked for any more
        return sum(sent.cost for sent in self._sent) + cost <= self._hello.credit_samples

    def _cost(self, step: Step) -> int:
        if step.kind is FrameType.SAMPLES:
            return max(step.samples, SAMPLES_PER_OVERHEAD)
        size = _BYTES_OF_START if step.kind is FrameType.START else _BYTES_OF_END
        return -(-size // (2 * self._hello.leads))

    def _queue_step(self, step: Step, cost: int) -> None:
        now_s = self._session.clock.now_s()
        seq = self._session.queue(step.kind, step.payload, step.flags)
        self._last = _Sent(seq, step, cost, self._course)
        self._sent.append(self._last)
        for answer in range(self._next, step.answers):
            self._sent_at_s.setdefault(answer, now_s)
        self._submitted = max(self._submitted, step.answers)
        self._claimed = max(self._claimed, step.answers)

    def _poll(self) -> None:
        wanted = self._name_of(self._next)
        if wanted == NO_INDEX:  # cannot be asked for
            self._restart()
            return
        self._count_attempt()
        payload = Index(wanted).pack()
        self._polls.add(self._session.queue(FrameType.POLL, payload))
        self._polling = True

    def _name_of(self, answer: int) -> int:
        """What POLL calls an answer."""
        raise NotImplementedError

    def _forget_polls(self) -> None:
        self._polls.clear()
        self._polling = False

    def _restart(self) -> None:
        """Go on from the first window without an answer."""
        self._count_attempt()
        self._forget_polls()
        self._done = self._submitted = self._next
        self._cursor = Cursor(Phase.START, self._next)
        self._course += 1

    def _count_attempt(self) -> None:
        self._session.counters.repeats += 1
        self._attempts += 1
        limit = self._session.patience.attempts
        if self._attempts > limit:
            raise DeviceTimeout(
                f"{self._session.link.name}: no way past answer {self._next} in {limit} attempts: the line is too bad"
            )

    def _on_silence(self) -> None:
        """Nothing came for a while: the last frame, or its answer, is lost."""
        session = self._session
        if self._silent_s >= session.patience.give_up_s:
            raise DeviceTimeout(
                f"{session.link.name}: silent for {self._silent_s:.1f} s, {self._next} answers came before"
            )
        session.pace.silence()
        self._sent.clear()  # none of it is on the way any more
        if self._polling:
            self._poll()
            return
        self._count_attempt()
        if self._last is not None and self._last.course == self._course:
            self._queue_step(self._last.step, self._last.cost)

    # Receiving

    def _on_frame(self, frame: Frame) -> None:
        if frame.boot != self._session.boot:
            self._session.counters.resets += 1
            self._on_reset()
        elif frame.type in (FrameType.RESULT, FrameType.BEAT):
            self._on_answer(frame)
        elif frame.type == FrameType.CREDIT:
            self._on_credit(Credit.unpack(frame.payload))
        elif frame.type == FrameType.ERROR:
            self._on_error(ErrorReport.unpack(frame.payload))
        # Anything else is a late answer to an earlier request.

    def _on_reset(self) -> None:
        """The device knows nothing of this run any more."""
        self._hello = self._greet()
        self._sent.clear()
        self._restart()

    def _on_answer(self, frame: Frame) -> None:
        raise NotImplementedError

    def _take(self, answer: int, reply: Reply) -> None:
        """Keep an answer that is wanted, and only now came."""
        if reply.model != self._hello.model_index or len(reply.scores) != self._hello.classes:
            raise DeviceError(
                f"{self._session.link.name}: an answer of model {reply.model} with {len(reply.scores)} scores, "
                f"wanted model {self._hello.model_index} with {self._hello.classes}"
            )
        self._session.pace.computed(reply.prepare_us + reply.inference_us)
        now_s = self._session.clock.now_s()
        self._early[answer] = (reply, round(1e6 * (now_s - self._sent_at_s.get(answer, now_s))))
        self._done = max(self._done, answer)  # the device answers in order
        if answer == self._next:
            self._forget_polls()

    def _on_credit(self, credit: Credit) -> None:
        stands_at = self._near(credit.next_index)
        if stands_at > self._furthest:
            self._furthest, self._attempts = stands_at, 0
        covered = 0
        for place, sent in enumerate(self._sent):
            if sent.course != self._course or sent.step.end > stands_at:
                continue
            covered = place + 1
            self._done = max(self._done, sent.step.answers)
            if sent.step.end == stands_at:
                break  # the END after the last SAMPLES has the same end, and its own CREDIT
        del self._sent[:covered]

    def _near(self, wire: int) -> int:
        """The sample index that the device means."""
        reference = self._script.due(self._next)
        assert reference is not None
        return near_index(wire, reference)

    def _on_error(self, report: ErrorReport) -> None:
        if report.code == ErrorCode.NO_RESULT:
            if report.seq in self._polls:
                self._restart()
            return
        place = next((place for place, sent in enumerate(self._sent) if sent.seq == report.seq), None)
        if place is None:
            return
        current = self._sent[place].course == self._course
        del self._sent[: place + 1]
        if not current:
            return
        if report.code in (ErrorCode.INDEX_GAP, ErrorCode.INCOMPLETE):
            self._resume(self._near(report.detail))
        elif report.code in (ErrorCode.NOT_STARTED, ErrorCode.STALE_BOOT):
            self._restart()
        elif report.code != ErrorCode.OVERRUN:  # that concerns samples which the device takes itself
            raise DeviceError(describe_error(self._session.link.name, report, self._session.log))

    def _resume(self, expected: int) -> None:
        """Go on from the sample that the device misses, or from a START if it missed that."""
        cursor = self._script.resume(self._cursor, expected)
        if cursor is None:
            self._restart()
            return
        self._count_attempt()
        self._cursor = cursor
        self._course += 1


class Exchange(Conversation[Result]):
    """Of windows: the host knows which RESULT falls due when."""

    def _name_of(self, answer: int) -> int:
        due = self._script.due(answer)
        assert due is not None
        return wire_index(due)

    def _on_answer(self, frame: Frame) -> None:
        if frame.type != FrameType.RESULT:
            return
        result = Result.unpack(frame.payload)
        answer = self._script.answer_at(self._near(result.last_index))
        if answer is None or answer < self._next or answer in self._early or answer >= self._claimed:
            return  # a repeat, or of an earlier run
        self._take(answer, result)
