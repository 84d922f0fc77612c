"""Compile C of this project for this machine, with the undefined behaviour sanitizer, and call it."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from core_bench import core, core_library  # noqa: F401  fixtures of the core's tests
from native_engine import CONFIG, Engine
from toolchain import KERNELS, SANITIZE, SOURCES, WARNINGS, compiler

from ecg_edge.codegen.native import native_source
from ecg_edge.codegen.target import PORTABLE, Target
from ecg_edge.graph.ir import Graph
from ecg_edge.graph.plan import make_plan


@pytest.fixture(scope="session")
def build_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ctypes.CDLL]:
    """Sources -> shared library; include folders after the project's own."""
    cc = compiler()

    def build(*sources: Path, include: Path | None = None, options: tuple[str, ...] = ()) -> ctypes.CDLL:
        target = tmp_path_factory.mktemp("library") / "library.so"
        includes = [f"-I{folder}" for folder in (include, SOURCES) if folder]
        command = [cc, *WARNINGS, *SANITIZE, "-O1", "-g", "-fPIC", "-shared", *options, *includes, *map(str, sources)]
        result = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return ctypes.CDLL(str(target))

    return build


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Objects of ecg_ops*.c, compiled once for all engines."""
    folder = tmp_path_factory.mktemp("kernels")
    objects = tuple(folder / f"{source.stem}.o" for source in KERNELS)
    for source, target in zip(KERNELS, objects, strict=True):
        command = [compiler(), *WARNINGS, *SANITIZE, "-O1", "-g", "-fPIC", f"-I{SOURCES}", "-c", str(source)]
        result = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    return objects


@pytest.fixture(scope="session")
def build_engine(
    build_library: Callable[..., ctypes.CDLL], kernels: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Engine]:
    """Graph and hop -> its generated engine, compiled."""

    def build(graph: Graph, *, hop: int, target: Target = PORTABLE) -> Engine:
        folder = tmp_path_factory.mktemp("engine")
        source = folder / "model_native.c"
        source.write_text(native_source(make_plan(graph, hop=hop), name=graph.name, fs_hz=250, target=target))
        (folder / "ecg_config.h").write_text(CONFIG)
        options = ("-march=native",) if target.core == "host" else ()
        return Engine(build_library(source, *kernels, include=folder, options=options), graph.name)

    return build
