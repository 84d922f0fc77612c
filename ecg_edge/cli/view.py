"""A live run in a terminal: a sink that draws. Layer: cli.

It takes the terminal's other screen and gives it back at the end, whatever ends the run. It draws eight times a second
at most, and never for more than a twentieth of the time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from ecg_edge.bundle import Manifest
from ecg_edge.cli.output import note, print_result
from ecg_edge.cli.strip import Strip
from ecg_edge.cli.viewframe import GAP, WITHHELD, Shown, frame
from ecg_edge.device.frame import SampleFlag
from ecg_edge.live.lines import account_text
from ecg_edge.live.run import Account, Event, Gap, Moment
from ecg_edge.live.source import Notice
from ecg_edge.signal.prepare import Prepare

_FRAME_S = 1 / 8
_SHARE = 0.05  # of the time, at most, for drawing
_SILENCE_S = 1.5  # without a sample: there is no signal
_COUNTED_S = 5.0  # over which samples a second are counted
_COUNT_EVERY_S = 0.25
_ALL_FRAMES = 80  # after that many every line is written again, over whatever else wrote to the terminal
_HISTORY, _NOTICES = 500, 50
_FLAGS = ((SampleFlag.LEAD_OFF, "lead off"), (SampleFlag.CLIPPED, "clipped"))
_ERASE_REST = Control((ControlType.ERASE_IN_LINE, 0))


def open_view(manifest: Manifest, *, backend: str, source: str) -> View | None:
    """A view on stdout; None where that is no terminal that can show one."""
    console = Console()
    able = console.is_terminal and not console.is_dumb_terminal and console.encoding.lower().startswith("utf")
    return View(manifest, console, backend=backend, source=source) if able else None


class View:
    """A sink that draws."""

    def __init__(
        self,
        manifest: Manifest,
        console: Console,
        *,
        backend: str,
        source: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """The terminal is taken with the first moment.

        Args:
            manifest: of the model that runs.
            console: where to draw.
            backend: what runs it.
            source: where the signal comes from.
            now_s: a clock that never goes back.
        """
        title = f"ecg-edge run · {manifest.name} {manifest.version} · {backend} · {source}"
        strip = Strip(manifest.fs_hz, manifest.leads)
        self.shown = Shown(manifest, title, strip, deque(maxlen=_HISTORY), deque(maxlen=_NOTICES))
        self.shown.delay_s = Prepare.from_manifest(manifest.prepare).delay / manifest.fs_hz
        self.facts: list[
            Callable[[], str]
        ] = []  # give lines to keep on the screen: what is recorded, where the page is
        self._now_s = now_s
        self._screen = _Screen(console)
        self._heard_s = self._due_s = now_s()
        self._said: deque[str] = deque(maxlen=_NOTICES)
        self._counts: deque[tuple[float, int]] = deque(maxlen=round(_COUNTED_S / _COUNT_EVERY_S) + 1)

    def say(self, text: str) -> None:
        """Show a line among the notices, and again at the end, when the screen is as it was."""
        self._said.append(text)
        self.shown.notices.append((self.shown.signal_s, text))

    def take(self, moment: Moment, account: Account) -> None:
        shown, now_s, chunk = self.shown, self._now_s(), moment.chunk
        shown.account, shown.rate_bpm = account, moment.rate_bpm
        for event in moment.events:
            self._event(event, moment.latency_s)
        if len(chunk.samples_uv):
            self._heard_s = now_s
            shown.strip.add(chunk.samples_uv)
            flags = int(chunk.flags.max())
            state = shown.verdict.state.name.lower().replace("_", " ") if shown.verdict else "ok"
            shown.trouble = next((name for flag, name in _FLAGS if flags & flag), "" if state == "ok" else state)
        if now_s >= self._due_s:
            self._draw(now_s)

    def close(self) -> None:
        self._screen.close()
        for text in self._said:
            note(text)
        print_result(account_text(self.shown.account, self.shown.manifest))

    def _event(self, event: Event, latency_s: float) -> None:
        shown = self.shown
        if isinstance(event, Notice):
            shown.notices.append((event.index / shown.manifest.fs_hz, event.text))
        elif isinstance(event, Gap):
            shown.verdict = None  # what was said is of another signal
            shown.strip.add_gap(event.samples)
            shown.history.append(GAP)
        else:
            shown.verdict, shown.latency_s = event, latency_s
            shown.history.append(WITHHELD if event.label is None else event.label)

    def _draw(self, now_s: float) -> None:
        shown = self.shown
        silent_s = now_s - self._heard_s
        shown.silent_s = silent_s if silent_s >= _SILENCE_S else 0.0
        if not self._counts or now_s - self._counts[-1][0] >= _COUNT_EVERY_S:
            self._counts.append((now_s, shown.account.received))
        (then_s, then), (last_s, last) = self._counts[0], self._counts[-1]
        shown.samples_s = (last - then) / (last_s - then_s) if last_s - then_s > 1.0 else None
        shown.facts = [fact() for fact in self.facts]
        self._screen.draw(lambda width, height: frame(shown, width, height))
        done_s = self._now_s()
        self._due_s = max(now_s + _FRAME_S, done_s + (done_s - now_s) / _SHARE)


class _Screen:
    """The terminal's other screen, where only lines that changed are written: which costs a third."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size: tuple[int, int] | None = None  # None: not taken
        self._drawn: list[Text] = []
        self._frames = 0

    def draw(self, lines_for: Callable[[int, int], list[Text]]) -> None:
        """Show lines; lines_for makes them for a width and a height."""
        console, size = self._console, self._console.size
        if self._size is None:
            console.set_alt_screen(True)
            console.show_cursor(False)
        self._frames += 1
        if self._frames % _ALL_FRAMES == 0:
            self._drawn = []
        if size != self._size:  # the first time, or the window has another size
            console.control(Control.clear(), Control.home())
            self._size, self._drawn = size, []
        lines = lines_for(size.width, size.height)[: size.height]
        with console:  # all in one write
            for y, line in enumerate(lines):
                if y >= len(self._drawn) or line != self._drawn[y] or line.spans != self._drawn[y].spans:
                    console.control(Control.move_to(0, y))
                    console.print(line, end="", soft_wrap=True, highlight=False)
                    if line.cell_len < size.width:
                        console.control(_ERASE_REST)
        self._drawn = lines

    def close(self) -> None:
        """Give the terminal back."""
        if self._size is not None:
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
            self._size = None
