"""One picture of a live run, as lines for a terminal of any size. Layer: cli; draws with rich.

Colour only repeats what letters say: under NO_COLOR nothing is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from rich.style import Style
from rich.text import Text

from ecg_edge.bundle import Manifest
from ecg_edge.cli.strip import Drawn, Strip
from ecg_edge.live.run import Account
from ecg_edge.live.stream import Verdict

DISCLAIMER = "research use; not a medical device"
WITHHELD, GAP = "-", "░"  # in the history, where no class is
_COLORS = ("green", "yellow", "cyan", "magenta", "blue", "bright_yellow", "bright_cyan", "bright_magenta")
_TROUBLE, _QUIET = Style(color="red", bold=True), Style(dim=True)
_TRACE = Style(color="green")
_BLOCK_ROWS = 5  # of the verdict
_STRIP_ROWS = 16  # of a lead, at most
_AXIS = 7  # characters left of a strip
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(slots=True)
class Shown:
    """What there is to see."""

    manifest: Manifest
    title: str
    strip: Strip
    history: deque[int | str]  # class of each verdict, WITHHELD or GAP
    notices: deque[tuple[float, str]]  # seconds of signal, text
    account: Account = field(default_factory=Account)
    verdict: Verdict | None = None  # None: none since the signal began, or began again
    trouble: str = ""  # what the signal is, where it is not ok
    silent_s: float = 0.0  # since the last sample
    rate_bpm: int | None = None  # of the heart
    samples_s: float | None = None  # samples a second
    latency_s: float | None = None  # from a chunk's arrival to its verdict
    delay_s: float = 0.0  # of the filter
    elapsed_s: float = 0.0  # of this machine's time
    facts: Sequence[str] = ()  # recording, page

    @property
    def signal_s(self) -> float:
        """Seconds of signal, gaps too."""
        return (self.account.received + self.account.missing) / self.manifest.fs_hz


def frame(shown: Shown, width: int, height: int) -> list[Text]:
    """Lines from the top; none is wider than width, and there are height of them, or a few more where it is tiny."""
    status = [_signal_line(shown), _count_line(shown), *(Text(fact, style=_fact_style(fact)) for fact in shown.facts)]
    around = 1 + 1 + 1 + _BLOCK_ROWS + 1 + len(status) + 1 + 1  # header, ruler, two blanks, history, a notice, footer
    leads = shown.manifest.leads
    rows = max(3, min(_STRIP_ROWS, (height - around) // leads))
    spare = max(0, height - around - rows * leads)
    lines = [_spread(Text(shown.title, style="bold"), Text(clock(shown.signal_s), style="bold"), width)]
    lines += _strips(shown, width, rows)
    lines += [Text(), *_verdict_block(shown, width), _history_line(shown, width), *status]
    lines += _notice_lines(shown, 1 + spare)
    lines.append(_spread(Text(DISCLAIMER, style=_QUIET), Text("Ctrl-C ends", style=_QUIET), width))
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def clock(seconds: float) -> str:
    """h:mm:ss"""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def letters(classes: Sequence[str]) -> list[str]:
    """A letter for each class, none twice: the first of its last word that is free; else of the alphabet."""
    taken: list[str] = []
    for name in classes:
        wanted = name.split()[-1].upper() + name.upper() + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        taken.append(next((letter for letter in wanted if letter.isalnum() and letter not in taken), "?"))
    return taken


def _spread(left: Text, right: Text, width: int) -> Text:
    left.truncate(max(0, width - len(right) - 1), overflow="ellipsis", pad=True)
    return Text.assemble(left, " ", right)


def _strips(shown: Shown, width: int, rows: int) -> list[Text]:
    lines, drawn = [], None
    for lead in range(shown.manifest.leads):
        drawn = shown.strip.draw(lead, max(1, width - _AXIS), rows)
        lines += _strip_lines(drawn, silent=shown.silent_s > 0)
    assert drawn is not None
    ticks = "".join("┴" if tick else "─" for tick in drawn.seconds)
    caption = f" mV, {drawn.shown_s:.1f} s "
    lines.append(Text(" " * (_AXIS - 1) + "└" + ticks[: -len(caption) - 1] + caption + ticks[-1:], style=_QUIET))
    return lines


def _strip_lines(drawn: Drawn, *, silent: bool) -> list[Text]:
    lines, last = [], len(drawn.rows) - 1
    for k, points in enumerate(drawn.rows):
        value = {0: drawn.top_mv, last // 2: (drawn.top_mv + drawn.bottom_mv) / 2, last: drawn.bottom_mv}.get(k)
        axis = f"{value:+{_AXIS - 2}.2f} ┤" if value is not None else " " * (_AXIS - 1) + "│"
        if drawn.missing.any():
            points = "".join(GAP if gap else point for point, gap in zip(points, drawn.missing, strict=True))
        line = Text(axis, style=_QUIET)
        line.append(points, style=_QUIET if silent else _TRACE)
        if drawn.missing.any():
            line.highlight_regex(f"{GAP}+", _TROUBLE)
        lines.append(line)
    return lines


def _verdict_block(shown: Shown, width: int) -> list[Text]:
    """The verdict as a block, and beside it every class with its probability."""
    m, verdict = shown.manifest, shown.verdict
    left = max(22, min(40, width * 2 // 5))
    if shown.silent_s or verdict is None:
        words = ["NO SIGNAL", f"for {shown.silent_s:.0f} s"] if shown.silent_s else ["WAITING", f"for {_wait(shown)}"]
        style = Style(reverse=True, dim=not shown.silent_s, color="red" if shown.silent_s else None)
    elif verdict.label is None:
        words, style = ["NO VERDICT", verdict.state.name.lower().replace("_", " ")], Style(reverse=True, color="red")
    else:
        score = m.output.scale * (int(verdict.scores[verdict.label]) - m.output.zero_point)
        words = [m.classes[verdict.label].upper(), f"{score:.2f}"]
        style = _style(verdict.label, reverse=True)
    block = [Text(line.center(left)[:left], style=style) for line in ("", words[0], "", words[1], "")]
    block[1].stylize(Style(bold=True))
    room = width - left - 2
    beside = _class_lines(shown, room)
    return [Text.assemble(a, "  ", b) for a, b in zip(block, beside, strict=True)]


def _wait(shown: Shown) -> str:
    m = shown.manifest
    if m.takes == "beats":
        return "three beats"
    return f"{m.window / m.fs_hz + shown.delay_s:.1f} s of signal"


def _class_lines(shown: Shown, width: int) -> list[Text]:
    """A line a class; where there are too many, those with the highest probability."""
    m, verdict = shown.manifest, shown.verdict
    known = verdict is not None and verdict.label is not None and not shown.silent_s
    scores = [m.output.scale * (int(s) - m.output.zero_point) if known else 0.0 for s in _scores(verdict, m)]
    order = sorted(range(len(scores)), key=lambda k: -scores[k])[:_BLOCK_ROWS]
    name_width = min(max(map(len, m.classes)), max(6, width - 14))
    lines, names = [], letters(m.classes)
    for k in sorted(order):
        line = Text.assemble((f"{names[k]} ", _style(k, bold=True)))
        line.append(f"{m.classes[k][:name_width]:<{name_width}} ")
        if known:
            line.append(f"{scores[k]:4.2f} ")
            line.append(_bar(scores[k], max(0, width - name_width - 8)), style=_style(k))
        lines.append(line)
    return lines + [Text()] * (_BLOCK_ROWS - len(lines))


def _scores(verdict: Verdict | None, manifest: Manifest) -> list[int]:
    return verdict.scores.tolist() if verdict is not None else [0] * len(manifest.classes)


def _bar(share: float, width: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip())[:width]


def _history_line(shown: Shown, width: int) -> Text:
    """A letter a verdict, the last one on the right."""
    names = letters(shown.manifest.classes)
    line = Text("before ", style=_QUIET)
    for mark in list(shown.history)[-(width - _AXIS) :]:
        if isinstance(mark, int):
            line.append(names[mark], style=_style(mark, reverse=True))
        else:
            line.append(mark, style=_TROUBLE)
    return line


def _signal_line(shown: Shown) -> Text:
    trouble = f"none for {shown.silent_s:.0f} s" if shown.silent_s else shown.trouble
    line = Text("signal ")
    line.append(trouble or "ok", style=_TROUBLE if trouble else Style(color="green", bold=True))
    if not shown.silent_s:
        line.append(f"   heart {shown.rate_bpm if shown.rate_bpm is not None else '-'} bpm", style="bold")
    if shown.samples_s is not None and not shown.silent_s:
        line.append(f"   {shown.samples_s:,.0f} samples/s")
    if shown.latency_s is not None:
        behind = f"{shown.delay_s:.2f} s of filter" if shown.manifest.takes == "windows" else "two more beats"
        line.append(f"   latency {shown.latency_s * 1e3:.1f} ms + {behind}")
    return line


def _count_line(shown: Shown) -> Text:
    account = shown.account
    line = Text(f"{account.verdicts:,} verdicts, {account.abstained:,} withheld   ")
    seconds = account.missing / shown.manifest.fs_hz
    gaps = "1 gap" if account.gaps == 1 else f"{account.gaps or 'no'} gaps"
    lost = f"{gaps}, {seconds:,.1f} s of signal missing" if account.gaps else gaps
    return line.append(lost, style=_TROUBLE if account.gaps else "")


def _fact_style(fact: str) -> Style:
    return _TROUBLE if "not recording" in fact else Style()


def _notice_lines(shown: Shown, count: int) -> list[Text]:
    last = list(shown.notices)[-count:]
    lines = [Text(f"{clock(at)}  {text}", style=Style(color="yellow")) for at, text in last]
    return lines + [Text()] * (count - len(lines))


@cache
def _style(label: int, *, bold: bool = False, reverse: bool = False) -> Style:
    """Of a class."""
    return Style(color=_COLORS[label % len(_COLORS)], bold=bold or None, reverse=reverse or None)
