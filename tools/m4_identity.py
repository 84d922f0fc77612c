"""Hold the emulated Cortex-M4 to the golden model, bit by bit, over thousands of windows and whole records.

    python tools/m4_identity.py [BUNDLE] [--windows N] [--records 119 207 208] [--out build/m4/identity.json]

The firmware reads files by semihosting: prepare, states and model run on the emulated core as they are on a board,
without the wire (`ecg-edge bench --device qemu:cortex-m4` has that). MIT-BIH comes from ECG_EDGE_DATA (default
../shared/data). Counts are instructions (emulated): exact, and no time on hardware. Writes JSON; ends with 3 when a bit
differs or a record is not there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.answers import Expected, expect, golden_scores
from ecg_edge.bench.source import Source, record_source, synthetic_source
from ecg_edge.bundle import Bundle
from ecg_edge.device.filerun import FileBoard, Reply
from ecg_edge.device.machines import find_machine
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import write_json
from ecg_edge.recipes.firmware import export

URL = "qemu:cortex-m4"
RECORDS = ("119", "207", "208")
SNR_DB = (12.0, 30.0)
CLIPPED_FLAG = 4
COUNTED_WINDOWS = 20  # for the parts of a window; what they cost hardly depends on the signal


def data_folder() -> Path:
    """Where recordings are that are no part of this project."""
    return Path(os.environ.get("ECG_EDGE_DATA", "../shared/data"))


def make_board(bundle: Bundle, folder: Path, *, cache: Path | None = None) -> FileBoard:
    """The bundle's firmware, exported into `folder` and built."""
    export(bundle, folder / "firmware", board=find_machine(URL).board)
    return FileBoard(URL, folder / "firmware", bundle.manifest, cache=cache)


def ask(board: FileBoard, source: Source) -> Reply:
    """What the board says of a source: its windows, or its stream."""
    if source.stream:
        return board.stream(source.signal_uv[:, None], source.clipped * np.uint8(CLIPPED_FLAG))
    return board.windows(source.signal_uv[..., None])


def compare(bundle: Bundle, source: Source, reply: Reply) -> dict[str, Any]:
    """Counts of a source's windows, and of those that are the same on the host: scores, signal state and place."""
    expected = expect(source, bundle.manifest)
    golden = golden_scores(bundle, expected, lambda done, of: None)
    last_index = source.starts + source.length - 1
    same = reply.scores.shape == golden.shape and np.array_equal(reply.last_index, last_index)
    scores = (reply.scores == golden).all(axis=1) if same else np.zeros(len(golden), np.bool_)
    states = reply.states == expected.states if same else scores
    flips = reply.scores.argmax(axis=1) != golden.argmax(axis=1) if same else ~scores
    return {
        "source": source.text,
        "windows": len(golden),
        "identical_scores": int(scores.sum()),
        "identical_states": int(states.sum()),
        "argmax_flips": int(flips.sum()),
        "abstained": int((expected.states != 0).sum()),
        "instructions_per_answer": spread(reply.instructions),
    }


def count_parts(board: FileBoard, source: Source, expected: Expected) -> dict[str, Any]:
    """Instructions of one isolated window, and of its parts."""
    some = source.windows_uv[:COUNTED_WINDOWS, :, None]
    whole, prepared = board.windows(some), board.prepare(some)
    model = board.model(expected.columns[:COUNTED_WINDOWS])
    if not np.array_equal(prepared.columns, expected.columns[:COUNTED_WINDOWS]):
        raise EcgEdgeError(f"{URL}: prepare gives other columns than signal/prepare.py")
    return {
        "unit": "instructions (emulated)",
        "window": spread(whole.instructions),
        "prepare": spread(prepared.instructions),
        "model": spread(model.instructions),
        "selftest": whole.selftest_instructions,
        "stack_bytes_used": whole.stack_bytes,
    }


def spread(counts: NDArray[np.int64]) -> dict[str, int]:
    """Of counts."""
    return {"min": int(counts.min()), "mean": round(float(counts.mean())), "max": int(counts.max())}


def versions() -> dict[str, str]:
    """Of the tools."""

    def first_line(tool: str) -> str:
        return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]

    tools = find_machine(URL).tools
    return {"compiler": first_line(tools.compiler), "emulator": first_line(tools.emulator)}


def run(bundle: Bundle, windows: int, records: list[str], seed: int) -> dict[str, Any]:
    """The whole comparison; prints a line per source."""
    m = bundle.manifest
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        board = make_board(bundle, Path(folder))
        sources = [synthetic_source(m, windows, seed=seed, snr_db=SNR_DB, progress=lambda done, of: None)]
        paths = [data_folder() / "mitdb" / name for name in records]
        missing = [str(path) for path in paths if not path.with_suffix(".hea").is_file()]
        sources += [record_source(m, path, lead=None, raw_uv=False) for path in paths if str(path) not in missing]
        results = []
        for source in sources:
            results.append(compare(bundle, source, ask(board, source)))
            print(line(results[-1]), flush=True)
        counts = count_parts(board, sources[0], expect(sources[0], m))
    passed = not missing and all(r["identical_scores"] == r["identical_states"] == r["windows"] for r in results)
    return {
        "passed": passed,
        "bundle": {"name": m.name, "version": m.version, "sha256": bundle.model_sha256},
        "board": f"{URL}: {find_machine(URL).board}",
        "versions": versions(),
        "sources": results,
        "missing": missing,
        "instructions": counts,
    }


def line(result: dict[str, Any]) -> str:
    return (
        f"{result['identical_scores']:,} of {result['windows']:,} identical, {result['argmax_flips']} flips, "
        f"{result['identical_states']:,} states identical: {result['source']}"
    )


def main() -> int:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="ecg5", help="shipped bundle or folder")
    parser.add_argument("--windows", type=int, default=5000, help="synthetic windows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", nargs="*", default=list(RECORDS), help="of MIT-BIH")
    parser.add_argument("--out", type=Path, help="write JSON here")
    options = parser.parse_args()
    try:
        result = run(Bundle.load(options.bundle), options.windows, options.records, options.seed)
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = result["instructions"]
    for part in ("window", "prepare", "model"):
        print(f"{part:<8} {counts[part]['mean']:>12,} instructions (emulated) a window")
    print(f"selftest {counts['selftest']:>12,} instructions (emulated), all vectors")
    print(f"stack    {counts['stack_bytes_used']:>12,} bytes used")
    for path in result["missing"]:
        print(f"missing: {path} (set ECG_EDGE_DATA)", file=sys.stderr)
    if options.out is not None:
        write_json(options.out, result)
        print(f"wrote {options.out}")
    return 0 if result["passed"] else 3


if __name__ == "__main__":
    sys.exit(main())
