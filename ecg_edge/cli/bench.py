"""`ecg-edge bench`: stream ECG to a board and compare its answers with the model's. Layer: cli."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError, GateError

WINDOWS = 1000


def bench(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.")] = "ecg5",
    device: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="virtual:native, qemu:microbit, simavr:mega2560, /dev/ttyUSB0, ...",
            autocompletion=complete.devices,
        ),
    ] = "virtual:native",
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
        Path | None, typer.Option(metavar="DIR", help="Write report.json, report.md and report.html into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
    host_engine: Annotated[
        bool, typer.Option("--host-engine", help="Ask the native engine on this host as well (needs a C compiler).")
    ] = False,
) -> None:
    """Stream ECG to a board and compare its answers with the model's: float, int8 golden, host engine, device.

    Exit code 0: the device's int8 scores, signal states and verdicts are those of the golden model, all of them.
    2: bad input, or a device that cannot be compared. 3: they differ, and the table says where.

    Examples:

      ecg-edge bench ecg5 --synthetic 200 --out build/bench

      ecg-edge bench ecg5 --device qemu:microbit --synthetic 200

      ecg-edge bench ecg5 --device /dev/ttyUSB0 --record mitdb/119

      ecg-edge bench build/models/mine --device virtual:tflm --npz test.npz --json
    """
    if sum(given is not None for given in (synthetic, record, npz)) > 1:
        raise EcgEdgeError("bench: --synthetic, --record and --npz are three sources; give one")
    if record is None and (lead is not None or raw_uv):
        raise EcgEdgeError("bench: --lead and --raw-uv belong to --record")

    # Heavy imports only now: `ecg-edge bench --help` should not wait for them.
    from ecg_edge.bench import source
    from ecg_edge.bench.run import Order, run_bench, write_report
    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.report.render import bench_text

    opened = Bundle.load(bundle)
    m = opened.manifest

    def make(progress: source.Progress) -> source.Source:
        if record is not None:
            return source.record_source(m, record, lead=lead, raw_uv=raw_uv)
        if npz is not None:
            return source.npz_source(m, npz)
        count = WINDOWS if synthetic is None else synthetic
        return source.synthetic_source(m, count, seed=seed, snr_db=snr_db, progress=progress)

    with Steps() as steps:
        run, report = run_bench(Order(opened, device, make, host_engine, _command()), steps)
    if out is not None:
        write_report(run, report, out)
    if json:
        print_json(report)
    else:
        print_result(bench_text(report))
    if out is not None:
        note(f"wrote report.json, report.md and report.html into {out}")
    if not report["verdict"]["passed"]:
        raise GateError(report["verdict"]["text"])


def _command() -> str:
    return shlex.join(["ecg-edge", *sys.argv[1:]])
