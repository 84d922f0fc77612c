"""The web page's server: who may ask, and what for. Layer: live.

Everything on the way in is distrusted: GET only, a whole request in 5 s and 16 KB, 32 connections at once, names
instead of paths. On the machine's own address the Host must be the machine itself (a web site whose name points there
is none: DNS rebinding); elsewhere a token opens, by the URL once and by a cookie from then on.
"""

from __future__ import annotations

import io
import json
import re
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import compare_digest
from socketserver import TCPServer
from threading import BoundedSemaphore, Event, Thread, current_thread
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from ecg_edge import report
from ecg_edge.errors import EcgEdgeError

PAGE = Path(__file__).parent / "page"
TICK_S = 0.1  # between updates
HEARTBEAT_S = 1.0  # an update even when nothing is new, so that a page notices when the server has gone
CONNECTIONS = 32
HEAD_S, HEAD_BYTES = 5.0, 16384  # of a request
SEND_S = 10.0  # a client that takes nothing for so long is let go, and comes again by itself
SEND_BYTES = 32768  # in flight to one client: half a minute of one lead
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_DOWNLOAD = re.compile(r"/events/([0-9]{1,15})/([a-z]{1,10})\.csv")


class Page(Protocol):
    """What there is to serve."""

    ended: Event

    def hello(self) -> dict[str, Any]:
        """What a client is told first."""

    def since(self, index: int, serial: int) -> tuple[dict[str, Any], int, int]:
        """What is new from a sample (-1: all is) and an event on -> (update, next sample, next event)."""

    def download(self, serial: int, part: str) -> tuple[str, str] | None:
        """The ECG of an event -> (file name, CSV), or None where there is none."""


class Server(ThreadingHTTPServer):
    """Serves a page from its making until `close`, a thread a connection."""

    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, family: socket.AddressFamily, sockaddr: Any, page: Page, *, token: str | None) -> None:
        """Args: family and sockaddr, where to listen; page, what to serve; token, what a client must know.

        Raises:
            EcgEdgeError: the address is not this machine's, or its port is taken.
        """
        self.page, self.token = page, token
        self.files = _files()
        self.address_family = family
        self._free = BoundedSemaphore(CONNECTIONS)
        self.streaming: set[Thread] = set()
        try:
            super().__init__(sockaddr, _Handler)
        except OSError as error:
            raise EcgEdgeError(f"--web: cannot listen at {sockaddr[0]} port {sockaddr[1]}: {error.strerror}") from error
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let clients have the last update, for a second at most, and end."""
        until_s = time.monotonic() + 1.0
        for thread in list(self.streaming):
            thread.join(max(0.0, until_s - time.monotonic()))
        self.shutdown()
        self.server_close()

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own asks a name server who we are, which may take long
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is no news; a bug is
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request of one client."""

    server: Server
    protocol_version = "HTTP/1.1"
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain; charset=utf-8"

    command = requestline = ""  # for an answer before there is a request
    request_version = protocol_version

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Head(self.connection))

    def handle(self) -> None:
        try:
            super().handle()
        except _TooLargeError:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def do_GET(self) -> None:
        self.close_connection = True
        self.connection.settimeout(SEND_S)
        url = urlsplit("http://host" + self.path if self.path.startswith("/") else "http://host/:")
        token = parse_qs(url.query).get("token", [""])[0]
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.BAD_REQUEST, "A GET has no body")
        elif not self._host_is_ours():
            self.send_error(HTTPStatus.FORBIDDEN, "This page is served to this machine only, as localhost")
        elif not self._may(token):
            self.send_error(HTTPStatus.FORBIDDEN, "Open the URL that ecg-edge printed: it holds the token")
        elif url.path == "/" and token and self.server.token:
            self._trade_token()
        elif url.path in self.server.files:
            self._send(*self.server.files[url.path])
        elif url.path == "/stream":
            self._stream()
        elif match := _DOWNLOAD.fullmatch(url.path):
            self._download(int(match[1]), match[2])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _refuse(self) -> None:
        self.close_connection = True
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED, "GET only")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = do_CONNECT = _refuse  # noqa: N815

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "ecg-edge"

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal belongs to the run, and a log would hold the token."""

    def _host_is_ours(self) -> bool:
        if self.server.token is not None:
            return True  # who can name the token came by no other site
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0].strip()) is not None

    @property
    def _cookie(self) -> str:
        return f"ecg_edge_{self.server.server_port}"  # cookies do not tell ports apart

    def _may(self, token: str) -> bool:
        wanted = self.server.token
        if wanted is None:
            return True
        crumbs = [crumb.strip().partition("=") for crumb in self.headers.get("Cookie", "").split(";")]
        said = [token, *(value for name, _, value in crumbs if name == self._cookie)]
        return any(compare_digest(one.encode(), wanted.encode()) for one in said)

    def _trade_token(self) -> None:
        """Put the token into a cookie, and out of the address: it is not for histories and screenshots."""
        crumb = f"{self._cookie}={self.server.token}; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"
        self._begin(HTTPStatus.SEE_OTHER, {"Set-Cookie": crumb, "Location": "/", "Content-Length": "0"})

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        length = {"Content-Type": kind, "Content-Length": str(len(body))}
        self._begin(HTTPStatus.OK, {**length, **(headers or {})})
        self.wfile.write(body)

    def _download(self, serial: int, part: str) -> None:
        found = self.server.page.download(serial, part)
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND, "No ECG is kept of this event")
            return
        name, text = found
        self._send("text/csv; charset=utf-8", text.encode(), {"Content-Disposition": f'attachment; filename="{name}"'})

    def _stream(self) -> None:
        """Server-sent events: a hello, and then what is new, ten times a second, until the run or the client ends."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._begin(HTTPStatus.OK, {"Content-Type": "text/event-stream; charset=utf-8"})
        self.server.streaming.add(current_thread())
        try:
            self._updates(self.server.page)
        finally:
            self.server.streaming.discard(current_thread())

    def _updates(self, page: Page) -> None:
        self._say(page.hello(), "hello")
        index, serial = -1, 0
        said_s = -HEARTBEAT_S
        while True:
            update, next_index, next_serial = page.since(index, serial)
            now_s = time.monotonic()
            if (index, serial) != (next_index, next_serial) or update["ended"] or now_s >= said_s + HEARTBEAT_S:
                self._say(update, "update")
                said_s = now_s
            if update["ended"]:
                return
            index, serial = next_index, next_serial
            page.ended.wait(TICK_S)

    def _say(self, value: dict[str, Any], kind: str) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        self.wfile.write(f"event: {kind}\ndata: {text}\n\n".encode())


class _TooLargeError(Exception):
    """A request whose head is beyond the limit."""


class _Head(io.RawIOBase):
    """A connection's bytes in, as many and as long as a request may take."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until_s = time.monotonic() + HEAD_S
        self._left = HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise _TooLargeError
        self._connection.settimeout(left_s)
        got = self._connection.recv_into(memoryview(into)[: self._left])
        self._left -= got
        return got


def _files() -> dict[str, tuple[str, bytes]]:
    """Path in the URL -> (type, content); read once, so that no request ever names a file."""
    paths = {f"/{path.name}": path for path in PAGE.iterdir() if path.suffix in _TYPES}
    paths["/style.css"] = Path(report.__file__).parent / "templates" / "style.css"  # the reports' own: one family
    paths["/"] = paths.pop("/live.html")
    return {name: (_TYPES[path.suffix], path.read_bytes()) for name, path in paths.items()}
