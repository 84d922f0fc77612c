"""Compile C of this project for this machine, with the undefined behaviour sanitizer, and call it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_bench import core, core_library  # noqa: F401  fixtures of the core's tests
from numpy.typing import NDArray

from ecg_edge.bundle import Affine, Manifest
from ecg_edge.codegen.native import native_source
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.plan import make_plan

SOURCES = Path(__file__).parents[2] / "firmware" / "EcgEdge" / "src"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZE = ("-fsanitize=undefined", "-fno-sanitize-recover")
CONFIG = "#define ECG_ENGINE_TFLM 1\n#define ECG_ENGINE_NATIVE 2\n#define ECG_ENGINE ECG_ENGINE_NATIVE\n"

Reset = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
Push = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
Run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Model(ctypes.Structure):
    """ecg_model_t."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_uint8 * 32),
        ("fs_hz", ctypes.c_uint16),
        ("window", ctypes.c_uint16),
        ("hop", ctypes.c_uint16),
        ("leads", ctypes.c_uint8),
        ("classes", ctypes.c_uint8),
        ("scratch_bytes", ctypes.c_size_t),
        ("reset", Reset),
        ("push", Push),
        ("run", Run),
    )


@dataclass
class Engine:
    """One compiled model and memory for it, filled with rubbish: nothing may depend on what scratch held before."""

    model: Model
    scratch: NDArray[np.uint64]
    library: ctypes.CDLL

    def reset(self) -> None:
        self.model.reset(self.scratch.ctypes.data)

    def run(self, windows: NDArray[np.int8]) -> NDArray[np.int8]:
        """(n, length, leads) -> (n, classes)."""
        scores = np.zeros((len(windows), self.model.classes), np.int8)
        windows = np.ascontiguousarray(windows)
        for window, row in zip(windows, scores, strict=True):
            assert self.model.run(self.scratch.ctypes.data, window.ctypes.data, row.ctypes.data) == 0
        return scores

    def push(self, columns: NDArray[np.int8]) -> list[tuple[int, list[int]]]:
        """(n, leads) -> (columns pushed, scores) of each verdict."""
        columns = np.ascontiguousarray(columns)
        scores = np.zeros(self.model.classes, np.int8)
        verdicts = []
        for count, column in enumerate(columns, 1):
            if self.model.push(self.scratch.ctypes.data, column.ctypes.data, scores.ctypes.data):
                verdicts.append((count, scores.tolist()))
        return verdicts


def compiler() -> str:
    """The C compiler, or a skip that says what is missing (a failure under ECG_STRICT=1)."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        message = "no C compiler: the generated engine is not checked"
        if os.environ.get("ECG_STRICT") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="session")
def build_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ctypes.CDLL]:
    """Sources -> shared library; include folders after the project's own."""
    cc = compiler()

    def build(*sources: Path, include: Path | None = None) -> ctypes.CDLL:
        target = tmp_path_factory.mktemp("library") / "library.so"
        includes = [f"-I{folder}" for folder in (include, SOURCES) if folder]
        command = [cc, *WARNINGS, *SANITIZE, "-O1", "-g", "-fPIC", "-shared", *includes, *map(str, sources)]
        result = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return ctypes.CDLL(str(target))

    return build


@pytest.fixture(scope="session")
def build_engine(
    build_library: Callable[..., ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Engine]:
    """Graph and hop -> its generated engine, compiled."""

    def build(graph: Graph, *, hop: int) -> Engine:
        folder = tmp_path_factory.mktemp("engine")
        source = folder / "model_native.c"
        source.write_text(native_source(make_plan(graph, hop=hop), manifest_for(graph, hop=hop)))
        (folder / "ecg_config.h").write_text(CONFIG)
        library = build_library(source, SOURCES / "ecg_ops.c", SOURCES / "ecg_ops_portable.c", include=folder)
        model = Model.in_dll(library, f"ecg_model_{graph.name}")
        scratch = np.full(model.scratch_bytes // 8 + 1, 0xA5A5_A5A5_A5A5_A5A5, np.uint64)
        return Engine(model, scratch, library)

    return build


def manifest_for(graph: Graph, *, hop: int) -> Manifest:
    """The manifest of a graph that is no bundle."""
    length, leads = graph.input.shape
    classes = tuple(f"class {i}" for i in range(graph.output.shape[0]))
    unit: dict[str, Any] = {}
    return Manifest(graph.name, "1", 250, length, hop, leads, classes, unit, Affine(1.0, 0), Affine(1 / 256, -128))
