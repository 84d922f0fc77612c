"""A folder of `ecg-edge export --tflite` compiles as it is, by the compiler of the core it was written for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from board_rungs import missing, need_emulator
from toolchain import WARNINGS, compiler

from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.target import CORES, find_target
from ecg_edge.device.machines import ARM, find_core, find_machine

MODELS = Path(__file__).parents[1] / "golden" / "models"


AVR_WARNINGS = ["-std=gnu99", *(flag for flag in WARNINGS if flag not in ("-std=c99", "-pedantic"))]  # for __flash


def compiler_for(core: str) -> list[str]:
    """The command, and what makes it compile for the core without a warning."""
    if core == "avr":
        if shutil.which("avr-gcc") is None:
            missing("no avr-gcc: no folder written for AVR is compiled (sudo apt-get install gcc-avr avr-libc)")
        return ["avr-gcc", "-mmcu=atmega2560", *AVR_WARNINGS]
    if core == "rv32imc":
        need_emulator(find_core(core))
        machine = find_machine(find_core(core))
        return [machine.tools.compiler, *machine.options, machine.tools.library, *WARNINGS]
    if not core.startswith("cortex"):
        return [compiler(), *WARNINGS]
    if shutil.which(ARM.compiler) is None:
        missing(f"no {ARM.compiler}: no folder written for {core} is compiled")
    hard = ["-mfloat-abi=hard"] if core == "cortex-m55" else []
    return [ARM.compiler, f"-mcpu={core}", "-mthumb", *hard, *WARNINGS]


@pytest.mark.parametrize("opt", ["speed", "size"])
@pytest.mark.parametrize("core", CORES)
def test_every_file_compiles_without_a_warning(core: str, opt: str, tmp_path: Path) -> None:
    target = find_target(core, opt)
    for model in ("bench_a", "bench_b", "residual"):
        out = tmp_path / model
        export_bare(MODELS / f"{model}.tflite", out, target=target)
        command = [*compiler_for(core), "-O2", "-c", *sorted(map(str, out.glob("*.c")))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), model


@pytest.mark.parametrize("level", ["-Os", "-O1", "-O2", "-O3"])
def test_a_folder_for_avr_or_for_any_core_compiles_for_avr_however_it_is_optimized(level: str, tmp_path: Path) -> None:
    for core, opt in (("avr", "size"), ("avr", "speed"), ("portable", "size")):
        out = tmp_path / f"{core}-{opt}"
        export_bare(MODELS / "bench_b.tflite", out, target=find_target(core, opt))
        command = [*compiler_for("avr"), level, "-c", *sorted(map(str, out.glob("*.c")))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), core


def test_a_folder_for_any_core_compiles_with_nothing_but_the_standard(tmp_path: Path) -> None:
    export_bare(MODELS / "bench_a.tflite", tmp_path / "out", target=find_target("portable", "speed"))
    command = [compiler(), "-std=c99", "-O2", "-c", *sorted(map(str, (tmp_path / "out").glob("*.c")))]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).returncode == 0
