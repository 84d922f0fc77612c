"""Each emulated board: its sources, its names, its memory, its stack, and what it says after a fault."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from board_rungs import need_emulator
from m4 import edit
from toolchain import WARNINGS

from ecg_edge.bundle import Bundle, package_data
from ecg_edge.device import Device, FrameReader, FrameType, Patience, encode_frame
from ecg_edge.device.boards import boards, find_board
from ecg_edge.device.elf import Image, read_image
from ecg_edge.device.frame import Frame
from ecg_edge.device.images import EngineFolder, build_wire
from ecg_edge.device.machines import CORES, EMULATED, Machine, find_core, find_machine
from ecg_edge.device.messages import Index
from ecg_edge.device.qemu import QemuLink, start_qemu
from ecg_edge.recipes.firmware import core_of, export

pytestmark = pytest.mark.emulator

OWN = package_data("firmware").resolve() / "qemu"
PATTERN = 0xA5  # of a stack that nobody used
MAINS = ("semihost.c", "engine_main.c", "file_main.c")
every_board = pytest.mark.parametrize("machine", EMULATED.values(), ids=EMULATED)


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return request.config.cache.mkdir("boards")


def sources(machine: Machine) -> list[Path]:
    """Every file of the board's images, firmware/EcgEdge left out."""
    return [OWN / name for name in (*machine.tools.sources, "memory.c", *MAINS, *machine.wire_mains)]


def ecg5_for(machine: Machine, folder: Path) -> Path:
    need_emulator(machine.url)
    export(Bundle.load("ecg5"), folder, board=machine.board)
    return folder


def test_every_source_is_of_some_board() -> None:
    assert {path for machine in EMULATED.values() for path in sources(machine)} == set(OWN.glob("*.c"))
    scripts = {"sections.ld", *(machine.script for machine in EMULATED.values())}
    assert scripts == {path.name for path in OWN.glob("*.ld")}


@pytest.mark.parametrize("optimize", ["-O0", "-O2", "-Os"])
@every_board
def test_every_source_compiles_without_a_warning(machine: Machine, optimize: str, tmp_path: Path) -> None:
    library = (ecg5_for(machine, tmp_path / "firmware") / "EcgEdge" / "src").resolve()
    engine = EngineFolder(library, "ecg5", input_bytes=1024, classes=5)
    files = [*map(str, sources(machine))]
    if optimize == "-O2" or machine is find_machine("qemu:cortex-m4"):  # as they are built; at every level for one
        files += map(str, sorted(library.glob("*.c")))
    flags = [*machine.options, machine.tools.library, *WARNINGS, optimize, *machine.defines, *engine.defines]
    command = [machine.tools.compiler, *flags, f"-I{OWN}", f"-I{library}", "-c", *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@every_board
def test_a_board_is_written_for_by_its_own_core(machine: Machine) -> None:
    assert core_of(machine.board) == machine.core
    assert find_board(machine.board).emulator == machine.url


def test_every_board_of_qemu_is_in_both_tables() -> None:
    assert {board.emulator for board in boards().values() if board.emulator.startswith("qemu:")} == set(EMULATED)


def test_a_board_answers_to_its_id_and_the_first_of_a_core_to_the_cores_name() -> None:
    for url, machine in EMULATED.items():
        assert find_machine(url) is machine
    named = {core: find_core(core) for core in CORES}
    assert named == {
        "cortex-m4": "qemu:mps2-an386",
        "cortex-m7": "qemu:mps2-an500",
        "cortex-m55": "qemu:mps3-an547",
        "cortex-m0": "qemu:microbit",
        "rv32imc": "qemu:riscv-virt",
    }
    assert all(find_machine(f"qemu:{core}") is EMULATED[url] for core, url in named.items())


def stack_used(link: QemuLink, image: Image) -> tuple[int, int]:
    """Bytes of the painted stack that were ever used, and that there are."""
    limit, top = image.labels["board_stack_limit"], image.labels["board_stack_top"]
    painted = link.memory(limit, top - limit)
    return len(painted.lstrip(bytes([PATTERN]))), len(painted)


@every_board
def test_the_image_fits_the_real_memory_and_never_comes_near_the_end_of_its_stack(
    machine: Machine, tmp_path: Path, cache: Path, figure: Callable[[str], None]
) -> None:
    """The wire's own image, after self-test, stream and windows; its stack read by the emulator's monitor."""
    firmware, board = ecg5_for(machine, tmp_path / "firmware"), find_board(machine.board)
    image = read_image(build_wire(machine.url, firmware, cache=cache))
    link = start_qemu(machine.url, firmware, cache=cache)
    try:
        device = Device(link, patience=Patience(repeat_s=3.0, give_up_s=60.0))
        samples = np.random.default_rng(0).integers(-900, 900, 2048).astype(np.int16)
        assert len(list(device.stream(samples))) == 5
        assert len(device.classify_many(samples.reshape(2, 1024))) == 2
        assert device.selftest().passed
        used, there = stack_used(link, image)
    finally:
        link.close()
    assert 200 < used < 0.75 * there
    assert image.flash_bytes <= board.flash_bytes
    end = image.labels["board_stack_top"] - machine.ram
    assert image.ram_bytes + there < end <= board.ram_bytes
    figure(
        f"{machine.url}, ecg5: {image.flash_bytes:,} of {board.flash_bytes:,} bytes of flash; "
        f"{image.ram_bytes:,} + {used:,} of stack of {board.ram_bytes:,} bytes of RAM"
    )


@every_board
def test_a_fault_resets_the_board_which_then_tells_where(machine: Machine, tmp_path: Path, cache: Path) -> None:
    firmware = ecg5_for(machine, tmp_path / "firmware")
    edit(
        firmware / "EcgEdge" / "src" / "ecg_edge.c",
        "case ECG_TYPE_POLL: on_poll(e, frame, payload); break;",
        "case ECG_TYPE_POLL: on_poll(e, frame, payload); __builtin_trap(); break;",
    )
    image = read_image(build_wire(machine.url, firmware, cache=cache))
    link, reader, frames = start_qemu(machine.url, firmware, boot=10, cache=cache), FrameReader(), list[Frame]()
    try:
        link.write(encode_frame(Frame(FrameType.POLL, Index(0).pack(), boot=10)))
        deadline_s = link.clock.now_s() + 30.0
        while FrameType.LOG not in {frame.type for frame in frames}:
            assert link.clock.now_s() < deadline_s, frames
            frames += reader.feed(link.read(1.0))
    finally:
        link.close()
    said = [(FrameType(frame.type).name, frame.boot) for frame in frames]
    assert said == [("HELLO", 10), ("ERROR", 10), ("CREDIT", 10), ("HELLO", 11), ("LOG", 11)]
    words = frames[-1].payload[1:].decode()
    assert words.startswith("fault at 0x")
    at = int(words.removeprefix("fault at ").partition(":")[0], 16)
    where = [symbol.name for symbol in image.functions() if symbol.start <= at < symbol.start + symbol.size]
    assert where in (["ecg_edge_receive"], ["on_frame"]), where  # inlined or not
