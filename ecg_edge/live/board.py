"""Live samples of a serial board, through resets and unplugs. Layer: live; composes device.

    _listen --- line gone ---------> _recover: open it, four times a second; greet who is there. A board that lived on
       ^    --- reset, or silence -->   goes on; another life, or one that sends nothing, begins anew
       +----------- samples -------------+

A gap is as long as the indices say where the board lived through it, and as this machine's clock says where it did not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ecg_edge.bundle import Manifest
from ecg_edge.device.frame import SampleFlag
from ecg_edge.device.link import Clock, Link
from ecg_edge.device.pace import Patience
from ecg_edge.device.sampler import Block, BoardResetError, Sampler
from ecg_edge.errors import DeviceTimeout, LinkError
from ecg_edge.live.source import HEARTBEAT_S, Chunk, Notice

SILENCE_S = 2.0  # without a sample: the board is asked again


@dataclass(slots=True)
class _Position:
    """Where the signal is."""

    fs_hz: int
    index: int = 0  # of the next sample, counted from the first of all
    base: int | None = 0  # index of the board's sample 0; None: to be found by the clock
    last_s: float = 0.0  # when the newest sample came

    def place(self, block: Block, now_s: float) -> tuple[int, bool]:
        """Index of a block's first sample, and whether it was counted."""
        counted = self.base is not None
        if self.base is None:
            began_s = now_s - len(block.samples_uv) / self.fs_hz
            missed = max(0, round((began_s - self.last_s) * self.fs_hz))
            self.base = self.index + missed - block.index
        at = self.base + block.index
        self.index, self.last_s = at + len(block.samples_uv), now_s
        return at, counted


class BoardSource:
    """Chunks and notices of a live board."""

    def __init__(self, manifest: Manifest, open_link: Callable[[], Link]) -> None:
        """Open the line, greet the board, have it send.

        Args:
            manifest: of the model that the samples are for.
            open_link: opens the line, or raises LinkError; called again whenever it is gone.

        Raises:
            LinkError: the line cannot be opened.
            DeviceError: the board does not answer, or has no such samples.
        """
        self._open, self._manifest = open_link, manifest
        link = open_link()
        self._clock: Clock = link.clock
        try:
            self._sampler = Sampler(link, leads=manifest.leads, fs_hz=manifest.fs_hz, patience=Patience())
            self._sampler.greet()
            self._sampler.begin()
        except BaseException:
            link.close()
            raise
        self.name = f"{self._sampler.board} at {link.name}"

    def close(self) -> None:
        self._sampler.close()

    def items(self) -> Iterator[Chunk | Notice]:
        """What comes, without end; something at least every HEARTBEAT_S, but while a board that is back is greeted.

        Raises:
            DeviceError: another board is there now, without such samples.
        """
        at = _Position(self._manifest.fs_hz, last_s=self._clock.now_s())
        while True:
            try:
                yield from self._listen(at)
            except BoardResetError as reset:
                yield Notice(at.index, str(reset))
                yield from self._recover(at, lost=False)
            except LinkError as gone:
                yield Notice(at.index, str(gone))
                yield from self._recover(at, lost=True)

    def _listen(self, at: _Position) -> Iterator[Chunk]:
        """Samples, until none come any more."""
        heard_s = self._clock.now_s()
        while True:
            block = self._sampler.next(HEARTBEAT_S)
            if block is None:
                if self._clock.now_s() - heard_s > SILENCE_S:
                    raise BoardResetError(f"no sample for {SILENCE_S:g} s: asking the board again")
                yield self._heartbeat(at)
                continue
            heard_s = self._clock.now_s()
            before = at.index
            index, counted = at.place(block, heard_s)
            flags = np.full(len(block.samples_uv), block.flags & ~SampleFlag.GAP, np.uint8)
            if index == before:  # a gap that the index tells needs no flag: nothing reaches over it
                flags[0] |= block.flags & SampleFlag.GAP
            yield Chunk(index, block.samples_uv, flags, counted)

    def _recover(self, at: _Position, *, lost: bool) -> Iterator[Chunk | Notice]:
        """Have the board send again. `lost`: the line is gone."""
        anew = not lost
        while True:
            yield self._heartbeat(at)
            try:
                if lost:
                    self._sampler.attach(self._open())
                    lost = False
                if not self._sampler.greet() or anew:
                    anew, at.base = True, None
                    self._sampler.begin()
                yield Notice(at.index, f"{self.name}: back")
                return
            except DeviceTimeout:  # the line is there, and nobody at it yet
                continue
            except LinkError:
                lost = True
                self._clock.sleep_s(HEARTBEAT_S)

    def _heartbeat(self, at: _Position) -> Chunk:
        return Chunk.empty(at.index, self._manifest.leads)
