"""The command `ecg-edge`: its verbs by name, and the one place where errors become exit codes. Layer: cli.

A verb's module is imported when the verb runs, and not before: `--help` must not wait for NumPy or TensorFlow.
Exit codes: 0 done, 1 a bug, 2 wrong input or a wrong device, 3 a gate failed, 130 interrupted.
"""

import errno
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core
import typer.main

import ecg_edge
from ecg_edge.cli.output import note
from ecg_edge.errors import EcgEdgeError, GateError

# verb -> its one line of help. The verb `x` is the function `x` of ecg_edge/cli/x.py.
VERBS = {
    "data": "Download a set of recordings from PhysioNet, each file checked.",
    "synth": "Make synthetic ECG with labels: arrays, WFDB records or CSV.",
    "train": "Train a classifier on synthetic ECG, or on your own windows.",
    "quantize": "Turn a trained model into full int8, and report what it cost.",
    "bundle": "Make a model bundle of a .keras or .tflite.",
    "evaluate": "Say how good a bundle is, float and int8.",
    "noise": "Say how good a model of beats stays as noise grows.",
    "export": "Write the firmware folder of a bundle.",
    "info": "Say what is in a bundle: sizes, layers, what streams.",
    "profile": "Say what each op costs on an emulated core: instructions, bytes.",
    "fit": "Say which boards a model fits: flash, RAM and time, estimated.",
    "flash": "Put a bundle on a board, and check that the board runs it.",
    "doctor": "Say what this machine has and lacks, and what mends it.",
    "loopback": "Say what a serial line carries, with no board: a pty, a socket, or TX wired to RX.",
    "run": "Classify a live signal: prepare, windows, verdicts, without end.",
    "service": "Print a systemd unit that runs a live run at boot.",
    "bench": "Stream ECG to a board and compare its answers with the model's.",
}

# Import name -> extra that brings it.
EXTRAS = {
    "ai_edge_litert": "litert",
    "keras": "train",
    "matplotlib": "report",
    "sklearn": "train",
    "tensorflow": "train",
    "tflite_micro": "tflm",
    "tflite_runtime": "pi",
    "wfdb": "data",
}


class LazyGroup(typer.core.TyperGroup):
    """A group that knows its verbs' names and help, and imports a verb when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for verb, text in VERBS.items():
            self.add_command(typer.core.TyperCommand(verb, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load_verb(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # here, because typer ends without a word
            note("ecg-edge: interrupted")
            raise typer.Exit(130) from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except Exception as error:
            code, line = explain(error)
            if code == 1:
                raise
            note(f"ecg-edge: {line}")
            sys.exit(code)


def load_verb(verb: str) -> Any:
    """Import ecg_edge/cli/<verb>.py and make a command of its function <verb>."""
    function = getattr(import_module(f"ecg_edge.cli.{verb}"), verb)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(verb, help=function.__doc__ or VERBS[verb])(function)
    return typer.main.get_command(single)


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and line for an error; code 1 is a bug, which keeps its traceback."""
    if isinstance(error, GateError):
        return 3, str(error)
    if isinstance(error, EcgEdgeError):
        return 2, str(error)
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").partition(".")[0]
        if missing in EXTRAS:
            return 2, f"{missing} is not installed: pip install 'ecg-edge[{EXTRAS[missing]}]'"
    if isinstance(error, OSError) and error.errno is not None and error.errno != errno.EPIPE:
        where = f"{error.filename}: " if error.filename else ""
        return 2, f"{where}{error.strerror}"
    return 1, ""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecg-edge {ecg_edge.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From ECG to a wearable, with proof.

    Research use; not a medical device.
    """


def make_app() -> typer.Typer:
    """The whole command line."""
    # Plain text: importing rich for the help alone would double its time.
    app = typer.Typer(name="ecg-edge", cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_root)
    return app


def main() -> None:
    """Run the command line; a bug leaves its traceback and exit code 1."""
    typer.main.get_command(make_app())(prog_name="ecg-edge")
