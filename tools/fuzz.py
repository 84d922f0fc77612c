"""Fuzz the firmware's frame parser and its core with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.

    python tools/fuzz.py [--seconds 60] [--targets frame,core] [--out build/fuzz] [--update]

Starts from the corpus of tests/c/corpus, keeps what it finds under --out, and prints which lines the whole corpus
reaches. Exit code 3: a finding; its input lies in --out. --update writes a small corpus that reaches as much back.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "firmware" / "EcgEdge" / "src"
HARNESS = ROOT / "firmware" / "fuzz"
CORPUS = ROOT / "tests" / "c" / "corpus"
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
LONG_INPUTS = 30  # that the committed corpus keeps
C = ("-std=c99", "-g", "-O1")


@dataclass(frozen=True)
class Target:
    """What is fuzzed."""

    name: str
    harness: tuple[str, ...]
    sources: tuple[str, ...]  # whose coverage counts
    most_bytes: int

    @property
    def files(self) -> list[str]:
        """Every C file of it."""
        return [*(str(HARNESS / name) for name in self.harness), *(str(SOURCES / name) for name in self.sources)]


TARGETS = {
    "frame": Target("frame", ("frame.c",), ("ecg_frame.c",), 1200),
    "core": Target(
        "core",
        ("core.c", "page.c", "ecg_models.c"),
        ("ecg_edge.c", "ecg_answer.c", "ecg_frame.c", "ecg_stream.c", "ecg_prepare.c", "ecg_selftest.c"),
        2000,
    ),
}


def build(target: Target, out: Path, options: Sequence[str], compiler: str, extra: Sequence[str] = ()) -> Path:
    """Compile a target into `out`."""
    program = out / f"{target.name}-{Path(compiler).name}"
    includes = (f"-I{HARNESS}", f"-I{SOURCES}")
    run([compiler, *C, *options, *includes, *target.files, *extra, "-o", str(program)], out)
    return program


def fuzz(target: Target, out: Path, seconds: int, seed: int) -> bool:
    """Run libFuzzer for a while; whether it found nothing."""
    program = build(target, out, SANITIZERS, "clang")
    grown = out / "corpus" / target.name
    grown.mkdir(parents=True, exist_ok=True)
    command = [str(program), f"-max_total_time={seconds}", f"-max_len={target.most_bytes}", "-len_control=0"]
    command += [f"-seed={seed}", f"-artifact_prefix={out}/{target.name}-", "-print_final_stats=1", "-verbosity=1"]
    log = out / f"{target.name}.log"
    with log.open("wb") as text:
        done = subprocess.run([*command, str(grown), str(CORPUS / target.name)], stderr=text, check=False)
    said = log.read_text(errors="replace")
    runs = re.search(r"number_of_executed_units:\s*(\d+)", said)
    print(f"{target.name}: {int(runs[1]) if runs else 0:,} inputs in {seconds} s, log {log}")
    if done.returncode:
        print("\n".join(said.splitlines()[-30:]), file=sys.stderr)
    return done.returncode == 0


def minimise(target: Target, out: Path) -> None:
    """Write the smallest corpus that reaches every line that was reached, and a few long inputs."""
    smallest = out / "smallest" / target.name
    shutil.rmtree(smallest, ignore_errors=True)
    smallest.mkdir(parents=True)
    program = out / f"{target.name}-clang"
    run(
        [
            str(program),
            "-merge=1",
            "-use_counters=0",
            str(smallest),
            str(CORPUS / target.name),
            str(out / "corpus" / target.name),
        ],
        out,
    )
    for path in (CORPUS / target.name).iterdir():
        if not path.name.startswith("talk_"):  # conversations by hand
            path.unlink()
    # A line that is reached is not yet a state: long conversations come into more of them.
    longest = sorted((out / "corpus" / target.name).iterdir(), key=lambda path: (-path.stat().st_size, path.name))
    kept = {path.read_bytes() for path in (*smallest.iterdir(), *longest[:LONG_INPUTS])}
    for number, data in enumerate(sorted(kept, key=lambda data: (len(data), data))):
        (CORPUS / target.name / f"{number:03}").write_bytes(data)


def coverage(target: Target, out: Path, folders: Sequence[Path]) -> list[tuple[str, float, int]]:
    """(file, share of its lines that the inputs reach, lines), by gcc and gcov."""
    work = out / f"coverage-{target.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    program = build(target, work, ("--coverage", "-O0"), "gcc", (str(HARNESS / "replay.c"),))
    inputs = [str(path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    for at in range(0, len(inputs), 1000):
        run([str(program), *inputs[at : at + 1000]], work)
    said = run(["gcov", "-n", *(str(path) for path in work.glob("*.gcda"))], work)
    found = re.findall(r"File '[^']*/(ecg_\w+\.c)'\nLines executed:([\d.]+)% of (\d+)", said)
    return sorted((file, float(share), int(lines)) for file, share, lines in found if file in target.sources)


def run(command: Sequence[str], folder: Path) -> str:
    """Run to the end; what it said on stdout. Ends the program where that fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
        sys.exit(f"{Path(command[0]).name} failed with exit code {done.returncode}")
    return done.stdout


def main() -> int:
    """Parse, build, fuzz, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of each target; 60")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--update", action="store_true", help="write tests/c/corpus again")
    wanted = parser.parse_args()
    out = wanted.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    clean = True
    for name in wanted.targets.split(","):
        if name not in TARGETS:
            sys.exit(f"no target {name}; there are: {', '.join(TARGETS)}")
        target = TARGETS[name]
        clean &= fuzz(target, out, wanted.seconds, wanted.seed)
        if wanted.update:
            minimise(target, out)
        for file, share, lines in coverage(target, out, [CORPUS / name, out / "corpus" / name]):
            print(f"  {file:<16} {share:6.2f} % of {lines} lines")
    return 0 if clean else 3


if __name__ == "__main__":
    sys.exit(main())
