"""The sink that tells a service manager that the run lives: ready, how far, not hanging. Layer: live.

Source: sd_notify(3), its section on reimplementation.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping

from ecg_edge.live.run import Account, Moment

INTERVAL_S = 10.0  # between words where no watchdog wants them sooner


class ServiceManager:
    """A sink: words to systemd."""

    def __init__(self, address: str, *, watchdog_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        """Args: address, of the manager's socket; watchdog_s, of silence that it takes for a hang, or infinity."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s, self._now_s = min(INTERVAL_S, watchdog_s / 3), now_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._due_s = -1.0  # of the first word: at once

    def take(self, moment: Moment, account: Account) -> None:
        now_s = self._now_s()
        if now_s < self._due_s:
            return
        ready = "READY=1\n" if self._due_s < 0 else ""
        said = f"{account.verdicts} verdicts, {account.abstained} withheld; {account.gaps} gaps"
        self._send(f"{ready}WATCHDOG=1\nSTATUS={said}, {account.missing} samples missing")
        self._due_s = now_s + self._every_s

    def close(self) -> None:
        self._send("STOPPING=1")
        self._socket.close()

    def _send(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a manager that does not listen is no reason to stop
            self._socket.sendto(text.encode(), self._address)


def service_manager(environment: Mapping[str, str]) -> ServiceManager | None:
    """Who started this process, if it wants to be told."""
    address = environment.get("NOTIFY_SOCKET")
    watchdog_us = environment.get("WATCHDOG_USEC", "")
    seconds = int(watchdog_us) / 1e6 if watchdog_us.isdecimal() else float("inf")
    return ServiceManager(address, watchdog_s=seconds) if address else None
