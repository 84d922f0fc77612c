"""Programs of this machine that build and flash: where they are, and running them. Layer: device; imports errors.

A door to subprocess beside those that start boards: these programs talk to the user, who watches them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_edge.errors import DeviceError

_VERSION_TIMEOUT_S = 20.0
_STDERR = 2  # the file descriptor


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that this project can use."""

    id: str
    programs: tuple[str, ...]  # names it goes by, the best first
    purpose: str
    mend: str  # the command, or the page, that brings it
    version_args: tuple[str, ...] = ("--version",)


def _apt(packages: str) -> str:
    return f"sudo apt-get install --no-install-recommends {packages}"


TOOLS = {
    tool.id: tool
    for tool in (
        Tool("cc", ("cc", "gcc", "clang"), "virtual boards", _apt("gcc libc6-dev")),
        Tool("make", ("make",), "the project's own targets", _apt("make")),
        Tool(
            "arm-none-eabi-gcc",
            ("arm-none-eabi-gcc",),
            "emulated boards, code sizes",
            _apt("gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ),
        Tool("qemu-system-arm", ("qemu-system-arm",), "emulated boards", _apt("qemu-system-arm")),
        Tool(
            "riscv64-unknown-elf-gcc",
            ("riscv64-unknown-elf-gcc",),
            "the emulated RISC-V board",
            _apt("gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"),
        ),
        Tool("qemu-system-riscv32", ("qemu-system-riscv32",), "the emulated RISC-V board", _apt("qemu-system-misc")),
        Tool(
            "avr-gcc",
            ("avr-gcc",),
            "simavr:mega2560, an emulated Arduino",
            _apt("gcc-avr avr-libc arduino-core-avr libsimavr-dev libelf-dev"),
        ),
        Tool(
            "arduino-cli",
            ("arduino-cli",),
            "building and flashing sketches",
            "https://docs.arduino.cc/arduino-cli/installation, then: arduino-cli core install",
            ("version",),
        ),
        Tool("platformio", ("pio", "platformio"), "building and flashing", "pip install platformio"),
        Tool(
            "esp-idf",
            ("idf.py",),
            "building and flashing ESP32 boards",
            "https://docs.espressif.com/projects/esp-idf, then: . $IDF_PATH/export.sh",
        ),
        Tool(
            "esptool", ("esptool", "esptool.py"), "flashing an image to an ESP32", "pip install esptool", ("version",)
        ),
        Tool(
            "picotool",
            ("picotool",),
            "flashing an image to a Pico",
            "https://github.com/raspberrypi/pico-sdk-tools/releases",
            ("version",),
        ),
        Tool("openocd", ("openocd",), "flashing an image to a Nucleo", _apt("openocd")),
        Tool(
            "teensy_loader_cli",
            ("teensy_loader_cli",),
            "flashing an image to a Teensy",
            _apt("teensy-loader-cli"),
            (),
        ),
        Tool("bossac", ("bossac",), "flashing an image to a Nano 33 BLE", _apt("bossa-cli"), ("--help",)),
        Tool("avrdude", ("avrdude",), "flashing an image to a Mega 2560", _apt("avrdude"), ("-?",)),
    )
}


def find(tool_id: str) -> str | None:
    """The path of a tool's program; None: not here."""
    return next((found for name in TOOLS[tool_id].programs if (found := shutil.which(name))), None)


def version(tool_id: str) -> str | None:
    """The first line that a tool says of its version; None where it is not here; "" where it says nothing of use."""
    program, arguments = find(tool_id), TOOLS[tool_id].version_args
    if program is None:
        return None
    if not arguments:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")


def compiles(tool_id: str, arguments: Sequence[str] = ()) -> bool:
    """Whether a C compiler finds the C library's headers: some packages bring the compiler alone."""
    program = find(tool_id)
    if program is None:
        return False
    command = [program, *arguments, "-x", "c", "-E", "-"]
    source = "#include <stdint.h>\n#include <stdio.h>\n"
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False).returncode == 0


def run(command: Sequence[str]) -> None:
    """Run a command while the user watches; what it says goes to stderr, since stdout is for answers.

    Raises:
        DeviceError: it is not here, or it fails; names it and its exit code.
    """
    name = Path(command[0]).name
    try:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False).returncode
    except OSError as error:
        raise DeviceError(f"{command[0]}: cannot be run ({error.strerror})") from error
    if status != 0:
        raise DeviceError(f"{name} failed with exit code {status}; what it said is above")
