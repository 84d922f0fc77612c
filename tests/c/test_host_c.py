"""The host board: the core as a process on a pty, with the sanitizers, and as a library with an engine in Python."""

from __future__ import annotations

import os
import select
import shutil
import signal as signals
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from core_bench import CORE, credit, error, kinds, results, signal, verdicts
from toolchain import SOURCES, compiler
from toy import TOYS, expected_verdicts, toy_image

from ecg_edge.device.frame import Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.messages import ErrorCode, Hello, Index, Mode, Samples, Start, Stats
from ecg_edge.signal.prepare import State

HOST = Path(__file__).parents[2] / "firmware" / "host"
PATIENCE_S = 10.0  # for a process on a busy machine; nothing here waits that long when it works

SERVE = """
import ctypes, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from toy import toy_scores
library = ctypes.CDLL(sys.argv[1])
Engine = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int8), ctypes.POINTER(ctypes.c_int8))
def engine(window, scores):
    for at, score in enumerate(toy_scores(np.ctypeslib.as_array(window, (64, 1)))):
        scores[at] = score
    return 0
library.ecg_host_serve.argtypes = [Engine, ctypes.c_uint8, ctypes.c_uint8, ctypes.c_char_p, ctypes.c_uint32]
sys.exit(library.ecg_host_serve(Engine(engine), 0, 1, b"python", 4321))
"""


@dataclass
class Board:
    """A host board and a client's end of its pty."""

    process: subprocess.Popen[bytes]
    fd: int
    reader: FrameReader = field(default_factory=FrameReader)
    boot: int = 0

    def read(self, wanted: int) -> list[Frame]:
        """The next `wanted` frames, or as many as came in time."""
        frames: list[Frame] = []
        end = time.monotonic() + PATIENCE_S
        while len(frames) < wanted and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                data = os.read(self.fd, 65536)
                assert data, f"the board hung up: {self.process.poll()}"
                frames += self.reader.feed(data)
        return frames

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def ask(self, kind: int, payload: bytes = b"", *, flags: int = 0, wanted: int = 1) -> list[Frame]:
        self.write(encode_frame(Frame(kind, payload, flags, self.boot)))
        return self.read(wanted)

    def hello(self) -> list[Hello]:
        """What it says when it boots."""
        frames = self.read(3)
        assert kinds(frames) == ["HELLO"] * 3
        self.boot = frames[0].boot
        return [Hello.unpack(f.payload) for f in frames]

    def classify(self, model: int, first: int = 0) -> list[Frame]:
        samples = signal(64, TOYS[model].leads)
        self.ask(FrameType.START, Start(model, Mode.WINDOW, first).pack())
        for at in range(0, 64, 32):
            self.ask(FrameType.SAMPLES, Samples(first + at, samples[at : at + 32].reshape(-1)).pack())
        return self.ask(FrameType.END, Index(first + 64).pack(), wanted=2)

    def stop(self) -> int:
        """The end of stdin, as when the parent dies -> exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)


def start_board(command: list[str]) -> Board:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    word, name = process.stdout.readline().decode().split()
    assert word == "pty"
    return Board(process, os.open(name, os.O_RDWR | os.O_NOCTTY))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with ecg_host and libecg_host.so of the toy image, built by the Makefile that users have."""
    compiler()
    folder = tmp_path_factory.mktemp("host")
    for source in (*CORE, *SOURCES.glob("*.h")):
        shutil.copy(source, folder)
    toy_image(folder)  # its headers instead of the shipped image's
    command = ["make", "-s", "-C", str(HOST), f"SRC={folder}", f"OUT={folder}"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def board(built: Path) -> Iterator[Board]:
    """A running board; its sanitizers must have found nothing by the end."""
    board = start_board([str(built / "ecg_host")])
    yield board
    os.close(board.fd)
    board.process.kill()
    assert board.process.stderr is not None
    assert board.process.stderr.read().decode() == ""


def test_a_host_board_classifies_windows_of_every_model(board: Board) -> None:
    assert [h.name for h in board.hello()] == [toy.name for toy in TOYS]
    for model, toy in enumerate(TOYS):
        frames = board.classify(model, first=64 * model)
        assert kinds(frames) == ["RESULT", "CREDIT"]
        assert verdicts(frames, 64 * model) == expected_verdicts(toy, signal(64, toy.leads))
    assert board.stop() == 0


def test_the_line_is_raw_and_does_not_echo(board: Board) -> None:
    iflag, oflag, _, lflag, *_ = termios.tcgetattr(board.fd)
    assert (iflag, oflag, lflag) == (0, 0, 0)
    board.hello()
    every_byte = bytes(range(1, 256))
    board.write(every_byte + b"\0")
    stats = Stats.unpack(board.ask(FrameType.STATS)[0].payload)
    assert stats.bytes_in == 256 + len(encode_frame(Frame(FrameType.STATS, b"", 0, board.boot)))


def test_a_client_may_leave_and_another_come(board: Board) -> None:
    board.hello()
    name = os.ttyname(board.fd)
    os.close(board.fd)
    time.sleep(0.05)
    board.fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    assert kinds(board.ask(FrameType.HELLO, wanted=3)) == ["HELLO"] * 3


@pytest.mark.parametrize("number", [signals.SIGTERM, signals.SIGINT, signals.SIGHUP])
def test_a_host_board_ends_on_a_signal(board: Board, number: signals.Signals) -> None:
    board.hello()
    board.process.send_signal(number)
    assert board.process.wait(PATIENCE_S) == 0


def test_a_host_board_ends_when_its_parent_is_killed(built: Path) -> None:
    # The process in between is the parent that dies; the board's stdin ends with it.
    run_it = f"subprocess.Popen([{str(built / 'ecg_host')!r}], stdin=subprocess.PIPE)"
    script = f"import subprocess, time; board = {run_it}; time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline().startswith(b"pty ")
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == b""  # its end: the board, which shares it, is gone too


def test_the_reset_button_boots_anew_and_refuses_what_came_before(board: Board) -> None:
    board.hello()
    before = board.boot
    board.ask(FrameType.START, Start(0, Mode.STREAM, 0).pack())
    board.process.send_signal(signals.SIGUSR1)
    frames = board.read(3)
    assert kinds(frames) == ["HELLO"] * 3
    assert frames[0].boot not in (0, before)
    assert frames[0].seq == 0
    late = board.ask(FrameType.SAMPLES, Samples(0, signal(4)[:, 0]).pack())
    assert error(late) == (ErrorCode.STALE_BOOT, before)


def test_a_reset_may_be_planned_after_a_number_of_bytes(built: Path) -> None:
    board = start_board([str(built / "ecg_host"), "--boot", "77", "--credit", "50", "--reset-after", "40"])
    hellos = board.hello()
    assert (board.boot, hellos[0].credit_samples, hellos[1].credit_samples) == (77, 50, 25)
    assert kinds(board.ask(FrameType.START, Start(0, Mode.STREAM, 0).pack())) == ["CREDIT"]
    board.write(encode_frame(Frame(FrameType.SAMPLES, Samples(0, signal(30)[:, 0]).pack(), 0, 77)))
    frames = board.read(3)
    assert kinds(frames) == ["HELLO"] * 3
    assert frames[0].boot != 77
    assert board.stop() == 0
    os.close(board.fd)


def test_noise_faster_than_anybody_reads_does_not_stop_a_host_board(board: Board) -> None:
    board.hello()
    request = encode_frame(Frame(FrameType.HELLO))
    for _ in range(60):  # 60 * 3 answers of 150 bytes that nobody reads: more than a pty holds
        board.write(request)
    while select.select([board.fd], [], [], 1.5)[0]:  # longer than the board's own patience with us
        os.read(board.fd, 65536)
    board.reader = FrameReader()
    assert kinds(board.ask(FrameType.HELLO, wanted=3))[-3:] == ["HELLO"] * 3


def test_100_kilobytes_of_noise_over_the_line_leave_it_usable(board: Board) -> None:
    board.hello()
    noise = np.random.default_rng(2).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    for at in range(0, len(noise), 2000):
        board.write(noise[at : at + 2000])
    board.write(b"\0")
    assert verdicts(board.classify(0)) == expected_verdicts(TOYS[0], signal(64))


def test_flags_reach_the_verdict(board: Board) -> None:
    board.hello()
    board.ask(FrameType.START, Start(0, Mode.WINDOW, 0).pack())
    board.ask(FrameType.SAMPLES, Samples(0, signal(64)[:, 0]).pack(), flags=2)
    frames = board.ask(FrameType.END, Index(64).pack(), wanted=2)
    assert (results(frames)[0].state, results(frames)[0].verdict) == (State.LEAD_OFF, 255)
    assert credit(frames).next_index == 64


@pytest.mark.parametrize(
    "arguments", [["--boot"], ["--boot", "x"], ["--boot", "65536"], ["--nonsense", "1"], ["--credit", "-1"]]
)
def test_wrong_arguments_are_one_line_and_exit_code_2(built: Path, arguments: list[str]) -> None:
    run = subprocess.run(
        [built / "ecg_host", *arguments], input=b"", capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1


def test_an_engine_in_python_serves_behind_the_same_core(built: Path, tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    board = start_board(
        [sys.executable, str(script), str(built / "libecg_host.so"), str(Path(__file__).parents[1] / "helpers")]
    )
    (frame,) = board.read(1)
    hello = Hello.unpack(frame.payload)
    assert (hello.name, hello.engine, hello.engine_version, hello.arena_used) == ("stream", 1, "python", 4321)
    assert hello.board == "a toy board"
    assert (hello.model_count, hello.streams, hello.selftest) == (1, False, 1)
    board.boot = frame.boot
    frames = board.classify(0)
    assert verdicts(frames) == expected_verdicts(TOYS[0], signal(64))
    assert board.stop() == 0
    os.close(board.fd)
