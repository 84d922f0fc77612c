"""A live board on a virtual clock: the core in C, sampling a signal that goes on whether anybody listens or not."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.link import Link, VirtualClock
from ecg_edge.errors import LinkError

FS_HZ = 250
_LATEST_BYTES = 1 << 14
_NONCES, _STRIDE = 65_521, 7919  # coprime: no two resets near each other draw the same
_ROUNDING_S = 1e-9  # of sums of times


class LiveBoard:
    """Sample n of all is `signal(n)`, taken at (n + 1) / FS_HZ; lost where the board has no power."""

    def __init__(self, library: ctypes.CDLL, signal: Callable[[int, int], NDArray[np.int16]]) -> None:
        """Args: library, of harness.c; signal, (first, n) -> (n, 1)."""
        self._library, self._signal = library, signal
        self._out = np.zeros(1 << 16, np.uint8)
        self._heard = b""  # on its way to the host
        self._boots = 0
        self.clock = VirtualClock()
        self.pulls = 0
        self.taken = 0  # samples so far, those without power too
        self.powered = self.plugged = self.samples_itself = True
        library.harness_clock(0, 3)
        library.harness_config()
        library.harness_output(self._out.ctypes.data, self._out.size)
        self._boot()

    def open(self) -> Link:
        """Open the port."""
        if not self.plugged:
            raise LinkError("live: no such port")
        return _Line(self)

    def unplug(self, *, power: bool) -> None:
        """Pull the plug; `power`: the board lives on it."""
        self.live_until(self.clock.now_s())
        self.plugged, self.powered = False, not power
        self.pulls += 1
        self._heard = b""

    def plug(self) -> None:
        """Put it back."""
        self.live_until(self.clock.now_s())
        self.plugged = True
        self._heard = b""
        if not self.powered:
            self.powered = True
            self._boot()

    def reset(self) -> None:
        """Press the button."""
        self.live_until(self.clock.now_s())
        self._boot()

    def lose(self, n: int) -> None:
        """It is too busy for the next n samples."""
        self._library.ecg_edge_lost(self._library.harness_edge(), n)
        self.taken += n
        self.clock.sleep_s(n / FS_HZ)
        self._say()

    def live_until(self, now_s: float) -> None:
        """Take the samples that are due."""
        due = int((now_s + _ROUNDING_S) * FS_HZ)
        while self.taken < due:
            self._take(due)

    def hear(self, deadline_s: float) -> bytes:
        """What it says, waited for, at the time it says it."""
        due = int((deadline_s + _ROUNDING_S) * FS_HZ)
        while not self._heard and self.taken < due:
            self._take(due)
            self.clock.sleep_s(self.taken / FS_HZ - self.clock.now_s())
        if not self._heard:
            self.clock.sleep_s(deadline_s - self.clock.now_s())
        heard, self._heard = self._heard, b""
        return heard

    def _take(self, due: int) -> None:
        """Samples up to `due`, or up to the one that makes it say something."""
        if not self.powered:
            self.taken = due
            return
        samples = np.ascontiguousarray(self._signal(self.taken, due - self.taken))
        self.taken += self._library.harness_samples(samples.ctypes.data, len(samples), 1)
        self._say()

    def tell(self, data: bytes) -> None:
        """Bytes of the host."""
        self.live_until(self.clock.now_s())
        self._library.ecg_edge_receive(self._library.harness_edge(), data, len(data))
        self._say()

    def _boot(self) -> None:
        self._boots += 1
        self.boot = 1 + self._boots * _STRIDE % _NONCES
        assert self._library.harness_boot(self.boot) == 0
        assert not self.samples_itself or self._library.ecg_edge_live(self._library.harness_edge(), 0) == 0
        self._say()

    def _say(self) -> None:
        said = self._out[: self._library.harness_taken()].tobytes()
        if self.plugged:
            self._heard = (self._heard + said)[-_LATEST_BYTES:]


class _Line:
    """The port, until the plug is pulled: another one leads nowhere."""

    name = "live:"

    def __init__(self, board: LiveBoard) -> None:
        self._board: LiveBoard | None = board
        self._plug = board.pulls
        self.clock = board.clock

    def read(self, timeout_s: float) -> bytes:
        return self._there().hear(self.clock.now_s() + timeout_s)

    def write(self, data: bytes) -> None:
        self._there().tell(data)

    def close(self) -> None:
        self._board = None

    def _there(self) -> LiveBoard:
        if self._board is None or not self._board.plugged or self._board.pulls != self._plug:
            self._board = None
            raise LinkError(f"{self.name}: unplugged")
        return self._board
