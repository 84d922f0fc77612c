"""A small server on this machine that speaks as PhysioNet's does, with the faults of a network on demand."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

CUT, ALTERED = "cut", "altered"


class PhysioNet:
    """Files by path below files/, what goes wrong with them, and what was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.faults: dict[str, list[str | int]] = {}  # path -> what goes wrong, once each
        self.asked: list[str] = []
        self.url = ""

    def add_sums(self, place: str) -> None:
        """SHA256SUMS.txt of NAME/VERSION, as PhysioNet makes it when it publishes a set."""
        self.files.pop(f"{place}/SHA256SUMS.txt", None)
        own = {path.removeprefix(f"{place}/"): data for path, data in self.files.items() if path.startswith(place)}
        lines = [f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in own.items()]
        self.files[f"{place}/SHA256SUMS.txt"] = "".join(lines).encode()


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[PhysioNet]:
    site = PhysioNet(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(self.path).removeprefix("/files/").removeprefix("/")
            site.asked.append(path)
            fault = site.faults[path].pop(0) if site.faults.get(path) else None
            data = site.files.get(path)
            if isinstance(fault, int) or data is None:
                self.send_error(fault if isinstance(fault, int) else 404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault == CUT:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.wfile.write(bytes([data[0] ^ 1]) + data[1:] if fault == ALTERED else data)

        def log_message(self, *_: object) -> None:
            """Nothing: stderr is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}/files/"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
