"""Build and start virtual boards, and open any board by its URL. Layer: device; imports errors, bundle.

The one door to subprocess. A virtual board is the exported firmware as a process on a pseudo terminal: `virtual:native`
runs the generated engine, checked by AddressSanitizer and UndefinedBehaviorSanitizer; `virtual:tflm` runs the same C
application with the tflite-micro wheel as its engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from ecg_edge.bundle import package_data
from ecg_edge.device.client import Device
from ecg_edge.device.link import BAUD, Clock, SerialLink
from ecg_edge.device.session import Patience
from ecg_edge.errors import DeviceError, DeviceTimeout, LinkError

VIRTUAL = {"virtual:": "native", "virtual:native": "native", "virtual:tflm": "tflm"}
START_TIMEOUT_S = 60.0  # Python and the wheel take seconds on a busy machine
STOP_TIMEOUT_S = 3.0
CACHED_BUILDS = 16  # the newest are kept
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
        url: `virtual:native` (or `virtual:`), `virtual:tflm`, or what pyserial opens: /dev/ttyUSB0, COM3,
            socket://host:port, rfc2217://host:port.
        firmware: the exported folder, for a virtual board.
        baud: bits a second, where the line is a UART.
        patience: how long to wait for the board.
        cache: where to keep built virtual boards; the user's cache folder by default.

    Raises:
        LinkError: the line cannot be opened.
        DeviceError: the virtual board cannot be built or started.
    """
    if url.startswith("virtual:"):
        return Device(start_board(url, firmware, cache=cache), patience=patience)
    return Device(SerialLink(url, baud=baud), patience=patience)


class BoardLink:
    """The line to a board that is a process; closing it ends the process."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Take over `process`, wait for its line `pty NAME`, and open that.

        Raises:
            DeviceError: it ends, or says nothing in time; it does not outlive this.
        """
        self.name = url
        self._process, self._errors = process, errors
        try:
            self._line = SerialLink(self._pty_name())
        except BaseException:
            self._end_process()
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
        self._end_process()

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
        """`error`, or the board's own last words if it died."""
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return LinkError(f"{self.name}: {error}")
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "ERROR:" in line or "runtime error:" in line or "Error: " in line]
        words = (telling or lines or ["no last words"])[-1 if not telling else 0]
        return LinkError(f"{self.name}: the board's process ended with status {status}: {words}")

    def _end_process(self) -> None:
        """The board ends when its stdin does; what does not is terminated."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
                break
        self._errors.close()


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
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the link owns it
    pipe = subprocess.PIPE
    environment = os.environ | _ENVIRONMENT
    try:
        # A session of its own: Ctrl-C is for us, and we end the board. Its stdin is how it learns that we are gone.
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, env=environment, start_new_session=True
        )
    except OSError as error:
        errors.close()
        raise DeviceError(f"{url}: cannot start {command[0]} ({error.strerror})") from error
    return BoardLink(url, process, errors)


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


def _folders(firmware: Path) -> tuple[Path, Path]:
    """Where the C files and headers are."""
    library = firmware / "EcgEdge" / "src"
    if not (library / "ecg_models.h").is_file():
        raise DeviceError(f"{firmware} is no exported firmware folder: it has no EcgEdge/src/ecg_models.h")
    return library.resolve(), (package_data("firmware") / "host").resolve()


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
    """Compile, unless the same sources were compiled before: builds are kept under a hash of all that goes in.

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
    folders = _folders(firmware)
    files = [path for folder in folders for path in sorted(folder.glob("*.[ch]"))]
    kept = cache or _user_cache()
    goal = kept / f"{_key(compiler, flags, files)}-{name}"
    try:
        if goal.exists():
            goal.touch()
            return goal
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build.", dir=kept) as work:
            *before, last = steps([str(path) for path in files if path.suffix == ".c"])
            for step in (*before, [*last, "-o", name]):
                _compile([compiler, *(f"-I{folder}" for folder in folders), *step], work)
            (Path(work) / name).replace(goal)
        _prune(kept)
    except OSError as error:
        raise DeviceError(f"{kept}: cannot keep the virtual board there ({error.strerror})") from error
    return goal


def _key(compiler: str, flags: Sequence[str], files: Sequence[Path]) -> str:
    """What decides the outcome of a build, as a name."""
    there = Path(compiler).resolve()
    key = hashlib.sha256(repr((there, there.stat().st_mtime_ns, *flags)).encode())
    for path in files:
        key.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return key.hexdigest()[:32]


def _compile(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise DeviceError(f"{Path(command[0]).name} cannot build the virtual board: {first}")


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-edge" / "boards"


def _prune(folder: Path) -> None:
    """Keep the builds that were used last."""
    builds = sorted(folder.glob("*-*ecg_host*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[CACHED_BUILDS:]:
        old.unlink(missing_ok=True)
