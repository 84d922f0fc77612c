"""Links: real ones over loop://, sockets and ptys; broken ones; and the one that damages on purpose."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ecg_edge.device.faults import Faults, FaultyLink, LimitedLink
from ecg_edge.device.link import FakeLink, SerialLink, VirtualClock, available_ports
from ecg_edge.errors import LinkError


def echo(data: bytes) -> bytes:
    return data


def read_all(link: SerialLink | FakeLink | FaultyLink, size: int) -> bytes:
    got = b""
    while len(got) < size:
        data = link.read(2.0)
        assert data, f"{len(got)} of {size} bytes came"
        got += data
    return got


def test_a_port_that_does_not_exist_is_one_line_with_the_ports_that_do() -> None:
    with pytest.raises(LinkError) as caught:
        SerialLink("/dev/ttyNOSUCH")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("/dev/ttyNOSUCH: cannot be opened (No such file or directory); serial ports here: ")
    assert message.endswith(", ".join(available_ports()) or "none")


@pytest.mark.parametrize("url", ["socket://127.0.0.1:1", "nosuch://x", "socket://", "loop://?logging=much"])
def test_a_url_that_leads_nowhere_is_one_line(url: str) -> None:
    with pytest.raises(LinkError, match="cannot be opened") as caught:
        SerialLink(url)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(url)


def test_a_loop_carries_bytes_and_an_empty_read_waits_no_longer_than_asked() -> None:
    link = SerialLink("loop://")
    link.write(b"hello\0")
    assert read_all(link, 6) == b"hello\0"
    start = time.monotonic()
    assert link.read(0.05) == b""
    assert 0.04 < time.monotonic() - start < 10.0  # the machine may be busy
    link.close()


@pytest.fixture
def echo_server() -> Iterator[tuple[str, socket.socket]]:
    """URL of a TCP server, and its listening socket."""
    server = socket.create_server(("127.0.0.1", 0))
    yield f"socket://127.0.0.1:{server.getsockname()[1]}", server
    server.close()


def test_a_socket_carries_many_bytes_at_once_without_delay(echo_server: tuple[str, socket.socket]) -> None:
    url, server = echo_server

    def serve() -> None:
        line, _ = server.accept()
        with line:
            while data := line.recv(4096):
                line.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    link = SerialLink(url)
    assert link._port._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    payload = bytes(range(256)) * 64
    link.write(payload)
    assert read_all(link, len(payload)) == payload
    link.close()
    thread.join(2.0)
    assert not thread.is_alive()


def test_a_socket_whose_other_side_closes_is_gone_in_one_line(echo_server: tuple[str, socket.socket]) -> None:
    url, server = echo_server
    link = SerialLink(url)
    line, _ = server.accept()
    line.close()
    with pytest.raises(LinkError, match=f"{url}: the port is gone") as caught:
        link.read(1.0)
    assert "\n" not in str(caught.value)
    link.close()


def test_a_pty_that_vanishes_midway_is_gone_in_one_line() -> None:
    board, host = os.openpty()
    name = os.ttyname(host)
    link = SerialLink(name)
    os.close(host)
    os.write(board, b"x\0")
    assert read_all(link, 2) == b"x\0"
    os.close(board)
    with pytest.raises(LinkError, match=f"{name}: the port is gone"):
        link.read(1.0)
    with pytest.raises(LinkError, match=f"{name}: the port is gone"):
        link.write(b"y")
    link.close()
    link.close()


def test_a_port_that_another_program_has_is_refused() -> None:
    board, host = os.openpty()
    name = os.ttyname(host)
    first = SerialLink(name)
    with pytest.raises(LinkError, match=f"{name}: cannot be opened \\(another program has it\\)"):
        SerialLink(name)
    first.close()
    SerialLink(name).close()
    os.close(host)
    os.close(board)


def test_a_fake_link_answers_one_frame_a_read_and_time_passes_only_on_empty_reads() -> None:
    clock = VirtualClock()
    link = FakeLink(echo, clock=clock)
    link.write(b"a\0b\0")
    assert (link.read(1.0), link.read(1.0)) == (b"a\0", b"b\0")
    assert clock.now_s() == 0.0
    assert link.read(3600.0) == b""
    assert clock.now_s() == 3600.0
    link.close()
    with pytest.raises(LinkError, match="closed"):
        link.read(0.0)


def test_a_fake_link_loses_what_its_device_has_no_room_for() -> None:
    link = FakeLink(echo, room_bytes=4)
    link.write(b"abc\0def\0")
    assert link.read(1.0) == b"abc\0"
    assert link.overrun_bytes == 4


@pytest.mark.parametrize(
    ("faults", "low", "high"),
    [
        (Faults(drop=0.1), 800, 990),
        (Faults(double=0.1), 1010, 1200),
        (Faults(noise=0.1), 1010, 1200),
        (Faults(flip=0.1), 1000, 1000),
        (Faults(), 1000, 1000),
    ],
)
def test_faults_happen_about_as_often_as_asked(faults: Faults, low: int, high: int) -> None:
    sent = b"\x55" * 1000
    source = FakeLink(lambda data: sent)
    source.write(b"\0")
    got = FaultyLink(source, faults, 1).read(0.0)
    assert low <= len(got) <= high
    damaged = sum(byte != 0x55 for byte in got)
    assert (damaged > 50) == (faults.flip + faults.noise > 0)


def test_the_same_seed_does_the_same_damage() -> None:
    def outcome(seed: int) -> bytes:
        link = FaultyLink(FakeLink(echo), Faults(drop=0.05, flip=0.05, double=0.05), seed)
        link.write(b"\x55" * 500 + b"\0")
        return link.read(0.0)

    assert outcome(3) == outcome(3)
    assert outcome(3) != outcome(4)


def test_a_late_read_keeps_its_bytes_and_their_order() -> None:
    clock = VirtualClock()
    link = FaultyLink(FakeLink(echo, clock=clock), Faults(stall=1.0, stall_s=0.5), 0)
    link.write(b"a\0b\0")
    assert link.read(0.2) == b""
    assert clock.now_s() == pytest.approx(0.2)
    assert link.read(1.0) == b"a\0b\0"  # late, not slow: what came meanwhile comes with it
    assert clock.now_s() == pytest.approx(0.5)


def test_a_cut_line_is_gone_in_one_line() -> None:
    link = FaultyLink(FakeLink(echo, name="fake:7"), Faults(cut_after_bytes=10), 0)
    link.write(b"123456789\0")
    with pytest.raises(LinkError, match=r"fake:7: the port is gone \(cut after 10 bytes\)"):
        link.read(0.0)


def test_a_link_that_resets_loses_every_nth_frame_with_it() -> None:
    resets: list[int] = []
    heard: list[bytes] = []

    def hear(data: bytes) -> bytes:
        heard.append(data)
        return b""

    inner = FakeLink(hear)
    link = FaultyLink(inner, Faults(reset_every=3), 0, reset=lambda: resets.append(len(heard)))
    for name in (b"a\0", b"b\0c\0", b"\0d\0", b"e\0", b"f\0g\0"):
        link.write(name)
        link.read(0.0)
    assert [data for data in heard if data != b"\0"] == [b"a\0", b"b\0", b"d\0", b"e\0", b"g\0"]
    assert len(resets) == 2


def test_a_limited_link_takes_ten_bits_a_byte_each_way_and_both_ways_at_once() -> None:
    clock = VirtualClock()
    link = LimitedLink(FakeLink(lambda data: data * 3, clock=clock), 1000)  # 100 bytes a second
    link.write(b"123456789\0")
    assert link.read(0.05) == b""
    assert clock.now_s() == pytest.approx(0.05)
    got = [(link.read(1.0), clock.now_s()) for _ in range(3)]
    assert [data for data, _ in got] == [b"123456789\0"] * 3
    assert [when for _, when in got] == pytest.approx([0.2, 0.3, 0.4])
    link.write(b"a\0")
    link.write(b"b\0")  # leaves while the answer to the first is on its way
    assert [link.read(1.0) for _ in range(6)] == [b"a\0"] * 3 + [b"b\0"] * 3
    assert clock.now_s() == pytest.approx(0.54)
    assert link.read(0.5) == b""
