"""Build sketches for the Arduino Mega 2560, as Arduino does it. Layer: device; imports errors, bundle.

The core is Debian's (arduino-core-avr); options are those of its platform.txt: -Os, link-time optimization, the core as
an archive of which the linker takes what it needs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ecg_edge.device.boards import find_board
from ecg_edge.device.build import Call, build, library_folder
from ecg_edge.device.elf import Image, read_image
from ecg_edge.errors import DeviceError

BOARD = "mega2560"
COMPILER, ARCHIVER = "avr-gcc", "avr-gcc-ar"
CORE = Path("/usr/share/arduino/hardware/arduino/avr")
APT = "sudo apt-get install --no-install-recommends gcc-avr avr-libc arduino-core-avr"
SKETCH = "Replay"
NEAR_FLASH_BYTES = 65536  # what 16-bit addresses of __flash reach; beyond, tables link and read wrong
_RAM_BEGIN = 0x800000  # where the linker has data addresses
_LTO = ("-flto", "-fno-fat-lto-objects")
_SECTIONS = ("-ffunction-sections", "-fdata-sections")
_C = ("-c", "-g", "-Os", "-std=gnu11", *_SECTIONS, *_LTO)
_CPP = ("-c", "-g", "-Os", "-std=gnu++11", "-fpermissive", "-fno-exceptions", *_SECTIONS, "-fno-threadsafe-statics")
_CPP_LTO = ("-Wno-error=narrowing", "-flto")
_ASSEMBLER = ("-c", "-g", "-x", "assembler-with-cpp", "-flto")
_LINK = ("-Os", "-g", "-flto", "-fuse-linker-plugin", "-Wl,--gc-sections")
_BOARD = (
    "-mmcu=atmega2560",
    "-DF_CPU=16000000L",
    "-DARDUINO=10819",
    "-DARDUINO_AVR_MEGA2560",
    "-DARDUINO_ARCH_AVR",
    "-DDECIMAL_DIG=__DECIMAL_DIG__",  # without it the core does not compile with gcc-avr 5.4
    "-DSERIAL_RX_BUFFER_SIZE=256",  # as in platformio.ini: room for three frames of samples
)


def build_sketch(firmware: Path, *, sketch: str = SKETCH, cache: Path | None = None) -> Path:
    """A sketch of an exported folder, linked for the Mega 2560.

    Args:
        firmware: the exported folder.
        sketch: a folder of EcgEdge/examples.
        cache: where to keep builds; the user's cache folder by default.

    Raises:
        DeviceError: a tool is missing, no such folder, it does not compile, or it does not fit the board.
    """
    for tool in (COMPILER, ARCHIVER):
        if shutil.which(tool) is None:
            raise DeviceError(f"an image for {BOARD} needs {tool}, and there is none: {APT}")
    if not CORE.is_dir():
        raise DeviceError(f"an image for {BOARD} needs the Arduino AVR core, and there is none: {APT}")
    library = library_folder(firmware)
    source = library.parent / "examples" / sketch / f"{sketch}.ino"
    flags = (*_BOARD, *_C, *_CPP, *_CPP_LTO, *_LINK)
    image = build(
        f"{sketch}.elf",
        str(shutil.which(COMPILER)),
        [*_core_files(), *sorted(library.glob("*.[ch]")), *sorted(library.glob("*.cpp")), source],
        sketch_steps(library, source),
        flags=flags,
        cache=cache,
    )
    require_fit(read_image(image))
    return image


def sketch_steps(library: Path, sketch: Path, *, warnings: Sequence[str] = ("-w",)) -> list[Sequence[str] | Call]:
    """Every call that makes an image of a sketch, in an empty folder; all but the last are complete.

    Args:
        library: the C and C++ files of the Arduino library.
        sketch: its .ino.
        warnings: of the library and of the sketch. The core is not ours.
    """
    core, variant = _folders()
    board = (*_BOARD, f"-I{core}", f"-I{variant}", f"-I{library}")
    own = (*board, *warnings)
    c, cpp, assembler = (sorted(core.glob(f"*.{suffix}")) for suffix in ("c", "cpp", "S"))
    library_c, library_cpp = sorted(library.glob("*.c")), sorted(library.glob("*.cpp"))
    objects = [f"{path.stem}.o" for path in (*c, *cpp)] + [f"{path.name}.o" for path in assembler]
    mine = [f"{path.stem}.o" for path in (*library_c, *library_cpp, sketch)]
    as_cpp = ("-include", "Arduino.h", "-x", "c++", str(sketch))  # what Arduino's preprocessor adds to a sketch
    return [
        [*_C, *board, "-w", *map(str, c)],
        [*_CPP, *_CPP_LTO, *board, "-w", *map(str, cpp)],
        *([*_ASSEMBLER, *board, "-w", str(path), "-o", f"{path.name}.o"] for path in assembler),
        Call(str(shutil.which(ARCHIVER)), ["rcs", "core.a", *objects]),
        [*_C, *own, *map(str, library_c)],
        [*_CPP, *_CPP_LTO, *own, *map(str, library_cpp), *as_cpp],
        [*_LINK, *_BOARD, *warnings, *mine, "core.a", "-lm"],
    ]


def require_fit(image: Image) -> None:
    """Refuse an image that the board cannot hold, or whose tables lie too far away.

    Raises:
        DeviceError: names the limit, and how much of it is wanted.
    """
    board = find_board(BOARD)
    for what, wanted, there in (
        ("flash", image.flash_bytes, board.flash_bytes),
        ("RAM", image.ram_bytes, board.ram_bytes),
    ):
        if wanted > there:
            raise DeviceError(f"{BOARD} has {there} bytes of {what}; this image needs {wanted}")
    tables = [symbol for symbol in image.symbols if not symbol.function and symbol.start < _RAM_BEGIN]
    far = [table for table in tables if table.start + table.size > NEAR_FLASH_BYTES]
    if far:
        raise DeviceError(
            f"{BOARD} reads tables in its first {NEAR_FLASH_BYTES} bytes of flash; "
            f"{far[-1].name} ends at {far[-1].start + far[-1].size}"
        )


def _folders() -> tuple[Path, Path]:
    return CORE / "cores" / "arduino", CORE / "variants" / "mega"


def _core_files() -> list[Path]:
    return [path for folder in _folders() for path in sorted(folder.glob("*.*")) if path.is_file()]
