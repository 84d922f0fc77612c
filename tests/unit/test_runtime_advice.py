"""A runtime that is missing or broken becomes one line that says what to install.

Stand-ins fail as the real packages do: a test cannot uninstall a package or change NumPy.
"""

import platform
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ecg_edge.errors import GraphError
from ecg_edge.runtime.backend import RuntimeMissingError, check_windows, open_backend


class Resolver:
    AUTO = 0
    BUILTIN_REF = 1


def stand_in(monkeypatch: pytest.MonkeyPatch, package: str, interpreter: Any) -> None:
    """An importable `package.interpreter` with the given Interpreter."""
    module = ModuleType(f"{package}.interpreter")
    module.__dict__.update(Interpreter=interpreter, OpResolverType=Resolver)
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, f"{package}.interpreter", module)


def absent(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As not installed: `find_spec` sees nothing."""

    class Nothing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nothing(), *sys.meta_path])


@pytest.mark.parametrize(
    ("backend", "package", "advice"),
    [
        ("tflm", "tflite_micro", r"not installed \(x86-64 Linux only\): pip install 'ecg-edge\[tflm\]'"),
        ("litert", "ai_edge_litert", r"^LiteRT is not installed: pip install 'ecg-edge\[litert\]'$"),
        ("tflite-runtime", "tflite_runtime", r"^tflite-runtime .*: pip install 'ecg-edge\[pi\]'$"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, backend: str, package: str, advice: str
) -> None:
    absent(monkeypatch, package)
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(RuntimeMissingError, match=advice):
        open_backend(backend, b"")


def test_tflite_runtime_on_a_python_without_wheels_says_which_python(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "tflite_runtime")
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(RuntimeMissingError, match=r"no wheels for Python 3\.13; use Python 3\.11, or .*litert"):
        open_backend("tflite-runtime", b"")


@pytest.mark.parametrize(
    ("machine", "glibc", "advice"),
    [
        (
            "aarch64",
            "2.31",
            r"for ARM need glibc 2\.34 \(Debian 12\), and 2\.31 is here; .*: pip install 'ecg-edge\[litert\]'$",
        ),
        ("armv7l", "2.31", r"need glibc 2\.34 \(Debian 12\), and 2\.31 is here; native and numpy do without$"),
        ("aarch64", "2.34", r"^tflite-runtime is not installed: pip install 'ecg-edge\[pi\]'$"),
        ("x86_64", "2.17", r"^tflite-runtime is not installed: pip install 'ecg-edge\[pi\]'$"),
        ("aarch64", "", r"^tflite-runtime is not installed: pip install 'ecg-edge\[pi\]'$"),  # musl
    ],
)
def test_tflite_runtime_on_an_older_system_says_which_c_library_it_needs(
    monkeypatch: pytest.MonkeyPatch, machine: str, glibc: str, advice: str
) -> None:
    absent(monkeypatch, "tflite_runtime")
    monkeypatch.setattr(sys, "version_info", (3, 11, 2))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc" if glibc else "", glibc))
    with pytest.raises(RuntimeMissingError, match=advice):
        open_backend("tflite-runtime", b"")


@pytest.mark.parametrize(("backend", "package"), [("litert", "ai_edge_litert"), ("tflite-runtime", "tflite_runtime")])
def test_a_wheel_built_for_a_newer_c_library_says_which(
    monkeypatch: pytest.MonkeyPatch, backend: str, package: str
) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ImportError("/lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by x.so)")

    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, f"{package}.interpreter", Broken(f"{package}.interpreter"))
    monkeypatch.setattr(np, "__version__", "1.26.4")
    with pytest.raises(
        RuntimeMissingError, match=r"needs glibc 2\.34, which Debian 12 has .*; native and numpy do without$"
    ):
        open_backend(backend, b"")


def test_the_wheel_of_tflm_is_not_promised_to_a_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "tflite_micro")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(RuntimeMissingError, match=r"^the tflite-micro wheel exists for x86-64 Linux only; native and "):
        open_backend("tflm", b"")


@pytest.mark.parametrize("backend", ["tflite-runtime", "tflite-runtime-ref"])
def test_tflite_runtime_under_numpy_2_asks_for_numpy_1(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    def interpreter(**_: Any) -> None:
        raise SystemError("<built-in method CreateWrapperFromBuffer> returned a result with an exception set")

    stand_in(monkeypatch, "tflite_runtime", interpreter)
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(
        RuntimeMissingError, match=r"needs NumPy 1, and NumPy 2\.1\.0 is installed: pip install 'numpy<2'"
    ):
        open_backend(backend, b"")


def test_a_broken_tflite_runtime_under_numpy_1_is_to_be_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpreter(**_: Any) -> None:
        raise SystemError("bad wheel\nsecond line")

    stand_in(monkeypatch, "tflite_runtime", interpreter)
    monkeypatch.setattr(np, "__version__", "1.26.4")
    with pytest.raises(
        RuntimeMissingError, match=r"does not work \(bad wheel\); reinstall: pip install 'ecg-edge\[pi\]'$"
    ):
        open_backend("tflite-runtime", b"")


def test_litert_on_32_bit_arm_points_to_tflite_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "ai_edge_litert")
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    with pytest.raises(RuntimeMissingError, match=r"no wheels for 32-bit ARM; use tflite-runtime: .*\[pi\]"):
        open_backend("litert", b"")


@pytest.mark.parametrize(("backend", "package"), [("litert", "ai_edge_litert"), ("tflite-runtime", "tflite_runtime")])
def test_a_model_that_the_runtime_refuses_is_a_graph_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, backend: str, package: str
) -> None:
    def interpreter(**_: Any) -> None:
        raise ValueError("Didn't find op for builtin opcode 'X'\nRegistration failed.\n")

    stand_in(monkeypatch, package, interpreter)
    with pytest.raises(GraphError, match=rf"^{backend} refuses the model: Didn't find op for builtin opcode 'X'$"):
        open_backend(backend, b"")


def test_windows_are_shaped_for_a_batch_of_one() -> None:
    windows = np.zeros((3, 8, 1), np.int8)
    assert check_windows(windows, (1, 8), np.dtype(np.int8), "x").shape == (3, 1, 8)
    assert check_windows(windows[:0], (1, 8), np.dtype(np.int8), "x").shape == (0, 1, 8)
    with pytest.raises(ValueError, match="x takes"):
        check_windows(windows, (1, 9), np.dtype(np.int8), "x")
