"""What this machine has and lacks, and what mends it. Layer: recipes; composes bundle, device and runtime."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_edge.bundle import Bundle, shipped_bundles
from ecg_edge.device import toolchain
from ecg_edge.device.link import serial_ports
from ecg_edge.device.machines import FAMILIES
from ecg_edge.device.ports import describe, may_open
from ecg_edge.errors import EcgEdgeError
from ecg_edge.runtime.backend import BACKENDS, open_backend
from ecg_edge.runtime.choose import AUTO, WHY, choose_backend

PYTHON = (3, 11)
BASE = ("numpy", "scipy", "pyserial", "rich", "typer", "jinja2", "flatbuffers", "tflite")
# extra -> (its packages, what for). Whether a runtime works is another question: see _backends().
EXTRAS = {
    "report": (("matplotlib",), "plots in reports"),
    "train": (("tensorflow", "scikit-learn", "matplotlib"), "train, quantize, bundle"),
    "data": (("wfdb",), "reading WFDB records"),
    "pi": (("tflite-runtime",), "tflite-runtime on a Raspberry Pi"),
    "litert": (("ai-edge-litert",), "LiteRT"),
    "tflm": (("tflite-micro",), "virtual:tflm, golden vectors"),
    "dev": (("pytest", "hypothesis", "ruff", "mypy"), "make check, make test"),
}
ALSO_NAMED = {"tensorflow": ("tensorflow-cpu",)}
DEMO_EXTRAS = ("report",)
_EMULATION = tuple(tool for family in FAMILIES for tool in (family.compiler, family.emulator))
_BUILDING = ("cc", "make", *_EMULATION, "avr-gcc")
_DEMO_TOOLS = ("cc", "make")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for."""

    group: str
    name: str
    ok: bool
    found: str  # what is there, or what it is for
    mend: str = ""  # a command, or a page; empty where nothing is to be done
    needed: bool = False  # by `make demo`, and of Python and bundles by a live run too

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def check_up(*, run: bool = False) -> list[Check]:
    """Look at everything, or at what a live run needs; nothing is changed."""
    if run:
        return [*_python(), *_bundles(), *_backends(), *_ports()]
    return [*_python(), *_extras(), *_bundles(), *_backends(), *_tools(), *_ports()]


def package_version(name: str) -> str | None:
    """The installed version of a package, without importing it; None: not installed."""
    for known in (name, *ALSO_NAMED.get(name, ())):
        try:
            return importlib.metadata.version(known)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _python() -> Iterator[Check]:
    yield Check("Python", "system", True, _system())
    here = platform.python_version()
    wanted = ".".join(map(str, PYTHON))
    mend = f"install Python {wanted} or later"
    yield Check("Python", "python", sys.version_info[:2] >= PYTHON, f"{here}, {sys.executable}", mend, needed=True)
    versions = {name: package_version(name) for name in BASE}
    missing = [name for name, found in versions.items() if found is None]
    found = "missing: " + ", ".join(missing) if missing else ", ".join(f"{name} {v}" for name, v in versions.items())
    yield Check("Python", "base packages", not missing, found, "pip install ecg-edge", needed=True)


def _system() -> str:
    """The machine, and what decides which wheels it takes."""
    try:
        board = Path("/proc/device-tree/model").read_text(encoding="ascii").rstrip("\0")
    except (OSError, ValueError):
        board = ""
    try:
        release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        release = platform.platform()
    library = " ".join(word for word in platform.libc_ver() if word)
    return ", ".join(word for word in (board, platform.machine(), release, library) if word)


def _extras() -> Iterator[Check]:
    for extra, (packages, purpose) in EXTRAS.items():
        versions = {name: package_version(name) for name in packages}
        missing = [name for name, found in versions.items() if found is None]
        text = f"{purpose}; without " + ", ".join(missing)
        if not missing:
            text = ", ".join(f"{name} {found}" for name, found in versions.items())
        mend = f"pip install 'ecg-edge[{extra}]'"
        if extra == "tflm" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
            mend = "none: the wheel exists for x86-64 Linux only"
        yield Check("extras", f"[{extra}]", not missing, text, mend, needed=extra in DEMO_EXTRAS)


def _backends() -> Iterator[Check]:
    """Every backend with a shipped model: wheels that install and cannot run are found only so."""
    group, model = "running a model on this machine", _shipped_model()
    if model is None:
        return
    for name in BACKENDS:
        try:
            open_backend(name, model)
        except EcgEdgeError as error:
            reason, _, command = str(error).rpartition(": ")
            known = command.startswith(("pip ", "sudo "))
            yield Check(group, name, False, reason if known else str(error), command if known else "none")
        else:
            yield Check(group, name, True, WHY[name])
    yield Check(group, AUTO, True, f"takes {choose_backend(AUTO, model).backend.name}")


def _shipped_model() -> bytes | None:
    try:
        return next((Bundle.load(name).model for name in shipped_bundles()), None)
    except EcgEdgeError:  # said where bundles are looked at
        return None


def _bundles() -> Iterator[Check]:
    mend = "git checkout models, or: pip install --force-reinstall ecg-edge"
    shipped = shipped_bundles()
    if not shipped:
        yield Check("bundles", "shipped", False, "none", mend, needed=True)
    for name in shipped:
        try:
            bundle = Bundle.load(name)
        except EcgEdgeError as error:
            yield Check("bundles", name, False, str(error), mend, needed=name == "ecg5")
            continue
        text = f"{bundle.manifest.version}, sha256 {bundle.model_sha256[:12]}, files intact"
        yield Check("bundles", name, True, text, needed=name == "ecg5")


def _tools() -> Iterator[Check]:
    for tool in toolchain.TOOLS.values():
        building = tool.id in _BUILDING
        said = toolchain.version(tool.id)
        ok, found = said is not None, tool.purpose if said is None else said or str(toolchain.find(tool.id))
        if said is not None and not _has_headers(tool.id):
            ok, found = False, f"{said}, without the C library's headers"
        group = "building" if building else "flashing (one that suits your board is enough)"
        yield Check(group, tool.id, ok, found, tool.mend, needed=tool.id in _DEMO_TOOLS)


def _has_headers(tool_id: str) -> bool:
    emulation = {family.compiler: (family.library,) for family in FAMILIES}
    options = {"cc": (), **emulation, "avr-gcc": ("-mmcu=atmega2560",)}
    return tool_id not in options or toolchain.compiles(tool_id, options[tool_id])


def _ports() -> Iterator[Check]:
    ports = serial_ports()
    if not ports:
        yield Check("serial ports", "ports", True, "none: no board is plugged in")
    for port in ports:
        mend = f"sudo usermod -aG dialout {getpass.getuser()}, then log in again" if os.name == "posix" else ""
        allowed = may_open(port.device)
        text = describe(port) if allowed else f"{describe(port)}: no permission"
        yield Check("serial ports", port.device, allowed, text, mend)
