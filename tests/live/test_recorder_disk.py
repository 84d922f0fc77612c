"""Runs that end badly: killed, or out of disk. A child process records; what it leaves is read here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_rungs import missing
from recordings import FS_HZ, chunk, feed, noise, read, recorder

HELPERS = Path(__file__).parents[1] / "helpers"
CHUNK = 25  # samples
SECONDS = 200  # of signal a child records at most

# Records a tenth of a second of signal at a time, by a clock that has no other time, and says how far it is.
CHILD = """
import json, resource, sys
from pathlib import Path
from ecg_edge.device.link import VirtualClock
from ecg_edge.live.run import Account, Moment
from recordings import FS_HZ, chunk, noise, recorder

folder, limit, lifted_s, seconds = Path(sys.argv[1]), *map(int, sys.argv[2:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
tell = lambda **told: print(json.dumps(told), flush=True)
clock, account, samples = VirtualClock(), Account(), noise(seconds * FS_HZ)
sink = recorder(folder, clock=clock, say=lambda text: tell(said=text), rotate_hours=1)
for at in range(0, len(samples), 25):
    if at == lifted_s * FS_HZ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    account.received += 25
    sink.take(Moment(chunk(at, samples[at : at + 25]), ()), account)
    clock.sleep_s(0.1)
    tell(taken=at + 25)
sink.close()
tell(lost=sink.lost)
"""


@contextmanager
def child(
    folder: Path, *, limit: int = 0, lifted_s: int = -1, seconds: int = SECONDS
) -> Iterator[subprocess.Popen[str]]:
    """Record noise(seconds * FS_HZ) into a folder.

    Args:
        folder: where.
        limit: bytes that a file may have; 0: no limit.
        lifted_s: second of the signal when it may have any again.
        seconds: of signal.
    """
    words = [sys.executable, "-c", CHILD, str(folder), str(limit), str(lifted_s), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(HELPERS)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(line) for line in process.stdout]


def recorded(folder: Path) -> dict[int, int]:
    """Index in the run -> value, of every recording."""
    return {one.index + k: value for one in read(folder) for k, value in enumerate(one.samples[:, 0].tolist())}


def sent(indices: Iterable[int], seconds: int = SECONDS) -> dict[int, int]:
    """Index in the run -> value, as the child had it."""
    values = np.maximum(noise(seconds * FS_HZ)[:, 0], -32767).tolist()
    return {index: values[index] for index in indices}


@pytest.mark.parametrize("seconds", [2, 15])
def test_a_killed_run_loses_at_most_its_last_second(tmp_path: Path, seconds: int) -> None:
    with child(tmp_path) as process:
        assert process.stdout is not None
        taken = 0
        while taken < seconds * FS_HZ:
            taken = json.loads(process.stdout.readline())["taken"]
        process.kill()
        taken = max([taken, *(one["taken"] for one in told(process))])  # what it did until the signal came
    kept = recorded(tmp_path)
    assert taken - FS_HZ <= len(kept) <= taken + CHUNK
    assert kept == sent(range(len(kept)))

    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = recorder(tmp_path)  # needs no repair, and touches nothing
    feed(again, [(chunk(0, noise(500)), ())])
    again.close()
    assert before == {path: path.read_bytes() for path in before}
    assert len(read(tmp_path)) == 2


def test_a_file_that_may_not_grow_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    limit = 30_000
    with child(tmp_path, limit=limit) as process:
        *_, end = said = told(process)
    lines = [one["said"] for one in said if "said" in one]
    kept = recorded(tmp_path)
    assert kept == sent(kept)
    assert max(len(one.samples) for one in read(tmp_path)) * 2 <= limit  # two bytes a sample
    assert end["lost"] == SECONDS * FS_HZ - len(kept) > 0
    # It ended, began again a minute later, and so on; a new file may be as large as the one before.
    assert [line.split()[1] for line in lines[:3]] == ["to", "again,", "to"]
    assert "File too large; what came up to 59." in lines[0]


def test_recording_goes_on_when_the_disk_does_and_says_what_is_not_in_it(tmp_path: Path) -> None:
    with child(tmp_path, limit=3000, lifted_s=100, seconds=150) as process:
        *_, end = said = told(process)
    lines = [one["said"] for one in said if "said" in one]
    assert "recording again" in lines[-1]
    last = read(tmp_path)[-1]
    assert last.index + len(last.samples) == 150 * FS_HZ
    assert last.index >= 100 * FS_HZ
    kept = recorded(tmp_path)
    assert kept == sent(kept, 150)
    assert end["lost"] == 150 * FS_HZ - len(kept)


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True)
        if mounted.returncode:
            missing("a full disk needs root, to mount a small one")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_on_a_full_disk_the_verb_says_what_is_safe_and_ends_with_2() -> None:
    verb = [str(Path(sys.executable).with_name("ecg-edge")), "run", "ecg5", "--backend", "numpy"]
    with small_disk("64k") as disk:
        words = [*verb, "--synthetic", "--seconds", "240", "--speed", "200", "--out", str(disk / "out")]
        result = subprocess.run(words, capture_output=True, text=True)
        assert result.returncode == 2, result.stderr
        kept = len(recorded(disk / "out"))
        assert f"No space left on device; what came up to {kept / FS_HZ:.1f} s of the run is safe" in result.stderr
        assert f"{240 - kept / FS_HZ:.1f} s of signal were received and not recorded" in result.stderr
        assert "240.0 s: 231 verdicts" in result.stdout  # the run went on
