"""A whole loopback benchmark: line, laps, what the line carries, report, files.

Layer: bench; composes the other bench modules, device and report.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.capacity import LineFacts, capacity
from ecg_edge.bench.loopback import FrameErrors, Lap, Loop, patience_s
from ecg_edge.bench.machine import machine, versions
from ecg_edge.bench.run import Steps
from ecg_edge.bundle import Bundle
from ecg_edge.device.echo import EchoKind, EchoLine, echo_line
from ecg_edge.device.faults import BITS_PER_BYTE, LimitedLink
from ecg_edge.device.frame import MAX_ENCODED, MAX_PAYLOAD
from ecg_edge.device.link import BAUD, Link
from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import json_text, replacing_file
from ecg_edge.report.html import loopback_html
from ecg_edge.report.metrics import Json
from ecg_edge.report.plots import save_loopback

PAYLOADS = (8, 16, 32, 64, 128, 256)
DEPTH = 8
DEPTH_MAX = 4096 // (MAX_ENCODED + 1)  # what a pty holds, and pyserial's loop://
PERCENTILES = (50, 95, 99)
_MORE_THAN_DEPTH = 4  # frames of the shortest lap: enough to see the line full
_OBEYS = 1.05  # a share of the baud rate beyond this says that the port does not have one


@dataclass(frozen=True, slots=True)
class LoopbackOrder:
    """What to measure."""

    url: str  # see device/echo.py
    bauds: tuple[int, ...]  # empty: as fast as the line is; a real port: 115,200
    payloads: tuple[int, ...]  # bytes
    depth: int  # frames on the way at a time, against one
    seconds: float  # for each baud
    seed: int
    bundle: Bundle
    credit: int  # samples of the board that the model would run on
    command: str  # for the provenance

    def check(self) -> None:
        """Raises EcgEdgeError for what cannot be measured."""
        for holds, complaint in (
            (all(300 <= baud <= 20_000_000 for baud in self.bauds), "a baud rate is 300 to 20,000,000"),
            (
                bool(self.payloads) and all(0 <= size <= MAX_PAYLOAD for size in self.payloads),
                f"a frame's payload is 0 to {MAX_PAYLOAD} bytes",
            ),
            (2 <= self.depth <= DEPTH_MAX, f"a depth is 2 to {DEPTH_MAX} frames: a pty holds 4,096 bytes"),
            (0 < self.seconds <= 86_400, "the seconds are more than 0 and a day at most"),
            (self.seed >= 0, "a seed is not negative"),
            (1 <= self.credit <= 65_535, "a credit is 1 to 65,535 samples"),
        ):
            if not holds:
                raise EcgEdgeError(f"loopback: {complaint}")


def run_loopback(order: LoopbackOrder, steps: Steps) -> Json:
    """Measure a line.

    Raises:
        EcgEdgeError: the line cannot be opened, or gives nothing back.
    """
    order.check()
    with echo_line(order.url) as line:
        bauds = order.bauds or ((BAUD,) if line.has_baud else (None,))
        runs = [_measure(order, line, baud, steps) for baud in bauds]
        kind = line.kind
    errors = sum((FrameErrors(**lap["errors"]) for run in runs for lap in run["laps"]), FrameErrors())
    return {
        "verdict": _verdict(errors, runs),
        "line": {
            "url": order.url,
            "kind": kind.name.lower(),
            "note": f"{kind.value}; {_caution(kind)}",
            "depth": order.depth,
        },
        "runs": runs,
        "errors": errors.to_json(),
        "provenance": _provenance(order),
    }


def write_loopback(report: Json, out: Path) -> str:
    """Write report.json and report.html into `out`, both or none, and loopback.png where matplotlib is installed.

    Returns:
        why there is no picture; "" when there is one.
    """
    texts = {"report.json": json_text(report) + "\n", "report.html": loopback_html(report)}
    with ExitStack() as files:
        for name, text in texts.items():
            files.enter_context(replacing_file(out / name)).write_text(text, encoding="utf-8")
    try:
        save_loopback(report, out / "loopback.png")
    except EcgEdgeError as error:
        return str(error)
    return ""


def _measure(order: LoopbackOrder, line: EchoLine, baud: int | None, steps: Steps) -> Json:
    """All laps at one baud rate."""
    simulated = baud is not None and not line.has_baud
    laps: list[Lap] = []
    with closing(line.open(baud or BAUD)) as port:
        link: Link = LimitedLink(port, baud) if simulated and baud is not None else port
        loop = Loop(link, seed=order.seed, patience_s=patience_s(baud, order.depth))
        where = line.name if baud is None else f"{line.name}, {baud} baud"
        with steps.step(f"{where}: does anything come back?"):
            loop.find()
        cells = [(size, depth) for size in order.payloads for depth in (1, order.depth)]
        for size, depth in cells:
            with steps.step(f"{where}: {size} bytes, {depth} on the way") as progress:
                seconds = order.seconds / len(cells)
                least = depth + _MORE_THAN_DEPTH
                laps.append(loop.lap(size, depth=depth, seconds=seconds, least=least, progress=progress))
    return _run_json(order, laps, baud, simulated=simulated)


def _run_json(order: LoopbackOrder, laps: Sequence[Lap], baud: int | None, *, simulated: bool) -> Json:
    facts = _facts(laps, ways=2 if simulated else 1)
    share = None if baud is None else facts.bytes_per_s * BITS_PER_BYTE / baud
    limit = "none" if baud is None else "simulated" if simulated else "the port's own"
    notes = {
        "simulated": "simulated: a frame goes back once all of it has come, so a round trip takes its time twice",
        "the port's own": "the port is faster than its baud rate: it has none (USB, a pty)",
    }
    told = simulated or (share is not None and share > _OBEYS)
    return {
        "baud": baud,
        "limit": limit,
        "note": notes[limit] if told else "",
        "bytes_per_s": facts.bytes_per_s,
        "share_of_baud": share,
        "delay_us": 1e6 * facts.delay_s,
        "laps": [_lap_json(lap, baud) for lap in laps],
        "carries": capacity(order.bundle, facts, credit=order.credit, seed=order.seed) if facts.bytes_per_s else None,
    }


def _facts(laps: Sequence[Lap], *, ways: int) -> LineFacts:
    """The line's rate is the best that a full line reached; its delay is what small frames took beyond their bytes."""
    rate = max(lap.bytes_per_s for lap in laps)
    delays = [
        float(np.median(lap.round_trips_us)) * 1e-6 - ways * lap.wire_bytes / rate
        for lap in laps
        if lap.depth == 1 and lap.round_trips_us.size and rate
    ]
    return LineFacts(rate, max(0.0, min(delays, default=0.0)))


def _lap_json(lap: Lap, baud: int | None) -> Json:
    trips = lap.round_trips_us
    return {
        "payload_bytes": lap.payload_bytes,
        "wire_bytes": lap.wire_bytes,
        "depth": lap.depth,
        "sent": lap.sent,
        "back": lap.back,
        "frames_per_s": lap.frames_per_s,
        "bytes_per_s": lap.bytes_per_s,
        "payload_bytes_per_s": lap.payload_bytes_per_s,
        "share_of_baud": None if baud is None else lap.bytes_per_s * BITS_PER_BYTE / baud,
        "round_trip_us": _percentiles(trips) if trips.size else None,
        "errors": lap.errors.to_json(),
    }


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES).tolist()
    return {f"p{name}": value for name, value in zip(PERCENTILES, found, strict=True)} | {"max": float(values.max())}


def _verdict(errors: FrameErrors, runs: Sequence[Json]) -> Json:
    sent, back = (sum(lap[key] for run in runs for lap in run["laps"]) for key in ("sent", "back"))
    if errors.count == 0:
        return {"passed": True, "text": f"{sent:,} frames went round, and every one came back whole and in order"}
    told = ", ".join(f"{count:,} {name}" for name, count in errors.to_json().items() if count)
    return {"passed": False, "text": f"{back:,} of {sent:,} frames came back: {told}"}


def _caution(kind: EchoKind) -> str:
    if kind is EchoKind.PORT:
        return "what a wire gives back, not what a board answers"
    return "no serial hardware: it says what this host and its software can do"


def _provenance(order: LoopbackOrder) -> Json:
    return {
        "command": order.command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": order.seed,
        "seconds": order.seconds,
        "bundle": str(order.bundle.folder),
        "model_sha256": order.bundle.model_sha256,
        "machine": machine(),
        "versions": versions(("numpy", "pyserial")),
    }
