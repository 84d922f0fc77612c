"""What every verb prints with: results on stdout, everything else on stderr. Layer: cli."""

from typing import Any

import typer


def print_result(text: str) -> None:
    """Print the answer of a verb on stdout."""
    typer.echo(text)


def print_json(value: Any) -> None:
    """Print the answer of a verb as JSON, for `--json`: nothing else may be on stdout then."""
    from ecg_edge.files import json_text  # --help has no use for what it imports

    typer.echo(json_text(value))


def note(text: str) -> None:
    """Print a line about the work, not its answer, on stderr."""
    typer.echo(text, err=True)
