"""Ending a run that has no end: by Ctrl-C, a service manager, or a terminal that is gone. Layer: live."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

_T = TypeVar("_T")


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into the end of the source.

    A sink is never interrupted: a signal that comes while one works is heeded before the next item is waited for.
    """

    def __init__(self) -> None:
        self._asked = self._waiting = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Heed signals; main thread only. SIGHUP that is ignored stays so: that is what `nohup` is for."""
        heeded = [signal.SIGINT, signal.SIGTERM]
        hangup = getattr(signal, "SIGHUP", None)  # not on every system
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            heeded.append(hangup)
        before = {number: signal.signal(number, self._on_signal) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def until(self, items: Iterable[_T]) -> Iterator[_T]:
        """The items up to the signal; waiting for one ends at once."""
        source = iter(items)
        while not self._asked:
            try:
                self._waiting = True
                item = next(source)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._waiting = False
            yield item

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt
