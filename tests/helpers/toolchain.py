"""The C sources of this project, and the compiler and flags that its tests take to them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "firmware" / "EcgEdge" / "src"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZE = ("-fsanitize=undefined", "-fno-sanitize-recover")
KERNELS = tuple(sorted(SOURCES.glob("ecg_ops*.c")))


def compiler() -> str:
    """The C compiler, or a skip that says what is missing (a failure under ECG_STRICT=1)."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        message = "no C compiler: the generated engine is not checked"
        if os.environ.get("ECG_STRICT") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
