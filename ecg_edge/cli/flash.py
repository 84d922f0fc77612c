"""`ecg-edge flash`: put a bundle on a board, and have the board prove it. Layer: cli."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_edge.cli import complete
from ecg_edge.cli.export import Engine
from ecg_edge.cli.output import note, print_json, print_result


def flash(
    bundle: Annotated[
        list[str],
        typer.Argument(
            help="A shipped bundle's name, or a bundle's folder; several: one image.", autocompletion=complete.bundles
        ),
    ],
    device: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="/dev/ttyUSB0, COM3, virtual:native, qemu:microbit, ...; default: look.",
            autocompletion=complete.devices,
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="esp32dev, pico, ...; default: by the port's USB id.",
            autocompletion=complete.real_boards,
        ),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="native: generated C. tflm: TensorFlow Lite Micro.")] = Engine.native,
    tool: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="arduino-cli, platformio, esp-idf; with --image also esptool, ...",
            autocompletion=complete.tools,
        ),
    ] = None,
    image: Annotated[Path | None, typer.Option(metavar="FILE", help="Flash this built image; compile nothing.")] = None,
    build: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to export and build; default build/flash/BOARD.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands, run nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Flash nothing: only ask the board what it runs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of text.")] = False,
) -> None:
    """Put a bundle on a board: export, build, flash. Then HELLO and self-test must match the bundle.

    Finds the port and the board by USB id, and builds with whichever tool the board names and this machine has
    (`ecg-edge doctor` lists them). `virtual:`, `qemu:` and `simavr:` boards are built and started the same way.

    Examples:

      ecg-edge flash ecg5 --device virtual:native

      ecg-edge flash ecg5 --board esp32dev --dry-run

      ecg-edge flash ecg5 --device /dev/ttyACM0 --board pico --tool platformio

      ecg-edge flash ecg5 --board nucleo_f446re --image build/firmware.elf
    """
    from ecg_edge.bundle import Bundle
    from ecg_edge.errors import EcgEdgeError
    from ecg_edge.recipes.flashing import Order, check_board, make_plan, wait_for_board
    from ecg_edge.recipes.flashing import flash as flash_board

    if dry_run and check:
        raise EcgEdgeError("flash: --dry-run and --check are two things; give one")
    if image is not None and not image.is_file() and not dry_run:
        raise EcgEdgeError(f"flash: there is no image {image}")
    bundles = tuple(Bundle.load(name) for name in bundle)
    order = Order(bundles, tuple(bundle), device, board, engine.value, tool, image, build)
    plan = make_plan(order, dry=dry_run or check)
    if dry_run:
        if plan.flash is not None and not plan.flash.here:
            note(f"{plan.flash.tool} is not on this machine; ecg-edge doctor says how to get it")
        if json:
            print_json({"device": plan.device, "board": plan.board.id, "commands": plan.lines()})
        else:
            print_result("\n".join(plan.lines()))
        return
    if check:
        with wait_for_board(plan.device, None if plan.flash else plan.firmware) as opened:
            report = check_board(opened, bundles, plan)
    else:
        report = flash_board(order, plan, note)
    if json:
        print_json(report.to_json())
        return
    models = ", ".join(" ".join((name, sha256[:12])) for name, sha256 in (model.split() for model in report.models))
    print_result(
        f"{report.device}: {report.board} runs {models} on {report.engine} ({report.engine_version}); "
        f"self-test passed, {report.selftest_vectors} vectors"
    )
