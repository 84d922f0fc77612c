"""Whatever comes over the line, the core stays sane: it reads within bounds, and classifies the next window exactly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from core_bench import BOOT, CORE, HARNESS, WITH_BEATS, Core, kinds, signal, verdicts
from toolchain import SOURCES, WARNINGS, compiler
from toy import TOYS, expected_verdicts, toy_image

from ecg_edge.device.frame import Frame, FrameReader, FrameType, encode_frame
from ecg_edge.device.messages import Index, Mode, Result, Samples, Start

SEEDS = range(40)
FRAMES_PER_SEED = 150


def noise(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def window_request(first: int) -> bytes:
    """A whole window for toy 0, as one string of bytes with a zero before it."""
    samples = signal(64)[:, 0]
    frames = [Frame(FrameType.START, Start(0, Mode.WINDOW, first).pack(), 0, BOOT)]
    frames += [Frame(FrameType.SAMPLES, Samples(first, samples).pack(), 0, BOOT)]
    frames += [Frame(FrameType.END, Index(first + 64).pack(), 0, BOOT)]
    return b"\0" + b"".join(encode_frame(f) for f in frames)


def wild_session(seed: int) -> bytes:
    """Frames in no order, many nearly right, some damaged, with noise between them."""
    rng = np.random.default_rng(seed)
    stream = bytearray()
    index = int(rng.choice([0, 2**32 - 500, 2**31 - 300]))
    for _ in range(FRAMES_PER_SEED):
        kind = int(rng.choice([1, 2, 3, 3, 3, 3, 3, 3, 4, 7, 10, 11, int(rng.integers(0, 256))]))
        near = (index + int(rng.choice([0, 0, 0, 0, -30, -1, 1, 30, 2**31, -(2**31)]))) & 0xFFFFFFFF
        if kind == FrameType.START:
            index = near
            skip = int(rng.choice([0, 0, 1, 40, 2**32 - 1]))
            payload = Start(int(rng.integers(0, 4)), int(rng.integers(0, 3)), near, skip).pack()
        elif kind == FrameType.SAMPLES:
            values = rng.integers(-32768, 32768, 2 * int(rng.integers(1, 60))).astype(np.int16)
            index = (index + values.size) & 0xFFFFFFFF
            payload = Samples(near, values).pack()
        elif kind in (FrameType.END, FrameType.POLL):
            payload = Index(near).pack()
        else:
            payload = b""
        if rng.random() < 0.1:
            payload = noise(int(rng.integers(0, 257)), int(rng.integers(0, 2**31)))
        boot = BOOT if rng.random() < 0.95 else int(rng.integers(0, 65536))
        wire = bytearray(encode_frame(Frame(kind, payload, int(rng.integers(0, 256)), boot)))
        if rng.random() < 0.1:
            at = int(rng.integers(0, len(wire)))
            damage = rng.choice(["flip", "drop", "double"])
            if damage == "flip":
                wire[at] ^= 1 << int(rng.integers(0, 8))
            elif damage == "drop":
                del wire[at]
            else:
                wire.insert(at, wire[at])
        stream += wire
        if rng.random() < 0.05:
            stream += noise(int(rng.integers(1, 600)), int(rng.integers(0, 2**31)))
    return bytes(stream)


def assert_sane(core: Core, first: int) -> None:
    """After anything: a zero byte, and a window is classified as if nothing had been."""
    frames = core.receive(window_request(first))
    assert kinds(frames)[-4:] == ["CREDIT", "CREDIT", "RESULT", "CREDIT"]
    assert verdicts(frames[-2:], first) == expected_verdicts(TOYS[0], signal(64))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wild_session_leaves_the_core_sane(core: Core, seed: int) -> None:
    stream = wild_session(seed)
    rng = np.random.default_rng(seed)
    at = 0
    while at < len(stream):  # in any split
        size = int(rng.integers(1, 700))
        core.receive(stream[at : at + size])
        at += size
    assert_sane(core, 1000)


def test_100_kilobytes_of_noise_leave_the_core_sane(core: Core) -> None:
    answers = core.receive(noise(100_000, 11))
    assert answers == []  # none of it passes a 32-bit CRC
    assert_sane(core, 0)
    stats = core.stats()
    assert stats.bytes_in > 100_000
    assert stats.crc_errors + stats.cobs_errors + stats.length_errors > 300


def test_a_host_that_ignores_its_credit_is_answered_frame_by_frame(core: Core) -> None:
    samples = signal(3000)
    core.start(0, Mode.STREAM)
    wire = b"".join(
        encode_frame(Frame(FrameType.SAMPLES, Samples(at, samples[at : at + 100, 0]).pack(), 0, BOOT))
        for at in range(0, 3000, 100)
    )
    frames = core.receive(wire) + core.end(3000)
    assert verdicts(frames) == expected_verdicts(TOYS[0], samples)


@pytest.fixture(scope="session")
def asan_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bench as a program under AddressSanitizer: it answers stdin on stdout."""
    folder = tmp_path_factory.mktemp("asan")
    target = folder / "bench"
    sources = map(str, (toy_image(folder), HARNESS, *CORE))
    sanitize = (
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-DHARNESS_PROGRAM",
        *WITH_BEATS,
        "-O1",
        "-g",
    )
    command = [compiler(), *WARNINGS, *sanitize, f"-I{folder}", f"-I{SOURCES}", *sources, "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def test_the_address_sanitizer_finds_nothing(asan_program: Path) -> None:
    sessions = b"".join(wild_session(seed) for seed in range(100, 140))
    stream = sessions + noise(100_000, 12) + window_request(7000)
    run = subprocess.run([asan_program], input=stream, capture_output=True, check=False, timeout=120)
    assert run.stderr.decode() == ""
    assert run.returncode == 0
    answers = FrameReader().feed(run.stdout)
    last = [Result.unpack(f.payload) for f in answers if f.type == FrameType.RESULT][-1]
    assert (last.last_index, last.scores.tolist()) == (7063, expected_verdicts(TOYS[0], signal(64))[0].scores)
