"""The commands that put an exported folder, or a built image, on a board. Layer: device; imports errors.

Plans only, so that a dry run shows exactly what a real one runs; `toolchain.run` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from ecg_edge.device.boards import Board
from ecg_edge.device.toolchain import TOOLS
from ecg_edge.errors import DeviceError

Command = tuple[str, ...]
SKETCH = "Replay"
NO_PORT = "PORT"  # in a dry run on a machine without the board


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """What to run, in order."""

    tool: str  # a key of TOOLS
    here: bool  # whether this machine has it
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What goes where."""

    board: Board
    port: str
    engine: str  # "native" or "tflm"
    firmware: Path  # the exported folder
    build: Path  # where build systems may keep what they build
    image: Path | None  # already built: nothing is compiled


def plan_flash(job: Job, find: Callable[[str], str | None], *, tool: str | None = None) -> FlashPlan:
    """Choose a tool and write its commands.

    Args:
        job: what goes where.
        find: tool id -> its program on this machine, or None.
        tool: the one that the user wants; None: the first that is here, else the first that would do.

    Raises:
        DeviceError: the tool does not do this, or nothing does.
    """
    able = tools_for(job.board, built=job.image is not None)
    if tool is not None and tool not in able:
        what = "an image" if job.image else "the project"
        raise DeviceError(f"{tool} does not put {what} on a {job.board.id}; these do: {', '.join(able) or 'none'}")
    if not able:
        raise DeviceError(f"{job.board.id} is no board to flash: {job.board.name}")
    chosen = tool or next((one for one in able if find(one)), able[0])
    program = find(chosen)
    name = PurePath(program).name if program else TOOLS[chosen].programs[0]
    return FlashPlan(chosen, program is not None, _commands(job, chosen, name))


def tools_for(board: Board, *, built: bool) -> tuple[str, ...]:
    """Ids of the tools that can flash a board, the best first.

    Args:
        board: the board.
        built: there is an image already; else the tool must be able to build one.
    """
    arduino = ("arduino-cli",) if board.fqbn else ()
    if built:
        return (*_image_tool(board), *arduino)
    return (*arduino, *(("platformio",) if board.platformio else ()), *(("esp-idf",) if board.esp_idf else ()))


def require_tool(plan: FlashPlan, board: Board, *, built: bool) -> None:
    """Refuse a plan whose tool is not here.

    Raises:
        DeviceError: names every tool that would do, and how to get the first.
    """
    if not plan.here:
        able = ", ".join(tools_for(board, built=built))
        raise DeviceError(f"{board.id} needs one of {able}, and none is here: {TOOLS[plan.tool].mend}")


def _image_tool(board: Board) -> Command:
    """The tool of the board's flash command."""
    return tuple(tool.id for tool in TOOLS.values() if board.flash_command[:1] == tool.programs[:1])


def _commands(job: Job, tool: str, program: str) -> tuple[Command, ...]:
    if job.image is not None and tool != "arduino-cli":
        return ((program, *(_filled(word, job) for word in job.board.flash_command[1:])),)
    return {"arduino-cli": _arduino, "platformio": _platformio, "esp-idf": _esp_idf}[tool](job, program)


def _filled(word: str, job: Job) -> str:
    return word.replace("{port}", job.port).replace("{image}", str(job.image))


def _arduino(job: Job, program: str) -> tuple[Command, ...]:
    sketch = str(job.firmware / "EcgEdge" / "examples" / SKETCH)
    to_board = ("--fqbn", job.board.fqbn, "--port", job.port)
    if job.image is not None:
        return ((program, "upload", *to_board, "--input-file", str(job.image)),)
    built = str(job.build / "arduino")
    library = str(job.firmware / "EcgEdge")
    compile_it = (program, "compile", "--fqbn", job.board.fqbn, "--library", library, "--build-path", built, sketch)
    return (compile_it, (program, "upload", *to_board, "--input-dir", built, sketch))


def _platformio(job: Job, program: str) -> tuple[Command, ...]:
    environment = job.board.id + ("-tflm" if job.engine == "tflm" else "")
    project = ("--project-dir", str(job.firmware / "platformio"), "--environment", environment)
    return ((program, "run", *project, "--target", "upload", "--upload-port", job.port),)


def _esp_idf(job: Job, program: str) -> tuple[Command, ...]:
    folders = ("-C", str(job.firmware / "esp-idf"), "-B", str(job.build / "esp-idf"))
    return ((program, *folders, f"-DIDF_TARGET={job.board.esp_idf}", "-p", job.port, "build", "flash"),)
