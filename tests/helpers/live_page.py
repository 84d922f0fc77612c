"""A live page that tests feed by hand, and a client that reads its stream."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.live.run import Account, Event, Moment, run
from ecg_edge.live.source import Chunk, Notice
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.live.web import WebPage
from ecg_edge.runtime.numpy import NumpyBackend


class FedPage:
    """A page, and the run behind it."""

    def __init__(self, bundle: Bundle, address: str = "0", *, token: str | None = None) -> None:
        self.bundle, self.account = bundle, Account()
        self.page = WebPage(bundle.manifest, address, token=token, source="a test")
        self._stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
        self._items: list[Chunk | Notice] = []
        self.events: list[Event] = []
        self._moments = run(self._given(), self._stream, self.account)

    @property
    def port(self) -> int:
        return int(self.page.url.split("/")[2].rpartition(":")[2])

    def feed(self, *items: Chunk | Notice) -> None:
        """Put items through the model and into the page."""
        self._items += items
        for _ in items:
            self._show(next(self._moments))

    def end(self) -> None:
        """The run is over."""
        for moment in self._moments:  # what the filter still held
            self._show(moment)
        self.page.close()

    @property
    def verdicts(self) -> list[Verdict]:
        return [event for event in self.events if isinstance(event, Verdict)]

    def _show(self, moment: Moment) -> None:
        self.events += moment.events
        self.page.take(moment, self.account)

    def _given(self) -> Iterator[Chunk | Notice]:
        while self._items:
            yield self._items.pop(0)


def chunk(index: int, samples_uv: NDArray[np.int16]) -> Chunk:
    """Samples of one lead, (n,), from an index on."""
    return Chunk(index, samples_uv.reshape(-1, 1), np.zeros(len(samples_uv), np.uint8))


@contextmanager
def fed_page(bundle: Bundle, address: str = "0", *, token: str | None = None) -> Iterator[FedPage]:
    """Serve, and close in the end."""
    page = FedPage(bundle, address, token=token)
    try:
        yield page
    finally:
        page.end()


@dataclass
class Listener:
    """A client of the stream: what it was told, put together."""

    samples: dict[int, tuple[int, ...]] = field(default_factory=dict)  # by index
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    hello: dict[str, Any] = field(default_factory=dict)

    def take(self, kind: str, value: dict[str, Any]) -> None:
        if kind == "hello":
            self.hello = value
            return
        self.updates.append(value)
        self.verdicts += value["verdicts"]
        self.history += value["history"]
        for first, text in value["runs"]:
            rows = np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, self.hello["leads"])
            for index, row in enumerate(rows.tolist(), first):
                assert index not in self.samples, f"sample {index} was told twice"
                self.samples[index] = tuple(row)


class Client:
    """A connection to the stream."""

    def __init__(self, port: int, *, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(20.0)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._lines = self._socket.makefile("rb")
        self.told = Listener()

    def hear(self, index: int | None = None) -> Listener:
        """Read until a sample index has been reached; None: until the stream ends."""
        if not self.told.hello:
            assert next(self._lines).startswith(b"HTTP/1.1 200 ")
            while next(self._lines) != b"\r\n":
                pass
        kind = ""
        for line in self._lines:
            name, _, rest = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = rest
            elif name == "data":
                self.told.take(kind, json.loads(rest))
                if index is not None and self.told.updates and self.told.updates[-1]["end"] >= index:
                    break
        return self.told

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def get(
    port: int, path: str = "/", *, method: str = "GET", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Ask once -> status, body, headers. A header's name may have underscores for dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()
