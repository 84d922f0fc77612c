"""The wheel: pure Python, with models and firmware inside, and enough by itself with no checkout beside it."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must end well, away from the checkout and its settings, and return its stdout."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out, cwd=ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel, and its dependencies by a path to this environment's.

    The checkout is not on that path: a path named in a .pth file brings the packages there, not the .pth files there.
    """
    home = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    python = home / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "--python", python, *install, wheel, cwd=home.parent)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_the_wheel_is_pure_python_and_holds_only_the_package(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"ecg_edge"}
    built = (".pyc", ".o", ".so", ".a", ".elf", ".bin", ".gcda", ".gcno")
    assert [name for name in names if name.endswith(built)] == []


def test_the_wheel_holds_models_firmware_types_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "ecg_edge/py.typed",
        "ecg_edge/_models/ecg5/manifest.json",
        "ecg_edge/_models/ecg5/model.tflite",
        "ecg_edge/_firmware/EcgEdge/src/ecg_edge.c",
        "ecg_edge/_firmware/host/main.c",
        "ecg_edge/live/page/live.html",
        "ecg_edge/live/page/strip.js",
    ):
        assert wanted in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for folder in ("models", "firmware"):
        tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False)
        for name in tracked.stdout.split():
            for_developers = name.startswith("firmware/fuzz/")
            assert (f"ecg_edge/_{name}" in names) != for_developers


def test_an_installed_wheel_loads_its_own_bundle(installed: Path, tmp_path: Path) -> None:
    code = "import ecg_edge; print(ecg_edge.Bundle.load('ecg5').folder)"
    folder = Path(run(installed / "python", "-c", code, cwd=tmp_path).strip())
    assert folder.is_relative_to(installed.parent)


def test_an_installed_wheel_exports_firmware(installed: Path, tmp_path: Path) -> None:
    run(installed / "ecg-edge", "export", "ecg5", "--out", "fw", cwd=tmp_path)
    assert (tmp_path / "fw" / "EcgEdge" / "src" / "ecg_edge.c").is_file()
    assert (tmp_path / "fw" / "EcgEdge" / "src" / "ecg_model_ecg5_native.c").is_file()
