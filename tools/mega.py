"""What a model takes of an Arduino Mega 2560: flash, RAM with the stack, milliseconds. On simavr, which counts cycles.

    python tools/mega.py [BUNDLE] [--hops 30] [--sketch Replay] [--out build/mega/mega.json]

The sketch is built with Debian's Arduino AVR core as Arduino does it, and asked over its UART at 115,200 baud. Sizes
are the linked image's; the stack is the lowest stack pointer of the whole run; times are the board's own clock, of
16 MHz, emulated. Prints a table, writes JSON; ends with 3 when the model is over the budgets below.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device import Answer, Device, Patience
from ecg_edge.device.avr import BOARD, SKETCH, build_sketch
from ecg_edge.device.elf import read_image
from ecg_edge.device.emulator import BoardLink
from ecg_edge.device.simavr import URL, run_image
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import write_json
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.synth import balanced_labels, collect, synthesize

FLASH_BUDGET, RAM_BUDGET = 64 * 1024, 6 * 1024
LIVE_BUDGET = 0.5  # of the CPU, so that line, sketch and surprises have the other half
WINDOWS = 5  # isolated ones
PATIENCE = Patience(repeat_s=30.0, give_up_s=120.0)  # a busy machine simulates slowly


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of the board's clock for one verdict, the mean and the most."""

    prepare_ms: float
    inference_ms: float
    most_ms: float  # of both together


@dataclass(frozen=True, slots=True)
class Measured:
    """What one image took."""

    flash_bytes: int
    static_bytes: int
    stack_bytes: int
    hop: Cost  # of a stream
    window: Cost  # isolated: all its columns, and those that flush the filter
    hop_seconds: float  # of ECG
    line_speed: float  # seconds of ECG that came over the line and were answered, in one of the board's

    @property
    def ram_bytes(self) -> int:
        """Variables and the deepest stack."""
        return self.static_bytes + self.stack_bytes

    @property
    def live_share(self) -> float:
        """Of the CPU, for a stream at the model's rate."""
        return self.hop.most_ms / 1000 / self.hop_seconds

    def budgets(self) -> list[tuple[str, float, float]]:
        """(what, found, most)."""
        return [
            ("flash, bytes", self.flash_bytes, FLASH_BUDGET),
            ("RAM with the stack, bytes", self.ram_bytes, RAM_BUDGET),
            ("CPU of a live stream", self.live_share, LIVE_BUDGET),
        ]


def measure(bundle: Bundle, folder: Path, *, hops: int, sketch: str = SKETCH, cache: Path | None = None) -> Measured:
    """Export into `folder`, build, and ask the emulated board."""
    export(bundle, folder / "firmware", board=BOARD)
    image = build_sketch(folder / "firmware", sketch=sketch, cache=cache)
    report = folder / "report"
    link = BoardLink(URL, *run_image(image, options=("--seed", "1", "--report", str(report)), cache=cache))
    with Device(link, patience=PATIENCE) as device:
        device.require(bundle.model_sha256)
        manifest, before = bundle.manifest, device.stats().uptime_ms
        signal = _signal(bundle, manifest.window + (hops - 1) * manifest.hop)
        streamed = list(device.stream(signal))
        line_speed = len(signal) / manifest.fs_hz / ((device.stats().uptime_ms - before) / 1000)
        alone = device.classify_many(_windows(bundle))
        if not device.selftest().passed:
            raise EcgEdgeError(f"{URL}: the self-test of {manifest.name} fails")
    said = dict(line.split() for line in report.read_text(encoding="utf-8").splitlines())
    sizes = read_image(image)
    return Measured(
        flash_bytes=sizes.flash_bytes,
        static_bytes=sizes.ram_bytes,
        stack_bytes=int(said["stack"]),
        hop=_cost(streamed[1:]),  # the first verdict waits for a whole window
        window=_cost(alone),
        hop_seconds=manifest.hop / manifest.fs_hz,
        line_speed=line_speed,
    )


def _windows(bundle: Bundle) -> NDArray[np.int16]:
    m = bundle.manifest
    made = collect(synthesize(balanced_labels(1)[:WINDOWS], seed=3, length=m.window, fs_hz=m.fs_hz)).samples_uv
    return np.repeat(made.reshape(len(made), -1, 1), m.leads, axis=2)


def _signal(bundle: Bundle, length: int) -> NDArray[np.int16]:
    m = bundle.manifest
    labels = balanced_labels(-(-length // (5 * m.window)))
    made = collect(synthesize(labels, seed=4, length=m.window, fs_hz=m.fs_hz)).samples_uv.reshape(-1, 1)
    return np.repeat(made[:length], m.leads, axis=1)


def _cost(answers: list[Answer]) -> Cost:
    prepare = np.array([answer.prepare_us for answer in answers]) / 1000
    inference = np.array([answer.inference_us for answer in answers]) / 1000
    return Cost(float(prepare.mean()), float(inference.mean()), float((prepare + inference).max()))


def lines(measured: Measured) -> list[str]:
    """For people."""
    m = measured
    return [
        f"flash       {m.flash_bytes:,} bytes",
        f"RAM         {m.ram_bytes:,} bytes: {m.static_bytes:,} static, {m.stack_bytes:,} of stack at its deepest",
        f"a hop       prepare {m.hop.prepare_ms:.1f} ms, inference {m.hop.inference_ms:.1f} ms, together "
        f"{m.hop.most_ms:.1f} ms at most, of {1000 * m.hop_seconds:.0f}: {100 * m.live_share:.1f} % of the CPU, live",
        f"a window    prepare {m.window.prepare_ms:.1f} ms, inference {m.window.inference_ms:.1f} ms",
        f"the line    {m.line_speed:.2f} s of ECG a second, sent and answered",
    ]


def main() -> int:
    """Parse, measure, print, write; 0, or 3 where a budget is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="ecg5")
    parser.add_argument("--hops", type=int, default=30)
    parser.add_argument("--sketch", default=SKETCH)
    parser.add_argument("--out", type=Path, default=Path("build/mega/mega.json"))
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        measured = measure(bundle, Path(folder), hops=arguments.hops, sketch=arguments.sketch)
    print("\n".join(lines(measured)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    value = asdict(measured) | {"ram_bytes": measured.ram_bytes, "live_share": measured.live_share, "emulated": True}
    write_json(arguments.out, value)
    over = [f"{what}: {found:g}, more than {most:g}" for what, found, most in measured.budgets() if found > most]
    for line in over:
        print(line, file=sys.stderr)
    return 3 if over else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EcgEdgeError as error:
        sys.exit(f"mega: {error}")
