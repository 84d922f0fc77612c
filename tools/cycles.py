"""Cycles an instruction, by Arm's own tables: each executed instruction of an engine at what its manual says it takes.

    python tools/cycles.py [MODEL...] [--opts size,speed]

An emulator counts instructions. Cores without a cache take what the cycle tables of their manuals say, memory without
wait states assumed: so each instruction of a window is followed on the emulated core, disassembled, and looked up. What
a table leaves open (where a branch goes to, whether loads stand side by side) makes the range. Nothing is measured on
hardware. ecg_edge/device/cores.toml holds the result.

Source: Cortex-M0 r0p0 (DDI 0432C) 3.3, Cortex-M0+ r0p1 (DDI 0484C) 3.3, Cortex-M3 r2p1 (DDI 0337) 3.3.1, Cortex-M4
r0p1 (DDI 0439B) 3.3.1: tables of the instruction set.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_edge.bench.costing import CORES
from ecg_edge.bench.subject import find_subject, flat, inputs
from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.target import find_target, flags
from ecg_edge.device.elf import read_image
from ecg_edge.device.enginerun import EngineBoard
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import find_core
from ecg_edge.device.trace import Addresses, follow
from ecg_edge.errors import EcgEdgeError

HARNESS = ("engine_main.c", "semihost.c", "memory.c", "startup_cortex_m.c", "clock_systick.c")
_LINE = re.compile(r"^ *([0-9a-f]+):\t([0-9a-f ]+?) *\t(\S+)[ \t]*([^\n@;]*)", re.MULTILINE)
_LISTED = re.compile(r"\{([^}]*)\}")
Range = tuple[int, int]  # cycles, the least and the most


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly."""

    name: str  # without width
    operands: str
    bytes: int

    @property
    def registers(self) -> int:
        """In braces."""
        found = _LISTED.search(self.operands)
        count = 0
        for part in found[1].split(",") if found else ():
            low, _, high = part.strip().partition("-")
            count += int(high[1:]) - int(low[1:]) + 1 if high else 1
        return count

    @property
    def many(self) -> bool:
        """LDM, STM, PUSH, POP."""
        return self.name.startswith(("ldm", "stm", "push", "pop"))

    @property
    def loads_pc(self) -> bool:
        """It is a return."""
        return "pc" in self.operands and self.name.startswith(("pop", "ldm"))


def armv6m(it: Instruction, taken: bool, *, plus: bool) -> Range:
    """Cortex-M0, and M0+ with the single-cycle multiplier that those boards have."""
    branch = 2 if plus else 3
    if it.many:
        refill = (3 if plus else 4) - 1 if it.loads_pc else 0
        return (1 + it.registers + refill,) * 2
    if it.name.startswith(("ldr", "str")):
        return (2, 2)
    if it.name in ("bl", "blx"):
        return (3, 3) if it.name == "bl" and plus else (branch + 1 if it.name == "bl" else branch,) * 2
    if it.name.startswith("b") and it.name not in ("bics", "bic"):
        return (branch,) * 2 if taken else (1, 1)
    return (1, 1)


def armv7m(it: Instruction, taken: bool, *, m4: bool) -> Range:
    """Cortex-M3 and M4. A branch refills the pipeline in 1 to 3 cycles; loads side by side take one each."""
    name = it.name
    if it.many or name in ("ldrd", "strd"):
        count = it.registers or 2
        return (1 + count + (1 if it.loads_pc else 0), 1 + count + (3 if it.loads_pc else 0))
    if name.startswith("ldr"):
        return (1, 2)
    if name.startswith("str"):
        return (1, 2)
    if name in ("cbz", "cbnz") or (name.startswith("b") and name[:3] not in ("bic", "bfi", "bfc")):
        return (2, 4) if taken else (1, 1)
    if name.startswith(("smull", "umull", "smlal", "umlal")):
        return (1, 1) if m4 else (3, 7)
    if name.startswith(("sdiv", "udiv")):
        return (2, 12)
    if name in ("mla", "mls"):
        return (1, 1) if m4 else (2, 2)
    if name.startswith("it"):
        return (0, 1)
    return (1, 1)


Table = Callable[[Instruction, bool], Range]
TABLES: dict[str, tuple[str, Table]] = {
    "cortex-m0": ("cortex-m0", lambda it, taken: armv6m(it, taken, plus=False)),
    "cortex-m0plus": ("cortex-m0", lambda it, taken: armv6m(it, taken, plus=True)),
    "cortex-m3": ("cortex-m3", lambda it, taken: armv7m(it, taken, m4=False)),
    "cortex-m4": ("cortex-m4", lambda it, taken: armv7m(it, taken, m4=True)),
}


def counted(chunks: Iterator[Addresses]) -> dict[tuple[int, int], int]:
    """(address, the next one) -> how often."""
    found: dict[tuple[int, int], int] = {}
    last = None
    for chunk in chunks:
        whole = chunk if last is None else np.concatenate([last, chunk])
        pairs, counts = np.unique(np.stack([whole[:-1], whole[1:]], axis=1), axis=0, return_counts=True)
        for (here, there), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            found[here, there] = found.get((here, there), 0) + count
        last = whole[-1:]
    return found


def followed(model: str, core: str, opt: str) -> list[tuple[Instruction, bool, int]]:
    """What one window executes: instruction, whether it went elsewhere, how often."""
    subject, target = find_subject(model), find_target(core, opt)
    emulated, options = CORES[core]
    url = find_core(emulated)
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
        folder = Path(work)
        export_bare(subject.path, folder / "engine", target=target, name=subject.name)
        engine = EngineFolder(folder / "engine", subject.name, subject.input_bytes, subject.classes)
        board = EngineBoard(url, engine, optimize=(*flags(target), *options))
        window = flat(inputs(subject.graph, 2))[1:]
        board.question(folder, window[0])
        pairs = follow(url, board.image, folder, counted)
        text = subprocess.run(
            ["arm-none-eabi-objdump", "-d", str(board.image)], capture_output=True, text=True, check=True
        ).stdout
    ours = np.zeros(1 << 20, bool)
    for function in read_image(board.image).functions():
        if function.file not in HARNESS and not function.name.startswith("board_") and function.name != "main":
            ours[function.start : function.start + function.size] = True
    lines = {
        int(at, 16): Instruction(name.partition(".")[0], operands.strip(), len(code.replace(" ", "")) // 2)
        for at, code, name, operands in _LINE.findall(text)
    }
    return [
        (lines[here], there != here + lines[here].bytes, count)
        for (here, there), count in pairs.items()
        if here < len(ours) and ours[here] and here in lines
    ]


def main() -> int:
    """A line a core, model and optimization."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["ecg5"])
    parser.add_argument("--opts", default="size,speed")
    wanted = parser.parse_args()
    try:
        for model in wanted.models:
            for opt in wanted.opts.split(","):
                runs = {core: followed(model, core, opt) for core in dict.fromkeys(core for core, _ in TABLES.values())}
                for name, (core, table) in TABLES.items():
                    total = sum(count for _, _, count in runs[core])
                    least, most = (
                        sum(count * table(it, taken)[end] for it, taken, count in runs[core]) for end in (0, 1)
                    )
                    print(
                        f"{Path(model).stem:10} {opt:6} {name:14} {total:>10,} instructions, "
                        f"{least / total:.2f} to {most / total:.2f} cycles each"
                    )
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
