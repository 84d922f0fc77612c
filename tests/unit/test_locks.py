"""The locks: hashed, without the names of hosts, and agreed with each other and with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def pins(lock: Path) -> dict[str, set[str]]:
    """Package -> the versions that a lock names, one for each marker."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ \\]+)", lock.read_text(), flags=re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_is_pinned_and_hashed(lock: Path) -> None:
    entries = re.split(r"\n(?=[^ #\n])", re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE).strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+( ; [^\\]+)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\\n)?)+$", entry), entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index_host_or_folder(lock: Path) -> None:
    assert re.search(r"://|--index|--extra-index|--find-links|file:|\.(org|com|net)\b", lock.read_text()) is None


def test_the_dev_lock_holds_the_demos_versions() -> None:
    demo, dev = (pins(ROOT / "requirements" / f"{name}.lock") for name in ("demo", "dev"))
    for name in ("numpy", "scipy", "matplotlib", "typer", "rich", "pyserial", "flatbuffers", "tflite", "jinja2"):
        assert dev[name] <= demo[name], name


def test_every_dependency_of_the_package_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in project["dependencies"] + extras["report"]}
    assert names <= pins(ROOT / "requirements" / "demo.lock").keys()
    linux = {re.split(r"[^A-Za-z0-9-]", line)[0] for lines in extras.values() for line in lines} - {"ecg-edge"}
    assert linux - {"tensorflow"} <= pins(ROOT / "requirements" / "dev.lock").keys()  # tensorflow-cpu stands for it


def test_only_tflite_micro_is_a_pre_release() -> None:
    early = {
        name
        for lock in LOCKS
        for name, versions in pins(lock).items()
        if re.search("(a|b|rc|dev)[0-9]", " ".join(versions))
    }
    assert early == {"tflite-micro"}
