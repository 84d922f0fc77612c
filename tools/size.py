"""Flash, RAM and stack of an exported image on a Cortex-M4: core, beats, engine, model apart; fails when over budget.

    python tools/size.py [BUNDLE...] [--optimize=-Os] [--functions] [--json]

The image is the one that `qemu:cortex-m4` runs, linked whole. Flash is read from the map of the linker, by file. Stack
is the compiler's figure for each function (-fcallgraph-info=su), summed along the deepest path of calls; a call through
a pointer counts as the deepest of all that such a call can reach. tests/emulator compares it with what a run used.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ecg_edge.bundle import Bundle, package_data
from ecg_edge.device.machines import Machine, find_machine
from ecg_edge.errors import EcgEdgeError
from ecg_edge.recipes.firmware import export

# Of the core, without model, engine and board code. A sketch on a small wearable has other things to do as well.
CORE_FLASH_BUDGET = 12 * 1024
CORE_RAM_BUDGET = 4 * 1024  # one lead
CORE_STACK_BUDGET = 1024
BEATS_FLASH_BUDGET = 6 * 1024  # the detector and the views of beats; 0 where no model takes them
BEATS_RAM_BUDGET = 2 * 1024
FUNCTION_STACK_BUDGET = 512
# The smallest board that a wearable would carry has 256 KB of flash and 32 KB of RAM: half is left to the application.
IMAGE_FLASH_BUDGET = 128 * 1024
IMAGE_RAM_BUDGET = 16 * 1024

MACHINE = find_machine("qemu:cortex-m4")
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-fcallgraph-info=su", "-DECG_ENGINE=2")
LINK = ("-nostartfiles", "-Wl,--gc-sections", "-Wl,-Map=image.map")
CORE = ("ecg_answer", "ecg_edge", "ecg_frame", "ecg_prepare", "ecg_selftest", "ecg_stream")
BEATS = ("ecg_beats", "ecg_qrs")
CORE_RAM = ("edge", "config", "leads")  # variables of wire_main.c, as a sketch would have them
BEATS_RAM = ("beats",)
ENGINE_RAM = ("scratch", "window")
ENGINE_CALLS = ("push", "run", "reset")  # by the model's descriptor
CALLBACKS = ("now_us", "write_uart", "arena_used")  # by the core's config
INDIRECT = "__indirect_call"
LIBRARY_STACK = 32  # of memcpy and its like, whose objects do not say; newlib-nano's push at most 5 registers
EXCEPTION_FRAME = 32  # pushed by the processor; Source: Armv7-M Architecture Reference Manual, B1.5.6
HANDLERS = ("board_on_systick", "board_on_fault")

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([\w,]+)\)')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_PLACED = re.compile(r"^ (\.(?:text|rodata|data|vectors)\S*)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)


@dataclass
class CallGraph:
    """Who calls whom, and what stack each takes."""

    stack: dict[str, int] = field(default_factory=dict)  # function -> bytes of its own frame
    kinds: dict[str, str] = field(default_factory=dict)  # function -> "static", or how its frame varies
    calls: dict[str, set[str]] = field(default_factory=dict)

    def read(self, text: str) -> None:
        """Add a .ci file of GCC's."""
        for title, size, kind in _NODE.findall(text):
            self.stack[title], self.kinds[title] = int(size), kind
        for caller, callee in _EDGE.findall(text):
            self.calls.setdefault(caller, set()).add(callee)

    def named(self, name: str, *, file: str = "") -> list[str]:
        """The functions of that name, static ones of any file, or of files with `file` in their path."""
        ends = (name, f":{name}")
        return [title for title in self.stack if (title == name or title.endswith(ends[1])) and file in title]

    def worst(self, function: str, pointers: list[str], path: tuple[str, ...] = ()) -> int:
        """The deepest stack with and below a function.

        Args:
            function: title of the node.
            pointers: what a call through a pointer may reach.
            path: who called.

        Raises:
            EcgEdgeError: it calls itself, so that there is no deepest.
        """
        if function in path:
            raise EcgEdgeError(f"recursion: {' -> '.join((*path, function))}")
        below = set(self.calls.get(function, ()))
        if INDIRECT in below:
            below = (below - {INDIRECT}) | set(pointers)
        deeper = (self.worst(callee, pointers, (*path, function)) for callee in below)
        return self.stack.get(function, LIBRARY_STACK) + max(deeper, default=0)


@dataclass(frozen=True)
class Part:
    """One row of the table; bytes."""

    name: str
    flash: int
    ram: int
    stack: int  # worst, of this part alone


@dataclass(frozen=True)
class Sizes:
    """What was measured; bytes."""

    optimize: str
    parts: tuple[Part, ...]
    flash: int  # of the image
    ram: int  # of the image, without its stack
    stack: int  # worst, of the image
    functions: dict[str, int]  # own frame of each
    varying: tuple[str, ...]  # functions whose frame has no fixed size

    def part(self, name: str) -> Part:
        """By name."""
        return next(part for part in self.parts if part.name == name)

    def budgets(self) -> list[tuple[str, int, int]]:
        """(what, bytes, most) of each."""
        core, beats = self.part("core"), self.part("beats")
        deepest = max(self.functions, key=lambda name: self.functions[name])
        return [
            ("core flash", core.flash, CORE_FLASH_BUDGET),
            ("core RAM", core.ram, CORE_RAM_BUDGET),
            ("core worst stack", core.stack, CORE_STACK_BUDGET),
            ("beats flash", beats.flash, BEATS_FLASH_BUDGET),
            ("beats RAM", beats.ram, BEATS_RAM_BUDGET),
            (f"stack of {deepest}", self.functions[deepest], FUNCTION_STACK_BUDGET),
            ("image flash", self.flash, IMAGE_FLASH_BUDGET),
            ("image RAM and stack", self.ram + self.stack, IMAGE_RAM_BUDGET),
            ("frames without a fixed size", len(self.varying), 0),
        ]


def measure(
    bundle: Bundle | tuple[Bundle, ...],
    folder: Path,
    *,
    optimize: str = "-O2",
    machine: Machine = MACHINE,
    opt: str = "size",
) -> Sizes:
    """Export, compile, link and look; all in `folder`.

    Args:
        bundle: the model, or those of the image.
        folder: empty.
        optimize: the compiler's option.
        machine: an emulated board.
        opt: what the engine is written for.

    Raises:
        EcgEdgeError: the image cannot be made, or has no worst stack.
    """
    export(bundle, folder / "fw", board=machine.board, opt=opt)
    tools = machine.tools
    board_sources = (*tools.sources, "memory.c", *machine.wire_mains)
    source, own = (folder / "fw" / "EcgEdge" / "src").resolve(), (package_data("firmware") / "qemu").resolve()
    files = [*sorted(source.glob("*.c")), *(own / name for name in board_sources)]
    flags = (*machine.options, tools.library, *machine.defines, *WARNINGS, *SECTIONS, optimize)
    flags = (*flags, f"-I{source}", f"-I{own}")
    _run(tools.compiler, *flags, "-c", *map(str, files), cwd=folder)
    objects = [f"{file.stem}.o" for file in files]
    script = (f"-L{own}", "-T", str(own / machine.script))
    _run(tools.compiler, *machine.options, tools.library, *LINK, *script, *objects, "-o", "image.elf", cwd=folder)
    graph = CallGraph()
    for path in folder.glob("*.ci"):
        graph.read(path.read_text(encoding="utf-8"))
    flash = _flash_by_part((folder / "image.map").read_text(encoding="utf-8"))
    ram = _ram_by_part(_run(_beside(tools.compiler, "nm"), "-S", "image.elf", cwd=folder))
    stack = _stack_by_part(graph)
    total = _run(_beside(tools.compiler, "size"), "image.elf", cwd=folder).splitlines()[1].split()
    text, data, bss = (int(word) for word in total[:3])
    names = ("core", "beats", "engine", "model", "board", "C library")
    parts = tuple(Part(name, flash.get(name, 0), ram.get(name, 0), stack.get(name, 0)) for name in names)
    functions = {_short(title): size for title, size in graph.stack.items()}
    varying = tuple(_short(title) for title, kind in graph.kinds.items() if kind not in ("static", "dynamic,bounded"))
    return Sizes(optimize, parts, text + data, data + bss, stack["image"], functions, varying)


def part_of(file: str, section: str) -> str:
    """Whose flash a section of an object file is. A model is its tables; the steps that walk them are engine."""
    stem = Path(file).stem
    if file.endswith(")"):  # member of an archive
        return "C library"
    if stem in CORE:
        return "core"
    if stem in BEATS:
        return "beats"
    if stem.startswith("ecg_ops") or (stem.startswith("ecg_model") and section.startswith(".text")):
        return "engine"
    return "model" if stem.startswith("ecg_model") else "board"


def _flash_by_part(text: str) -> dict[str, int]:
    """From the linker's map, behind its list of what it threw away."""
    placed = text[text.index("Linker script and memory map") :]
    placed = re.sub(r"^( \.\S+)\n\s+", r"\1 ", placed, flags=re.MULTILINE)  # long names have a line of their own
    parts: dict[str, int] = {}
    for section, size, file in _PLACED.findall(placed):
        name = part_of(file, section)
        parts[name] = parts.get(name, 0) + int(size, 16)
    return parts


def _ram_by_part(symbols: str) -> dict[str, int]:
    parts: dict[str, int] = {}
    for line in symbols.splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "bBdD":
            owners = {"core": CORE_RAM, "beats": BEATS_RAM, "engine": ENGINE_RAM}
            name = next((owner for owner, names in owners.items() if words[3] in names), "board")
            parts[name] = parts.get(name, 0) + int(words[1], 16)
    return parts


def _stack_by_part(graph: CallGraph) -> dict[str, int]:
    """Worst stack of the core's entries, of the engine's, of the handlers, and of the image from reset on."""
    engine = [title for name in ENGINE_CALLS for title in graph.named(name, file="ecg_model_")]
    callbacks = [title for name in CALLBACKS for title in graph.named(name, file="wire_main")]
    entries = [title for title in graph.stack if title.startswith("ecg_edge_")]
    handlers = EXCEPTION_FRAME + max(graph.worst(name, []) for name in HANDLERS if name in graph.stack)
    assert engine, "the model's descriptor reaches no function"
    assert len(callbacks) == len(CALLBACKS), callbacks
    assert entries, "the core has no entries"
    return {
        "core": max(graph.worst(entry, []) for entry in entries),
        "engine": max(graph.worst(entry, []) for entry in engine),
        "board": handlers,
        "image": graph.worst("board_reset", [*engine, *callbacks]) + handlers,
    }


def _beside(compiler: str, tool: str) -> str:
    """arm-none-eabi-gcc -> arm-none-eabi-nm."""
    return f"{compiler.removesuffix('gcc')}{tool}"


def _short(title: str) -> str:
    """A static function's title is its file's path and its name."""
    return title.rpartition("/")[2]


def _run(*command: str, cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EcgEdgeError(
            f"no {command[0]}: sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"
        ) from error
    if done.returncode:
        raise EcgEdgeError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
    return done.stdout


def table(sizes: Sizes, *, functions: bool) -> str:
    """For people."""
    lines = [f"{'bytes, ' + sizes.optimize:<12} {'flash':>8} {'RAM':>8} {'stack':>8}"]
    lines += [f"{part.name:<12} {part.flash:>8,} {part.ram:>8,} {part.stack or '':>8}" for part in sizes.parts]
    lines += [f"{'image':<12} {sizes.flash:>8,} {sizes.ram:>8,} {sizes.stack:>8,}", ""]
    if functions:
        deepest = sorted(sizes.functions.items(), key=lambda item: (-item[1], item[0]))
        lines += [*(f"{name:<48} {size:>8,}" for name, size in deepest), ""]
    lines += [
        f"{'OVER ' if size > most else ''}{what:<{43 if size > most else 48}} {size:>8,} of {most:>8,}"
        for what, size, most in sizes.budgets()
    ]
    return "\n".join(lines)


def main() -> int:
    """Print the sizes; 3 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "bundle", nargs="*", default=["ecg5"], help="shipped bundles or folders; several make one image"
    )
    parser.add_argument("--optimize", default="-O2", help="as --optimize=-Os; -O2 is what the image is built with")
    parser.add_argument("--functions", action="store_true", help="the stack of every function too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            bundles = tuple(map(Bundle.load, options.bundle))
            sizes = measure(bundles, Path(folder), optimize=options.optimize)
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(sizes), indent=2) if options.json else table(sizes, functions=options.functions))
    over = [what for what, size, most in sizes.budgets() if size > most]
    if over:
        print(f"over budget: {', '.join(over)}", file=sys.stderr)
    return 3 if over else 0


if __name__ == "__main__":
    sys.exit(main())
