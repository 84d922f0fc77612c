"""`ecg-edge loopback`: what a serial line carries, with no board at it. Layer: cli."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.output import note, print_json, print_result
from ecg_edge.errors import EcgEdgeError, GateError
from ecg_edge.files import require_writable

URL = "pty"
SECONDS = 6.0


def loopback(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="pty, loop://, socket:// or socket://HOST:PORT; or a port with TX wired to RX: /dev/ttyUSB0.",
            autocompletion=complete.loops,
            show_default=False,
        ),
    ] = URL,
    baud: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="Measure at each; a port's default is 115200, other lines have none."),
    ] = None,
    payload: Annotated[
        str | None, typer.Option(metavar="N,...", help="Bytes a frame carries, 0 to 256; default 8 to 256.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", help="Frames on the way at a time, against one; default 8.")
    ] = None,
    bundle: Annotated[
        str, typer.Option(help="Say what the line carries for this model.", autocompletion=complete.bundles)
    ] = "ecg5",
    credit: Annotated[
        int | None, typer.Option(metavar="N", help="Samples that the model's board takes at a time; default 1024.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each baud rate; a slow one takes what it needs.")] = SECONDS,
    seed: Annotated[int, typer.Option(help="Of the payloads.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.json, report.html and loopback.png into this folder."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of text.")] = False,
) -> None:
    """Send frames round a line that gives back what it gets: throughput, round trips, frame errors, what it carries.

    No board is needed. A real port needs a wire from its TX to its RX; pty, loop:// and socket:// make their other end
    here, and say what this host and its software can do, not what hardware can. --baud limits those to that many bits
    a second, simulated.

    Exit code 0: every frame came back whole and in order. 2: bad input, or nothing comes back. 3: frames were lost,
    damaged or reordered, and the table says how many.

    Examples:

      ecg-edge loopback

      ecg-edge loopback /dev/ttyUSB0 --baud 9600,115200,921600 --out build/loopback

      ecg-edge loopback socket://192.168.1.7:7 --seconds 20 --json

      ecg-edge loopback pty --baud 115200 --bundle build/models/mine
    """
    bauds, payloads = _numbers("--baud", baud), _numbers("--payload", payload)
    if out is not None:
        require_writable(out)

    # Heavy imports only now: `ecg-edge loopback --help` should not wait for them.
    from ecg_edge.bench.capacity import CREDIT_SAMPLES
    from ecg_edge.bench.loopback_run import DEPTH, PAYLOADS, LoopbackOrder, run_loopback, write_loopback
    from ecg_edge.bundle import Bundle
    from ecg_edge.cli.progress import Steps
    from ecg_edge.report.loopback import loopback_text

    order = LoopbackOrder(
        url=url,
        bauds=bauds,
        payloads=payloads or PAYLOADS,
        depth=DEPTH if depth is None else depth,
        seconds=seconds,
        seed=seed,
        bundle=Bundle.load(bundle),
        credit=CREDIT_SAMPLES if credit is None else credit,
        command=shlex.join(["ecg-edge", *sys.argv[1:]]),
    )
    with Steps() as steps:
        report = run_loopback(order, steps)
    without_picture = "" if out is None else write_loopback(report, out)
    if json:
        print_json(report)
    else:
        print_result(loopback_text(report))
    if out is not None:
        note(f"wrote report.json and report.html into {out}{without_picture and f', no picture: {without_picture}'}")
    if not report["verdict"]["passed"]:
        raise GateError(report["verdict"]["text"])


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    """`9600,115200` -> the numbers, each once; () for None."""
    if text is None:
        return ()
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise EcgEdgeError(f"{option} {text}: whole numbers with commas between, as 8,64,256") from None
    return tuple(dict.fromkeys(numbers))
