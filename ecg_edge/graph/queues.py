"""How many columns a queue ever holds: the rounds of a section, with columns counted and not computed. Layer: graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .ir import Tensor

if TYPE_CHECKING:
    from .plan import AnyStep


def queue_columns(sources: Sequence[Tensor], steps: tuple[AnyStep, ...]) -> tuple[AnyStep, ...]:
    """The same steps, with room in each queue for as many columns as wait in it.

    Args:
        sources: what gives a column each round, as long as it has any.
        steps: in their order; a queue's `columns` is not known yet.
    """
    if all(len(step.feeds) < 2 for step in steps):
        return steps
    run = _Rounds(steps)
    run.begin()
    for t in range(max(source.shape[0] for source in sources)):
        run.round({source.name for source in sources if t < source.shape[0]})
    run.flush()
    return tuple(_with_room(step, run.most[i]) for i, step in enumerate(steps))


def _with_room(step: Any, most: list[int]) -> Any:
    if len(step.feeds) < 2:
        return step
    feeds = tuple(
        replace(feed, line=replace(feed.line, columns=count)) for feed, count in zip(step.feeds, most, strict=True)
    )
    return replace(step, feeds=feeds)


class _Rounds:
    """Columns due on each feed of each step, as the C code counts them."""

    def __init__(self, steps: tuple[AnyStep, ...]) -> None:
        self._steps = steps
        self._due = [[f.line.span - len(f.line.preset) if f.line else 1 for f in step.feeds] for step in steps]
        self.most = [[max(1, len(f.line.preset)) if f.line else 0 for f in step.feeds] for step in steps]

    def round(self, given: set[str], first: int = 0) -> None:
        """One column of each tensor in `given` goes through all steps from `first` on."""
        for index, step in enumerate(self._steps[first:], first):
            came = [feed.source.name in given for feed in step.feeds]
            if any(came) and self._take(index, came) and step.output is not None:
                given.add(step.output.name)

    def _take(self, index: int, came: list[bool]) -> bool:
        """Whether the step gives a column."""
        due, feeds = self._due[index], self._steps[index].feeds
        for i, yes in enumerate(came):
            due[i] -= yes
            line = feeds[i].line
            if line is not None:
                self.most[index][i] = max(self.most[index][i], line.span - due[i])
        if max(due) > 0:
            return False
        for i, feed in enumerate(feeds):
            due[i] += feed.line.stride if feed.line else 1
        return True

    def begin(self) -> None:
        """Padding that no line holds from the start: the last layer first, since what comes to it comes later."""
        for index in reversed(range(len(self._steps))):
            for i, feed in enumerate(self._steps[index].feeds):
                self._push(index, i, len(feed.line.excess) if feed.line else 0)

    def flush(self) -> None:
        """The padding at the window's end, layer by layer."""
        for index, step in enumerate(self._steps):
            for i, feed in enumerate(step.feeds):
                self._push(index, i, len(feed.line.after) if feed.line else 0)

    def _push(self, index: int, feed: int, count: int) -> None:
        step = self._steps[index]
        for _ in range(count):
            came = [i == feed for i in range(len(step.feeds))]
            if self._take(index, came) and step.output is not None:
                self.round({step.output.name}, index + 1)
