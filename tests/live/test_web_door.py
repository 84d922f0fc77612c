"""Who the live page lets in: hosts, tokens, methods, and requests that are too large, too slow or too many."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from live_page import FedPage, fed_page, get

from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError
from ecg_edge.live import webserver
from ecg_edge.live.webserver import CONNECTIONS, HEAD_BYTES

TOKEN = "a-token-for-a-test"
PATHS = ("/", "/live.js", "/stream", "/events/0/ecg.csv")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture(scope="module")
def page(bundle: Bundle) -> Iterator[FedPage]:
    with fed_page(bundle) as page:
        yield page


@pytest.fixture(scope="module")
def guarded(bundle: Bundle) -> Iterator[FedPage]:
    with fed_page(bundle, token=TOKEN) as page:
        yield page


def raw(port: int, request: bytes) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20.0) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "127.0.0.1:8765", "[::1]", "[::1]:8765"])
def test_this_machine_may_be_called_by_its_names(page: FedPage, host: str) -> None:
    assert get(page.port, Host=host)[0] == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:8765", "192.168.1.4", "", "::1"],
)
def test_a_site_whose_name_points_here_is_refused(page: FedPage, host: str, path: str) -> None:
    code, body, _ = get(page.port, path, Host=host)
    assert code == 403
    assert b"ecg5" not in body


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_no_host_or_two_are_refused(page: FedPage, hosts: bytes) -> None:
    assert status(raw(page.port, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")) == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cookie", ["", "ecg_edge_1=" + TOKEN, "token=" + TOKEN])
def test_without_its_token_nothing_is_told(guarded: FedPage, path: str, cookie: str) -> None:
    headers = {"Cookie": cookie} if cookie else {}
    for asked in (
        path,
        path + "?token=",
        path + "?token=" + TOKEN[:-1],
        path + "?token=" + TOKEN + "x",
        path + "?token=%C3%A9",
    ):
        code, body, told = get(guarded.port, asked, **headers)
        assert code == 403
        assert b"ecg5" not in body
        assert TOKEN not in str(told)


def test_the_token_opens_once_by_the_url_and_then_by_a_cookie(guarded: FedPage) -> None:
    url = urlsplit(guarded.page.url)
    assert parse_qs(url.query) == {"token": [TOKEN]}
    code, _, headers = get(guarded.port, f"/?{url.query}", Host="raspberrypi.local")
    assert (code, headers["Location"]) == (303, "/")
    crumb, *rules = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(rules)
    assert get(guarded.port, "/", Cookie=f"other=1; {crumb}")[0] == 200
    assert get(guarded.port, "/live.js", Cookie=crumb)[0] == 200
    assert get(guarded.port, f"/live.js?token={TOKEN}")[0] == 200


def test_beyond_this_machine_a_token_is_drawn_each_time(bundle: Bundle) -> None:
    drawn = set()
    for _ in range(2):
        with fed_page(bundle, "0.0.0.0:0") as page:
            assert get(page.port)[0] == 403
            (token,) = parse_qs(urlsplit(page.page.url).query)["token"]
            assert get(page.port, f"/?token={token}")[0] == 303
            drawn.add(token)
    assert len(drawn) == 2
    assert all(len(token) >= 40 for token in drawn)


@pytest.mark.parametrize("token", ["", "short", "with a blank inside it", "semicolon;semicolon;", "x" * 300])
def test_a_token_that_cannot_guard_is_refused(bundle: Bundle, token: str) -> None:
    with pytest.raises(EcgEdgeError, match="--token: 16 to 256 letters"):
        FedPage(bundle, token=token)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW"])
def test_only_get_is_answered(page: FedPage, method: str) -> None:
    code, _, headers = get(page.port, method=method)
    assert code in (405, 501)
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/../webserver.py",
        "/..%2fwebserver.py",
        "/%2e%2e/webserver.py",
        "//etc/passwd",
        "/page/live.html",
        "/live.html",
        "/live.js/",
        "http://localhost/",
        "*",
        "/events/0/../../live.js",
        "/events/99999999999999999999/ecg.csv",
        "//[",
    ],
)
def test_no_path_leads_beyond_the_page(page: FedPage, path: str) -> None:
    answer = raw(page.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert status(answer) == 404
    assert b"import" not in answer


@pytest.mark.parametrize("body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_a_body_is_refused(page: FedPage, body: bytes) -> None:
    assert status(raw(page.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + body)) == 400


def test_a_large_request_is_refused(page: FedPage) -> None:
    line = b"GET /" + b"x" * HEAD_BYTES
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (k, b"x" * 1000) for k in range(HEAD_BYTES // 500))
    for request in (line, head):
        answer = raw(page.port, request[:HEAD_BYTES])  # not a byte more: nobody may wait for it
        assert status(answer) == 431


def test_every_answer_forbids_other_origins_scripts_and_frames(page: FedPage) -> None:
    for path in ("/", "/live.js", "/nosuch", "/events/0/ecg.csv"):
        _, _, headers = get(page.port, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None


def test_the_page_names_no_other_machine(page: FedPage) -> None:
    for path in ("/", "/live.js", "/strip.js", "/samples.js", "/live.css", "/style.css", "/icon.svg"):
        code, body, _ = get(page.port, path)
        assert code == 200
        assert b"//" not in body.replace(b"http://www.w3.org/2000/svg", b"").replace(b"// ", b"")


def test_a_request_that_trickles_is_cut_off(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webserver, "HEAD_S", 0.5)
    with fed_page(bundle) as page, socket.create_connection(("127.0.0.1", page.port), timeout=20.0) as trickle:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(400):  # each byte within any limit between two of them
                trickle.sendall(b"x")
                time.sleep(0.05)
        assert get(page.port)[0] == 200


def test_connections_beyond_the_limit_are_closed_and_a_freed_one_is_free(page: FedPage) -> None:
    idle = [socket.create_connection(("127.0.0.1", page.port), timeout=20.0) for _ in range(CONNECTIONS)]
    assert raw(page.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    for connection in idle:
        connection.close()
    until_s = time.monotonic() + 20.0
    while not (answer := raw(page.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")):
        assert time.monotonic() < until_s
    assert status(answer) == 200
