"""Hold boards to the beats that the pipeline in Python finds: every R peak, RR, state, score and verdict.

    python tools/beat_identity.py [BUNDLE] [--records 101 106 ...] [--uart 119 208] [--minutes M] [--out FILE]

Each record of MIT-BIH (default: all of DS1) goes to the host program, over its wire, and to an emulated Cortex-M4, by
file; those of --uart to the emulated one over its UART too. MIT-BIH comes from ECG_EDGE_DATA (default ../shared/data).
Counts are instructions (emulated): exact, and no time on hardware. Writes JSON; ends with 3 when a beat differs or a
record is not there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from m4_identity import URL, data_folder, make_board, versions

from ecg_edge.bench.beat_source import Recording, read_recording
from ecg_edge.bench.beats import Beats, classify_beats
from ecg_edge.bench.beats_compare import compare_beats
from ecg_edge.bench.beats_device import beats_board, device_beats, file_beats, flags_of
from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.filerun import FileBoard
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import write_json
from ecg_edge.signal.aami import DS1

HOST = "virtual:native"
UART_RECORDS = ("119", "208")


def read_part(bundle: Bundle, name: str, minutes: float | None) -> Recording:
    """A record of MIT-BIH, or its first minutes."""
    recording = read_recording(bundle.manifest, data_folder() / "mitdb" / name, lead=None, raw_uv=False)
    n = len(recording.samples_uv) if minutes is None else round(60 * minutes * recording.fs_hz)
    return replace(recording, samples_uv=recording.samples_uv[:n], states=recording.states[:n])


def ask_wire(device: Device, recording: Recording) -> tuple[Beats, dict[str, Any]]:
    """What a board says over its wire."""
    return device_beats(device, recording.samples_uv, recording.states).beats, {}


def ask_file(board: FileBoard, recording: Recording) -> tuple[Beats, dict[str, Any]]:
    """What a board says by file, and what it cost."""
    reply = board.stream(recording.samples_uv[:, None], flags_of(recording.states))
    cost = {
        "instructions_per_second": round(float(reply.instructions.sum()) / recording.seconds),
        "selftest_failed": reply.selftest_failed,
    }
    return file_beats(reply), cost


def compare(name: str, board: str, golden: Beats, found: Beats) -> dict[str, Any]:
    """Counts of a record's beats, and of those that are the same."""
    agreement = compare_beats(golden, found)
    return {
        "record": name,
        "board": board,
        "beats": agreement.golden,
        "identical": int(agreement.identical.sum()),
        "missing": int(agreement.missing.sum()),
        "extra": int(agreement.extra.size),
        "passed": agreement.all_identical and agreement.golden > 0,
    }


def results(bundle: Bundle, names: list[str], uart: list[str], minutes: float | None) -> Iterator[dict[str, Any]]:
    """One comparison after another; boards are built and started once."""
    with ExitStack() as open_boards:
        folder = Path(open_boards.enter_context(tempfile.TemporaryDirectory(prefix="ecg-edge.")))
        host = open_boards.enter_context(beats_board(HOST, bundle))
        emulated = open_boards.enter_context(beats_board(URL, bundle)) if uart else None
        file_board = make_board(bundle, folder)
        for name in names:
            recording = read_part(bundle, name, minutes)
            golden = classify_beats(bundle, recording.samples_uv, recording.states)
            yield compare(name, f"{HOST}, wire", golden, ask_wire(host, recording)[0])
            found, cost = ask_file(file_board, recording)
            result = compare(name, f"{URL}, file", golden, found) | cost
            yield result | {"passed": result["passed"] and not cost["selftest_failed"]}
            if emulated is not None and name in uart:
                yield compare(name, f"{URL}, UART", golden, ask_wire(emulated, recording)[0])


def run(bundle: Bundle, records: list[str], uart: list[str], minutes: float | None) -> dict[str, Any]:
    """The whole comparison; prints a line per board and record."""
    names = list(dict.fromkeys([*records, *uart]))
    missing = [name for name in names if not (data_folder() / "mitdb" / f"{name}.hea").is_file()]
    rows = []
    for row in results(bundle, [name for name in names if name not in missing], uart, minutes):
        rows.append(row)
        print(line(row), flush=True)
    m = bundle.manifest
    totals = {
        board: {key: sum(row[key] for row in rows if row["board"] == board) for key in ("beats", "identical", "extra")}
        | {"records": sum(row["board"] == board for row in rows)}
        for board in dict.fromkeys(row["board"] for row in rows)
    }
    return {
        "passed": bool(rows) and not missing and all(row["passed"] for row in rows),
        "bundle": {"name": m.name, "version": m.version, "sha256": bundle.model_sha256},
        "minutes": minutes,
        "versions": versions(),
        "totals": totals,
        "results": rows,
        "missing": missing,
    }


def line(row: dict[str, Any]) -> str:
    cost = f", {row['instructions_per_second']:,} instructions (emulated) a second" if "selftest_failed" in row else ""
    return (
        f"{row['identical']:,} of {row['beats']:,} beats identical, {row['missing']} missing, {row['extra']} extra: "
        f"{row['record']}, {row['board']}{cost}"
    )


def main() -> int:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", default="aami", help="shipped bundle or folder")
    parser.add_argument("--records", nargs="*", default=list(DS1), help="of MIT-BIH")
    parser.add_argument("--uart", nargs="*", default=list(UART_RECORDS), help="those that go over the UART too")
    parser.add_argument("--minutes", type=float, help="of each record; all of it by default")
    parser.add_argument("--out", type=Path, help="write JSON here")
    options = parser.parse_args()
    try:
        result = run(Bundle.load(options.bundle), options.records, options.uart, options.minutes)
    except EcgEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for board, total in result["totals"].items():
        print(
            f"{board}: {total['identical']:,} of {total['beats']:,} beats of {total['records']} records identical, "
            f"{total['extra']} extra"
        )
    for name in result["missing"]:
        print(f"missing: {data_folder() / 'mitdb' / name} (set ECG_EDGE_DATA)", file=sys.stderr)
    if options.out is not None:
        write_json(options.out, result)
        print(f"wrote {options.out}")
    return 0 if result["passed"] else 3


if __name__ == "__main__":
    sys.exit(main())
