"""Progress bars on stderr, one a step, gone when the work is done. Layer: cli; the one place that draws with rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class Steps:
    """Shows what is being done; draws nothing where stderr is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Steps:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """One bar; call what it gives with (done, total)."""
        task = self._bars.add_task(title, total=None)

        def progress(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=total)

        try:
            yield progress
        finally:
            self._bars.remove_task(task)
