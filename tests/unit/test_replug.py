"""A line that is pulled and put back: real sockets and ptys."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from fake_bench import expected_stream, fake_model, scores, signal

from ecg_edge.device import Device, Patience, replug
from ecg_edge.device.fake import FakeDevice
from ecg_edge.device.link import FakeLink, Link, Port, VirtualClock
from ecg_edge.device.replug import ReplugLink, open_port
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkError, LinkReplugged

BYTES_A_PLUG = 1500


class FlakyServer:
    """A board behind a TCP port that drops the connection after so many bytes, and takes the next one."""

    def __init__(self, board: FakeDevice) -> None:
        self.board, self.plugs = board, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            line, _ = self._server.accept()
            self.plugs += 1
            left = BYTES_A_PLUG
            with line:
                while left > 0 and (data := line.recv(left)):
                    left -= len(data)
                    line.sendall(self.board.receive(data))


def test_a_stream_goes_on_bit_by_bit_through_dropped_connections() -> None:
    model = fake_model()
    server = FlakyServer(FakeDevice([model]))
    samples = signal(2000)
    with Device(open_port(server.url, baud=115_200, wait_s=5.0)) as device:
        assert scores(list(device.stream(samples))) == expected_stream(model, samples)
        assert device.counters.replugs == server.plugs - 1 > 0


def test_a_request_is_asked_again_on_the_new_line() -> None:
    server = FlakyServer(FakeDevice([fake_model()]))
    with Device(open_port(server.url, baud=115_200, wait_s=5.0)) as device:
        for _ in range(100):
            device.stats()
        assert device.counters.replugs > 0


def test_a_port_that_comes_back_under_its_name_is_opened_again(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    board, host = os.openpty()
    port.symlink_to(os.ttyname(host))
    link = open_port(str(port), baud=115_200, wait_s=5.0)
    os.write(board, b"one\0")
    assert link.read(2.0) == b"one\0"
    os.close(host)
    os.close(board)
    port.unlink()
    again, host = os.openpty()
    threading.Timer(0.3, lambda: port.symlink_to(os.ttyname(host))).start()
    with pytest.raises(LinkReplugged, match=r"ttyUSB0: the port was gone for \d\.\d s"):
        link.read(2.0)
    os.write(again, b"two\0")
    assert link.read(2.0) == b"two\0"
    link.close()
    os.close(again)
    os.close(host)


def test_a_port_that_stays_away_is_said_to_be_gone() -> None:
    clock = VirtualClock()
    lines: list[Link] = [FakeLink(lambda data: data, name="/dev/ttyX", clock=clock)]

    def opened() -> Link:
        if not lines:
            raise LinkError("/dev/ttyX: cannot be opened")
        return lines.pop()

    link = ReplugLink(opened, wait_s=7.0)
    link._link.close()
    with pytest.raises(LinkError, match="/dev/ttyX: the link is closed") as caught:
        link.write(b"x")
    assert not isinstance(caught.value, LinkReplugged)
    assert clock.now_s() == pytest.approx(7.0, abs=0.2)


def opened_at(monkeypatch: pytest.MonkeyPatch, url: str, before: list[Port], after: list[Port]) -> list[str]:
    """What is opened for `url` while the ports are those of `before`, and again once they are those of `after`."""
    opened: list[str] = []

    class Opened(FakeLink):
        def __init__(self, url: str, *, baud: int) -> None:
            super().__init__(lambda data: data, name=url)
            opened.append(url)

    there = list(before)
    monkeypatch.setattr(replug, "serial_ports", lambda: there)
    monkeypatch.setattr(replug, "SerialLink", Opened)
    link = open_port(url, baud=9600, wait_s=1.0)
    there[:] = after
    link._link.close()
    with pytest.raises(LinkReplugged):
        link.read(0.0)
    return opened


def test_a_usb_port_that_comes_back_with_another_name_is_found_by_its_serial_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = [Port("/dev/ttyACM0", 0x2341, 0x42, "A1", ""), Port("/dev/ttyACM1", 0x2341, 0x42, "B2", "")]
    after = [Port("/dev/ttyACM1", 0x2341, 0x42, "B2", ""), Port("/dev/ttyACM2", 0x2341, 0x42, "A1", "")]
    assert opened_at(monkeypatch, "/dev/ttyACM0", before, after) == ["/dev/ttyACM0", "/dev/ttyACM2"]


def ports_of_an_adapter(first: int, plug: str) -> list[Port]:
    """Both ports of one USB adapter, whose interfaces Linux names."""
    return [Port(f"/dev/ttyUSB{first + k}", 0x0403, 0x6010, "FT1", "", f"{plug}:1.{k}") for k in range(2)]


def test_of_an_adapter_with_two_ports_the_one_that_was_asked_for_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = ports_of_an_adapter(0, "1-1"), ports_of_an_adapter(1, "1-2")
    assert opened_at(monkeypatch, "/dev/ttyUSB1", before, after) == ["/dev/ttyUSB1", "/dev/ttyUSB2"]


def test_where_nothing_tells_two_ports_of_an_adapter_apart_the_name_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [Port(f"/dev/cu.usb{k}", 0x0403, 0x6010, "FT1", "", "20-1") for k in range(2)]
    assert opened_at(monkeypatch, "/dev/cu.usb1", ports, ports) == ["/dev/cu.usb1", "/dev/cu.usb1"]


def test_another_board_at_the_same_plug_is_refused() -> None:
    boards = [FakeDevice([fake_model()]), FakeDevice([fake_model(sha256="cd" * 32)])]  # the same nonce in both
    clock = VirtualClock()
    link = ReplugLink(lambda: FakeLink(boards.pop(0).receive, name="/dev/ttyX", clock=clock), wait_s=1.0)
    device = Device(link, patience=Patience())
    device.require("ab" * 32)
    answers = device.stream(signal(2000))
    next(answers)
    link._link.close()
    with pytest.raises(DeviceError, match=r"holds fake3 cdcdcdcdcdcd\.\.\.; wanted abababababab"):
        list(answers)


def test_a_first_opening_that_fails_says_so_at_once() -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        open_port("/dev/ttyNOSUCH", baud=115_200, wait_s=60.0)


class Booting:
    """A port that goes when it is first opened, as a board does that resets then, is back at 10 s, and boots for 3."""

    name = "/dev/ttyX"

    def __init__(self, clock: VirtualClock, board: FakeDevice) -> None:
        if 0.0 < clock.now_s() < 10.0:
            raise LinkError("not there yet")
        self.clock = clock
        self._listens_s = clock.now_s() + 3.0
        self._line = FakeLink(board.receive, clock=clock)
        self._goes = clock.now_s() == 0.0

    def read(self, timeout_s: float) -> bytes:
        if self._goes:
            raise LinkError("gone")
        return self._line.read(timeout_s)

    def write(self, data: bytes) -> None:
        if self.clock.now_s() >= self._listens_s:
            self._line.write(data)

    def close(self) -> None:
        """It can be opened again."""


def test_a_board_that_is_back_late_gets_its_time_to_boot() -> None:
    clock, board = VirtualClock(), FakeDevice([fake_model()])
    device = Device(ReplugLink(lambda: Booting(clock, board), wait_s=12.0), patience=Patience(give_up_s=12.0))
    assert [hello.name for hello in device.hello()] == ["fake3"]
    assert 13.0 <= clock.now_s() < 16.0


def test_a_port_that_goes_at_every_greeting_is_given_up() -> None:
    clock = VirtualClock()

    class Flapping(FakeLink):
        def read(self, timeout_s: float) -> bytes:
            raise LinkError("gone")

    link = ReplugLink(lambda: Flapping(lambda data: data, name="/dev/ttyX", clock=clock), wait_s=1.0)
    with pytest.raises(DeviceTimeout, match="the port went 4 times before any answer"):
        Device(link, patience=Patience(attempts=3)).hello()
