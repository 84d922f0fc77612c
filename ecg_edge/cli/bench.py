"""`ecg-edge bench`: stream ECG to a board and compare its answers with the model's. Layer: cli."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError, GateError
from ecg_edge.files import require_writable

if TYPE_CHECKING:
    from ecg_edge.bench.beat_source import MakeRecording
    from ecg_edge.bench.source import Progress, Source
    from ecg_edge.bundle import Bundle, Manifest
    from ecg_edge.report.metrics import Json

    MakeSource = Callable[[Progress], Source]

WINDOWS = 1000
DEVICE = "virtual:native"


def bench(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.")] = "ecg5",
    device: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"{DEVICE} (the default), qemu:microbit, simavr:mega2560, /dev/ttyUSB0, ...",
            autocompletion=complete.devices,
        ),
    ] = None,
    backends: Annotated[
        bool, typer.Option("--backends", help="Ask no board, but every backend of this machine, side by side.")
    ] = False,
    synthetic: Annotated[
        int | None, typer.Option(metavar="N", help=f"Stream N synthetic windows (the default: {WINDOWS}).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic windows.")] = 1,
    snr_db: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Of the synthetic windows, uniform between.")
    ] = (
        12.0,
        30.0,
    ),
    record: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Stream a whole WFDB record or CSV file instead.")
    ] = None,
    lead: Annotated[
        str | None, typer.Option(metavar="NAME", help="Lead of the record; default MLII, II, or 1st.")
    ] = None,
    raw_uv: Annotated[bool, typer.Option("--raw-uv", help="Take 1 LSB of the record as 1 uV (LUDB, NSTDB).")] = False,
    npz: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Stream labelled windows instead: samples_uv, fs_hz, label.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write report.json, report.html and more into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
    host_engine: Annotated[
        bool, typer.Option("--host-engine", help="Ask the native engine on this host as well (needs a C compiler).")
    ] = False,
) -> None:
    """Stream ECG to a board and compare its answers with the model's: float, int8 golden, host engine, device.

    A model of beats (aami) is compared beat for beat, on a record or on N synthetic people of 12 s each (25 of them).

    With --backends: every backend of this machine side by side, its latency, memory, and agreement with the golden.

    Exit code 0: the device's int8 scores, signal states and verdicts are those of the golden model, all of them; so are
    the scores of every exact backend, and no fast one changes a clear verdict.
    2: bad input, or a device that cannot be compared. 3: they differ, and the table says where.

    Examples:

      ecg-edge bench ecg5 --synthetic 200 --out build/bench

      ecg-edge bench ecg5 --device qemu:microbit --synthetic 200

      ecg-edge bench ecg5 --device /dev/ttyUSB0 --record mitdb/119

      ecg-edge bench aami --device virtual:native --record mitdb/119

      ecg-edge bench build/models/mine --device virtual:tflm --npz test.npz --json

      ecg-edge bench ecg5 --backends --out build/backends
    """
    if sum(given is not None for given in (synthetic, record, npz)) > 1:
        raise EcgEdgeError("bench: --synthetic, --record and --npz are three sources; give one")
    if record is None and (lead is not None or raw_uv):
        raise EcgEdgeError("bench: --lead and --raw-uv belong to --record")

    if backends and (device is not None or host_engine):
        raise EcgEdgeError(
            "bench: --backends asks no board and the native engine anyway; no --device, no --host-engine"
        )
    if out is not None:
        require_writable(out)
    if backends:  # before NumPy reads it: one thread each
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    # Heavy imports only now: `ecg-edge bench --help` should not wait for them.
    from ecg_edge.bench import source
    from ecg_edge.bundle import Bundle

    opened = Bundle.load(bundle)
    m = opened.manifest

    def make(progress: source.Progress) -> source.Source:
        if record is not None:
            return source.record_source(m, record, lead=lead, raw_uv=raw_uv)
        if npz is not None:
            return source.npz_source(m, npz)
        count = WINDOWS if synthetic is None else synthetic
        return source.synthetic_source(m, count, seed=seed, snr_db=snr_db, progress=progress)

    make_beats = _recordings(m, synthetic, seed, snr_db, record, lead, raw_uv)
    if m.takes == "beats" and (host_engine or npz is not None):
        option = "--host-engine" if host_engine else "--npz"
        raise EcgEdgeError(f"bench: {m.name} takes beats, and {option} is for a model of windows")
    if backends:
        asked = make_beats if m.takes == "beats" else make
        report, text, wrote = _ask_backends(opened, asked, seed if record is None and npz is None else None, out)
    elif m.takes == "beats":
        report, text, wrote = _ask_for_beats(opened, DEVICE if device is None else device, make_beats, out)
    else:
        report, text, wrote = _ask_board(opened, DEVICE if device is None else device, make, host_engine, out)
    if json:
        print_json(report)
    else:
        print_result(text)
    if out is not None:
        note(f"wrote {wrote} into {out}")
    if not report["verdict"]["passed"]:
        raise GateError(report["verdict"]["text"])


def _ask_board(
    bundle: Bundle, url: str, make: MakeSource, host_engine: bool, out: Path | None
) -> tuple[Json, str, str]:
    """The report, its text, and which files were written."""
    from ecg_edge.bench.run import Order, run_bench, write_report
    from ecg_edge.cli.progress import Steps
    from ecg_edge.report.render import bench_text

    with Steps() as steps:
        run, report = run_bench(Order(bundle, url, make, host_engine, _command()), steps)
    if out is not None:
        write_report(run, report, out)
    return report, bench_text(report), "report.json, report.md and report.html"


def _recordings(
    m: Manifest,
    synthetic: int | None,
    seed: int,
    snr_db: tuple[float, float],
    record: Path | None,
    lead: str | None,
    raw_uv: bool,
) -> MakeRecording:
    """What a model of beats is asked about."""
    from ecg_edge.bench import beat_source

    if record is not None:
        return lambda progress: beat_source.read_recording(m, record, lead=lead, raw_uv=raw_uv)
    people = beat_source.PEOPLE if synthetic is None else synthetic
    return lambda progress: beat_source.synthetic_recording(m, people, seed=seed, snr_db=snr_db, progress=progress)


def _ask_for_beats(bundle: Bundle, url: str, make: MakeRecording, out: Path | None) -> tuple[Json, str, str]:
    """The report, its text, and which files were written."""
    from ecg_edge.bench.beats_run import BeatsOrder, run_beats, write_report
    from ecg_edge.cli.progress import Steps
    from ecg_edge.report.bench_beats import beats_text

    with Steps() as steps:
        run, report = run_beats(BeatsOrder(bundle, url, make, _command()), steps)
    if out is not None:
        write_report(run, report, out)
    return report, beats_text(report), "report.json and report.html"


def _ask_backends(
    bundle: Bundle, make: MakeSource | MakeRecording, seed: int | None, out: Path | None
) -> tuple[Json, str, str]:
    """The report, its text, and which files were written."""
    from ecg_edge.bench.backends import BackendsOrder, run_backends, write_backends
    from ecg_edge.cli.progress import Steps
    from ecg_edge.report.backends import backends_text

    with Steps() as steps:
        report = run_backends(BackendsOrder(bundle, make, seed, _command()), steps)
    without_picture = "" if out is None else write_backends(report, out)
    files = "report.json, report.html and backends.png"
    if without_picture:
        files = f"report.json and report.html, no picture ({without_picture}),"
    return report, backends_text(report), files


def _command() -> str:
    return shlex.join(["ecg-edge", *sys.argv[1:]])
