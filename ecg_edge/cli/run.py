"""`ecg-edge run`: samples in, verdicts out, without end. Layer: cli."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli.output import note
from ecg_edge.errors import EcgEdgeError

MAX = "max"
MOST_S = 1e9


def run(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's folder.")] = "ecg5",
    record: Annotated[Path | None, typer.Option(metavar="PATH", help="A WFDB record or CSV file.")] = None,
    lead: Annotated[
        str | None, typer.Option(metavar="NAME", help="Lead, or A,B: the first there is; MLII, II or the 1st.")
    ] = None,
    raw_uv: Annotated[bool, typer.Option("--raw-uv", help="Take 1 LSB of the record as 1 uV (LUDB, NSTDB).")] = False,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Synthetic ECG, without end.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic ECG.")] = 1,
    stdin: Annotated[bool, typer.Option("--stdin", help="A line a sample: microvolts, a number a lead.")] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A board that samples: /dev/ttyUSB0, COM3, virtual:sensor; default: look."),
    ] = None,
    baud: Annotated[int, typer.Option(help="Bits a second of --device.", min=300)] = 115200,
    speed: Annotated[str, typer.Option(metavar="N", help="Times real time, of a record or synthetic; or max.")] = "1",
    seconds: Annotated[float | None, typer.Option(help="Stop after that much signal.", min=0.0)] = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="auto, native, numpy, litert, tflite-runtime, tflm.")
    ] = "auto",
    exact: Annotated[
        bool, typer.Option("--exact", help="Only what equals TensorFlow Lite Micro, bit for bit.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON an event.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No lines but those of --json.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="A line an event, and no view, on a terminal too.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record there: WFDB with annotations, events as JSON lines.")
    ] = None,
    rotate: Annotated[float, typer.Option(metavar="HOURS", help="Signal in one recording of --out.", min=0.01)] = 1.0,
    web: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="A live web page; without HOST for this machine only.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ECG_EDGE_TOKEN", help="Of --web: what a browser must know; beyond this machine one is drawn."
        ),
    ] = None,
) -> None:
    """Classify a live signal: prepare, windows, verdicts, as on a board.

    Without a source it looks for a board at the one USB port there is.
    On a terminal it draws what it sees; into a pipe, or with --plain, it prints a line an event.

    Research use; not a medical device.

    Examples:

      ecg-edge run ecg5 --record mitdb/119

      ecg-edge run aami --record mitdb/119

      ecg-edge run --device /dev/ttyUSB0

      ecg-edge run --synthetic --speed 4

      ecg-edge run --device /dev/ttyUSB0 --out recordings

      ecg-edge run --synthetic --web 8765

      sampler | ecg-edge run --stdin --json > verdicts.jsonl
    """
    if (sources := sum((record is not None, synthetic, stdin, device is not None))) > 1:
        raise EcgEdgeError("run: give one source: --device URL, --record PATH, --synthetic or --stdin")
    times = None if speed == MAX else _factor(speed)
    if seconds is not None and not seconds <= MOST_S:  # NaN too
        raise EcgEdgeError(f"--seconds is {seconds:g}; at most {MOST_S:g}, and without it there is no end")
    if not rotate * 3600 <= MOST_S:
        raise EcgEdgeError(f"--rotate is {rotate:g}; hours from 0.01 to {MOST_S / 3600:.0f}")
    if stdin and sys.stdin is None:
        raise EcgEdgeError("--stdin: standard input is closed")

    # Heavy imports only now: `ecg-edge run --help` should not wait for them.
    from ecg_edge.bundle import Bundle
    from ecg_edge.device.link import serial_ports
    from ecg_edge.device.ports import only_usb_port
    from ecg_edge.live.beatstream import open_stream
    from ecg_edge.live.lines import Lines
    from ecg_edge.live.notify import service_manager
    from ecg_edge.live.open import Wanted, open_source
    from ecg_edge.live.run import Account, Sink, drive
    from ecg_edge.live.run import run as run_stream
    from ecg_edge.live.source import first_samples
    from ecg_edge.live.stop import Stop
    from ecg_edge.runtime.choose import choose_backend

    opened = Bundle.load(bundle)
    m = opened.manifest
    choice = choose_backend(backend, opened.model, exact=exact)
    if not quiet:
        note(f"{m.name} {m.version} by {choice.backend.name}: {choice.why}")

    if not sources:
        device = only_usb_port(serial_ports())
    text = sys.stdin if stdin else None
    wanted = Wanted(device, baud, record, lead, raw_uv, text, seed, times)
    stop, account = Stop(), Account()
    with stop.on_signals(), open_source(wanted, opened) as source:
        if not quiet:
            note(f"signal: {source.name}")
        manager = service_manager(os.environ)
        sinks: list[Sink] = [] if manager is None else [manager]
        say, view = note, None
        if sys.stdout is not None and sys.stdout.isatty() and not (json or quiet or plain):
            from ecg_edge.cli.view import open_view

            view = open_view(m, backend=choice.backend.name, source=source.name)
        if view is not None:
            sinks.append(view)
            say = view.say
        elif json or not quiet:
            sinks.append(Lines(m, typer.echo, as_json=json))
        if web is not None:
            from ecg_edge.live.web import WebPage

            page = WebPage(m, web, token=token, source=source.name)
            sinks.append(page)
            if view is not None:
                view.facts.append(lambda: f"live at {page.url}")
            note(f"live at {page.url}")
        recorder = None
        if out is not None:
            from ecg_edge.live.recorder import Recorder

            realtime = stdin or device is not None or times == 1.0
            leads = source.leads or (() if lead is None else (lead,))
            recorder = Recorder(
                out, m, say=say, rotate_hours=rotate, leads=leads, source=source.name, realtime=realtime
            )
            sinks.append(recorder)
            if view is not None:
                view.facts.append(recorder.status)
        items = source.items if seconds is None else first_samples(source.items, round(seconds * m.fs_hz))
        drive(run_stream(stop.until(items), open_stream(m, choice.backend), account), sinks, account)
    if recorder is not None and recorder.lost:
        raise EcgEdgeError(f"{recorder.lost / m.fs_hz:.1f} s of signal were received and not recorded in {out}")


def _factor(speed: str) -> float:
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < 1e6:
        raise EcgEdgeError(f"--speed is {speed}; a positive number, or {MAX}")
    return factor
