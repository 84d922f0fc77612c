"""Where and with what something was measured. Layer: bench."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import ecg_edge
from ecg_edge.device import toolchain

EMULATED = "by qemu-user: it proves bits, and no time or memory of hardware"
_X86 = ("x86_64", "i386", "i686", "AMD64")


def machine() -> dict[str, object]:
    """This machine, for a report."""
    facts = _facts()
    found: dict[str, object] = {"processor": _processor(facts), "cores": os.cpu_count(), "system": platform.platform()}
    return found | ({"emulated": EMULATED} if is_emulated(facts, platform.machine()) else {})


def versions(packages: Iterable[str] = (), tools: Iterable[str] = ()) -> dict[str, str]:
    """This package, Python, and those of `packages` and `tools` (ids of device/toolchain.py) that are here."""
    found = {"ecg-edge": ecg_edge.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    said = {tool: toolchain.version(tool) for tool in tools}
    return found | {tool: text for tool, text in said.items() if text}


def is_emulated(facts: Mapping[str, str], architecture: str) -> bool:
    """Whether qemu-user runs this Python: it shows the /proc/cpuinfo of an x86 on a machine that is none.

    Args:
        facts: of /proc/cpuinfo.
        architecture: as Python names it.
    """
    return "vendor_id" in facts and architecture not in _X86


def _processor(facts: Mapping[str, str]) -> str:
    return facts.get("model name", platform.processor())


def _facts() -> dict[str, str]:
    """What /proc/cpuinfo says, where there is one."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
