"""Run this project as a Raspberry Pi would: on an emulated one, held to answers that this machine computed.

    python tools/pi.py test [--windows 1000]    all backends against the golden model, and the tests of the run path
    python tools/pi.py --machine armhf ...      the same on a 32-bit one
    python tools/pi.py run COMMAND ...          one command there, as in: run ecg-edge doctor --run
    python tools/pi.py size                     what pip install 'ecg-edge[pi]' takes on the disk, by package

The Pi is a folder, build/pi (tools/pi_root.py), made on first use. Emulated is not hardware: it proves bits and
behaviour, and no time. `test` writes build/pi/report-<machine>.json, and ends with 3 when an exact backend differs or a
test fails.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pi_root import BUILD, MACHINES, REPOSITORY, Machine, build_wheel, locked, make_pi, pip_install, run

from ecg_edge.bench.answers import expect
from ecg_edge.bench.source import synthetic_source
from ecg_edge.bench.subject import find_subject, inputs
from ecg_edge.bundle import Bundle
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import write_json
from ecg_edge.live.source import Chunk, first_samples, synthetic_chunks
from ecg_edge.runtime.tflm import TflmBackend
from ecg_edge.signal.record import Record, write_wfdb

BUNDLE = "ecg5"
OTHERS = tuple(REPOSITORY / "tests" / "golden" / "models" / f"{name}.tflite" for name in ("bench_a", "bench_b"))
SEED, SNR_DB, MINUTE_S = 6, (12.0, 30.0), 60
BACKENDS = REPOSITORY / "tools" / "pi_backends.py"
LIMIT_MB, SHOWN = 110, 12
BLOCK_BYTES = 512  # what st_blocks counts
TESTS = (
    "tests/live/test_board.py",
    "tests/live/test_run_verb.py",
    "tests/live/test_stream.py",
    "tests/live/test_web_door.py",
    "tests/golden/test_golden_runtimes.py",
    "tests/unit/test_choose_backend.py",
    "tests/unit/test_doctor.py",
    "tests/unit/test_prepare.py",
    "tests/unit/test_runtime_advice.py",
    "tests/unit/test_service.py",
)
NOT_THERE = "not virtual_board"  # it is compiled for the Pi, and started by this machine's kernel


def write_golden(count: int) -> list[Path]:
    """What TensorFlow Lite Micro answers here: to synthetic ECG, and of two more models to half noise, half ECG.

    Returns:
        a .npz a model: the model, (count, length, leads) windows, (count, classes) scores.
    """
    folder = BUILD / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.load(BUNDLE)
    source = synthetic_source(bundle.manifest, count, seed=SEED, snr_db=SNR_DB, progress=lambda *_: None)
    asked = {BUNDLE: (bundle.model, expect(source, bundle.manifest).columns)}
    for subject in map(find_subject, OTHERS):
        asked[subject.name] = subject.data, inputs(subject.graph, count, seed=SEED)[0]
    for name, (model, windows) in asked.items():
        scores = TflmBackend(model).run(windows)
        np.savez(folder / f"{name}.npz", model=np.frombuffer(model, np.uint8), windows=windows, scores=scores)
    return [folder / f"{name}.npz" for name in asked]


def table(told: dict[str, Any]) -> str:
    """A machine's backends, a line each."""
    lines = [f"{told['machine']}, {told['libc']}, NumPy {told['numpy']}"]
    for model, found in told["models"].items():
        lines.append(f"  {model}, golden sha256 {found['golden_sha256'][:12]}")
        for name, row in found["backends"].items():
            if reason := row.get("missing") or row.get("failed"):
                lines.append(f"    {name:<20}{reason}")
                continue
            lines.append(
                f"    {name:<20}{row['identical']:6,} of {row['windows']:,} identical, {row['max_abs_lsb']:2} LSB off; "
                f"verdicts flipped: {row['argmax_flips']}, clear ones: {row['clear_flips']}"
            )
    return "\n".join(lines)


def differing(told: dict[str, Any]) -> list[str]:
    """Backends that had to be exact, and are not."""
    return [
        f"{told['machine']} {model} {name}"
        for model, found in told["models"].items()
        for name, row in found["backends"].items()
        if row.get("exact") and row["identical"] < row["windows"]
    ]


def write_records() -> list[Path]:
    """A minute of synthetic ECG as WFDB records, at the model's rate and at one that has to be resampled."""
    manifest = Bundle.load(BUNDLE).manifest
    chunks = first_samples(synthetic_chunks(manifest, seed=SEED), MINUTE_S * manifest.fs_hz)
    samples = np.concatenate([chunk.samples_uv[:, 0] for chunk in chunks if isinstance(chunk, Chunk)])
    rates = (manifest.fs_hz, 360)
    return [write_wfdb(BUILD / "records", [Record(f"minute_{fs}", fs, "II", samples)]) for fs in rates]


def differing_runs(machine: Machine) -> list[str]:
    """Runs that do not say there what they say here, byte for byte; with no compiler too, where auto takes another."""
    wrong = []
    for record in write_records():
        words: list[str | Path] = ["run", BUNDLE, "--record", record, "--speed", "max", "--json"]
        here = run([Path(sys.executable).parent / "ecg-edge", *words])
        there = {
            "native": run([machine.venv / "bin" / "ecg-edge", *words], machine.environment()),
            "without a compiler": run([machine.venv / "bin" / "ecg-edge", *words], machine.environment(compiler=False)),
        }
        wrong += [f"run on {record.name}, {how}" for how, said in there.items() if said != here]
        print(f"{record.stem}: {len(here.splitlines())} lines of JSON; differing: {len(wrong)}")
    run([machine.venv / "bin" / "ecg-edge", "doctor", "--run"], machine.environment(compiler=False))
    return wrong


def test(machine: Machine, windows: int) -> int:
    """The whole of it; gives the exit status."""
    make_pi(machine)
    golden = write_golden(windows)
    here = json.loads(run([sys.executable, BACKENDS, *golden]))
    there = json.loads(run([machine.venv / "bin" / "python", BACKENDS, *golden], machine.environment()))
    for told in (here, there):
        print(table(told))
    command = [str(machine.venv / "bin" / "python"), "-P", "-m", "pytest", "-q", "-k", NOT_THERE, *TESTS]
    options = ["-o", f"cache_dir={machine.folder / 'pytest'}"]
    status = subprocess.run([*command, *options], cwd=REPOSITORY, env=machine.environment(), check=False).returncode
    wrong = [*differing(here), *differing(there), *differing_runs(machine)]
    write_json(
        BUILD / f"report-{machine.name}.json", {"here": here, "there": there, "different": wrong, "tests": status}
    )
    for what in wrong:
        print(f"differs from the golden answers: {what}")
    return 3 if wrong or status else 0


def size(wheels: str) -> bool:
    """Install ecg-edge[pi] alone, print what each package takes; whether all but scipy is within the limit."""
    folder = BUILD / f"size-{wheels}"
    shutil.rmtree(folder, ignore_errors=True)
    pip_install(wheels, folder, "--constraint", locked(), f"{build_wheel()}[pi]")
    files, blocks = Counter[str](), Counter[str]()
    for path in folder.rglob("*"):
        if path.is_file():
            package = re.split("[-.]", path.relative_to(folder).parts[0])[0]
            files[package] += path.stat().st_size
            blocks[package] += path.stat().st_blocks * BLOCK_BYTES
    without, on_disk = ((count.total() - count["scipy"]) / 1e6 for count in (files, blocks))
    print(f"{wheels}: {without:.1f} MB in files without scipy ({on_disk:.1f} MB on the disk); {LIMIT_MB} are allowed")
    for package, count in files.most_common(SHOWN):
        print(f"  {package:<16}{count / 1e6:6.1f} MB")
    return without <= LIMIT_MB


def main() -> int:
    """Command line: the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--machine", choices=MACHINES, default="arm64")
    verbs = parser.add_subparsers(dest="verb", required=True)
    tested = verbs.add_parser("test")
    tested.add_argument("--windows", type=int, default=1000)
    verbs.add_parser("size")
    verbs.add_parser("run").add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    machine = MACHINES[given.machine]
    try:
        if given.verb == "test":
            return test(machine, given.windows)
        if given.verb == "size":
            return 0 if all([size("x86_64"), size(machine.wheels)]) else 3
        make_pi(machine)
        return subprocess.run(given.command, env=machine.environment(), check=False).returncode
    except EcgEdgeError as error:
        print(f"pi: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
