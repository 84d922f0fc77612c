"""A device in Python: the wire's reference behaviour, for tests without any board. Layer: device; imports errors.

It keeps the whole signal since START and computes each answer from it at once, where firmware keeps a few columns: so
an answer that depends on what the protocol says it may depend on (window, filter delay, history) and on nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.frame import Frame, FrameReader, FrameType, SampleFlag, encode_frame
from ecg_edge.device.messages import (
    ABSTAIN,
    NO_INDEX,
    Beat,
    Credit,
    ErrorCode,
    ErrorReport,
    Hello,
    Index,
    Mode,
    Result,
    Samples,
    SelfTest,
    SelfTestState,
    Start,
    Stats,
)
from ecg_edge.device.script import KEPT_RESULTS, near_index, wire_index
from ecg_edge.errors import FrameError

OK, FLAT, CLIPPED, LEAD_OFF, GAP = range(5)
_FLAGGED = ((SampleFlag.CLIPPED, CLIPPED), (SampleFlag.LEAD_OFF, LEAD_OFF), (SampleFlag.GAP, GAP))
_NEVER_ANSWERED = (FrameType.RESULT, FrameType.CREDIT, FrameType.BEAT, FrameType.LOG, FrameType.ERROR)
_FIXED_LENGTHS = {FrameType.START: 12, FrameType.END: 4, FrameType.POLL: 4, FrameType.SELFTEST: 0, FrameType.STATS: 0}

# (window + 2 * delay, leads) int16: the window and what its columns depend on -> (classes,) int8
Scores = Callable[[NDArray[np.int16]], NDArray[np.int8]]
# (n,) int16 since START, and whether that is all -> (R peak, scores) of each beat that is due by then; more samples
# only add to it
Finder = Callable[[NDArray[np.int16], bool], list[tuple[int, NDArray[np.int8]]]]


@dataclass(frozen=True, slots=True)
class FakeModel:
    """What the fake device holds."""

    hello: Hello
    scores: Scores
    flat_uv: int = 2
    finder: Finder | None = None  # of a model that takes beats; its `scores` are not asked


def fake_hello(*, window: int = 16, hop: int = 4, delay: int = 5, flat_samples: int = 8, **changes: object) -> Hello:
    """A small model's Hello; `changes` replace any other field."""
    hello = Hello(
        model_index=0,
        model_count=1,
        engine=2,
        firmware=(0, 1, 0),
        selftest=SelfTestState.PASSED,
        credit_samples=256,
        fs_hz=250,
        leads=1,
        classes=3,
        streams=True,
        window=window,
        hop=hop,
        delay=delay,
        history=delay + flat_samples,
        in_scale=1 / 64,
        in_zero=0,
        out_scale=1 / 256,
        out_zero=-128,
        scratch_bytes=64,
        arena_used=0,
        sha256="ab" * 32,
        board="fake",
        name="fake3",
        engine_version="python",
    )
    return replace(hello, **changes)  # type: ignore[arg-type]


def mixing_scores(classes: int) -> Scores:
    """A deterministic classifier that depends on every sample of its context."""

    def scores(context: NDArray[np.int16]) -> NDArray[np.int8]:
        values = context.reshape(-1).astype(np.int64)
        weights = np.arange(1, values.size + 1)
        return np.array([(values * (weights**2 + 31 * k)).sum() % 251 - 125 for k in range(classes)], np.int8)

    return scores


def mixing_beats(classes: int, *, apart: int = 50, late: int = 60) -> Finder:
    """A deterministic finder: a beat is a sample of 1 mV or more, its scores depend on every sample since START.

    Args:
        classes: scores of a beat.
        apart: samples from one beat to the next, at least.
        late: samples behind a beat when it falls due.
    """

    def find(samples: NDArray[np.int16], ended: bool) -> list[tuple[int, NDArray[np.int8]]]:
        found: list[tuple[int, NDArray[np.int8]]] = []
        sums = np.cumsum(samples.astype(np.int64) * (np.arange(len(samples)) % 97 + 1))
        for at in np.flatnonzero(samples >= 1000).tolist():
            if (not found or at - found[-1][0] >= apart) and (ended or at + late < len(samples)):
                scores = [(sums[at] * (k + 3) + len(found)) % 251 - 125 for k in range(classes)]
                found.append((at, np.array(scores, np.int8)))
        return found

    return find


class _Run:
    """What happened since START. Sample indices are relative to first_index."""

    def __init__(self, model: FakeModel, start: Start) -> None:
        self.model, self.start = model, start
        self.samples = np.empty((0, model.hello.leads), np.int16)
        self.flags = np.empty(0, np.uint8)
        self.ended = False
        self.given = 0  # results

    @property
    def expected(self) -> int:
        return wire_index(self.start.first_index + len(self.samples))

    def offset(self, wire: int) -> int:
        """A wire index, relative to first_index."""
        return near_index(wire, self.start.first_index + len(self.samples)) - self.start.first_index

    def take(self, values: NDArray[np.int16], flags: int) -> None:
        columns = values.reshape(-1, self.model.hello.leads)
        marks = np.full(len(columns), flags & ~int(SampleFlag.GAP), np.uint8)
        marks[:1] |= flags & int(SampleFlag.GAP)
        self.samples = np.concatenate((self.samples, columns))
        self.flags = np.concatenate((self.flags, marks))

    def due(self) -> list[Result] | list[Beat]:
        """Answers that fell due since the last call."""
        return self._results_due() if self.model.finder is None else self._beats_due(self.model.finder)

    def _beats_due(self, finder: Finder) -> list[Beat]:
        found = finder(self.samples[:, 0], self.ended)
        places = [0, *(at for at, _ in found)]
        beats = []
        for number, (at, scores) in enumerate(found[self.given :], self.given):
            state = self._state(places[number], at)
            verdict = int(scores.argmax()) if state == OK else ABSTAIN
            rr = min(at - places[number], 65535) if number else 0
            index = wire_index(self.start.first_index + at)
            beats.append(Beat(self.start.model, verdict, state, number, index, rr, 10, 20, scores))
        self.given = len(found)
        return beats

    def _results_due(self) -> list[Result]:
        hello = self.model.hello
        results: list[Result] = []
        if self.start.mode == Mode.WINDOW and not self.ended:
            return []
        while True:
            first = self.start.skip + self.given * hello.hop
            last = first + hello.window - 1
            reach = last if self.ended else last + hello.delay
            if reach >= len(self.samples) or (self.start.mode == Mode.WINDOW and self.given):
                return results
            self.given += 1
            results.append(self._result(first, last))

    def _result(self, first: int, last: int) -> Result:
        hello = self.model.hello
        around = np.arange(first - hello.delay, last + hello.delay + 1)
        context = self.samples[np.clip(around, 0, len(self.samples) - 1)]
        scores = self.model.scores(context)
        state = self._state(max(0, first - hello.delay), min(last + hello.delay, len(self.samples) - 1))
        verdict = int(scores.argmax()) if state == OK else ABSTAIN
        last_index = wire_index(self.start.first_index + last)
        return Result(self.start.model, verdict, state, last_index, 10 * hello.window, 20 * hello.window, scores)

    def _state(self, first: int, last: int) -> int:
        """The worst state of samples first..last."""
        hello = self.model.hello
        states = [state for flag, state in _FLAGGED if (self.flags[first : last + 1] & flag).any()]
        values = self.samples[first : last + 1].astype(np.int32)
        if ((values == 32767) | (values == -32768)).any():
            states.append(CLIPPED)
        still = np.abs(np.diff(self.samples.astype(np.int32), axis=0)) <= self.model.flat_uv  # (n - 1, leads)
        length = hello.history - hello.delay
        for lead in still.T:
            runs = np.convolve(lead, np.ones(length, np.int32))[: len(lead)]  # runs[i]: of the differences up to i
            if (runs[max(0, first - 1) : last] == length).any():
                states.append(FLAT)
        return max(states, default=OK)


class FakeDevice:
    """A board whose firmware is this class. `receive` is the `answer` of a FakeLink."""

    def __init__(self, models: list[FakeModel], *, boot: int = 0x1234, reset_after: tuple[int, ...] = ()) -> None:
        """Args: models in order; reset_after: numbers of frames received after which it resets, in order."""
        self.models = [
            replace(model, hello=replace(model.hello, model_index=index, model_count=len(models)))
            for index, model in enumerate(models)
        ]
        self.boot = boot
        self._reset_after = deque(reset_after)
        self._frames = 0  # received in all lives
        self._start_up()

    def _start_up(self) -> None:
        self._reader = FrameReader()
        self._seq = self._received = self._bytes_out = 0
        self.stats = Stats()
        self._run: _Run | None = None
        self._kept: deque[Result] = deque(maxlen=KEPT_RESULTS)
        self._kept_beats: deque[Beat] = deque(maxlen=KEPT_RESULTS)
        self._gives_beats = False  # the model of the last START

    def reset(self) -> bytes:
        """Lose everything and draw another nonce; gives what the board says then."""
        self.boot = self.boot * 40503 % 65521 or 1
        self._start_up()
        return self._hello()

    def receive(self, data: bytes) -> bytes:
        """Bytes in, bytes out."""
        out = b""
        for frame in self._reader.feed(data):
            self._received += 1
            self._frames += 1
            if self._reset_after and self._frames >= self._reset_after[0]:
                self._reset_after.popleft()
                out += self.reset()  # the frame is lost with the rest
                continue
            out += self._answer(frame)
        return out

    def _send(self, kind: FrameType, payload: bytes) -> bytes:
        data = encode_frame(Frame(kind, payload, 0, self.boot, self._seq % 65536))
        self._seq += 1
        self._bytes_out += len(data)
        return data

    def _hello(self) -> bytes:
        return b"".join(self._send(FrameType.HELLO, model.hello.pack()) for model in self.models)

    def _error(self, code: ErrorCode, frame: Frame, detail: int) -> bytes:
        return self._send(FrameType.ERROR, ErrorReport(code, frame.type, frame.seq, detail).pack())

    def _credit(self) -> bytes:
        run = self._run
        if run is None:
            return self._send(FrameType.CREDIT, Credit(0, 0).pack())
        credit = 0 if run.ended else run.model.hello.credit_samples
        if run.start.mode == Mode.WINDOW:
            credit = min(credit, run.model.hello.window - len(run.samples))
        beats = run.given % 65536 if self._gives_beats else 0
        return self._send(FrameType.CREDIT, Credit(run.expected, credit, beats).pack())

    def _answer(self, frame: Frame) -> bytes:
        """PROTOCOL.md, What a board answers, in order."""
        if frame.type in _NEVER_ANSWERED:
            return b""
        if frame.type == FrameType.HELLO:
            return self._error(ErrorCode.BAD_LENGTH, frame, len(frame.payload)) if frame.payload else self._hello()
        if frame.boot != self.boot:
            return self._error(ErrorCode.STALE_BOOT, frame, frame.boot)
        handler = {
            FrameType.START: self._on_start,
            FrameType.SAMPLES: self._on_samples,
            FrameType.END: self._on_end,
            FrameType.POLL: self._on_poll,
            FrameType.SELFTEST: self._on_selftest,
            FrameType.STATS: self._on_stats,
        }.get(FrameType(frame.type) if frame.type in set(FrameType) else FrameType.BEAT)
        if handler is None:
            return self._error(ErrorCode.UNSUPPORTED, frame, frame.type)
        if len(frame.payload) != _FIXED_LENGTHS.get(FrameType(frame.type), len(frame.payload)):
            return self._error(ErrorCode.BAD_LENGTH, frame, len(frame.payload))
        return handler(frame)

    def _on_start(self, frame: Frame) -> bytes:
        start = Start.unpack(frame.payload)
        failed = sum(model.hello.selftest == SelfTestState.FAILED for model in self.models)
        if failed:
            return self._error(ErrorCode.SELFTEST_FAILED, frame, failed)
        if start.model >= len(self.models):
            return self._error(ErrorCode.BAD_MODEL, frame, len(self.models))
        if start.mode not in (Mode.WINDOW, Mode.STREAM) or (start.mode == Mode.WINDOW and start.skip):
            return self._error(ErrorCode.BAD_MODE, frame, start.mode)
        gives_beats = self.models[start.model].finder is not None
        if gives_beats and (start.mode != Mode.STREAM or start.skip):
            return self._error(ErrorCode.BAD_MODE, frame, start.mode)
        self._gives_beats = gives_beats
        self._run = _Run(self.models[start.model], start)
        self._kept_beats.clear()
        first = start.first_index
        forgotten = (result for result in self._kept if near_index(result.last_index, first) < first)
        self._kept = deque(forgotten, KEPT_RESULTS)
        return self._credit()

    def _on_samples(self, frame: Frame) -> bytes:
        run = self._run
        leads = run.model.hello.leads if run else 1
        try:
            samples = Samples.unpack(frame.payload)
        except FrameError:
            return self._error(ErrorCode.BAD_LENGTH, frame, len(frame.payload))
        if not samples.values.size or samples.values.size % leads:
            return self._error(ErrorCode.BAD_LENGTH, frame, len(frame.payload))
        if run is None:
            return self._error(ErrorCode.NOT_STARTED, frame, 0)
        at, standing = run.offset(samples.index), len(run.samples)
        end = at + samples.values.size // leads
        if run.ended and end > standing:
            return self._error(ErrorCode.NOT_STARTED, frame, run.expected)
        if at > standing:
            self.stats = replace(self.stats, gaps=self.stats.gaps + 1)
            return self._error(ErrorCode.INDEX_GAP, frame, run.expected)
        if run.start.mode == Mode.WINDOW and end > run.model.hello.window:
            return self._error(ErrorCode.BAD_LENGTH, frame, len(frame.payload))
        flags = frame.flags
        if at < standing:
            self.stats = replace(self.stats, duplicates=self.stats.duplicates + 1)
            flags &= ~int(SampleFlag.GAP)
        if end > standing:
            run.take(samples.values[(standing - at) * leads :], flags)
        return self._give(run) + self._credit()

    def _give(self, run: _Run) -> bytes:
        out = b""
        for answer in run.due():
            self._keep(answer)
            self.stats = replace(self.stats, results=self.stats.results + 1)
            out += self._say(answer)
        return out

    def _keep(self, answer: Result | Beat) -> None:
        if isinstance(answer, Beat):
            self._kept_beats.append(answer)
        else:
            self._kept.append(answer)

    def _say(self, answer: Result | Beat) -> bytes:
        return self._send(FrameType.BEAT if isinstance(answer, Beat) else FrameType.RESULT, answer.pack())

    def _on_end(self, frame: Frame) -> bytes:
        run = self._run
        if run is None:
            return self._error(ErrorCode.NOT_STARTED, frame, 0)
        at, standing = run.offset(Index.unpack(frame.payload).index), len(run.samples)
        if at > standing:
            return self._error(ErrorCode.INDEX_GAP, frame, run.expected)
        if at < standing:
            self.stats = replace(self.stats, duplicates=self.stats.duplicates + 1)
            return self._credit()
        if run.start.mode == Mode.WINDOW and standing < run.model.hello.window:
            return self._error(ErrorCode.INCOMPLETE, frame, run.expected)
        if run.ended:
            first = run.start.first_index
            of_stream = (result for result in self._kept if near_index(result.last_index, first) >= first)
            again = self._kept_beats if self._gives_beats else of_stream
            return b"".join(map(self._say, again)) + self._credit()
        run.ended = True
        return self._give(run) + self._credit()

    def _on_poll(self, frame: Frame) -> bytes:
        wanted = Index.unpack(frame.payload).index
        if wanted == NO_INDEX:
            return self._credit()
        if self._gives_beats:
            found: list[Result | Beat] = [beat for beat in self._kept_beats if beat.number == wanted]
        else:
            found = [result for result in self._kept if result.last_index == wanted]
        told = self._say(found[0]) if found else self._error(ErrorCode.NO_RESULT, frame, wanted)
        return told + self._credit()

    def _on_selftest(self, _: Frame) -> bytes:
        self._run = None
        none = np.zeros(0, np.int8)
        outcome = SelfTest(passed=True, ran=0, first_failed=None, model=0, expected=none, got=none)
        return self._send(FrameType.SELFTEST, outcome.pack())

    def _on_stats(self, _: Frame) -> bytes:
        counters = self._reader.counters
        stats = replace(
            self.stats,
            frames_in=self._received,
            frames_out=self._seq,
            crc_errors=counters.crc_errors,
            cobs_errors=counters.cobs_errors,
            length_errors=counters.length_errors,
            bytes_in=counters.bytes_in,
            bytes_out=self._bytes_out,
        )
        return self._send(FrameType.STATS, stats.pack())
