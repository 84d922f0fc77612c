"""`ecg-edge service`: a systemd unit for a live run. Layer: cli."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ecg_edge.cli.output import print_result
from ecg_edge.errors import EcgEdgeError


def service(
    run_options: Annotated[
        list[str] | None, typer.Argument(metavar="-- [RUN OPTIONS]", help="What `ecg-edge run` is to be given.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Who runs it; default: you.")] = None,
    name: Annotated[str, typer.Option(help="Of the unit, of /var/lib/NAME and /var/cache/NAME.")] = "ecg-edge",
) -> None:
    """Print a systemd unit that runs `ecg-edge run` at boot, and again after anything.

    It records to /var/lib/NAME unless --out says otherwise, may write nowhere else, and is restarted when it hangs.

    Research use; not a medical device.

    Examples:

      ecg-edge service | sudo tee /etc/systemd/system/ecg-edge.service

      ecg-edge service -- ecg5 --device /dev/ttyUSB0 --web 8765

      ecg-edge service --user pi --name holter -- --out /mnt/usb/ecg
    """
    from ecg_edge.recipes.service import Service, shell_line, unit_text

    given = tuple(run_options or ())
    options = _checked(given)
    who = getpass.getuser() if user is None else user
    if who == "root" and user is None:
        raise EcgEdgeError("service: nothing here needs root; say who is to run it: --user NAME")
    program = Path(sys.executable).parent / "ecg-edge"
    if not program.is_file():
        raise EcgEdgeError(f"service: there is no {program}; install ecg-edge into a virtual environment")
    out = None if options["out"] is None else Path(options["out"])
    if out is not None and not out.is_dir():
        raise EcgEdgeError(f"service: {out} is no folder; make it first, and let {who} write there")
    quiet = () if options["json"] or options["quiet"] else ("--quiet",)
    made_by = shell_line(["ecg-edge", "service", "--user", who, "--name", name, "--", *given])
    print_result(unit_text(Service(name, program, (*given, *quiet), who, Path.cwd(), out, made_by)).rstrip("\n"))


def _checked(arguments: tuple[str, ...]) -> dict[str, Any]:
    """What `run` would make of its arguments; a wrong one ends here, not at boot."""
    from ecg_edge.cli.app import load_verb

    options: dict[str, Any] = load_verb("run").make_context("run", list(arguments)).params
    if options["stdin"]:
        raise EcgEdgeError("service: a service has no standard input; give --device or --record")
    return options
