"""Link images for emulated boards: the files of firmware/qemu with an exported folder. Layer: device.

An image of the whole firmware talks over a UART (wire_main.c) or by files (file_main.c, `device/filerun.py`). An image
of one model's engine alone answers files (engine_main.c, `device/enginerun.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_edge.bundle import package_data
from ecg_edge.device import toolchain
from ecg_edge.device.build import build, library_folder
from ecg_edge.device.machines import Machine, find_machine
from ecg_edge.errors import DeviceError

_C = ("-std=c99", "-g", "-ffunction-sections", "-fdata-sections", "-DECG_ENGINE=2")
_OPTIMIZE = "-O2"  # of the board's own files and of the core
_LINK = ("-nostartfiles", "-Wl,--gc-sections")
_ENGINE_MAINS = ("semihost.c", "engine_main.c")


@dataclass(frozen=True, slots=True)
class EngineFolder:
    """A folder that `ecg-edge export --tflite` wrote, and what engine_main.c must know of its model."""

    folder: Path
    name: str
    input_bytes: int  # of all inputs together
    classes: int

    @property
    def symbol(self) -> str:
        """The descriptor's name."""
        return f"ecg_model_{self.name}"

    @property
    def defines(self) -> tuple[str, ...]:
        """What engine_main.c is told by -D."""
        return (
            f'-DENGINE_HEADER="{self.symbol}.h"',
            f"-DENGINE_MODEL={self.symbol}",
            f"-DENGINE_SCRATCH_BYTES={self.symbol.upper()}_SCRATCH_BYTES",
            f"-DENGINE_INPUT_BYTES={self.input_bytes}",
            f"-DENGINE_CLASSES={self.classes}",
        )


def build_image(
    url: str, firmware: Path, mains: Sequence[str], *, defines: Sequence[str] = (), cache: Path | None = None
) -> Path:
    """The exported folder and `mains` of firmware/qemu, linked for the board.

    Raises:
        DeviceError: a tool is missing, no such folder, or it does not compile.
    """
    machine, own = find_machine(url), _own()
    library = library_folder(firmware)
    sources = [*sorted(library.glob("*.c")), *_board_sources(machine, mains)]
    files = [*sources, *sorted(library.glob("*.h")), *_parts(machine)]
    flags = (*_common(machine), _OPTIMIZE, *machine.defines, *defines, *_LINK)
    step = [*flags, f"-I{library}", f"-I{own}", *map(str, sources), *_script(machine)]
    return _build(url, f"{Path(mains[-1]).stem}.elf", files, [step], flags=flags, cache=cache)


def build_wire(url: str, firmware: Path, *, cache: Path | None = None) -> Path:
    """The image of the exported folder that talks over the board's UART.

    Raises:
        DeviceError: as of `build_image`.
    """
    return build_image(url, firmware, find_machine(url).wire_mains, cache=cache)


def build_engine(
    url: str, engine: EngineFolder, *, optimize: Sequence[str], harness_only: bool = False, cache: Path | None = None
) -> Path:
    """The image that runs one model's engine over files.

    Args:
        url: of an emulated board.
        engine: what to run.
        optimize: the compiler's options for the engine's files; the harness has its own, always the same.
        harness_only: leave the engine out. That image does not run: its sizes come off those of the whole.
        cache: where to keep builds; the user's cache folder by default.

    Raises:
        DeviceError: a tool is missing, or it does not compile.
    """
    machine, own = find_machine(url), _own()
    folder = engine.folder.resolve()
    sources, mains = sorted(folder.glob("*.c")), _board_sources(machine, _ENGINE_MAINS)
    common = (*_common(machine), f"-I{folder}")
    link = [*common, _OPTIMIZE, *machine.defines, *engine.defines, *_LINK, f"-I{own}", *map(str, mains)]
    link += _script(machine)
    if harness_only:
        steps, flags = [[*link, f"-Wl,--defsym={engine.symbol}=0"]], link
    else:
        first = [*common, *optimize, "-c", *map(str, sources)]
        steps, flags = [first, [*link, *(f"{source.stem}.o" for source in sources)]], [*first, *link]
    files = [*sources, *sorted(folder.glob("*.h")), *mains, *_parts(machine)]
    # Where the files lie makes no difference to what comes out.
    told = [flag for flag in flags if str(folder) not in flag and str(own) not in flag]
    return _build(url, f"{engine.name}.elf", files, steps, flags=told, cache=cache)


def _own() -> Path:
    return (package_data("firmware") / "qemu").resolve()


def _common(machine: Machine) -> tuple[str, ...]:
    """The compiler's options for every file of an image."""
    return (*machine.options, machine.tools.library, *_C)


def _board_sources(machine: Machine, mains: Sequence[str]) -> list[Path]:
    return [_own() / name for name in (*machine.tools.sources, "memory.c", *mains)]


def _parts(machine: Machine) -> list[Path]:
    """What the board's own sources include and are linked by."""
    return [*sorted(_own().glob("*.h")), _own() / "sections.ld", _own() / machine.script]


def _script(machine: Machine) -> list[str]:
    return [f"-L{_own()}", "-T", str(_own() / machine.script)]


def _build(
    url: str,
    name: str,
    files: Sequence[Path],
    steps: Sequence[Sequence[str]],
    *,
    flags: Sequence[str],
    cache: Path | None,
) -> Path:
    tools = find_machine(url).tools
    compiler = shutil.which(tools.compiler)
    if compiler is None:
        raise DeviceError(f"{url} needs {tools.compiler}, and there is none: {tools.apt}")
    try:
        return build(name, compiler, files, steps, flags=flags, cache=cache)
    except DeviceError as error:
        if toolchain.compiles(tools.compiler, (tools.library,)):
            raise
        raise DeviceError(f"{url} needs the C library of {tools.compiler}, and there is none: {tools.apt}") from error
