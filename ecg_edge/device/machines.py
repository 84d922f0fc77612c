"""The boards that QEMU emulates here: tools, processor, memory map, clock, UART. Layer: device; imports errors.

One table, EMULATED. A board goes by its id of boards.toml, `qemu:microbit`, or by its core, `qemu:cortex-m0`, which
means the first board of that core.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecg_edge.errors import DeviceError

_INSTRUCTIONS_PER_S = 1_000_000_000  # of the board's time, under -icount shift=0


@dataclass(frozen=True, slots=True)
class Architecture:
    """What builds and emulates a family of cores, and what their images share."""

    compiler: str
    emulator: str
    library: str  # the compiler's option for its C library
    packages: str  # of Debian, that bring all three
    sources: tuple[str, ...]  # in firmware/qemu: start-up, clock
    options: tuple[str, ...] = ()  # the emulator's, besides the machine

    @property
    def apt(self) -> str:
        """The command that brings the tools."""
        return f"sudo apt-get install --no-install-recommends {self.packages}"


ARM = Architecture(
    "arm-none-eabi-gcc",
    "qemu-system-arm",
    "--specs=nano.specs",
    "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
    ("startup_cortex_m.c", "clock_systick.c"),
)
RISCV = Architecture(
    "riscv64-unknown-elf-gcc",
    "qemu-system-riscv32",
    "--specs=picolibc.specs",
    "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc",
    ("startup_riscv.c", "clock_riscv.c"),
    ("-bios", "none", "-cpu", "rv32,a=off,f=off,d=off"),  # rv32imc, as an ESP32-C3 is: no more runs by accident
)
FAMILIES = (ARM, RISCV)


@dataclass(frozen=True, slots=True)
class Uart:
    """The UART that is the wire."""

    driver: str  # in firmware/qemu
    base: int  # address of its registers
    irq: int  # of what it received


@dataclass(frozen=True, slots=True)
class Machine:
    """A board as QEMU has it."""

    board: str  # its id, of boards.toml
    core: str  # as `ecg-edge export --core` has it
    options: tuple[str, ...]  # the compiler's
    script: str  # the linker's, in firmware/qemu
    uart: Uart
    clock_hz: int = 25_000_000  # of what `board_ticks` counts
    ram: int = 0x20000000  # where it begins
    tools: Architecture = ARM
    machine: str = ""  # QEMU's name for it; "": the board's

    @property
    def url(self) -> str:
        """Its name."""
        return f"qemu:{self.board}"

    @property
    def emulation(self) -> tuple[str, ...]:
        """The emulator's options that make it this machine."""
        return ("-machine", self.machine or self.board, *self.tools.options)

    @property
    def instructions_per_tick(self) -> float:
        """Of `board_ticks`, under -icount shift=0."""
        return _INSTRUCTIONS_PER_S / self.clock_hz

    @property
    def defines(self) -> tuple[str, ...]:
        """What board.h is told by -D."""
        return (
            f"-DBOARD_CLOCK_HZ={self.clock_hz}u",
            f"-DBOARD_RAM={self.ram:#x}u",
            f"-DBOARD_UART={self.uart.base:#x}u",
            f"-DBOARD_UART_IRQ={self.uart.irq}u",
        )

    @property
    def wire_mains(self) -> tuple[str, ...]:
        """Of the image that talks."""
        return (self.uart.driver, "wire_main.c")


_MPS2_UART = Uart("uart_cmsdk.c", 0x40004000, 0)

EMULATED = {
    machine.url: machine
    for machine in (
        Machine("mps2-an386", "cortex-m4", ("-mcpu=cortex-m4", "-mthumb"), "mps2.ld", _MPS2_UART),
        Machine("mps2-an500", "cortex-m7", ("-mcpu=cortex-m7", "-mthumb"), "mps2.ld", _MPS2_UART),
        Machine(
            "mps3-an547",
            "cortex-m55",
            ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
            "an547.ld",
            Uart("uart_cmsdk.c", 0x49303000, 43),  # receive, send and overrun in one: QEMU 8.0 swapped 33 and 34
            clock_hz=32_000_000,
            ram=0x30000000,
        ),
        Machine(
            "microbit",
            "cortex-m0",
            ("-mcpu=cortex-m0", "-mthumb"),
            "microbit.ld",
            Uart("uart_nrf51.c", 0x40002000, 2),
            clock_hz=16_000_000,
        ),
        Machine(
            "netduinoplus2",
            "cortex-m4",
            ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
            "stm32f405.ld",
            Uart("uart_stm32.c", 0x40011000, 37),  # USART1
            clock_hz=168_000_000,
        ),
        Machine(
            "riscv-virt",
            "rv32imc",
            ("-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2"),  # 2.2 counts CSR instructions to the base
            "virt.ld",
            Uart("uart_ns16550.c", 0x10000000, 10),
            clock_hz=_INSTRUCTIONS_PER_S,
            ram=0x80200000,
            tools=RISCV,
            machine="virt",
        ),
    )
}
_BY_CORE = {f"qemu:{machine.core}": machine for machine in reversed(EMULATED.values())}
CORES = tuple(dict.fromkeys(machine.core for machine in EMULATED.values()))


def find_machine(url: str) -> Machine:
    """The machine behind a URL, of a board or of a core.

    Raises:
        DeviceError: there is none; says which there are.
    """
    found = EMULATED.get(url) or _BY_CORE.get(url)
    if found is None:
        raise DeviceError(f"no emulated board {url}; there are: {', '.join(EMULATED)}")
    return found


def find_core(core: str) -> str:
    """The URL of a core's machine.

    Raises:
        DeviceError: no machine has that core; says which there are.
    """
    return find_machine(f"qemu:{core}").url
