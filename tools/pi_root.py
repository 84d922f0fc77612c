"""A Raspberry Pi's user space in a folder, run by qemu-user: Debian 12's own packages and the wheels pip takes there.

Nothing is installed on this machine and nothing runs as root: packages are fetched for another architecture by apt with
folders of its own, unpacked, and run where they lie. Wheels come by pip from the hashed lock, this project's included,
into a virtual environment as a user makes it. Emulated is not hardware: it proves bits and behaviour, and no time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_edge.errors import EcgEdgeError

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = REPOSITORY / "build" / "pi"
LOCK = REPOSITORY / "requirements" / "pi.lock"
DEBIAN = "bookworm"  # Raspberry Pi OS of 2023 to 2025
GLIBC = range(17, 37)  # 2.x: wheels for these run there
PYTHON = "python3.11"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of Pi."""

    name: str  # Debian's, of the architecture
    wheels: str  # pip's
    qemu: str
    cpu: str  # what qemu emulates, and what -march=native means
    compiler: str  # runs here, compiles for there: qemu-user cannot start GCC's parts one by one
    from_debian: tuple[str, ...] = ()  # packages of the lock that have no wheels for it

    @property
    def folder(self) -> Path:
        """Where everything of it is."""
        return BUILD / self.name

    @property
    def root(self) -> Path:
        """Its file system."""
        return self.folder / "root"

    @property
    def venv(self) -> Path:
        """Its virtual environment."""
        return self.folder / "venv"

    @property
    def site(self) -> Path:
        """Where wheels are unpacked."""
        return self.venv / "lib" / PYTHON / "site-packages"

    def environment(self, *, compiler: bool = True) -> dict[str, str]:
        """Variables under which its programs run: its compiler first, or no other programs, and caches of its own."""
        path = [str(self.venv / "bin")]
        if compiler:
            path += [str(self.folder / "bin"), os.environ.get("PATH", os.defpath)]
        own = {"PATH": os.pathsep.join(path), "XDG_CACHE_HOME": str(self.folder / "cache" / self.cpu)}
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | own


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("arm64", "aarch64", "qemu-aarch64-static", "cortex-a72", "aarch64-linux-gnu-gcc"),  # a Pi 4
        Machine(  # a Pi 2, or any with a 32-bit system
            *("armhf", "armv7l", "qemu-arm-static", "cortex-a7", "arm-linux-gnueabihf-gcc"),
            from_debian=("numpy", "scipy", "ai-edge-litert"),  # and of the last there is none at all
        ),
    )
}


def make_pi(machine: Machine) -> None:
    """Bring a machine's folder up to date: what has not changed is kept.

    Raises:
        EcgEdgeError: a package cannot be fetched, or a program is not here.
    """
    for program in (machine.qemu, machine.compiler, "apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise EcgEdgeError(f"there is no {program} here: make pi-test installs it")
    root_key = repr((machine, DEBIAN, str(machine.folder)))
    if _is_stale(machine.root, root_key):
        _make_root(machine)
        _stamp(machine.root, root_key)
    _write_programs(machine)
    venv_key = root_key + LOCK.read_text(encoding="utf-8")
    if _is_stale(machine.venv, venv_key):
        _make_venv(machine)
        _stamp(machine.venv, venv_key)
    _install_project(machine)


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Run a program that must succeed -> what it says.

    Raises:
        EcgEdgeError: it fails; with the last line it says.
    """
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
        raise EcgEdgeError(f"{' '.join(map(str, command[:3]))} ... failed: {said[-1]}")
    return done.stdout


def pip_install(wheels: str, into: Path, *what: str | Path) -> None:
    """Unpack a machine's wheels into a folder; run by this machine's pip, so it asks the index that the user has."""
    platforms = [f"manylinux_2_{n}_{wheels}" for n in GLIBC] + [f"manylinux2014_{wheels}", "any"]
    run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--target", into, "--upgrade"),
            *("--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"),
            *(word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)),
            *(word for platform in platforms for word in ("--platform", platform)),
            *what,
        ]
    )
    shutil.rmtree(into / "bin", ignore_errors=True)  # scripts for this machine's Python


def locked() -> Path:
    """The lock's versions without hashes, as constraints: pip wants a hash of everything or of nothing."""
    path = BUILD / "constraints.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    pins = [line.split()[0] for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line]
    path.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    return path


def build_wheel() -> Path:
    """This project as it is now, as a wheel."""
    folder = BUILD / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, REPOSITORY]
    )
    (wheel,) = folder.glob("ecg_edge-*.whl")
    return wheel


def _make_root(machine: Machine) -> None:
    """Fetch Debian's packages for the architecture, and unpack them."""
    apt = machine.folder / "apt"
    for folder in (machine.root, apt):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for folder in (apt / "lists" / "partial", apt / "archives" / "partial"):
        folder.mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text("".join(f"{line}\n" for line in _sources()), encoding="utf-8")
    options = {
        "APT::Architecture": machine.name,
        "APT::Architectures": machine.name,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    run(["apt-get", *given, "-qq", "update"])
    packages = (PYTHON, "libstdc++6", "libatomic1", *(f"python3-{name}" for name in machine.from_debian[:2]))
    run(["apt-get", *given, "-qq", "-y", "--download-only", "install", *packages])
    for package in sorted((apt / "archives").glob("*.deb")):
        run(["dpkg-deb", "-x", package, machine.root])
    for library in machine.root.glob("usr/lib/*/*/lib*.so.3"):  # BLAS and LAPACK; else update-alternatives does it
        (library.parents[1] / library.name).symlink_to(library)
    shutil.rmtree(apt)


def _sources() -> list[str]:
    """Lines of a sources.list: the mirrors that this machine's apt asks for Debian.

    Raises:
        EcgEdgeError: it asks none.
    """
    told = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Origin: Debian"]
    )
    # The release alone: a point release is all that a test needs, and other suites may be out of step with a mirror.
    found = (line.partition(" ") for line in told.splitlines())
    lines = {f"deb [signed-by={KEYRING}] {mirror} {DEBIAN} main" for mirror, _, release in found if "-" not in release}
    if not lines:
        raise EcgEdgeError("apt knows no mirror of Debian here: a Debian host, and apt-get update, are needed")
    return sorted(lines)


def _make_venv(machine: Machine) -> None:
    shutil.rmtree(machine.venv, ignore_errors=True)
    options = ["--without-pip", *(["--system-site-packages"] if machine.from_debian else [])]
    run([machine.root / "usr" / "bin" / "python", "-m", "venv", *options, machine.venv], machine.environment())
    entries = re.split(r"\n(?=\S)", LOCK.read_text(encoding="utf-8"))
    wanted = machine.folder / "requirements.txt"
    wanted.write_text(
        "\n".join(e for e in entries if e.partition("==")[0] not in machine.from_debian), encoding="utf-8"
    )
    pip_install(machine.wheels, machine.site, "--require-hashes", "--no-deps", "-r", wanted)


def _install_project(machine: Machine) -> None:
    """The wheel of what lies here now, and its command."""
    for old in machine.site.glob("ecg_edge*"):
        shutil.rmtree(old)
    pip_install(machine.wheels, machine.site, "--no-deps", build_wheel())
    script = machine.venv / "bin" / "ecg-edge"
    script.write_text(
        f"#!{machine.venv}/bin/python\nimport sys\nfrom ecg_edge.cli.app import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    script.chmod(0o755)


def _write_programs(machine: Machine) -> None:
    """Its Python, and its compiler: scripts that this machine can start."""
    start = f'{shutil.which(machine.qemu)} -cpu {machine.cpu} -L "{machine.root}"'
    python = machine.root / "usr" / "bin" / PYTHON
    _write_program(python.with_name("python"), f'exec {start} -0 "$0" "{python}" "$@"')
    _write_program(
        machine.folder / "bin" / "cc",
        f'for word; do shift; test "$word" != -march=native || word=-mcpu={machine.cpu}; set -- "$@" "$word"; done\n'
        f'exec {machine.compiler} "$@"',
    )


def _write_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _is_stale(folder: Path, key: str) -> bool:
    stamp = folder.with_suffix(".made")
    return not stamp.is_file() or stamp.read_text(encoding="utf-8") != _hash(key)


def _stamp(folder: Path, key: str) -> None:
    folder.with_suffix(".made").write_text(_hash(key), encoding="utf-8")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
