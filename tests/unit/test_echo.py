"""device/echo.py: every line gives back what it gets, byte for byte, again after it was closed, and leaves nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ecg_edge.device.echo import EchoKind, echo_line
from ecg_edge.device.link import Link
from ecg_edge.errors import LinkError

ALL_BYTES = bytes(range(256)) * 8  # what a line in cooked mode would eat, echo or translate is among them


def given_back(link: Link, data: bytes) -> bytes:
    link.write(data)
    came = b""
    while len(came) < len(data) and (more := link.read(2.0)):
        came += more
    return came


@pytest.mark.parametrize("url", ["pty", "loop://", "socket://"])
def test_every_byte_comes_back_as_it_was_and_again_after_reopening(url: str) -> None:
    with echo_line(url) as line:
        assert not line.has_baud
        for baud in (9600, 115200):
            link = line.open(baud)
            assert link.name == url
            assert given_back(link, ALL_BYTES) == ALL_BYTES
            link.close()


@pytest.mark.parametrize("url", ["pty", "socket://"])
def test_an_echo_ends_with_its_line_whoever_left_it_open(url: str) -> None:
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    with echo_line(url) as line:
        link = line.open(115200)
        given_back(link, b"x")
    link.close()
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_any_other_url_is_a_port_that_has_a_baud_rate() -> None:
    with echo_line("/dev/nothing") as line:
        assert (line.kind, line.has_baud) == (EchoKind.PORT, True)
        with pytest.raises(LinkError, match="/dev/nothing: cannot be opened"):
            line.open(9600)
