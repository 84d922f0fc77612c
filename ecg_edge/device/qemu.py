"""Start boards that QEMU emulates, with the images of `device/images.py`. Layer: device; imports errors.

One kind of image talks over a UART, which is a TCP socket here; the other reads a file, writes a file and ends.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from ecg_edge.device import process, toolchain
from ecg_edge.device.images import build_wire
from ecg_edge.device.link import Clock, SerialLink
from ecg_edge.device.machines import Machine, find_machine
from ecg_edge.errors import DeviceError, LinkError

_SEEDS = 65535
_QMP_TIMEOUT_S = 10.0
_FIRST_WORD_S = 3.0  # QEMU may stall a board's first bytes for a second


class QemuLink:
    """The UART of an emulated board; closing it ends the emulator."""

    def __init__(
        self, url: str, board: subprocess.Popen[bytes], errors: IO[bytes], port: int, qmp: socket.socket
    ) -> None:
        """Take over `board`, and connect to its UART: its core runs from then on.

        Raises:
            LinkError: it ended at once; it does not outlive this.
        """
        self.name = url
        self._process, self._errors, self._qmp = board, errors, qmp
        try:
            self._line = SerialLink(f"socket://127.0.0.1:{port}")
        except LinkError as error:
            said = self._death(error)
            process.end(board, errors, asked=False)
            qmp.close()
            raise said from error
        self.clock: Clock = self._line.clock
        self._early: bytes | None = None  # what it said before it was first written to; None: nothing yet

    def read(self, timeout_s: float) -> bytes:
        if self._early:
            said, self._early = self._early, b""
            return said
        return self._hear(timeout_s)

    def write(self, data: bytes) -> None:
        """Send. A board may lose what comes before it listens, so it has the first word, if it has one."""
        if self._early is None:
            self._early = self._hear(_FIRST_WORD_S)
        try:
            self._line.write(data)
        except LinkError as error:
            raise self._death(error) from error

    def _hear(self, timeout_s: float) -> bytes:
        try:
            said = self._line.read(timeout_s)
        except LinkError as error:
            raise self._death(error) from error
        if said and self._early is None:
            self._early = b""
        return said

    def close(self) -> None:
        self._line.close()
        self._qmp.close()
        process.end(self._process, self._errors, asked=False)

    def reset(self) -> None:
        """Press the board's reset button.

        Raises:
            LinkError: the emulator does not take it.
        """
        self._command("system_reset")

    def memory(self, address: int, size: int) -> bytes:
        """What the processor would read there now; it runs on meanwhile.

        Raises:
            LinkError: the emulator does not tell.
        """
        with tempfile.NamedTemporaryFile(prefix="ecg-edge.") as file:
            self._command("memsave", {"val": address, "size": size, "filename": file.name})
            return Path(file.name).read_bytes()

    def _command(self, name: str, arguments: dict[str, object] | None = None) -> None:
        """Tell the emulator's monitor."""
        try:
            for command, words in (("qmp_capabilities", None), (name, arguments)):
                order = {"execute": command} | ({} if words is None else {"arguments": words})
                self._qmp.sendall(json.dumps(order).encode())
                self._await_return(command)
        except OSError as error:
            raise self._death(LinkError(f"the emulator does not answer ({error})")) from error

    def _await_return(self, command: str) -> None:
        """QMP speaks in lines of JSON: a greeting, events, and one answer a command."""
        while True:
            line = self._qmp_line()
            if "return" in line:
                return
            # Capabilities are agreed upon once; a second reset finds that done.
            if "error" in line:
                if command == "qmp_capabilities":
                    return
                raise LinkError(f"{self.name}: the emulator refuses {command}: {line['error']}")

    def _qmp_line(self) -> dict[str, object]:
        said = b""
        while not said.endswith(b"\n"):
            byte = self._qmp.recv(1)
            if not byte:
                raise ConnectionResetError("closed")
            said += byte
        line: dict[str, object] = json.loads(said)
        return line

    def _death(self, error: LinkError) -> LinkError:
        return process.death(self.name, self._process, self._errors, error)


def start_qemu(url: str, firmware: Path | None, *, boot: int | None = None, cache: Path | None = None) -> QemuLink:
    """Build the image of an emulated board, unless that was done before, and start it.

    Args:
        url: of an emulated board.
        firmware: the exported folder.
        boot: the first boot's nonce; None: a random one. Each reset adds one.
        cache: where to keep builds; the user's cache folder by default.

    Raises:
        DeviceError: no such board, no compiler or emulator, no such folder, or it does not start.
    """
    machine = find_machine(url)
    if firmware is None:
        raise DeviceError(f"{url} needs an exported firmware folder (ecg-edge export)")
    image = build_wire(url, firmware, cache=cache)
    seed = secrets.randbelow(_SEEDS) if boot is None else boot - 1
    options = ("-kernel", str(image), "-device", f"loader,addr={machine.ram:#x},data={seed:#x},data-len=4")
    return _start(url, [*_emulator(url, machine), *options])


def _start(url: str, command: list[str]) -> QemuLink:
    """Start the emulator with a line to its UART and one to its monitor.

    The UART's socket listens before the emulator runs, so that no port is raced for and no connection comes too early.
    """
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - the link owns it
    ours, theirs = socket.socketpair()
    ours.settimeout(_QMP_TIMEOUT_S)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener, theirs:
        uart, qmp = listener.fileno(), theirs.fileno()
        lines = ["-chardev", f"socket,id=wire,fd={uart},server=on,wait=on,nodelay=on", "-serial", "chardev:wire"]
        lines += ["-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control"]
        try:
            board = subprocess.Popen(
                [*command, *lines],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(uart, qmp),
                start_new_session=True,  # Ctrl-C is for us, and we end the board
            )
        except OSError as error:
            errors.close()
            ours.close()
            raise DeviceError(f"{url}: cannot start {command[0]} ({error.strerror})") from error
        port = listener.getsockname()[1]
    return QemuLink(url, board, errors, port, ours)


def run_to_end(url: str, image: Path, folder: Path, *, timeout_s: float, trace: Path | None = None) -> None:
    """Run an image that ends by itself, with semihosting; an instruction takes it one nanosecond of its time.

    Args:
        url: of an emulated board.
        image: from `build_image`.
        folder: where the files are that it opens.
        timeout_s: after which it counts as hanging.
        trace: a file, or a named pipe that is being read, for the address of every instruction; `device/trace.py`.

    Raises:
        DeviceError: it fails, or does not end.
    """
    machine = find_machine(url)
    command = [*_emulator(url, machine), "-kernel", str(image.resolve()), "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0"]
    if trace is not None:
        command += [*_one_by_one(machine), "-d", "exec,nochain", "-D", str(trace)]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{url}: {image.name} did not end in {timeout_s:g} s") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no last words"]
        raise DeviceError(f"{url}: {image.name} ended with status {done.returncode}: {words[-1]}")


def _one_by_one(machine: Machine) -> list[str]:
    """The option that translates every instruction by itself, so that -d exec names each; 8.1 renamed it."""
    found = re.search(r"version (\d+)\.(\d+)", toolchain.version(machine.tools.emulator) or "")
    renamed = found is not None and (int(found[1]), int(found[2])) >= (8, 1)
    return ["-accel", "tcg,one-insn-per-tb=on"] if renamed else ["-singlestep"]


def _emulator(url: str, machine: Machine) -> list[str]:
    """The emulator's command; it ends with us even where we cannot end it, if the system can arrange that."""
    tools = machine.tools
    found, guard = shutil.which(tools.emulator), shutil.which("setpriv")
    if found is None:
        raise DeviceError(f"{url} needs {tools.emulator}, and there is none: {tools.apt}")
    command = [found, *machine.emulation, "-display", "none", "-monitor", "none"]
    return [guard, "--pdeathsig", "KILL", *command] if guard else command
