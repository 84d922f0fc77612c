"""An exported image compiles for the cores of the boards, and the ESP-IDF example against the IDF functions it uses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from board_rungs import golden_bundle, missing
from toolchain import WARNINGS, compiler

from ecg_edge.device.boards import boards
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare

FAKE_IDF = Path(__file__).with_name("esp_idf")
ARM = ("arm-none-eabi-gcc", "--specs=nano.specs", "-mthumb", *WARNINGS, "-O2")
# core of boards.toml -> compiler and options. Xtensa has no compiler in Debian; RISC-V one of 1 GB.
COMPILERS = {
    "cortex-m0plus": (*ARM, "-mcpu=cortex-m0plus"),
    "cortex-m4f": (*ARM, "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "cortex-m7": (*ARM, "-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"),
    "cortex-m0": (*ARM, "-mcpu=cortex-m0"),
    "cortex-m3": (*ARM, "-mcpu=cortex-m3"),
    "cortex-m33": (*ARM, "-mcpu=cortex-m33"),
    "cortex-m55": (*ARM, "-mcpu=cortex-m55", "-mfloat-abi=hard"),
    "avr": ("avr-gcc", "-mmcu=atmega2560", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-Os"),
}


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder."""
    folder = tmp_path_factory.mktemp("projects")
    bundle = golden_bundle(folder, "separable", hop=16, prepare=Prepare(average_log2=4))
    export(bundle, folder / "firmware")
    return folder / "firmware"


def test_the_cores_of_all_arm_boards_are_compiled_for() -> None:
    cores = {board.core for board in boards().values() if board.core.startswith("cortex")}
    assert cores <= COMPILERS.keys()


@pytest.mark.parametrize("core", COMPILERS)
def test_an_image_compiles_for_a_boards_core(core: str, firmware: Path, tmp_path: Path) -> None:
    program, *options = COMPILERS[core]
    if shutil.which(program) is None:
        missing(f"no {program}: images are not compiled for {core}")
    source = firmware / "EcgEdge" / "src"
    command = [program, *options, "-c", f"-I{source}", *map(str, sorted(source.glob("*.c")))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_esp_idf_example_compiles_against_the_functions_that_it_uses(firmware: Path) -> None:
    main = firmware / "esp-idf" / "main" / "main.c"
    folders = [FAKE_IDF, firmware / "EcgEdge" / "src"]
    command = [compiler(), *WARNINGS, "-fsyntax-only", *(f"-I{folder}" for folder in folders), str(main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
