"""What `ecg-edge run` costs this machine: start, CPU, time and memory of the whole process. Prints JSON.

    python tools/bench_run.py [--record PATH] [--starts N] [--live SECONDS] [--hours N] [--out FILE]

Everything is measured from outside, on the command as a user starts it: processor time from the kernel's account of the
process. Without --record a MIT-BIH record is taken where there is one, and else synthetic ECG of half an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecg_edge.bench.machine import machine, versions
from ecg_edge.bundle import Bundle
from ecg_edge.files import json_text, write_text

RUN = (str(Path(sys.executable).with_name("ecg-edge")), "run", "ecg5")
SETTLE_S = 2.0  # after the first verdict, before CPU is counted
VERDICT = b'"kind":"verdict"'
_TICKS = os.sysconf("SC_CLK_TCK")


def start_s(record: Path, times: int) -> list[float]:
    """Seconds from starting the process to its first verdict on a replayed record, each time."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        with subprocess.Popen(
            [*RUN, *_replay(record), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as run:
            assert run.stdout is not None
            if VERDICT not in run.stdout.readline():
                raise SystemExit(f"ecg-edge run says no verdict on {record}")
            found.append(time.perf_counter() - begin)
            run.terminate()
    return found


def whole(record: Path) -> dict[str, float]:
    """The whole record as fast as can be: wall and processor seconds, and the peak of memory.

    The peak is asked for at each verdict: getrusage's begins with what the process was before it became this program.
    """
    begin = time.perf_counter()
    run = subprocess.Popen([*RUN, *_replay(record), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout is not None
    peaks = [_status_kib(run.pid, "VmHWM") for _ in run.stdout]
    run.stdout.close()
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"ecg-edge run ended with {run.returncode} on {record}")
    return {
        "wall_s": time.perf_counter() - begin,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": max(peaks) / 1024,
    }


def live(record: Path, seconds: float, *, web: bool) -> float:
    """CPU share of one core in real time, the terminal view off; with a web page that a client watches, or without."""
    words = [*RUN, "--record", str(record), "--json", *(("--web", "0") if web else ())]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        try:
            with _watched(_address(run.stderr)) if web else contextlib.nullcontext():
                run.stdout.readline()
                time.sleep(SETTLE_S)
                used, begin = _cpu_s(run.pid), time.perf_counter()
                time.sleep(seconds)
                return (_cpu_s(run.pid) - used) / (time.perf_counter() - begin)
        finally:
            run.terminate()


def growth(hours: float) -> dict[str, float]:
    """Resident memory at each verdict while so much synthetic ECG goes through: after a quarter, and at its most later.

    By verdicts and not by the clock, or a short run's imports would count as growth.
    """
    words = [*RUN, "--synthetic", "--speed", "max", "--json", "--seconds", str(3600 * hours)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        resident = [_status_kib(run.pid, "VmRSS") for line in run.stdout if VERDICT in line]
    resident = [kib for kib in resident if kib]  # none any more once it has ended, with lines still in the pipe
    settled, later = resident[len(resident) // 4], max(resident[len(resident) // 4 :])
    return {"hours": hours, "settled_mib": settled / 1024, "growth_mib": (later - settled) / 1024}


def _replay(record: Path) -> tuple[str, ...]:
    return ("--record", str(record), "--speed", "max")


def _address(said: Any) -> str:
    """The page's address, which the run says before its first sample."""
    for line in said:
        if found := re.search(r"live at (http://\S+)", line):
            return found.group(1)
    raise SystemExit("ecg-edge run --web says no address")


@contextmanager
def _watched(url: str) -> Iterator[None]:
    """A client that takes all that the page is sent."""
    taken = 0
    with urllib.request.urlopen(f"{url.rstrip('/')}/stream") as stream:

        def read() -> None:
            nonlocal taken
            with contextlib.suppress(OSError, ValueError):  # the end of the run, or of the watching
                while part := stream.read1(65536):
                    taken += len(part)

        threading.Thread(target=read, daemon=True).start()
        yield
    if not taken:
        raise SystemExit(f"{url} sends nothing")


def _cpu_s(pid: int) -> float:
    """Processor seconds of a living process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status_kib(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{what}:")), 0)


@contextmanager
def _record(wanted: Path | None) -> Iterator[Path]:
    """The wanted record; or one of MIT-BIH; or synthetic ECG, made for this."""
    shared = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data")) / "mitdb" / "119"
    if wanted is not None or shared.with_suffix(".hea").is_file():
        yield wanted or shared
        return
    from ecg_edge.live.source import synthetic_chunks
    from ecg_edge.signal.wfdbformat import header_text, sample_bytes

    m = Bundle.load("ecg5").manifest
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        data = b"".join(sample_bytes(chunk.samples_uv) for chunk in synthetic_chunks(m, windows=440))
        head = header_text("made", m.fs_hz, ["II"], datetime.now(UTC), samples=len(data) // 2, first=[0], sums=[0])
        (Path(folder) / "made.dat").write_bytes(data)
        (Path(folder) / "made.hea").write_text(head, encoding="ascii")
        yield Path(folder) / "made"


def measure(record: Path, *, starts: int, live_s: float, hours: float) -> dict[str, Any]:
    """All figures; the first run is not counted: it may compile the engine."""
    start_s(record, 1)
    began = start_s(record, starts)
    shares = {name: live(record, live_s, web=web) for name, web in (("view off", False), ("web", True))}
    return {
        "record": record.name,
        "start_to_first_verdict_s": {"median": statistics.median(began), "each": began},
        "whole_record": whole(record),
        "cpu_share": shares | {"seconds": live_s},
        "memory": growth(hours),
        "load_average": os.getloadavg()[0],
        "machine": machine(),
        "versions": versions(("numpy",), ("cc",)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--live", type=float, default=30.0, help="seconds of real time, with and without the web page")
    parser.add_argument("--hours", type=float, default=1.0, help="of synthetic ECG, for the memory")
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    with _record(wanted.record) as record:
        found = measure(record, starts=wanted.starts, live_s=wanted.live, hours=wanted.hours)
    text = json_text(found)
    if wanted.out is not None:
        write_text(wanted.out, text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
