"""What finding and classifying heartbeats costs on a Cortex-M4: bytes, and instructions counted by the emulator.

    python tools/beat_cost.py [BUNDLE] [--opt size|speed] [--json]

Sizes are of ecg_qrs.c (the detector) and ecg_beats.c as compiled with -O2, and of their state. Instructions are those
of two minutes of made-up ECG at 75 beats a minute, read by semihosting: the detector alone, and all of a stream from
raw sample to class. They are exact, and no time on hardware. Ends with 3 when over budget.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle, package_data
from ecg_edge.device.filerun import FileBoard
from ecg_edge.errors import EcgEdgeError
from ecg_edge.recipes.firmware import export

DETECTOR_RAM_BUDGET = 1500
DETECTOR_BUDGET = 150  # instructions a sample
PIPELINE_BUDGET = 500_000  # instructions a second of ECG

URL, CORE = "qemu:cortex-m4", "cortex-m4"
FS_HZ, SECONDS, BEATS_A_MINUTE = 250, 120, 75
FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-std=c99", "-O2", "-ffunction-sections")
STATE = "#include <ecg_beats.h>\nchar detector[sizeof(ecg_qrs_t)], views[sizeof(ecg_beats_t)];\n"
BLOCK = 512  # samples that the detector's instructions are told for
# Seconds from the R peak, width in seconds, uV.
WAVES = ((-0.17, 0.02, 120), (-0.03, 0.008, -100), (0.0, 0.01, 1100), (0.03, 0.009, -200), (0.28, 0.045, 280))


@dataclass(frozen=True)
class Cost:
    """Bytes, and instructions (emulated)."""

    detector_flash: int
    detector_ram: int
    views_flash: int
    views_ram: int  # the detector's not counted
    detector_a_sample: float
    detector_a_sample_most: float  # mean of the worst block of 512
    pipeline_a_second: float
    beats_a_second: float
    stack: int

    def budgets(self) -> list[tuple[str, float, float]]:
        """(what, found, most)."""
        return [
            ("detector, RAM", self.detector_ram, DETECTOR_RAM_BUDGET),
            ("detector, instructions a sample", self.detector_a_sample_most, DETECTOR_BUDGET),
            ("pipeline, instructions a second", self.pipeline_a_second, PIPELINE_BUDGET),
        ]


def made_up() -> NDArray[np.int16]:
    """(n,) uV of BEATS_A_MINUTE, each a little different, with noise."""
    random = np.random.default_rng(0)
    t = np.arange(SECONDS * FS_HZ) / FS_HZ
    signal = random.normal(0, 15, t.size)
    for peak in np.arange(0.5, SECONDS, 60 / BEATS_A_MINUTE):
        peak += random.normal(0, 0.01)
        for at, width, uv in WAVES:
            signal += uv * random.normal(1, 0.05) * np.exp(-0.5 * ((t - peak - at) / width) ** 2)
    return np.clip(signal, -32768, 32767).astype(np.int16)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the detector and of what makes views, and of their states."""
    source = package_data("firmware").resolve() / "EcgEdge" / "src"
    (folder / "state.c").write_text(STATE)
    files = [*map(str, (source / "ecg_qrs.c", source / "ecg_beats.c")), "state.c"]
    _run("arm-none-eabi-gcc", *FLAGS, f"-I{source}", "-c", *files, cwd=folder)
    text = [int(line.split()[0]) for line in _run("arm-none-eabi-size", "ecg_qrs.o", "ecg_beats.o", cwd=folder)[1:]]
    state = {
        words[3]: int(words[1], 16) for words in map(str.split, _run("arm-none-eabi-nm", "-S", "state.o", cwd=folder))
    }
    return {
        "detector_flash": text[0],
        "views_flash": text[1],
        "detector_ram": state["detector"],
        "views_ram": state["views"] - state["detector"],
    }


def measure(bundle: Bundle, folder: Path, *, opt: str = "size") -> Cost:
    """Export, build and run in `folder`.

    Raises:
        EcgEdgeError: it cannot be built, or a tool is missing.
    """
    export(bundle, folder / "firmware", core=CORE, opt=opt)
    board = FileBoard(URL, folder / "firmware", bundle.manifest, cache=folder)
    signal = made_up()[:, None]
    detector = board.detector(signal).instructions
    reply = board.stream(signal, np.zeros(len(signal), np.uint8))
    whole = len(signal) // BLOCK
    return Cost(
        **sizes(folder),
        detector_a_sample=float(detector.sum() / len(signal)),
        detector_a_sample_most=float(detector[:whole].max() / BLOCK),
        pipeline_a_second=float(reply.instructions.sum() / SECONDS),
        beats_a_second=len(reply.rr) / SECONDS,
        stack=reply.stack_bytes,
    )


def _run(*command: str, cwd: Path) -> list[str]:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.splitlines()
    except FileNotFoundError as error:
        raise EcgEdgeError(
            f"no {command[0]}: sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"
        ) from error


def lines(cost: Cost) -> list[str]:
    """For people."""
    return [
        f"detector        {cost.detector_flash:,} bytes of flash, {cost.detector_ram:,} of RAM; "
        f"{cost.detector_a_sample:.0f} instructions (emulated) a sample, {cost.detector_a_sample_most:.0f} in the "
        "worst two seconds",
        f"views of beats  {cost.views_flash:,} bytes of flash, {cost.views_ram:,} of RAM",
        f"raw to class    {cost.pipeline_a_second:,.0f} instructions (emulated) a second of ECG with "
        f"{cost.beats_a_second * 60:.0f} beats a minute; {cost.stack:,} bytes of stack",
    ]


def main() -> int:
    """Print; 3 when over a budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="aami", help="shipped bundle or folder, of a model of beats")
    parser.add_argument("--opt", choices=("size", "speed"), default="size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
            cost = measure(Bundle.load(options.bundle), Path(folder), opt=options.opt)
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(cost), indent=2) if options.json else "\n".join(lines(cost)))
    over = [f"{what}: {found:,.0f}, more than {most:,.0f}" for what, found, most in cost.budgets() if found > most]
    print(*over, sep="\n", end="\n" if over else "", file=sys.stderr)
    return 3 if over else 0


if __name__ == "__main__":
    sys.exit(main())
