"""The `device` fixture: one suite over every kind of board, from a Python class to the one on your desk.

`--device URL` adds a real board, flashed with a bundle of this project. ECG_STRICT=1 turns every skip into a failure
but for that board's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest
from board_bench import Reference, Wire
from board_rungs import Rung, board_rung, fake_rung, golden_bundle, missing, qemu_rung, virtual_rung
from hypothesis import HealthCheck, settings

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, Patience
from ecg_edge.signal.prepare import FIR_250_HZ, Prepare, scaled_prepare

# tflite-runtime 2.14 fails ("vector::reserve") where TensorFlow was loaded before it; loaded first, both work.
if find_spec("tflite_runtime") is not None:
    import_module("tflite_runtime.interpreter")

# How long an example takes depends on what else the machine does: it says nothing of the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

FIGURE = "figure"  # a property of a test's report
PATIENCE = Patience(repeat_s=2.0, give_up_s=60.0)  # the machine may be busy


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", metavar="URL", help="serial URL of a real board for the hil tests: /dev/ttyUSB0")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell a figure that this test measured; the run's summary lists them all."""
    return lambda text: request.node.user_properties.append((FIGURE, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    told = [str(text) for report in reports for name, text in getattr(report, "user_properties", []) if name == FIGURE]
    if told:
        terminalreporter.section("figures")
        for text in sorted(set(told)):
            terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, ...]:
    """Models that differ in all they can: hop, leads, quantization, preparation, and whether they stream."""
    folder = tmp_path_factory.mktemp("bundles")
    short = Prepare(4, FIR_250_HZ, 3, 10, -1, flat_samples=40, flat_uv=1)
    return (
        golden_bundle(folder, "separable", hop=16, prepare=scaled_prepare(uv_per_lsb=12.0, zero_point=2)),
        golden_bundle(folder, "columns", hop=12, prepare=short),
        golden_bundle(folder, "flat", hop=30, prepare=short),
    )


@pytest.fixture(
    scope="session",
    params=[
        "fake",
        "host",
        "tflm",
        pytest.param("qemu", marks=pytest.mark.emulator),
        pytest.param("board", marks=pytest.mark.hil),
    ],
)
def rung(
    request: pytest.FixtureRequest, image: tuple[Bundle, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rung]:
    """Each kind of board in turn; `host` and `tflm` are the firmware as a process, one engine each, `qemu` an image."""
    tmp, cache = tmp_path_factory.mktemp("firmware"), request.config.cache.mkdir("boards")
    if request.param == "fake":
        yield from fake_rung(image)
    elif request.param == "host":
        yield from virtual_rung("virtual:native", image, tmp, cache)
    elif request.param == "tflm":
        if find_spec("tflite_micro") is None:
            missing("no tflite-micro wheel: virtual:tflm is not tested (x86-64 Linux: pip install 'ecg-edge[tflm]')")
        yield from virtual_rung("virtual:tflm", image, tmp, cache)
    elif request.param == "qemu":
        yield from qemu_rung("qemu:cortex-m4", image, tmp, cache)
    else:
        yield from board_rung(request.config.getoption("--device"))


@pytest.fixture
def device(rung: Rung) -> Device:
    """A fresh client of the rung's board; the link stays open for the next."""
    return Device(rung.link, patience=PATIENCE)


@pytest.fixture
def wire(device: Device) -> Wire:
    """A bare line to the board."""
    return Wire(device._session.link)


@pytest.fixture(scope="session")
def reference_of() -> Callable[[Bundle], Reference]:
    """Bundle -> its Reference, made once."""
    made: dict[str, Reference] = {}

    def find(bundle: Bundle) -> Reference:
        return made.setdefault(bundle.model_sha256, Reference(bundle))

    return find
