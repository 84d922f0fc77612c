"""The Arduino sketches: compiled for every core's branch, run as processes, and talked to like boards.

tests/c/arduino stands for a core's headers. Debian's Arduino AVR core is a real one: with it the sketches are linked.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from beat_cost import made_up
from board_rungs import golden_bundle, missing
from numpy.typing import NDArray
from toolchain import WARNINGS, compiler

from ecg_edge.bench.beats import classify_beats
from ecg_edge.bundle import Bundle, package_data
from ecg_edge.device import Device, Patience, avr
from ecg_edge.device.build import Call
from ecg_edge.device.elf import Image, read_image
from ecg_edge.device.emulator import open_device
from ecg_edge.device.frame import Frame, FrameReader, FrameType, SampleFlag
from ecg_edge.device.link import Clock, SystemClock
from ecg_edge.device.messages import Beat, ErrorCode, ErrorReport, Result
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import FIR_250_HZ, Prepare

FAKE = Path(__file__).with_name("arduino")
SKETCHES = ("Replay", "SelfTest", "LiveAD8232")
CORES = {
    "esp32": ["-DESP32"],
    "mbed": ["-DARDUINO_ARCH_MBED", "-D__MBED__=1"],
    "rp2040": ["-DARDUINO_ARCH_RP2040"],
    "teensy": ["-DTEENSYDUINO=159"],
    "stm32": ["-DARDUINO_ARCH_STM32", "-DSERIAL_RX_BUFFER_SIZE=4096"],
    "another": [],
}
CPP_WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
BLOCK = 25  # samples, of LiveAD8232
NANOVOLTS_PER_COUNT = 732  # 3.3 V, 12 bits, gain 1100; the sketch has whole nanovolts
LEAD_OFF_PIN = 4  # of an ESP32


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    prepare = Prepare(4, FIR_250_HZ, 3, 10, -1, flat_samples=40, flat_uv=1)
    return golden_bundle(tmp_path_factory.mktemp("bundle"), "separable", hop=16, prepare=prepare)


@pytest.fixture(scope="module")
def firmware(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder."""
    folder = tmp_path_factory.mktemp("sketches") / "firmware"
    export(bundle, folder, board="esp32dev")
    return folder


@pytest.fixture(scope="module")
def build(firmware: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """(sketch, core) -> the program; every warning is an error."""
    return builder(firmware, tmp_path_factory.mktemp("objects"))


def builder(firmware: Path, folder: Path) -> Callable[[str, str], Path]:
    """The same for any exported folder; in an empty `folder`."""
    source = firmware / "EcgEdge" / "src"
    run_quietly([compiler(), *WARNINGS, "-O1", "-c", f"-I{source}", *map(str, sorted(source.glob("*.c")))], folder)
    objects = [str(path) for path in folder.glob("*.o")]

    def built(sketch: str, core: str) -> Path:
        program = folder / f"{sketch}-{core}"
        if not program.exists():
            command = [cpp(), "-std=gnu++17", *CPP_WARNINGS, *CORES[core], f"-I{FAKE}", f"-I{source}"]
            run_quietly([*command, *in_cpp(firmware, sketch), "-x", "none", *objects, "-o", str(program)], folder)
        return program

    return built


def in_cpp(firmware: Path, sketch: str) -> list[str]:
    """A sketch and the fake board as C++ sources."""
    return ["-x", "c++", str(firmware / "EcgEdge" / "examples" / sketch / f"{sketch}.ino"), str(FAKE / "board.cpp")]


def cpp() -> str:
    return tool("g++", "sudo apt-get install g++")


def tool(name: str, mend: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"no {name}: the Arduino sketches are not checked with it ({mend})")
    return str(found)


def run_quietly(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("sketch", "core", "engine"),
    [(sketch, core, "2") for sketch in SKETCHES for core in CORES] + [(sketch, "mbed", "1") for sketch in SKETCHES],
)
def test_a_sketch_is_clean_for_every_core_and_engine(sketch: str, core: str, engine: str, firmware: Path) -> None:
    flags = ["-std=gnu++17", *CPP_WARNINGS, *CORES[core], f"-DECG_ENGINE={engine}", "-fsyntax-only"]
    source = firmware / "EcgEdge" / "src"
    run_quietly([cpp(), *flags, f"-I{FAKE}", f"-I{source}", *in_cpp(firmware, sketch)[:3]], firmware)


@pytest.fixture(scope="module")
def mega(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model, exported for a Mega 2560."""
    for program in (avr.COMPILER, avr.ARCHIVER):
        tool(program, avr.APT)
    if not avr.CORE.is_dir():
        missing(f"no Arduino AVR core: {avr.APT}")
    folder = tmp_path_factory.mktemp("mega") / "firmware"
    export(Bundle.load("ecg5"), folder, board="mega2560")
    return folder


def linked(library: Path, firmware: Path, sketch: str, folder: Path) -> Image:
    """A sketch with a library's files, built as Arduino builds it; every warning is an error, the linker's too."""
    source = firmware / "EcgEdge" / "examples" / sketch / f"{sketch}.ino"
    steps = avr.sketch_steps(library, source, warnings=("-Wall", "-Wextra", "-Werror"))
    for step in steps:
        program, arguments = step if isinstance(step, Call) else (avr.COMPILER, step)
        run_quietly([program, *arguments, *(["-o", "sketch.elf"] if step is steps[-1] else [])], folder)
    return read_image(folder / "sketch.elf")


@pytest.mark.parametrize("sketch", SKETCHES)
def test_a_sketch_links_with_the_real_arduino_avr_core_and_fits_a_mega(sketch: str, mega: Path, tmp_path: Path) -> None:
    image = linked(mega / "EcgEdge" / "src", mega, sketch, tmp_path)
    avr.require_fit(image)
    tables = [symbol for symbol in image.symbols if symbol.name.startswith("conv2_weights")]
    assert len(tables) == 1
    assert tables[0].start < 0x800000, "in RAM"


def test_the_library_as_it_is_links_for_avr_too(mega: Path, tmp_path: Path) -> None:
    """The shipped library, which Arduino's library manager would bring, is written for any core."""
    avr.require_fit(linked(package_data("firmware") / "EcgEdge" / "src", mega, "Replay", tmp_path))


class PipeLink:
    """The line to a sketch that runs as a process."""

    def __init__(self, program: Path) -> None:
        self.name = program.name
        self.clock: Clock = SystemClock()
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], stdin=pipe, stdout=pipe, bufsize=0)

    def read(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, timeout_s))
        return os.read(self._process.stdout.fileno(), 65536) if ready else b""

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(10)


@pytest.fixture
def reference(firmware: Path, bundle: Bundle, tmp_path: Path) -> Iterator[Device]:
    """The same image as the host board."""
    with open_device("virtual:native", firmware, cache=tmp_path) as device:
        device.require(bundle.model_sha256)
        yield device


@pytest.mark.parametrize(("core", "credit"), [("esp32", 1024), ("mbed", 96), ("another", 16)])
def test_replay_answers_as_the_host_board_does(
    core: str, credit: int, build: Callable[[str, str], Path], bundle: Bundle, reference: Device
) -> None:
    windows = np.random.default_rng(7).integers(-3000, 3000, (40, bundle.manifest.window)).astype(np.int16)
    with Device(PipeLink(build("Replay", core)), patience=Patience(repeat_s=5.0, give_up_s=60.0)) as device:
        hello = device.require(bundle.model_sha256)
        assert (hello.board, hello.credit_samples) == ("esp32dev", credit)
        answers = device.classify_many(windows)
        assert device.counters.repeats == 0
    wanted = reference.classify_many(windows)
    assert [(a.scores.tolist(), a.state) for a in answers] == [(a.scores.tolist(), a.state) for a in wanted]


def test_the_self_test_sketch_prints_what_passed(build: Callable[[str, str], Path]) -> None:
    done = subprocess.run([build("SelfTest", "another")], input=b"", capture_output=True, check=False, timeout=60)
    lines = done.stdout.decode().splitlines()
    assert re.fullmatch(r"ecg-edge on esp32dev, engine native [\d.]+", lines[0])
    assert re.fullmatch(r"separable: \d+ bytes of scratch", lines[1])
    assert re.fullmatch(r"  vector 0: passed in \d+ us", lines[2])
    assert lines[-1] == "PASSED"


Live = tuple[list[Result], list[ErrorReport]]


def run_live(program: Path, commands: list[str], counts: NDArray[np.int16], folder: Path) -> Live:
    """The RESULTs and ERRORs among `live_frames`."""
    frames = live_frames(program, commands, counts, folder)
    results = [Result.unpack(frame.payload) for frame in frames if frame.type == FrameType.RESULT]
    errors = [ErrorReport.unpack(frame.payload) for frame in frames if frame.type == FrameType.ERROR]
    return results, errors


def live_frames(program: Path, commands: list[str], counts: NDArray[np.int16], folder: Path) -> list[Frame]:
    """What the live sketch sent while it read these counts and did these commands of board.cpp."""
    script = folder / "script"
    (folder / "counts").write_bytes(counts.tobytes())
    script.write_text("\n".join([f"counts {folder / 'counts'}", *commands]))
    done = subprocess.run([program, script], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return FrameReader().feed(done.stdout)


def test_the_live_sketch_gives_the_beats_of_its_electrodes(tmp_path: Path) -> None:
    bundle = Bundle.load("aami")
    export(bundle, tmp_path / "firmware", board="esp32dev")
    (tmp_path / "objects").mkdir()
    program = builder(tmp_path / "firmware", tmp_path / "objects")("LiveAD8232", "esp32")
    counts = (2048 + made_up()[: 160 * BLOCK] * (1000 / NANOVOLTS_PER_COUNT)).astype(np.int16)
    frames = live_frames(program, in_blocks(160), counts, tmp_path)
    beats = [Beat.unpack(frame.payload) for frame in frames if frame.type == FrameType.BEAT]
    wanted = classify_beats(bundle, microvolts(counts))
    assert len(beats) > 10
    assert [beat.at for beat in beats] == wanted.at[: len(beats)].tolist()
    assert [beat.scores.tolist() for beat in beats] == wanted.scores[: len(beats)].tolist()
    assert not any(frame.type in (FrameType.RESULT, FrameType.ERROR) for frame in frames)


def test_live_samples_are_microvolts_and_get_the_host_boards_verdicts(
    build: Callable[[str, str], Path], reference: Device, tmp_path: Path
) -> None:
    counts = random_counts(400)
    counts[[130, 131]] = (0, 4095)  # at the rails: clipped
    lead_off = slice(250, 275)  # one block
    commands = [*in_blocks(10), f"pin {LEAD_OFF_PIN} 1", *in_blocks(1), f"pin {LEAD_OFF_PIN} 0", *in_blocks(5)]
    results, errors = run_live(build("LiveAD8232", "esp32"), commands, counts, tmp_path)

    flags = np.zeros(len(counts), np.uint8)
    flags[[130, 131]] = SampleFlag.CLIPPED
    flags[lead_off] = SampleFlag.LEAD_OFF
    assert errors == []
    assert_equal_verdicts(results, reference, counts, flags)
    assert {result.state for result in results} == {0, 2, 3}


@pytest.mark.parametrize("core", ["esp32", "rp2040", "teensy", "stm32"])
def test_live_samples_that_find_no_room_are_counted_and_leave_a_gap(
    core: str, build: Callable[[str, str], Path], reference: Device, tmp_path: Path
) -> None:
    # Two blocks fill while loop() is away; 37 samples more find no room.
    commands = [*in_blocks(6), f"tick {2 * BLOCK + 37}", "loop 2", *in_blocks(8)]
    counts = random_counts(16 * BLOCK)  # a lost sample is not read at all
    results, errors = run_live(build("LiveAD8232", core), commands, counts, tmp_path)

    flags = np.zeros(len(counts), np.uint8)
    flags[8 * BLOCK] = SampleFlag.GAP
    assert [(error.code, error.detail) for error in errors] == [(ErrorCode.OVERRUN, 37)]
    assert_equal_verdicts(results, reference, counts, flags)
    assert {result.state for result in results} == {0, 4}


def test_the_live_timer_runs_at_the_models_rate(build: Callable[[str, str], Path], tmp_path: Path) -> None:
    (tmp_path / "script").write_text("period\n")
    for core in ("esp32", "rp2040", "teensy", "stm32"):
        command = [build("LiveAD8232", core), tmp_path / "script"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
        assert done.stderr == b"4000\n", core


def test_a_core_without_a_known_timer_samples_by_the_clock_and_counts_what_it_missed(
    build: Callable[[str, str], Path], reference: Device, tmp_path: Path
) -> None:
    counts = random_counts(300)
    in_time = ["tick 1", "loop 1"]
    commands = [*in_time * 110, "tick 9", "loop 1", *in_time * 189, "loop 3"]
    results, errors = run_live(build("LiveAD8232", "another"), commands, counts, tmp_path)

    flags = np.zeros(len(counts), np.uint8)
    flags[110] = SampleFlag.GAP
    assert [(error.code, error.detail) for error in errors] == [(ErrorCode.OVERRUN, 8)]
    assert_equal_verdicts(results, reference, counts, flags)


def random_counts(n: int) -> NDArray[np.int16]:
    """Noisy readings of the converter, away from its rails."""
    noise = np.random.default_rng(n).integers(-300, 301, n)
    counts: NDArray[np.int16] = (2048 + 1500 * np.sin(np.arange(n) / 9) + noise).astype(np.int16)
    return counts


def in_blocks(n: int) -> list[str]:
    """n blocks are sampled, each taken at once."""
    return [f"tick {BLOCK}", "loop 1"] * n


def microvolts(counts: NDArray[np.int16]) -> NDArray[np.int16]:
    """What the sketch makes of them."""
    samples_uv: NDArray[np.float64] = np.trunc((counts.astype(np.int64) - 2048) * NANOVOLTS_PER_COUNT / 1000)
    return samples_uv.astype(np.int16)


def assert_equal_verdicts(
    results: list[Result], reference: Device, counts: NDArray[np.int16], flags: NDArray[np.uint8]
) -> None:
    """Live verdicts are those of the host board on the same microvolts, as far as the live stream has come."""
    wanted = list(reference.stream(microvolts(counts), flags))
    delay = reference.model.delay
    wanted = [answer for answer in wanted if answer.last_index + delay < len(counts)]
    got = [(result.last_index, result.state, result.scores.tolist()) for result in results]
    assert len(got) > 10
    assert got == [(answer.last_index, answer.state, answer.scores.tolist()) for answer in wanted]
