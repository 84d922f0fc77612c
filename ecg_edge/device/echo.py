"""Lines that give back what they get, for measuring a port with no board: made here, or a wire from TX to RX.

Layer: device; imports errors.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

from ecg_edge.device.link import SerialLink
from ecg_edge.errors import LinkError

PTY = "pty"
_BYTES = 65536
_LOCALHOST = "127.0.0.1"


class EchoKind(Enum):
    """Who gives the bytes back."""

    PTY = "a pty pair of this machine, and a thread that echoes"
    LOOP = "a queue inside pyserial"
    SOCKET = "a TCP connection of this machine, and a thread that echoes"
    REMOTE = "a TCP connection, and whoever echoes at its other end"
    PORT = "a port with TX wired to RX"


@dataclass(frozen=True, slots=True)
class EchoLine:
    """A line that gives back what it gets; it may be opened again and again, once at a time."""

    name: str  # as the user said it
    url: str  # what pyserial opens
    kind: EchoKind

    @property
    def has_baud(self) -> bool:
        """Whether bits a second mean something to it."""
        return self.kind is EchoKind.PORT

    def open(self, baud: int) -> SerialLink:
        """The line's end on this side.

        Raises:
            LinkError: it cannot be opened.
        """
        link = SerialLink(self.url, baud=baud)
        link.name = self.name
        return link


@contextmanager
def echo_line(url: str) -> Iterator[EchoLine]:
    """The line of a URL, with its other end where it needs one.

    Args:
        url: `pty`, `loop://`, `socket://` (an echo server made here), `socket://HOST:PORT`, or a port.

    Raises:
        LinkError: this system has no ptys.
    """
    scheme = url.partition("://")[0].lower()  # pyserial takes any case
    with ExitStack() as ends:
        if url == PTY:
            yield EchoLine(url, ends.enter_context(_pty_echo()), EchoKind.PTY)
        elif url == "socket://":
            yield EchoLine(url, ends.enter_context(_socket_echo()), EchoKind.SOCKET)
        elif scheme == "loop":
            yield EchoLine(url, url, EchoKind.LOOP)
        else:
            yield EchoLine(url, url, EchoKind.REMOTE if scheme == "socket" else EchoKind.PORT)


@contextmanager
def _pty_echo() -> Iterator[str]:
    """The path of a pty whose other end echoes."""
    try:
        import tty

        ours, theirs = os.openpty()
    except (ImportError, AttributeError, OSError) as error:
        raise LinkError(f"{PTY}: this system gives no pty ({error})") from error
    tty.setraw(theirs)  # before anybody opens it: a line in cooked mode would eat and add bytes
    try:
        with _thread(lambda wake: _echo_file(ours, wake)):
            yield os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def _echo_file(file: int, wake: int) -> None:
    while _ready(file, wake):
        data = os.read(file, _BYTES)
        while data:
            data = data[os.write(file, data) :]


@contextmanager
def _socket_echo() -> Iterator[str]:
    """The URL of a TCP echo server on this machine."""
    with socket.create_server((_LOCALHOST, 0)) as listener, _thread(lambda wake: _echo_connections(listener, wake)):
        yield f"socket://{_LOCALHOST}:{listener.getsockname()[1]}"


def _echo_connections(listener: socket.socket, wake: int) -> None:
    while _ready(listener.fileno(), wake):
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while _ready(connection.fileno(), wake) and (data := connection.recv(_BYTES)):
                connection.sendall(data)


@contextmanager
def _thread(work: Callable[[int], None]) -> Iterator[None]:
    """A thread that works until a file becomes readable, whoever may still hold the line open then."""
    wake, waker = os.pipe()
    thread = threading.Thread(target=work, args=(wake,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(waker)
        thread.join()
        os.close(wake)


def _ready(file: int, wake: int) -> bool:
    """Wait until there is something to read; False when it is time to end."""
    return wake not in select.select([file, wake], [], [])[0]
