"""Build and start virtual boards, and open any board by its URL. Layer: device; imports errors, bundle.

The one door to subprocess. A virtual board is the exported firmware as a process on a pseudo terminal: `virtual:native`
runs the generated engine, checked by AddressSanitizer and UndefinedBehaviorSanitizer; `virtual:tflm` runs the same C
application with the tflite-micro wheel as its engine.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ecg_edge.bundle import package_data
from ecg_edge.device import process
from ecg_edge.device.build import build, library_folder
from ecg_edge.device.client import Device
from ecg_edge.device.link import BAUD, Clock, SerialLink
from ecg_edge.device.machines import EMULATED, find_machine
from ecg_edge.device.pace import Patience
from ecg_edge.device.qemu import start_qemu
from ecg_edge.device.replug import open_port
from ecg_edge.device.simavr import URL, require_url, start_simavr
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkError

VIRTUAL = {"virtual:": "native", "virtual:native": "native", "virtual:tflm": "tflm"}
SENSOR = "virtual:sensor"  # virtual:native that samples by itself, for `start_sensor`
STARTED = ("virtual:native", "virtual:tflm", *EMULATED, URL)  # every board that this machine builds and starts
START_TIMEOUT_S = 60.0  # Python and the wheel take seconds on a busy machine
_C = ("-std=c99", "-O2", "-g", "-DECG_ENGINE=2")  # both engines' files are in every export; these compile the C one
_CHECKED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# AddressSanitizer must be a process's first library; Python loads this one later.
_SHARED = ("-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all")
# The board has no heap, and LeakSanitizer fails wherever ptrace is taken, as in many containers.
_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def open_device(
    url: str,
    firmware: Path | None = None,
    *,
    baud: int = BAUD,
    patience: Patience | None = None,
    cache: Path | None = None,
) -> Device:
    """Open the board behind a URL; start it first where it is a virtual one.

    Args:
        url: one of STARTED, as `virtual:native` or `qemu:microbit`; a core in place of its board, as `qemu:cortex-m4`;
            or what pyserial opens: /dev/ttyUSB0, COM3, socket://host:port, rfc2217://host:port.
        firmware: the exported folder, for a virtual or emulated board.
        baud: bits a second, where the line is a UART.
        patience: how long to wait for the board.
        cache: where to keep built virtual boards; the user's cache folder by default.

    Raises:
        LinkError: the line cannot be opened.
        DeviceError: the virtual or emulated board cannot be built or started.
    """
    if url.startswith("virtual:"):
        return Device(start_board(url, firmware, cache=cache), patience=patience)
    if url.startswith("qemu:"):
        return Device(start_qemu(url, firmware, cache=cache), patience=patience)
    if url.startswith("simavr:"):
        return Device(BoardLink(url, *start_simavr(url, firmware, cache=cache)), patience=patience)
    patience = patience or Patience()
    return Device(open_port(url, baud=baud, wait_s=patience.give_up_s), patience=patience)


@dataclass(frozen=True, slots=True)
class Image:
    """What to export for a board that is started here."""

    engine: str
    board: str  # of boards.toml


def image_for(url: str) -> Image | None:
    """What to export for the board behind a URL; None: it is started by nobody here.

    Raises:
        DeviceError: no such virtual or emulated board; says which there are.
    """
    if url.startswith("qemu:"):
        return Image("native", find_machine(url).board)
    if url.startswith("simavr:"):
        return Image("native", require_url(url))
    if not url.startswith("virtual:"):
        return None
    if url not in VIRTUAL:
        raise DeviceError(f"no virtual board {url}; there are: {', '.join(VIRTUAL)}")
    return Image(VIRTUAL[url], "host")


class BoardLink:
    """The line to a board that is a process; closing it ends the process."""

    def __init__(self, url: str, board: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Take over `board`, wait for its line `pty NAME`, and open that.

        Raises:
            DeviceError: it ends, or says nothing in time; it does not outlive this.
        """
        self.name = url
        self._process, self._errors = board, errors
        try:
            self._line = SerialLink(self._pty_name())
        except BaseException:
            process.end(self._process, self._errors, asked=True)
            raise
        self.clock: Clock = self._line.clock

    def read(self, timeout_s: float) -> bytes:
        try:
            return self._line.read(timeout_s)
        except LinkError as error:
            raise self._death(error) from error

    def write(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except LinkError as error:
            raise self._death(error) from error

    def close(self) -> None:
        self._line.close()
        process.end(self._process, self._errors, asked=True)

    def reset(self) -> None:
        """Press the board's reset button."""
        self._process.send_signal(signal.SIGUSR1)

    def _pty_name(self) -> str:
        """What the process says on its first line."""
        assert self._process.stdout is not None
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
            if not ready:
                raise DeviceTimeout(f"{self.name}: the board said nothing for {START_TIMEOUT_S:g} s after its start")
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                raise self._death(LinkError(f"{self.name}: the board ended at once"))
            said += byte
        word, _, name = said.decode(errors="replace").strip().partition(" ")
        if word != "pty" or not name:
            raise DeviceError(f"{self.name}: the board began with {said!r}, not with its pty")
        return name

    def _death(self, error: LinkError) -> LinkError:
        return process.death(self.name, self._process, self._errors, error)


def start_board(
    url: str, firmware: Path | None, *, options: Sequence[str] = (), cache: Path | None = None
) -> BoardLink:
    """Build a virtual board, unless that was done before, and start it.

    Args:
        url: a key of VIRTUAL.
        firmware: the exported folder.
        options: for the native board's program: --boot N, --credit N, --reset-after BYTES.
        cache: where to keep builds; the user's cache folder by default.

    Raises:
        DeviceError: no such board, no compiler, no such folder, or it does not start.
    """
    engine = VIRTUAL.get(url)
    if engine is None:
        raise DeviceError(f"no virtual board {url}; there are: {', '.join(VIRTUAL)}")
    if firmware is None:
        raise DeviceError(f"{url} needs an exported firmware folder (ecg-edge export)")
    if engine == "native":
        command = [str(build_program(firmware, cache=cache)), *options]
    else:
        library = build_library(firmware, cache=cache)
        command = [sys.executable, "-m", "ecg_edge.runtime.tflm_board", str(library), _model_name(firmware)]
    return _started(url, command)


def start_sensor(firmware: Path, samples: Path, *, cache: Path | None = None) -> BoardLink:
    """Build and start a virtual board that samples by itself.

    Args:
        firmware: the exported folder.
        samples: what is at its electrodes, round and round: a file of int16, little-endian, uV, leads interleaved.
        cache: where to keep builds; the user's cache folder by default.

    Raises:
        DeviceError: no compiler, no such folder or file, or it does not start.
    """
    return _started(SENSOR, [str(build_program(firmware, cache=cache)), "--samples", str(samples)])


def _started(url: str, command: list[str]) -> BoardLink:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the link owns it
    pipe = subprocess.PIPE
    environment = os.environ | _ENVIRONMENT
    try:
        # A session of its own: Ctrl-C is for us, and we end the board. Its stdin is how it learns that we are gone.
        board = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, env=environment, start_new_session=True
        )
    except OSError as error:
        errors.close()
        raise DeviceError(f"{url}: cannot start {command[0]} ({error.strerror})") from error
    return BoardLink(url, board, errors)


def build_program(firmware: Path, *, cache: Path | None = None) -> Path:
    """The host program of an exported folder, with both sanitizers.

    Raises:
        DeviceError: no compiler, no such folder, or it does not compile.
    """
    flags = (*_C, *_CHECKED)
    return _build(firmware, "ecg_host", lambda sources: [[*flags, *sources]], flags, cache)


def build_library(firmware: Path, *, cache: Path | None = None) -> Path:
    """The host program as a library, with the .tflite arrays that firmware for the other engine carries.

    Raises:
        DeviceError: no compiler, no such folder, or it does not compile.
    """

    def steps(sources: list[str]) -> list[list[str]]:
        data = [path for path in sources if path.endswith("_data.c")]
        rest = [path for path in sources if path not in data]
        objects = [f"{Path(path).stem}.o" for path in data]
        arrays = [["-DECG_ENGINE=1", "-fPIC", "-c", path] for path in data]
        return [*arrays, [*_C, *_SHARED, *rest, *objects]]

    return _build(firmware, "libecg_host.so", steps, (*_C, *_SHARED), cache)


def _model_name(firmware: Path) -> str:
    """The image's first model: the one that `virtual:tflm` runs."""
    try:
        return str(json.loads((firmware / "manifest.json").read_text(encoding="utf-8"))["models"][0]["name"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DeviceError(f"{firmware / 'manifest.json'} does not say which models are in it") from error


def _build(
    firmware: Path,
    name: str,
    steps: Callable[[list[str]], list[list[str]]],
    flags: Sequence[str],
    cache: Path | None,
) -> Path:
    """Build for this machine.

    Args:
        firmware: the exported folder.
        name: of what comes out.
        steps: C files -> arguments of each call of the compiler; the last call links.
        flags: what of the steps makes a difference to what comes out.
        cache: where to keep it; None: the user's cache folder.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise DeviceError("a virtual board needs a C compiler, and there is none: sudo apt-get install gcc libc6-dev")
    folders = library_folder(firmware), (package_data("firmware") / "host").resolve()
    files = [path for folder in folders for path in sorted(folder.glob("*.[ch]"))]
    includes = [f"-I{folder}" for folder in folders]
    calls = [[*includes, *step] for step in steps([str(path) for path in files if path.suffix == ".c"])]
    return build(name, compiler, files, calls, flags=flags, cache=cache)
