"""The Arduino library's metadata, and the PlatformIO and ESP-IDF projects: what can be checked without their tools."""

from __future__ import annotations

import re
from configparser import ConfigParser, ExtendedInterpolation
from pathlib import Path

import pytest

from ecg_edge import __version__
from ecg_edge.bundle import package_data
from ecg_edge.codegen.project import PROJECT_FILES, library_files, project_files
from ecg_edge.device.boards import Board, flashable_boards
from ecg_edge.device.flash import Job, plan_flash

FIRMWARE = package_data("firmware")
LIBRARY = FIRMWARE / "EcgEdge"
REAL = flashable_boards()
# Source: Arduino's library specification, "category".
CATEGORIES = {
    *("Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage"),
    *("Data Processing", "Other"),
}


@pytest.fixture(scope="module")
def properties() -> dict[str, str]:
    lines = (LIBRARY / "library.properties").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def platformio() -> ConfigParser:
    # PlatformIO's ${section.option} is configparser's ${section:option}.
    text = (FIRMWARE / "platformio" / "platformio.ini").read_text(encoding="utf-8")
    parser = ConfigParser(interpolation=ExtendedInterpolation(), delimiters=("=",), comment_prefixes=(";",))
    parser.read_string(re.sub(r"\$\{(\w+)\.(\w+)\}", r"${\1:\2}", text).replace("$PIOENV", "$$PIOENV"))
    return parser


def test_the_library_has_what_the_specification_asks_for(properties: dict[str, str]) -> None:
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert required <= properties.keys()
    assert re.fullmatch(r"[A-Za-z0-9][\w. -]{0,62}", properties["name"])
    assert properties["name"] == LIBRARY.name
    assert properties["version"] == __version__
    assert properties["category"] in CATEGORIES
    assert all((LIBRARY / "src" / header).is_file() for header in properties["includes"].split(","))


def test_every_sketch_is_in_a_folder_of_its_name_and_includes_the_library() -> None:
    sketches = sorted((LIBRARY / "examples").iterdir())
    assert [folder.name for folder in sketches] == ["LiveAD8232", "Replay", "SelfTest"]
    for folder in sketches:
        text = (folder / f"{folder.name}.ino").read_text(encoding="utf-8")
        assert "#include <ecg_arduino.h>" in text
        assert "delay(" not in text


def test_every_keyword_is_a_name_of_a_header() -> None:
    headers = "".join(path.read_text(encoding="utf-8") for path in (LIBRARY / "src").glob("*.h"))
    headers += "".join(path.read_text() for path in (FIRMWARE.parent / "ecg_edge/codegen/templates").glob("*.h.j2"))
    for line in (LIBRARY / "keywords.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        word, kind = line.split("\t")
        assert kind in ("KEYWORD1", "KEYWORD2", "LITERAL1")
        assert re.search(rf"\b{word}\b", headers), word


def test_the_sketches_and_projects_travel_in_every_export() -> None:
    assert {f"examples/{name}/{name}.ino" for name in ("Replay", "LiveAD8232", "SelfTest")} <= library_files().keys()
    assert set(project_files()) == set(PROJECT_FILES)
    for folder in ("esp-idf", "platformio"):
        built = {".pio", "build", "managed_components"}
        there = {path.relative_to(FIRMWARE) for path in (FIRMWARE / folder).rglob("*") if path.is_file()}
        wanted = {str(path) for path in there if not built & set(path.parts)} - {"esp-idf/sdkconfig"}
        assert wanted - {"esp-idf/dependencies.lock"} == {name for name in PROJECT_FILES if name.startswith(folder)}


# TensorFlow Lite Micro does not run on 8 bits.
ENGINES = [
    (board, engine) for board in REAL for engine in ("native", "tflm") if (board.core, engine) != ("avr", "tflm")
]


@pytest.mark.parametrize(("board", "engine"), ENGINES, ids=[f"{board.id}-{engine}" for board, engine in ENGINES])
def test_platformio_has_an_environment_for_each_board_and_engine(
    board: Board, engine: str, platformio: ConfigParser
) -> None:
    plan = plan_flash(Job(board, "P", engine, Path("fw"), Path("build"), None), lambda _: "/bin/pio", tool="platformio")
    name = plan.commands[0][plan.commands[0].index("--environment") + 1]
    section = platformio[f"env:{name}"]
    base = platformio[section["extends"]] if "extends" in section else section
    assert base["board"] == board.platformio
    assert base["platform"]
    assert f"-DECG_ENGINE={1 if engine == 'tflm' else 2}" in section["build_flags"].split()
    libraries = section.get("lib_deps", platformio["env"]["lib_deps"])
    assert "EcgEdge=symlink://../EcgEdge" in libraries
    assert ("TensorFLowLite" in libraries) == (engine == "tflm")


def test_platformio_builds_the_replay_sketch_with_the_library_beside_it(platformio: ConfigParser) -> None:
    project = FIRMWARE / "platformio"
    assert (project / platformio["platformio"]["src_dir"] / "Replay.ino").is_file()
    assert (project / "../EcgEdge/library.properties").is_file()
    environments = [name for name in platformio.sections() if name.startswith("env:")]
    assert len(environments) == len(ENGINES)
    assert f"env:{platformio['platformio']['default_envs']}" in environments


def test_the_component_takes_the_librarys_sources_and_names_tflm() -> None:
    component = FIRMWARE / "esp-idf" / "components" / "ecg_edge"
    text = (component / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r'set\(library "\$\{CMAKE_CURRENT_LIST_DIR\}/([^"]+)"\)', text)
    assert found is not None
    assert (component / found[1]).resolve() == LIBRARY / "src"
    manifest = (component / "idf_component.yml").read_text(encoding="utf-8")
    assert re.search(r'^  espressif/esp-tflite-micro: "\^\d+\.\d+\.\d+"$', manifest, re.M)
    assert re.search(rf'^version: "{re.escape(__version__)}"$', manifest, re.M)


def test_nothing_but_frames_goes_over_the_uart_of_an_esp32() -> None:
    defaults = (FIRMWARE / "esp-idf" / "sdkconfig.defaults").read_text(encoding="utf-8").splitlines()
    assert {"CONFIG_ESP_CONSOLE_NONE=y", "CONFIG_BOOTLOADER_LOG_LEVEL_NONE=y"} <= set(defaults)


def test_the_table_of_builds_has_every_board_and_says_run_built_or_written() -> None:
    text = (FIRMWARE / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    for board in REAL:
        own = [row for row in rows if f"`{board.id}`" in row[1]]
        assert own, board.id
        for row in own:
            assert any(word in row[-2] for word in ("run here", "built here", "only written")), row
