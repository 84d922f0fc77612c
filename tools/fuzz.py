"""Fuzz the firmware's frame parser and its core with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.

    python tools/fuzz.py [--seconds 60] [--targets frame,core] [--out build/fuzz] [--update]

Starts from the corpus of tests/c/corpus, keeps what it finds under --out, and prints which lines all of it reaches.
Exit code 3: a finding; its input lies in --out. --update writes a small corpus that reaches as much back.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz_image import write_fuzz_image
from fuzz_talks import talks

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "firmware" / "EcgEdge" / "src"
HARNESS = ROOT / "firmware" / "fuzz"
CORPUS = ROOT / "tests" / "c" / "corpus"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
C = ("-std=c99", "-g", "-DECG_WITH_BEATS=1")  # the configuration beside the sources is that of the shipped image
ARITHMETIC = (
    "ecg_beats.c",
    "ecg_prepare.c",
    "ecg_qrs.c",
    "ecg_stream.c",
    "ecg_selftest.c",
)  # comparisons there guide nobody, and take half the time
TALK = "talk_"  # names of inputs by hand


@dataclass(frozen=True)
class Target:
    """What is fuzzed."""

    name: str
    harness: tuple[str, ...]  # the first has the entry; the fuzzer sees its branches, and those of the sources
    sources: tuple[str, ...]  # of the firmware
    most_bytes: int  # of an input
    kept: int  # the longest inputs that the committed corpus keeps beside those that reach new lines
    has_image: bool  # runs exported models

    def files(self, image: Path, sources: Path = SOURCES) -> list[Path]:
        """Every C file of it.

        Args:
            image: where the exported C files are.
            sources: where the firmware's are.
        """
        models = [*image.glob("ecg_models.c"), *image.glob("ecg_model_*.c"), *image.glob("ecg_ops*.c")]
        harness = [HARNESS / name for name in self.harness]
        return [*harness, *(sources / name for name in self.sources), *(sorted(models) if self.has_image else [])]


TARGETS = {
    "frame": Target("frame", ("frame.c",), ("ecg_frame.c",), 1200, 6, has_image=False),
    "core": Target(
        "core",
        ("core.c", "page.c", "straight.c", "image.c"),
        (
            *("ecg_edge.c", "ecg_answer.c", "ecg_frame.c", "ecg_stream.c"),
            *("ecg_beats.c", "ecg_qrs.c", "ecg_prepare.c", "ecg_selftest.c"),
        ),
        2000,
        12,
        has_image=True,
    ),
}


def includes(image: Path) -> tuple[str, ...]:
    """Where headers are: an image's own come before those of the image that lies beside the sources."""
    return f"-I{HARNESS}", f"-I{image}", f"-I{SOURCES}"


def build_fuzzer(target: Target, out: Path, image: Path) -> Path:
    """Compile a target with libFuzzer; only the code that is fuzzed, and what draws inputs, tells it where it went."""
    work = out / f"objects-{target.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    watched = {target.harness[0], *target.sources}
    for file in target.files(image):
        trace = ["-fsanitize=fuzzer-no-link"] if file.name in watched else []
        trace += ["-fno-sanitize-coverage=trace-cmp"] if file.name in ARITHMETIC else []
        run(["clang", *C, "-O2", *SANITIZERS, *trace, *includes(image), "-c", str(file)], work)
    program = out / f"{target.name}-clang"
    run(["clang", *SANITIZERS, "-fsanitize=fuzzer", *map(str, sorted(work.glob("*.o"))), "-o", str(program)], work)
    return program


def fuzz(target: Target, program: Path, out: Path, seconds: int, seed: int) -> bool:
    """Run libFuzzer for a while; whether it found nothing."""
    grown = out / "corpus" / target.name
    grown.mkdir(parents=True, exist_ok=True)
    command = [str(program), f"-max_total_time={seconds}", f"-max_len={target.most_bytes}", "-len_control=0"]
    command += [f"-dict={HARNESS / target.name}.dict", f"-seed={seed}", f"-artifact_prefix={out}/{target.name}-"]
    command += ["-print_final_stats=1", "-verbosity=1"]
    log = out / f"{target.name}.log"
    with log.open("wb") as text:
        done = subprocess.run([*command, str(grown), str(CORPUS / target.name)], stderr=text, check=False)
    said = log.read_text(errors="replace")
    runs = re.search(r"number_of_executed_units:\s*(\d+)", said)
    print(f"{target.name}: {int(runs[1]) if runs else 0:,} inputs in {seconds} s, log {log}")
    if done.returncode:
        found = re.findall(r"^.*(?:broken: |runtime error: |ERROR: |Test unit written to ).*$", said, re.MULTILINE)
        print("\n".join(found or said.splitlines()[-30:]), file=sys.stderr)
    return done.returncode == 0


def minimise(target: Target, program: Path, out: Path) -> None:
    """Write the fewest inputs that, with those by hand, reach every branch that was reached; and a few long ones."""
    kept, smallest, grown = CORPUS / target.name, out / "smallest" / target.name, out / "corpus" / target.name
    shutil.rmtree(smallest, ignore_errors=True)
    smallest.mkdir(parents=True)
    for path in kept.glob(TALK + "*"):
        shutil.copy(path, smallest)
    run([str(program), "-merge=1", "-use_counters=0", str(smallest), str(kept), str(grown)], out)
    # A line that is reached is not yet a state: long inputs come into more of them.
    longest = sorted(grown.iterdir(), key=lambda path: (-path.stat().st_size, path.name))[: target.kept]
    by_hand = {path.read_bytes() for path in kept.glob(TALK + "*")}
    data = {path.read_bytes() for path in (*smallest.iterdir(), *longest)} - by_hand
    for path in kept.iterdir():
        if not path.name.startswith(TALK):
            path.unlink()
    for number, one in enumerate(sorted(data, key=lambda one: (len(one), one))):
        (kept / f"{number:03}").write_bytes(one)


def write_talks() -> None:
    """Write the inputs by hand."""
    for target, inputs in talks().items():
        for name, data in inputs.items():
            (CORPUS / target / f"{TALK}{name}").write_bytes(data)


def coverage(target: Target, out: Path, image: Path, folders: Iterable[Path]) -> list[tuple[str, float, int]]:
    """(file, share of its lines that the inputs reach, lines), by gcc and gcov."""
    work = out / f"coverage-{target.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    program = work / "replay"
    files = [*target.files(image), HARNESS / "replay.c"]
    run(["gcc", *C, "-O0", "--coverage", *includes(image), *map(str, files), "-o", str(program)], work)
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
    image = write_fuzz_image(out / "image")
    if wanted.update:
        write_talks()
    clean = True
    for name in wanted.targets.split(","):
        if name not in TARGETS:
            sys.exit(f"no target {name}; there are: {', '.join(TARGETS)}")
        target = TARGETS[name]
        program = build_fuzzer(target, out, image)
        if not fuzz(target, program, out, wanted.seconds, wanted.seed):
            clean = False  # whatever else ran would end at the same input
            continue
        if wanted.update:
            minimise(target, program, out)
        for file, share, lines in coverage(target, out, image, [CORPUS / name, out / "corpus" / name]):
            print(f"  {file:<16} {share:6.2f} % of {lines} lines")
    return 0 if clean else 3


if __name__ == "__main__":
    sys.exit(main())
