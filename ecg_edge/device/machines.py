"""The cores that QEMU emulates here: machine, compiler options, memory map, clock. Layer: device; imports errors."""

from __future__ import annotations

from dataclasses import dataclass

from ecg_edge.errors import DeviceError

EMULATOR = "qemu-system-arm"
COMPILER = "arm-none-eabi-gcc"
APT = "sudo apt-get install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
_INSTRUCTIONS_PER_S = 1_000_000_000  # of the board's time, under -icount shift=0


@dataclass(frozen=True, slots=True)
class Machine:
    """A core as QEMU has it."""

    board: str  # of boards.toml
    machine: str  # QEMU's name
    core: tuple[str, ...]  # the compiler's options
    script: str  # the linker's, in firmware/qemu
    clock_hz: int = 25_000_000  # of SysTick
    ram: int = 0x20000000  # where it begins
    uart: str = ""  # its driver in firmware/qemu; "": none, so that the board answers files only

    @property
    def name(self) -> str:
        """The core's, as `ecg-edge export --core` has it."""
        return self.core[0].removeprefix("-mcpu=")

    @property
    def instructions_per_tick(self) -> float:
        """Of SysTick, under -icount shift=0."""
        return _INSTRUCTIONS_PER_S / self.clock_hz

    @property
    def defines(self) -> tuple[str, ...]:
        """What board.h is told by -D."""
        return (f"-DBOARD_CLOCK_HZ={self.clock_hz}u", f"-DBOARD_RAM={self.ram:#x}u")


EMULATED = {
    f"qemu:{machine.name}": machine
    for machine in (
        Machine("mps2-an386", "mps2-an386", ("-mcpu=cortex-m4", "-mthumb"), "mps2.ld", uart="uart.c"),
        Machine("mps2-an500", "mps2-an500", ("-mcpu=cortex-m7", "-mthumb"), "mps2.ld", uart="uart.c"),
        Machine(
            "mps3-an547",
            "mps3-an547",
            ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
            "an547.ld",
            clock_hz=32_000_000,
            ram=0x30000000,
        ),
        Machine("microbit", "microbit", ("-mcpu=cortex-m0", "-mthumb"), "microbit.ld", clock_hz=16_000_000),
    )
}


def find_machine(url: str) -> Machine:
    """The machine behind a URL.

    Raises:
        DeviceError: there is none; says which there are.
    """
    found = EMULATED.get(url)
    if found is None:
        raise DeviceError(f"no emulated board {url}; there are: {', '.join(EMULATED)}")
    return found


def find_core(core: str) -> str:
    """The URL of a core's machine.

    Raises:
        DeviceError: no machine has that core; says which there are.
    """
    url = f"qemu:{core}"
    find_machine(url)
    return url
