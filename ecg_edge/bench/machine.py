"""Where and with what something was measured. Layer: bench."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import ecg_edge
from ecg_edge.device import toolchain


def machine() -> dict[str, object]:
    """This machine, for a report."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}


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


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
