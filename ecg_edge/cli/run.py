"""`ecg-edge run`: samples in, verdicts out, without end. Layer: cli."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli.output import note
from ecg_edge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecg_edge.bundle import Manifest
    from ecg_edge.live.source import Chunk, Notice

MAX = "max"


def run(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.")] = "ecg5",
    record: Annotated[Path | None, typer.Option(metavar="PATH", help="A WFDB record or CSV file.")] = None,
    lead: Annotated[str | None, typer.Option(metavar="NAME", help="Lead of the record; MLII, II or the 1st.")] = None,
    raw_uv: Annotated[bool, typer.Option("--raw-uv", help="Take 1 LSB of the record as 1 uV (LUDB, NSTDB).")] = False,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Synthetic ECG, without end.")] = False,
    seed: Annotated[int, typer.Option(help="Of the synthetic ECG.")] = 1,
    stdin: Annotated[bool, typer.Option("--stdin", help="A line a sample: microvolts, a number a lead.")] = False,
    speed: Annotated[str, typer.Option(metavar="N", help="Times real time, of a record or synthetic; or max.")] = "1",
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="auto, native, numpy, litert, tflite-runtime, tflm.")
    ] = "auto",
    exact: Annotated[
        bool, typer.Option("--exact", help="Only what equals TensorFlow Lite Micro, bit for bit.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON an event.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No lines but those of --json.")] = False,
) -> None:
    """Classify a live signal: prepare, windows, verdicts, as on a board.

    Research use; not a medical device.

    Examples:

      ecg-edge run ecg5 --record mitdb/119

      ecg-edge run --synthetic --speed 4

      sampler | ecg-edge run --stdin --json > verdicts.jsonl
    """
    if sum((record is not None, synthetic, stdin)) != 1:
        raise EcgEdgeError("run: give one source: --record PATH, --synthetic or --stdin")

    # Heavy imports only now: `ecg-edge run --help` should not wait for them.
    from ecg_edge.bundle import Bundle
    from ecg_edge.device.link import SystemClock
    from ecg_edge.live import source
    from ecg_edge.live.lines import Lines
    from ecg_edge.live.run import Account, Sink, drive
    from ecg_edge.live.run import run as run_stream
    from ecg_edge.live.stop import Stop
    from ecg_edge.live.stream import Stream
    from ecg_edge.runtime.choose import choose_backend

    opened = Bundle.load(bundle)
    m = opened.manifest
    choice = choose_backend(backend, opened.model, exact=exact)
    if not quiet:
        note(f"{m.name} {m.version} by {choice.backend.name}: {choice.why}")

    def items(manifest: Manifest) -> Iterable[Chunk | Notice]:
        if stdin:
            return source.text_chunks(manifest, sys.stdin)
        if record is not None:
            found = source.record_chunks(manifest, record, lead=lead, raw_uv=raw_uv)
        else:
            found = source.synthetic_chunks(manifest, seed=seed)
        return found if speed == MAX else source.paced(found, manifest.fs_hz, SystemClock(), speed=_factor(speed))

    sinks: list[Sink] = []
    if json or not quiet:
        sinks.append(Lines(m, typer.echo, as_json=json))
    account, stop = Account(), Stop()
    with stop.on_signals():
        drive(run_stream(stop.until(items(m)), Stream(m, choice.backend), account), sinks, account)


def _factor(speed: str) -> float:
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < 1e6:
        raise EcgEdgeError(f"--speed is {speed}; a positive number, or {MAX}")
    return factor
