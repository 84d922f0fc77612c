"""Flashing: which port, which board, which tool, and exactly which commands; and what the board must answer afterwards.

The commands lie in tests/golden/flash, one file a way to flash a board. They were read against each tool's own help.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from board_rungs import golden_bundle
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device import Device, FakeLink, toolchain
from ecg_edge.device.boards import find_board, flashable_boards
from ecg_edge.device.fake import FakeDevice, FakeModel, fake_hello, mixing_scores
from ecg_edge.device.flash import Job, plan_flash, require_tool, tools_for
from ecg_edge.device.link import Port
from ecg_edge.device.messages import SelfTestState
from ecg_edge.device.ports import choose, describe, only_usb_port
from ecg_edge.errors import DeviceError
from ecg_edge.recipes import flashing
from ecg_edge.recipes.flashing import Order, Plan, check_board, make_plan
from ecg_edge.signal.prepare import Prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "flash"
REAL = [board.id for board in flashable_boards()]
FLASHED = [
    *((board, "native", tool, None) for board in REAL for tool in tools_for(find_board(board), built=False)),
    *((board, "native", tool, "firmware.bin") for board in REAL for tool in tools_for(find_board(board), built=True)),
    ("esp32dev", "tflm", "platformio", None),
]
PICO = Port("/dev/ttyACM0", 0x2E8A, 0x000A, "E660", "Pico")
BRIDGE = Port("/dev/ttyUSB0", 0x303A, 0x1001, "", "USB JTAG/serial")
PLAIN = Port("/dev/ttyS0", None, None, "", "ttyS0")
STRANGE = Port("/dev/ttyACM9", 0xDEAD, 0xBEEF, "", "A modem")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle(tmp_path, "separable", hop=16, prepare=Prepare(average_log2=4))


@pytest.mark.parametrize(("board", "engine", "tool", "image"), FLASHED)
def test_a_dry_run_prints_the_golden_commands(
    board: str, engine: str, tool: str, image: str | None, bundle: Bundle
) -> None:
    order = Order((bundle,), ("ecg5",), "/dev/ttyACM0", board, engine, tool, Path(image) if image else None)
    text = "\n".join(make_plan(order, [], dry=True).lines()) + "\n"
    name = "-".join([board, tool, *(["tflm"] if engine == "tflm" else []), *(["image"] if image else [])])
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_is_used() -> None:
    assert len(list(GOLDEN.glob("*.txt"))) == len(FLASHED)


def test_a_dry_run_needs_neither_port_nor_tool(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find", lambda _: None)
    monkeypatch.setattr(flashing, "serial_ports", lambda: [PLAIN])
    result = CliRunner().invoke(make_app(), ["flash", str(bundle.folder), "--board", "pico", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "--port PORT" in result.stdout
    assert "arduino-cli is not on this machine" in result.stderr


def test_the_tool_is_the_first_that_the_machine_has() -> None:
    job = Job(find_board("esp32-s3"), "P", "native", Path("fw"), Path("build"), None)
    assert plan_flash(job, lambda _: None).tool == "arduino-cli"
    assert plan_flash(job, {"esp-idf": "/opt/idf.py", "platformio": "/bin/platformio"}.get).tool == "platformio"
    assert plan_flash(job, {"platformio": "/usr/bin/platformio"}.get).commands[0][0] == "platformio"
    assert plan_flash(job, {"esp-idf": "/opt/idf.py"}.get).commands[0][:3] == ("idf.py", "-C", "fw/esp-idf")


def test_a_tool_that_is_not_here_is_named_with_what_brings_it() -> None:
    board = find_board("pico")
    plan = plan_flash(Job(board, "P", "native", Path("fw"), Path("build"), Path("x.uf2")), lambda _: None)
    with pytest.raises(DeviceError, match=r"pico needs one of picotool, arduino-cli, and none is here: https://"):
        require_tool(plan, board, built=True)


def test_a_tool_that_does_not_do_the_board_is_refused() -> None:
    job = Job(find_board("pico"), "P", "native", Path("fw"), Path("build"), None)
    with pytest.raises(DeviceError, match=r"esp-idf does not put the project on a pico; .*: arduino-cli, platformio"):
        plan_flash(job, lambda _: None, tool="esp-idf")
    with pytest.raises(DeviceError, match=r"esptool does not put an image on a pico; .*: picotool, arduino-cli"):
        plan_flash(replace(job, image=Path("x")), lambda _: None, tool="esptool")
    with pytest.raises(DeviceError, match="mps2-an386 is no board to flash"):
        plan_flash(replace(job, board=find_board("mps2-an386")), lambda _: None)


def test_every_flash_command_belongs_to_a_known_tool() -> None:
    for board in REAL:
        assert tools_for(find_board(board), built=True)[0] == find_board(board).flash_command[0]


def test_a_port_is_found_by_its_usb_id() -> None:
    assert choose([PLAIN, PICO, STRANGE], device=None, board=None) == ("/dev/ttyACM0", find_board("pico"))
    assert choose([PLAIN, PICO, BRIDGE], device=None, board=find_board("esp32-c3")) == (
        "/dev/ttyUSB0",
        find_board("esp32-c3"),
    )
    assert choose([], device="COM3", board=find_board("pico"))[0] == "COM3"


@pytest.mark.parametrize(
    ("ports", "device", "board", "line"),
    [
        ([PLAIN, STRANGE], None, None, r"a known board: no port is it .*--device; ports here: /dev/ttyS0, .*A modem"),
        ([], None, "pico", r"pico: no port is it by its USB id; .* ports here: none"),
        ([PICO, BRIDGE], None, None, r"several ports may be it; .*ttyACM0 \(2E8A:000A, pico\), .*esp32-s3 or esp32-c3"),
        ([BRIDGE], None, None, r"/dev/ttyUSB0: by its USB id the board is esp32-s3 or esp32-c3; name it by --board: "),
        ([PLAIN], "/dev/ttyS0", None, r"/dev/ttyS0: by its USB id the board is none that is known; name it by --board"),
    ],
)
def test_an_unclear_port_is_refused_with_what_there_is(
    ports: list[Port], device: str | None, board: str | None, line: str
) -> None:
    with pytest.raises(DeviceError, match=line):
        choose(ports, device=device, board=None if board is None else find_board(board))


def test_the_one_usb_port_is_taken_whatever_is_behind_it() -> None:
    assert only_usb_port([PLAIN, STRANGE]) == "/dev/ttyACM9"


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ([PLAIN], "no USB port is there; name one by --device; ports here: /dev/ttyS0"),
        ([], "no USB port is there; name one by --device; ports here: none"),
        (
            [PICO, STRANGE, PLAIN],
            r"several USB ports may be the board's; .*: /dev/ttyACM0 \(2E8A:000A, pico\), /dev/tty",
        ),
    ],
)
def test_which_usb_port_is_meant_must_be_clear(ports: list[Port], problem: str) -> None:
    with pytest.raises(DeviceError, match=problem):
        only_usb_port(ports)


def test_a_port_without_usb_ids_is_just_its_name() -> None:
    assert describe(PLAIN) == "/dev/ttyS0"


def answering(bundle: Bundle, **changes: object) -> Device:
    """A board that holds the bundle's model, but for the changes."""
    values = {"sha256": bundle.model_sha256, "name": bundle.manifest.name, "engine": 2, **changes}
    hello = fake_hello(**values)  # type: ignore[arg-type]
    return Device(FakeLink(FakeDevice([FakeModel(hello, mixing_scores(hello.classes))]).receive))


@pytest.fixture
def plan(bundle: Bundle) -> Plan:
    return make_plan(Order((bundle,), ("x",), "/dev/ttyACM0", "pico"), [], dry=True)


def test_a_board_that_holds_the_bundle_is_reported(bundle: Bundle, plan: Plan) -> None:
    report = check_board(answering(bundle), (bundle,), plan)
    assert report.models == (f"separable {bundle.model_sha256}",)
    assert report.engine == "native"


def test_a_board_that_holds_another_model_is_said_to_run_something_else(bundle: Bundle, plan: Plan) -> None:
    with pytest.raises(DeviceError, match=r"fake:: the board runs something else: it holds other 0{12}, not separable"):
        check_board(answering(bundle, sha256="0" * 64, name="other"), (bundle,), plan)


def test_a_board_with_the_other_engine_is_said_to_run_something_else(bundle: Bundle, plan: Plan) -> None:
    with pytest.raises(DeviceError, match="the board runs something else: engine tflm, not native"):
        check_board(answering(bundle, engine=1), (bundle,), plan)


def test_a_board_whose_self_test_fails_is_refused(bundle: Bundle, plan: Plan) -> None:
    with pytest.raises(DeviceError, match="the right models, and the self-test does not pass"):
        check_board(answering(bundle, selftest=SelfTestState.FAILED), (bundle,), plan)


def test_what_is_flashed_on_a_virtual_board_cannot_be_chosen_by_board_or_tool(bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="virtual:native is board host, started here: no --board, --tool or --image"):
        make_plan(Order((bundle,), ("x",), "virtual:native", "pico"))


def test_a_command_that_fails_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match="sh failed with exit code 7; what it said is above"):
        toolchain.run(["sh", "-c", "echo no board; exit 7"])
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "no board\n")
    with pytest.raises(DeviceError, match="no-such-tool: cannot be run"):
        toolchain.run(["no-such-tool"])
