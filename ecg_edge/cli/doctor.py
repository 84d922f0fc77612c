"""`ecg-edge doctor`: what this machine has and lacks. Layer: cli."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ecg_edge.cli.output import print_json, print_result
from ecg_edge.errors import GateError

if TYPE_CHECKING:
    from ecg_edge.recipes.checkup import Check


def doctor(
    run: Annotated[bool, typer.Option("--run", help="Only what a live run on this machine needs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON instead of text.")] = False,
) -> None:
    """Say what this machine has and lacks, and the command that mends each lack.

    Exit code 0, unless something is missing that `make demo` needs, or under --run a live run: then 3.

    Examples:

      ecg-edge doctor

      ecg-edge doctor --run

      ecg-edge doctor --json
    """
    from ecg_edge.recipes.checkup import check_up

    found = check_up(run=run)
    goal, ready = ("a live run", "ready_to_run") if run else ("make demo", "ready_for_demo")
    missing = [check for check in found if check.needed and not check.ok]
    if json:
        print_json({ready: not missing, "checks": [check.to_json() for check in found]})
    else:
        print_result(_text(found))
    if missing:
        raise GateError(f"{goal} needs {', '.join(check.name for check in missing)}")


def _text(found: list[Check]) -> str:
    lines: list[str] = []
    group = ""
    for check in found:
        if check.group != group:
            group = check.group
            lines.append(f"{group}:")
        mark = "ok" if check.ok else "MISSING" if check.needed else "-"
        mend = "" if check.ok or not check.mend else f"  ->  {check.mend}"
        lines.append(f"  {mark:<8}{check.name:<25}{check.found}{mend}")
    return "\n".join(lines)
