"""The layer table of the project, enforced on the syntax tree of every file in the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ecg_edge"
FILES = sorted(PACKAGE.rglob("*.py"))

# A layer is a file or a folder of the package. Each may import itself, and of the others only these.
BASE = {"errors", "files"}  # files.py writes whole files or none; it stands beside errors, below everything
STAGES = {"signal", "learn", "graph", "codegen", "bundle", "runtime", "device", "report"}
COMPOSERS = {"bench", "live", "recipes"}  # they put stages together, and hold no algorithm
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "signal": BASE,
    "learn": BASE | {"signal", "bundle"},
    "graph": BASE,
    "codegen": BASE | {"graph", "bundle"},
    "bundle": BASE,
    "device": BASE | {"bundle"},
    "runtime": BASE | {"bundle", "graph", "codegen", "device"},  # two of its backends are ours: numpy and native
    "report": BASE,
    **dict.fromkeys(COMPOSERS, BASE | STAGES | COMPOSERS),
    "cli": BASE | STAGES | COMPOSERS,
    "__init__": BASE | STAGES,  # the public names
}

# Each of these packages has one door: nobody else imports it.
DOORS: dict[str, tuple[str, ...]] = {
    "ai_edge_litert": ("runtime/litert.py",),
    "flatbuffers": ("graph/tflite.py",),
    "jinja2": ("codegen/template.py", "report/"),
    "keras": ("learn/",),
    "matplotlib": ("report/",),
    "rich": ("cli/",),
    "serial": ("device/link.py",),
    "sklearn": ("learn/",),
    # What starts boards, compiles for them, and ends them: too much for one file.
    "subprocess": (
        "device/build.py",
        "device/emulator.py",
        "device/process.py",
        "device/qemu.py",
        "device/simavr.py",
        "device/toolchain.py",
    ),
    "tensorflow": ("learn/",),
    "tflite": ("graph/tflite.py",),
    "tflite_micro": ("runtime/tflm.py",),
    "tflite_runtime": ("runtime/tflite_runtime.py",),
    "typer": ("cli/",),
    "wfdb": ("signal/download.py", "signal/record.py"),  # its requests; its files
}

# Where a module may be imported by a name that the syntax tree does not show.
DYNAMIC = {"__init__.py", "cli/app.py"}


def imports_of(file: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, whether at the top, in a function or for type checking only."""
    folder = ["ecg_edge", *Path(file).parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            home = [*above, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*home, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                yield node.lineno, "(dynamic)"


def complaints(file: str, source: str) -> Iterator[str]:
    """What a file of the package, named by its path there, may not import."""
    layer = Path(file).parts[0].removesuffix(".py")
    if layer not in LAYERS:
        yield f"{file} is in no layer; the table in this test names: {', '.join(LAYERS)}"
        return
    for line, name in imports_of(file, source):
        top, _, rest = name.partition(".")
        if name == "(dynamic)":
            if file not in DYNAMIC:
                yield f"{file}:{line} imports by a computed name, which hides what it imports"
        elif top == "ecg_edge":
            target = rest.partition(".")[0]
            if target not in LAYERS[layer] | {layer, "", "__version__"}:
                allowed = ", ".join(sorted(LAYERS[layer])) or "nothing"
                yield f"{file}:{line} imports {name}; layer {layer} may import {allowed}"
        elif top in DOORS and not file.startswith(DOORS[top]):
            yield f"{file}:{line} imports {top}, whose one door is {' or '.join(DOORS[top])}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    file = path.relative_to(PACKAGE).as_posix()
    assert list(complaints(file, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("graph/check.py", "from ecg_edge.signal.record import Record", "layer graph may import errors, files"),
        ("errors.py", "import ecg_edge.files", "layer errors may import nothing"),
        ("report/render.py", "def f():\n    from ecg_edge import cli", "render.py:2 imports ecg_edge.cli"),
        ("signal/synth.py", "import wfdb.io", "whose one door is signal/download.py or signal/record.py"),
        ("graph/interpret.py", "from tensorflow import lite", "whose one door is learn/"),
        ("device/client.py", "import importlib\nimportlib.import_module('serial')", "imports by a computed name"),
        ("graph/check.py", "from ..device import frame", "imports ecg_edge.device.frame"),
        ("errors.py", "from .signal.record import Record", "imports ecg_edge.signal.record.Record"),
        ("helpers/tools.py", "", "is in no layer"),
    ],
)
def test_a_breach_is_named_with_its_file_and_line(file: str, source: str, complaint: str) -> None:
    found = list(complaints(file, source))
    assert len(found) == 1
    assert complaint in found[0]


def test_every_layer_says_what_it_is() -> None:
    for path in PACKAGE.glob("*/__init__.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert f"Layer: {path.parent.name}" in docstring, f"{path}: its docstring does not name its layer"
