"""The core keeps to its budget on a Cortex-M4: flash, RAM, stack; and never calls itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from core_bench import CORE
from toolchain import SOURCES, WARNINGS

FLASH_LIMIT = 12 * 1024  # without model and engine
RAM_LIMIT = 4 * 1024  # for one lead, rings of prepare included
STACK_LIMIT = 1024  # engine and callbacks excepted: they are called through pointers
M4 = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb")
SIZES = '#include "ecg_edge.h"\nchar edge[sizeof(ecg_edge_t)], lead[sizeof(ecg_prepare_lead_t)];\n'
NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([\w,]+)\)')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass
class Objects:
    """The core, compiled: sections and who calls whom."""

    folder: Path
    stack: dict[str, int]  # function -> bytes of its own frame
    kinds: set[str]  # of frames: static, or dynamic
    calls: dict[str, set[str]]

    def worst(self, function: str, path: tuple[str, ...] = ()) -> int:
        """The deepest stack below and with a function; fails where it comes back to itself."""
        assert function not in path, f"recursion: {' -> '.join((*path, function))}"
        deeper = (self.worst(callee, (*path, function)) for callee in self.calls.get(function, ()))
        return self.stack.get(function, 0) + max(deeper, default=0)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    if shutil.which(M4[0]) is None:
        message = f"no {M4[0]}: flash, RAM and stack of the core are not checked"
        if os.environ.get("ECG_STRICT") == "1":
            pytest.fail(message)
        pytest.skip(message)
    folder = tmp_path_factory.mktemp("m4")
    (folder / "sizes.c").write_text(SIZES)
    for source in (*CORE, folder / "sizes.c"):
        flags = (*WARNINGS, "-Os", "-fcallgraph-info=su", f"-I{SOURCES}")
        subprocess.run([*M4, *flags, "-c", str(source), "-o", f"{source.stem}.o"], cwd=folder, check=True)
    objects = Objects(folder, {}, set(), {})
    for graph in folder.glob("*.ci"):
        text = graph.read_text()
        for title, size, kind in NODE.findall(text):
            objects.stack[title] = int(size)
            objects.kinds.add(kind)
        for caller, callee in EDGE.findall(text):
            objects.calls.setdefault(caller, set()).add(callee)
    return objects


def sections(objects: Objects) -> int:
    files = [str(objects.folder / f"{source.stem}.o") for source in CORE]
    table = subprocess.run(["arm-none-eabi-size", *files], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in table.splitlines()[1:]]
    assert all(int(data) == int(bss) == 0 for _, data, bss, *_ in rows)  # the core has no globals
    return sum(int(text) for text, *_ in rows)


def test_flash_is_within_budget(objects: Objects) -> None:
    assert 0 < sections(objects) <= FLASH_LIMIT


def test_ram_for_one_lead_is_within_budget(objects: Objects) -> None:
    table = subprocess.run(
        ["arm-none-eabi-nm", "-S", str(objects.folder / "sizes.o")], capture_output=True, text=True, check=True
    ).stdout
    sizes = {line.split()[-1]: int(line.split()[1], 16) for line in table.splitlines()}
    assert 0 < sizes["edge"] + sizes["lead"] <= RAM_LIMIT


def test_stack_is_within_budget_and_nothing_recurses(objects: Objects) -> None:
    entries = {f for f in objects.stack if f.startswith("ecg_edge_")}
    assert {"ecg_edge_init", "ecg_edge_receive", "ecg_edge_sample"} <= entries
    assert {"ecg_prepare_push", "ecg_frame_encode", "ecg_selftest_run"} <= set(objects.stack)
    worst = {entry: objects.worst(entry) for entry in entries}
    assert max(worst.values()) <= STACK_LIMIT, worst
    assert objects.kinds <= {"static", "dynamic,bounded"}  # no VLA, no alloca
