"""A bundle goes on a board, and the board proves that it runs it. Layer: recipes; composes codegen and device."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_edge.bundle import Bundle
from ecg_edge.device import toolchain
from ecg_edge.device.boards import Board, find_board
from ecg_edge.device.client import Device, engine_name
from ecg_edge.device.emulator import image_for, open_device
from ecg_edge.device.flash import NO_PORT, Command, FlashPlan, Job, plan_flash, require_tool
from ecg_edge.device.link import Clock, Port, SystemClock, serial_ports
from ecg_edge.device.messages import SelfTestState
from ecg_edge.device.pace import Patience
from ecg_edge.device.ports import choose
from ecg_edge.errors import DeviceError, LinkError
from ecg_edge.recipes.firmware import export

PORT_RETURNS_S = 20.0  # a board with USB of its own leaves and comes back after flashing
_RETRY_S = 0.5
_PATIENCE = Patience(give_up_s=10.0)


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for."""

    bundles: tuple[Bundle, ...]
    names: tuple[str, ...]  # as the user named them
    device: str | None = None
    board: str | None = None
    engine: str = "native"
    tool: str | None = None
    image: Path | None = None
    build: Path | None = None


@dataclass(frozen=True, slots=True)
class FlashReport:
    """What the board says of itself after flashing."""

    device: str
    board: str
    engine: str
    engine_version: str
    models: tuple[str, ...]  # "name sha256"
    selftest_vectors: int
    commands: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in order."""

    device: str
    board: Board
    engine: str
    firmware: Path
    export: Command  # what to type to do the first step by hand; empty for an image that is there already
    flash: FlashPlan | None  # None: this machine starts the board itself

    def lines(self) -> list[str]:
        """The commands as one would type them."""
        commands = [self.export] if self.export else []
        lines = [shlex.join(command) for command in (*commands, *(self.flash.commands if self.flash else ()))]
        if self.flash is None:
            lines.append(f"# {self.device}: compiled and started by ecg-edge itself, ended after the check")
        return lines


def make_plan(order: Order, ports: Sequence[Port] | None = None, *, dry: bool = False) -> Plan:
    """Decide port, board and tool.

    Args:
        order: what the user asked for.
        ports: of this machine; None: look.
        dry: nothing will be run, so a port and a tool need not be here.

    Raises:
        DeviceError: no such board, no port, or no tool that does it.
    """
    if order.device is not None and (image := image_for(order.device)) is not None:
        if order.tool or order.image or (order.board or image.board) != image.board:
            raise DeviceError(f"{order.device} is board {image.board}, started here: no --board, --tool or --image")
        build = order.build or Path("build") / "flash" / image.board
        board = find_board(image.board)
        command = _export_command(order, build, image.engine, image.board)
        return Plan(order.device, board, image.engine, build / "firmware", command, None)
    named = None if order.board is None else find_board(order.board)
    found = serial_ports() if ports is None else ports
    try:
        port, board = choose(found, device=order.device, board=named)
    except DeviceError:
        if not dry or named is None:
            raise
        port, board = NO_PORT, named
    build = order.build or Path("build") / "flash" / board.id
    job = Job(board, port, order.engine, build / "firmware", build, order.image)
    flash = plan_flash(job, toolchain.find, tool=order.tool)
    if not dry:
        require_tool(flash, board, built=order.image is not None)
    command = () if order.image else _export_command(order, build, order.engine, board.id)
    return Plan(port, board, order.engine, build / "firmware", command, flash)


def flash(order: Order, plan: Plan, say: Callable[[str], None]) -> FlashReport:
    """Export, build, flash, and ask the board what it runs.

    Args:
        order: what the user asked for.
        plan: what `make_plan` made of it.
        say: told of each step.

    Raises:
        EcgEdgeError: the image cannot be made, a command fails, or the board runs something else.
    """
    if plan.export:
        say(shlex.join(plan.export))
        export(order.bundles, plan.firmware, engine=plan.engine, board=plan.board.id, force=True)
    for command in plan.flash.commands if plan.flash else ():
        say(shlex.join(command))
        toolchain.run(command)
    say(f"{plan.device}: HELLO and self-test")
    with wait_for_board(plan.device, None if plan.flash else plan.firmware) as device:
        return check_board(device, order.bundles, plan)


def check_board(device: Device, bundles: Sequence[Bundle], plan: Plan) -> FlashReport:
    """Whether a board runs exactly these models on this engine, and its self-test passes now.

    Raises:
        DeviceError: it runs something else, or fails; the line names both sides.
    """
    hellos = device.hello()
    held = [f"{hello.name} {hello.sha256[:12]}" for hello in hellos]
    wanted = [f"{bundle.manifest.name} {bundle.model_sha256[:12]}" for bundle in bundles]
    where = f"{device.name}: the board runs something else"
    if [hello.sha256 for hello in hellos] != [bundle.model_sha256 for bundle in bundles]:
        raise DeviceError(f"{where}: it holds {', '.join(held)}, not {', '.join(wanted)}")
    if engine_name(hellos[0]) != plan.engine:
        raise DeviceError(f"{where}: engine {engine_name(hellos[0])}, not {plan.engine}")
    test = device.selftest()
    if not test.passed or any(hello.selftest != SelfTestState.PASSED for hello in hellos):
        outcome = "it has no known answers" if test.passed else f"vector {test.first_failed} failed"
        raise DeviceError(f"{device.name}: the right models, and the self-test does not pass: {outcome}")
    models = tuple(f"{hello.name} {hello.sha256}" for hello in hellos)
    commands = tuple(plan.lines())
    version = hellos[0].engine_version
    return FlashReport(device.name, hellos[0].board, plan.engine, version, models, test.ran, commands)


def wait_for_board(url: str, firmware: Path | None, clock: Clock | None = None) -> Device:
    """Open a board that may still be on its way back from flashing.

    Raises:
        LinkError: the port does not come back.
    """
    clock = clock or SystemClock()
    give_up_s = clock.now_s() + PORT_RETURNS_S
    while True:
        try:
            return open_device(url, firmware, patience=_PATIENCE)
        except LinkError:
            if firmware is not None or clock.now_s() >= give_up_s:
                raise
            clock.sleep_s(_RETRY_S)


def _export_command(order: Order, build: Path, engine: str, board: str) -> Command:
    out = str(build / "firmware")
    return ("ecg-edge", "export", *order.names, "--out", out, "--engine", engine, "--board", board, "--force")
