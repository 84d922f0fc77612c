"""What the terminal view shows of a run: the signal to scale, the verdict while it holds, and whatever is wrong."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from recordings import FS_HZ, MANIFEST, chunk
from rich.cells import cached_cell_len
from rich.console import Console

from ecg_edge.bundle import Bundle
from ecg_edge.cli.strip import Strip
from ecg_edge.cli.view import View
from ecg_edge.cli.viewframe import DISCLAIMER, GAP, frame, letters
from ecg_edge.device.frame import SampleFlag
from ecg_edge.live.run import Account, Gap, Moment, drive, run
from ecg_edge.live.source import Chunk, Notice, synthetic_chunks
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.runtime.numpy import NumpyBackend
from ecg_edge.signal.prepare import State

SIZES = [(80, 24), (60, 18), (60, 24), (40, 12), (132, 50), (200, 70)]


class Screen:
    """A view on a terminal of our own, and its clock."""

    def __init__(self, width: int = 80, height: int = 24, leads: int = 1, *, color: bool = True) -> None:
        self.now_s = 0.0
        self.written = io.StringIO()
        console = Console(
            file=self.written,
            force_terminal=True,
            width=width,
            height=height,
            color_system="truecolor",
            no_color=not color,
        )
        self.size = width, height
        manifest = replace(MANIFEST, leads=leads)
        self.view = View(manifest, console, backend="numpy", source="the bench", now_s=lambda: self.now_s)

    def text(self) -> str:
        return "\n".join(line.plain for line in frame(self.view.shown, *self.size))

    def watch(self, moments: list[Moment]) -> None:
        """A tenth of a second each."""
        account = Account()
        for moment in moments:
            self.now_s += 0.1
            account.count(moment.events)
            account.received += len(moment.chunk.samples_uv)
            self.view.take(moment, account)


def moments(windows: int = 3, *, flag: SampleFlag = SampleFlag.NONE) -> list[Moment]:
    """Of synthetic ECG; the last window's samples carry a flag."""
    bundle = Bundle.load("ecg5")

    def items() -> Iterator[Chunk]:
        for part in synthetic_chunks(bundle.manifest, seed=1, windows=windows):
            late = part.index >= (windows - 1) * bundle.manifest.window
            yield Chunk(part.index, part.samples_uv, np.full(len(part.flags), flag if late else 0, np.uint8))

    return list(run(items(), Stream(bundle.manifest, NumpyBackend(bundle.model)), Account()))


def flat(n: int) -> NDArray[np.int16]:
    return np.zeros((n, 1), np.int16)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("leads", [1, 2])
def test_everything_that_matters_fits_any_terminal(width: int, height: int, leads: int) -> None:
    screen = Screen(width, height, leads)
    screen.view.facts.append(lambda: "recording somewhere")
    screen.watch([replace_leads(moment, leads) for moment in moments()])
    lines = frame(screen.view.shown, width, height)
    assert max(line.cell_len for line in lines) <= width
    assert len(lines) == height or (height < 18 + 6 * leads and len(lines) < 22 + 3 * leads)
    verdict = screen.view.shown.verdict
    assert verdict is not None
    assert verdict.label is not None
    text = screen.text()
    assert MANIFEST.classes[verdict.label].upper() in text
    assert f"{MANIFEST.output.scale * (int(verdict.scores.max()) - MANIFEST.output.zero_point):.2f}" in text
    for wanted in ("signal ok", "before ", DISCLAIMER[: width - 14], "recording somewhere", "no gaps"):
        assert wanted in text


def replace_leads(moment: Moment, leads: int) -> Moment:
    return replace(moment, chunk=replace(moment.chunk, samples_uv=np.repeat(moment.chunk.samples_uv, leads, axis=1)))


def test_a_gap_is_seen_and_what_was_said_before_it_no_longer_stands() -> None:
    screen = Screen()
    screen.watch(moments())
    said = screen.view.shown.verdict
    assert said is not None
    assert said.label is not None
    assert MANIFEST.classes[said.label].upper() in screen.text()
    screen.watch([Moment(chunk(3 * 1024 + 500, flat(25)), (Notice(3 * 1024, "unplugged"), Gap(3 * 1024, 500)))])
    text = screen.text()
    assert MANIFEST.classes[said.label].upper() not in text
    assert "WAITING" in text
    assert "1 gap, 2.0 s of signal missing" in text
    assert "0:00:12  unplugged" in text
    strip = [line for line in text.splitlines() if "│" in line or "┤" in line]
    assert all(20 <= line.count(GAP) <= 22 for line in strip)  # 2 s of 7 s over 73 characters


def test_no_signal_is_said_in_place_of_the_last_verdict() -> None:
    screen = Screen()
    screen.watch(moments())
    screen.watch([Moment(Chunk.empty(3 * 1024, 1), ()) for _ in range(60)])
    text = screen.text()
    assert "NO SIGNAL" in text
    assert "signal none for 6 s" in text
    assert not any(name.upper() in text for name in MANIFEST.classes)


def test_a_withheld_verdict_shows_its_reason_and_no_scores() -> None:
    screen = Screen()
    screen.watch(moments(flag=SampleFlag.LEAD_OFF))
    text = screen.text()
    assert "NO VERDICT" in text
    assert "signal lead off" in text
    assert not any(name.upper() in text for name in MANIFEST.classes)
    assert "█" not in text
    assert "9 verdicts, 5 withheld" in text
    assert re.search(r"before [NADEI]{4}-----\n", text)


def test_a_dot_stands_where_its_millivolts_are() -> None:
    strip = Strip(FS_HZ, 1)
    samples = flat(8 * FS_HZ)
    samples[4 * FS_HZ :: 500] = 900
    strip.add(samples)
    drawn = strip.draw(0, 70, 10)
    assert (drawn.top_mv, drawn.bottom_mv) == (1.0, -1.0)
    dots = np.array([[ord(character) for character in row] for row in drawn.rows])
    per_dot_mv = 2.0 / 39
    for value_mv, wanted in ((0.0, 70), (0.9, 2)):
        row = round((1.0 - value_mv) / per_dot_mv) // 4
        assert (dots[row] != ord(" ")).sum() == wanted
    assert (dots[0] == ord(" ")).sum() == 68
    assert not drawn.missing.any()
    assert drawn.seconds.sum() in (6, 7)  # of 6.72 s


def test_the_strip_rolls_and_does_not_shimmer() -> None:
    strip = Strip(FS_HZ, 1)
    random = np.random.default_rng(1)
    strip.add(random.integers(-400, 400, (3000, 1)).astype(np.int16))
    per_dot = round(strip.draw(0, 70, 8).shown_s * FS_HZ / 140)
    before = strip.draw(0, 70, 8)
    strip.add(random.integers(-400, 400, (2 * per_dot, 1)).astype(np.int16))
    after = strip.draw(0, 70, 8)
    # One character further; but for the first column, whose left neighbour is gone, and thereby the line to it.
    assert [row[1:69] for row in after.rows] == [row[2:] for row in before.rows]


def test_the_scale_grows_at_once_and_shrinks_after_a_while() -> None:
    strip, ranges = Strip(FS_HZ, 1), []
    for second in range(40):
        samples = np.zeros((FS_HZ, 1), np.int16)
        samples[::50] = 5000 if second == 10 else 800
        strip.add(samples)
        drawn = strip.draw(0, 70, 8)
        ranges.append(drawn.top_mv - drawn.bottom_mv)
    assert ranges[9] < 3 < ranges[10] >= 5
    assert ranges[10] == ranges[16] == ranges[20]  # it holds still for a while
    assert ranges[-1] < 3
    assert len(set(ranges)) <= 3


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        (MANIFEST.classes, "NADEI"),
        (("N", "S", "V", "F", "Q"), "NSVFQ"),
        (("a", "a", "a"), "ABC"),
        (tuple("class" for _ in range(40)), None),
    ],
)
def test_every_class_has_its_own_letter(classes: tuple[str, ...], wanted: str | None) -> None:
    found = letters(classes)
    assert wanted is None or "".join(found) == wanted
    assert len(set(found) - {"?"}) == min(len(classes), 36)


def test_colour_adds_nothing_that_is_not_in_letters() -> None:
    screen = Screen(color=False)
    screen.watch(moments())
    codes = {code for codes in re.findall(r"\x1b\[([\d;]*)m", screen.written.getvalue()) for code in codes.split(";")}
    assert codes <= {"", "0", "1", "2", "7"}  # bold, dim, reverse
    assert re.search(r"before [NADEI]{9}\n", screen.text())


def test_it_draws_no_more_than_eight_times_a_second() -> None:
    screen = Screen()
    frames = 0
    view, account = screen.view, Account()
    for n in range(1000):  # two seconds, far more often than it draws
        screen.now_s += 0.002
        before = screen.written.tell()
        view.take(Moment(chunk(n, np.full((1, 1), n % 50 * 20, np.int16)), ()), account)
        frames += screen.written.tell() != before
    assert 10 <= frames <= 17


def test_the_terminal_is_given_back_when_a_run_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def take(self, moment: Moment, account: Account) -> None:
            if account.received > 1000:
                raise RuntimeError("broken")

        def close(self) -> None:
            pass

    screen = Screen()
    screen.view.say("the disk is full")
    with pytest.raises(RuntimeError, match="broken"):
        account = Account()
        bundle = Bundle.load("ecg5")
        stream = Stream(bundle.manifest, NumpyBackend(bundle.model))
        drive(run(synthetic_chunks(bundle.manifest), stream, account), [screen.view, Broken()], account)
    written = screen.written.getvalue()
    assert written.index("\x1b[?1049h") < written.index("\x1b[?1049l")
    assert written.rindex("\x1b[?25l") < written.rindex("\x1b[?25h")
    told = capsys.readouterr()
    assert "0 verdicts" in told.out
    assert told.err == "the disk is full\n"


def test_memory_does_not_grow_with_the_run() -> None:
    screen, account, samples = Screen(), Account(), flat(256)
    events = (Verdict(0, 1023, np.zeros(5, np.int8), State.OK, 0), Notice(0, "still here"))
    grown = []
    tracemalloc.start()
    for n in range(1100):  # the histories are full after 500
        screen.now_s += 0.02
        screen.view.take(Moment(chunk(n * 256, samples), events), account)
        screen.written.seek(0)
        screen.written.truncate()
        cached_cell_len.cache_clear()  # rich keeps the widths of the last 4096 strings
        grown.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(grown[600:]) < max(grown[:600]) + 50_000


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_the_verb_draws_until_it_is_asked_to_end(how: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    words = [str(Path(sys.executable).with_name("ecg-edge")), "run", "ecg5", "--backend", "numpy", "--synthetic"]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "PYTHONUTF8": "1"}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written, asked = b"", False
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not asked and written.count(b"samples/s") > 2:
                process.send_signal(how)
                asked = True
    os.close(ours)
    assert process.returncode == 0
    screen, _, after = written.decode().rpartition("\x1b[?1049l")
    assert "\x1b[?1049h" in screen
    assert "signal " in screen
    assert "samples missing" in after
    assert "\x1b[?25h" in written.decode()
