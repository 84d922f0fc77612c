"""The engine alone, and the firmware by files, on every emulated core: the same bits, and counts to be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from board_rungs import need_emulator
from m4 import board_cache, need_tools
from numpy.typing import NDArray

from ecg_edge.bench.board import open_board
from ecg_edge.bundle import Bundle
from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.target import find_target
from ecg_edge.device.elf import read_image
from ecg_edge.device.enginerun import EngineBoard
from ecg_edge.device.filerun import FileBoard
from ecg_edge.device.images import EngineFolder, build_engine
from ecg_edge.device.machines import CORES, find_core, find_machine
from ecg_edge.errors import DeviceError
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare, prepare
from ecg_edge.signal.synth import balanced_labels, collect, synthesize

pytestmark = pytest.mark.emulator

MODEL = Path(__file__).parents[1] / "golden" / "models" / "flat.tflite"
WINDOW, LEADS, CLASSES, HOP = 48, 2, 5, 16
OPTIMIZE = ("-O2",)


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return board_cache(request)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EngineFolder:
    folder = tmp_path_factory.mktemp("engine") / "flat"
    export_bare(MODEL, folder, target=find_target("portable", "size"), hop=HOP)
    return EngineFolder(folder, "flat", WINDOW * LEADS, CLASSES)


@pytest.fixture(scope="module")
def inputs() -> NDArray[np.int8]:
    return np.random.default_rng(3).integers(-128, 128, (12, WINDOW, LEADS)).astype(np.int8)


@pytest.mark.parametrize("core", CORES)
def test_an_engine_gives_the_golden_scores(
    core: str, engine: EngineFolder, inputs: NDArray[np.int8], cache: Path
) -> None:
    need_emulator(find_core(core))
    found = EngineBoard(find_core(core), engine, optimize=OPTIMIZE, cache=cache).run(inputs)
    assert found.scores.tolist() == interpret.run(read_graph(MODEL.read_bytes(), name="flat"), inputs).tolist()


@pytest.mark.parametrize("core", CORES)
def test_pushing_columns_gives_what_whole_windows_give(
    core: str, engine: EngineFolder, inputs: NDArray[np.int8], cache: Path
) -> None:
    need_emulator(find_core(core))
    board = EngineBoard(find_core(core), engine, optimize=OPTIMIZE, cache=cache)
    stream = inputs.reshape(-1, LEADS)
    verdicts = 1 + (len(stream) - WINDOW) // HOP
    windows = np.stack([stream[HOP * i : HOP * i + WINDOW] for i in range(verdicts)])
    pushed, run = board.push(stream, verdicts=verdicts), board.run(windows)
    assert pushed.scores.tolist() == run.scores.tolist()
    assert pushed.mean(1) < run.mean()


def test_instructions_and_stack_are_counted_alike_every_time(
    engine: EngineFolder, inputs: NDArray[np.int8], cache: Path
) -> None:
    board = EngineBoard(find_core("cortex-m4"), engine, optimize=OPTIMIZE, cache=cache)
    first, second = board.run(inputs), board.run(inputs)
    assert first.instructions.tolist() == second.instructions.tolist()
    assert 0 < first.stack_bytes == second.stack_bytes < 512
    assert 0 < first.scratch_bytes < 2048


def test_an_input_twice_costs_the_same_to_a_tick(engine: EngineFolder, inputs: NDArray[np.int8], cache: Path) -> None:
    board = EngineBoard(find_core("cortex-m4"), engine, optimize=OPTIMIZE, cache=cache)
    counts = board.run(np.repeat(inputs[:1], 40, axis=0)).instructions
    assert np.ptp(counts) <= 40
    assert counts.min() > 1000


def test_flash_is_what_the_engine_adds_to_the_harness(engine: EngineFolder, cache: Path) -> None:
    board = EngineBoard(find_core("cortex-m4"), engine, optimize=OPTIMIZE, cache=cache)
    harness = read_image(
        build_engine(find_core("cortex-m4"), engine, optimize=OPTIMIZE, harness_only=True, cache=cache)
    )
    whole = read_image(board.image)
    assert board.size.flash_bytes == whole.flash_bytes - harness.flash_bytes
    ours = [symbol for symbol in whole.symbols if symbol not in harness.symbols]
    assert {"ecg_model_flat"} <= {symbol.name for symbol in whole.symbols} - {s.name for s in harness.symbols}
    assert 0 < sum(symbol.size for symbol in ours if symbol.function) < whole.flash_bytes
    assert 1000 < board.size.flash_bytes < 20_000
    assert harness.flash_bytes < 4000
    assert board.size.ram_bytes == 0


@pytest.mark.parametrize("core", [name for name in CORES if name != "cortex-m4"])
def test_the_firmware_answers_files_with_the_golden_scores(core: str, tmp_path: Path, cache: Path) -> None:
    bundle, url = Bundle.load("ecg5"), find_core(core)
    need_emulator(url)
    export(bundle, tmp_path / "firmware", board=find_machine(url).board)
    board = FileBoard(url, tmp_path / "firmware", bundle.manifest, cache=cache)
    windows = collect(synthesize(balanced_labels(1), seed=5)).samples_uv
    columns = prepare(windows, Prepare.from_manifest(bundle.manifest.prepare))[..., None]
    reply = board.windows(windows[..., None])
    assert reply.selftest_failed == 0
    assert reply.scores.tolist() == interpret.run(read_graph(bundle.model, name="ecg5"), columns).tolist()


def test_an_input_cut_short_is_one_line(engine: EngineFolder, inputs: NDArray[np.int8], cache: Path) -> None:
    board = EngineBoard(find_core("cortex-m4"), engine, optimize=OPTIMIZE, cache=cache)
    with pytest.raises(DeviceError, match=r"flat\.elf ended with status 13"):
        board.push(inputs[0], verdicts=2)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + bytes(20), b"\x7fELF\x01\x01" + bytes(100)):
        (tmp_path / "x.elf").write_bytes(content)
        with pytest.raises(DeviceError, match=r"x\.elf is no 32-bit little-endian ELF image"):
            read_image(tmp_path / "x.elf")


def test_a_core_that_nothing_emulates_is_named_with_those_there_are() -> None:
    need_tools()
    with pytest.raises(DeviceError, match="no emulated board qemu:z80; there are: qemu:mps2-an386, qemu:mps2-an500"):
        find_core("z80")


def test_a_cortex_m7_answers_over_its_uart_too() -> None:
    need_tools()
    bundle = Bundle.load("ecg5")
    windows = collect(synthesize(balanced_labels(1), seed=6)).samples_uv[:2, :, None]
    columns = prepare(windows[..., 0], Prepare.from_manifest(bundle.manifest.prepare))[..., None]
    with open_board("qemu:cortex-m7", bundle) as device:
        assert device.require(bundle.model_sha256).board == "mps2-an500"
        answers = device.classify_many(windows)
    expected = interpret.run(read_graph(bundle.model, name="ecg5"), columns)
    assert [answer.scores.tolist() for answer in answers] == expected.tolist()
