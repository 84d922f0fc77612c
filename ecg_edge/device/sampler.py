"""A board's own samples, as it sends them. Layer: device; imports errors and numpy.

    greet: HELLO     begin: START own --CREDIT--> next: SAMPLES, SAMPLES, ...
      ^                                             |     |
      |                                             |     another boot: BoardResetError; greet and begin anew
      +-- attach, another line <-- line gone -------+     where greet finds the same life, what was begun goes on

What the line loses is lost: nothing is asked for again. Indices count it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.frame import Frame, FrameType
from ecg_edge.device.link import Link
from ecg_edge.device.messages import Credit, ErrorCode, ErrorReport, Hello, Mode, Samples, Start
from ecg_edge.device.pace import Patience
from ecg_edge.device.script import INDEX_MODULUS, near_index
from ecg_edge.device.session import Counters, Session, describe_error
from ecg_edge.errors import DeviceError, DeviceTimeout

_FIRST_STEP = 1 << 28  # from one START to the next: a CREDIT says which one it answers


class BoardResetError(DeviceError):
    """The board is in another life: it has forgotten that it was to send samples."""


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one frame."""

    index: int  # of the first, counted from the last `begin`; those that the board or the line lost count too
    samples_uv: NDArray[np.int16]  # (k, leads)
    flags: int  # SampleFlag, of all of them; GAP: before the first


class Sampler:
    """A live board at the other end of a line."""

    def __init__(self, link: Link, *, leads: int, fs_hz: int, patience: Patience) -> None:
        """Take over `link`.

        Args:
            link: closed by `close`.
            leads: what the samples are for.
            fs_hz: their rate.
            patience: how long to wait for the board.
        """
        self._session = Session(link, patience)
        self._leads, self._fs_hz = leads, fs_hz
        self._first = 0  # wire index of the last START's first sample
        self._expected = 0  # index of the next sample, counted from there
        self._model: Hello | None = None  # once greeted

    @property
    def counters(self) -> Counters:
        """What happened on the line so far."""
        return self._session.counters

    def close(self) -> None:
        self._session.link.close()

    @property
    def board(self) -> str:
        """Its name; "" before it was greeted."""
        return "" if self._model is None else self._model.board

    def attach(self, link: Link) -> None:
        """Go on over another line, the old one being gone; greet who is there."""
        self._session.link.close()
        self._session.link = link
        self._session.replugged()

    def greet(self) -> bool:
        """Learn who is there; whether it is the same board as before, and was not reset.

        Raises:
            DeviceTimeout: nobody answers.
            DeviceError: no model there takes such samples.
            LinkError: the line is gone.
        """
        boot = self._session.boot
        self._model = self._fitting(self._session.greet())
        return self._session.boot == boot

    def begin(self) -> None:
        """Have the greeted board send its samples, from index 0.

        Raises:
            DeviceTimeout: nobody answers.
            DeviceError: it has no samples of its own.
            LinkError: the line is gone.
        """
        assert self._model is not None
        model, session = self._model, self._session
        start_s = session.clock.now_s()
        while session.clock.now_s() - start_s < session.patience.give_up_s:
            if self._start_once(model):
                return
            session.counters.repeats += 1
        raise DeviceTimeout(f"{session.link.name}: no answer to START in {session.patience.give_up_s:g} s")

    def next(self, timeout_s: float) -> Block | None:
        """What came next; None: nothing in that time.

        Raises:
            BoardResetError: the board was reset.
            LinkError: the line is gone.
        """
        session = self._session
        deadline_s = session.clock.now_s() + timeout_s
        while (frame := session.receive(deadline_s)) is not None:
            if frame.boot != session.boot:
                session.counters.resets += 1
                raise BoardResetError(f"{session.link.name}: the board was reset")
            if frame.type == FrameType.SAMPLES and (block := self._block(frame)) is not None:
                return block
        return None

    def _fitting(self, hellos: list[Hello]) -> Hello:
        """The board's model that takes such samples."""
        for hello in hellos:
            if (hello.leads, hello.fs_hz) == (self._leads, self._fs_hz):
                return hello
        held = ", ".join(f"{hello.leads} at {hello.fs_hz} Hz" for hello in hellos)
        wanted = f"{self._leads} at {self._fs_hz} Hz"
        raise DeviceError(
            f"{self._session.link.name}: {hellos[0].board} samples leads: {held}; the model takes {wanted}"
        )

    def _start_once(self, model: Hello) -> bool:
        """Send START; whether its CREDIT came in time."""
        session = self._session
        self._first = (self._first + _FIRST_STEP) % INDEX_MODULUS
        self._expected = 0
        session.queue(FrameType.START, Start(model.model_index, Mode.OWN, self._first, 0).pack())
        session.flush()
        deadline_s = session.clock.now_s() + session.pace.wait_s
        while (frame := session.receive(deadline_s)) is not None:
            if frame.boot != session.boot:
                session.greet()
                return False
            if frame.type == FrameType.CREDIT and Credit.unpack(frame.payload).next_index == self._first:
                return True
            if frame.type == FrameType.ERROR:
                self._raise_refusal(frame)
        return False

    def _raise_refusal(self, frame: Frame) -> None:
        report, name = ErrorReport.unpack(frame.payload), self._session.link.name
        if report.type != FrameType.START or report.code == ErrorCode.STALE_BOOT:
            return
        if report.code == ErrorCode.BAD_MODE:
            advice = "flash a sketch that samples, as LiveAD8232"
            raise DeviceError(f"{name}: {self.board} has no samples of its own: {advice}")
        raise DeviceError(describe_error(name, report, self._session.log))

    def _block(self, frame: Frame) -> Block | None:
        """A frame's samples; None: they were there before, or no whole ones are."""
        samples = Samples.unpack(frame.payload)
        rows = samples.values.reshape(-1, self._leads) if samples.values.size % self._leads == 0 else None
        index = near_index(samples.index, self._first + self._expected) - self._first
        if rows is None or not len(rows) or index < self._expected:
            return None
        self._expected = index + len(rows)
        return Block(index, rows, frame.flags)
