"""Run images of the Arduino Mega 2560 on simavr, which counts every cycle. Layer: device; imports errors, bundle.

The runner, firmware/simavr, is a program of this machine on libsimavr: it joins the board's UART to a pseudo terminal.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ecg_edge.bundle import package_data
from ecg_edge.device.avr import BOARD, build_sketch
from ecg_edge.device.build import build
from ecg_edge.errors import DeviceError

URL = f"simavr:{BOARD}"
APT = "sudo apt-get install --no-install-recommends libsimavr-dev libelf-dev"
_FLAGS = ("-std=c99", "-O2", "-g", "-Wall", "-Wextra")
_LIBRARIES = ("-lsimavr", "-lelf")


def start_simavr(
    url: str, firmware: Path | None, *, options: Sequence[str] = (), cache: Path | None = None
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Build the Replay sketch of an exported folder and the runner, unless that was done before, and start them.

    Args:
        url: URL.
        firmware: the exported folder.
        options: of the runner: --seed N, --report FILE.
        cache: where to keep builds; the user's cache folder by default.

    Returns:
        the process, whose first line is `pty NAME`, and the file that is its stderr.

    Raises:
        DeviceError: no such board, a tool is missing, no such folder, or it does not start.
    """
    require_url(url)
    if firmware is None:
        raise DeviceError(f"{url} needs an exported firmware folder (ecg-edge export)")
    return run_image(build_sketch(firmware, cache=cache), options=options, cache=cache)


def run_image(
    image: Path, *, options: Sequence[str] = (), cache: Path | None = None
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start an image for the ATmega2560; otherwise as `start_simavr`."""
    command = [str(build_runner(cache=cache)), *options, str(image)]
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the link owns it
    pipe = subprocess.PIPE
    try:
        # A session of its own: Ctrl-C is for us, and we end the board. Its stdin is how it learns that we are gone.
        board = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True)
    except OSError as error:
        errors.close()
        raise DeviceError(f"{URL}: cannot start {command[0]} ({error.strerror})") from error
    return board, errors


def require_url(url: str) -> str:
    """The board of boards.toml behind a URL.

    Raises:
        DeviceError: there is none; names the one that there is.
    """
    if url != URL:
        raise DeviceError(f"no emulated board {url}; there are: {URL}")
    return BOARD


def build_runner(*, cache: Path | None = None) -> Path:
    """The program that runs an image.

    Raises:
        DeviceError: no compiler or no libsimavr.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise DeviceError(f"{URL} needs a C compiler, and there is none: sudo apt-get install gcc libc6-dev")
    root = package_data("firmware").resolve()
    sources = [root / "simavr" / "runner.c", root / "host" / "ecg_pty.c"]
    files = [*sources, root / "host" / "ecg_pty.h"]
    step = [*_FLAGS, f"-I{root / 'host'}", *map(str, sources), *_LIBRARIES]
    try:
        return build("simavr-runner", compiler, files, [step], flags=(*_FLAGS, *_LIBRARIES), cache=cache)
    except DeviceError as error:
        if re.search(r"simavr/\w+\.h|-lsimavr|-lelf", str(error)):
            raise DeviceError(f"{URL} needs libsimavr, and there is none: {APT}") from error
        raise
