"""The core on a bench for tests: a library of harness.c with toy models, driven frame by frame."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from toolchain import SOURCES
from toy import Verdict, toy_image

from ecg_edge.device.frame import Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.messages import Credit, ErrorCode, ErrorReport, Index, Mode, Result, Samples, Start, Stats

BOOT = 0x1234
CORE = tuple(
    SOURCES / f"ecg_{name}.c" for name in ("answer", "beats", "edge", "frame", "prepare", "qrs", "selftest", "stream")
)
WITH_BEATS = ("-DECG_WITH_BEATS=1",)  # the configuration beside the sources is that of the shipped image
HARNESS = Path(__file__).parent / "harness.c"


@dataclass
class Core:
    """A core on the bench: frames in, frames out."""

    library: ctypes.CDLL
    boot: int = BOOT
    reader: FrameReader = field(default_factory=FrameReader)
    out: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << 20, np.uint8))
    seq: int = 0

    def start_up(self, boot: int = BOOT) -> list[Frame]:
        """Boot -> the frames it sends unasked."""
        self.library.harness_output(self.out.ctypes.data, self.out.size)
        self.boot = boot
        self.status = self.library.harness_boot(boot)
        return self.taken()

    def taken(self) -> list[Frame]:
        frames = self.reader.feed(self.out[: self.library.harness_taken()].tobytes())
        assert self.reader.counters.damaged == 0
        return frames

    def receive(self, data: bytes) -> list[Frame]:
        self.library.ecg_edge_receive(self.library.harness_edge(), data, len(data))
        return self.taken()

    def ask(self, kind: int, payload: bytes = b"", *, flags: int = 0, boot: int | None = None) -> list[Frame]:
        self.seq = (self.seq + 1) & 0xFFFF
        frame = Frame(kind, payload, flags, self.boot if boot is None else boot, self.seq)
        return self.receive(encode_frame(frame))

    def start(self, model: int, mode: Mode, *, first: int = 0, skip: int = 0) -> list[Frame]:
        return self.ask(FrameType.START, Start(model, mode, first, skip).pack())

    def samples(self, index: int, samples_uv: NDArray[np.int16], *, flags: int = 0) -> list[Frame]:
        return self.ask(FrameType.SAMPLES, Samples(index, samples_uv.reshape(-1)).pack(), flags=flags)

    def end(self, index: int) -> list[Frame]:
        return self.ask(FrameType.END, Index(index).pack())

    def poll(self, last_index: int) -> list[Frame]:
        return self.ask(FrameType.POLL, Index(last_index).pack())

    def stats(self) -> Stats:
        (frame,) = self.ask(FrameType.STATS)
        return Stats.unpack(frame.payload)

    def send_all(self, samples_uv: NDArray[np.int16], *, first: int = 0, per_frame: int = 30) -> list[Frame]:
        """(n, leads) samples in frames -> everything answered."""
        answers = []
        for at in range(0, len(samples_uv), per_frame):
            answers += self.samples((first + at) & 0xFFFFFFFF, samples_uv[at : at + per_frame])
        return answers


@pytest.fixture(scope="session")
def core_library(build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("toy")
    return declared(build_library(toy_image(folder), HARNESS, *CORE, include=folder, options=WITH_BEATS))


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """A library with harness.c and the core in it, its functions' types told to ctypes."""
    library.harness_output.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.harness_clock.argtypes = [ctypes.c_uint32, ctypes.c_uint32]
    library.harness_taken.restype = library.harness_edge_bytes.restype = ctypes.c_size_t
    library.harness_edge.restype = library.harness_config.restype = ctypes.c_void_p
    library.ecg_edge_receive.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.ecg_edge_sample.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p]
    library.harness_samples.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    library.harness_samples.restype = ctypes.c_size_t
    library.ecg_edge_live.argtypes = [ctypes.c_void_p, ctypes.c_uint8]
    library.ecg_edge_lost.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.ecg_edge_log.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_char_p]
    return library


@pytest.fixture
def core(core_library: ctypes.CDLL) -> Iterator[Core]:
    """A core that has booted and said HELLO; whatever a test breaks is mended after it."""
    answers = (ctypes.c_int8 * 12).in_dll(core_library, "toy_answers")
    kept = bytes(answers)
    core_library.harness_clock(0, 0)
    core_library.harness_config()
    core = Core(core_library)
    core.start_up()
    yield core
    ctypes.memmove(answers, kept, len(kept))
    ctypes.c_int.in_dll(core_library, "toy_status").value = 0
    ctypes.c_uint32.in_dll(core_library, "toy_late").value = 0


def signal(n: int, leads: int = 1, seed: int = 0) -> NDArray[np.int16]:
    """(n, leads): lively, in range, nowhere flat."""
    rng = np.random.default_rng(seed)
    samples: NDArray[np.float64] = rng.normal(0, 400, (n, leads)) + 3000 * np.sin(np.arange(n) / 50)[:, None]
    return samples.astype(np.int16)


def kinds(frames: list[Frame]) -> list[str]:
    return [FrameType(f.type).name for f in frames]


def results(frames: list[Frame]) -> list[Result]:
    return [Result.unpack(f.payload) for f in frames if f.type == FrameType.RESULT]


def verdicts(frames: list[Frame], first: int = 0) -> list[Verdict]:
    """What RESULTs say, with indices as if the stream had begun at 0."""
    return [
        Verdict((r.last_index - first) & 0xFFFFFFFF, r.verdict, r.state, r.scores.tolist()) for r in results(frames)
    ]


def credit(frames: list[Frame]) -> Credit:
    assert frames[-1].type == FrameType.CREDIT
    return Credit.unpack(frames[-1].payload)


def error(frames: list[Frame]) -> tuple[ErrorCode, int]:
    """The one ERROR that is the whole answer: code and detail."""
    assert kinds(frames) == ["ERROR"]
    report = ErrorReport.unpack(frames[0].payload)
    return ErrorCode(report.code), report.detail
