"""What an ATmega2560 cannot hold or cannot read is refused, before a build and after it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_edge.bundle import Bundle
from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.budget import AVR_ARRAY_BYTES, AVR_TABLE_BYTES, model_flash_bytes, require_tables
from ecg_edge.codegen.target import Target
from ecg_edge.device import avr, simavr
from ecg_edge.device.elf import Image, Symbol
from ecg_edge.device.emulator import image_for, open_device
from ecg_edge.errors import BudgetError, DeviceError
from ecg_edge.graph.ir import Dense, Graph
from ecg_edge.graph.plan import Plan, make_plan
from ecg_edge.graph.tflite import read_graph
from ecg_edge.recipes.firmware import export

MODELS = Path(__file__).parents[1] / "golden" / "models"
AVR = Target("avr", "size")


def golden(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def with_dense_weights(graph: Graph, size: int) -> Plan:
    """A plan whose first dense layer says it has so many weights; nothing computes with them."""
    dense = next(op for op in graph.ops if isinstance(op, Dense))
    wide = replace(dense, weights=np.zeros((1, size), np.int8))
    plan = make_plan(graph, hop=graph.input.shape[0])
    return replace(plan, graph=replace(graph, ops=tuple(wide if op is dense else op for op in graph.ops)))


def test_an_array_that_avr_gcc_does_not_take_is_refused_by_its_layer() -> None:
    require_tables([with_dense_weights(golden("bench_a"), AVR_ARRAY_BYTES)], AVR)
    with pytest.raises(BudgetError, match=r"bench_a: dense1 has 32768 weights; an array on AVR has 32767 at most"):
        require_tables([with_dense_weights(golden("bench_a"), AVR_ARRAY_BYTES + 1)], AVR)
    require_tables([with_dense_weights(golden("bench_a"), AVR_ARRAY_BYTES + 1)], Target("cortex-m4", "size"))


def test_tables_of_an_image_beyond_the_first_64_kb_are_refused() -> None:
    plan = make_plan(golden("bench_a"), hop=360)
    fitting = AVR_TABLE_BYTES // model_flash_bytes(plan, AVR)
    require_tables([plan] * fitting, AVR)
    with pytest.raises(BudgetError, match=r"bench_a, .*: \d+ bytes of tables; an AVR reads 64512 in its first 64 KB"):
        require_tables([plan] * (fitting + 1), AVR)


def test_an_export_writes_nothing_that_an_avr_would_read_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_edge.codegen.budget.AVR_TABLE_BYTES", 4_000)
    with pytest.raises(BudgetError, match="bytes of tables"):
        export(Bundle.load("ecg5"), tmp_path / "firmware", board="mega2560")
    with pytest.raises(BudgetError, match="bytes of tables"):
        export_bare(MODELS / "bench_a.tflite", tmp_path / "engine", target=AVR)
    assert list(tmp_path.iterdir()) == []
    export(Bundle.load("ecg5"), tmp_path / "firmware", board="nano33ble")


def test_the_board_gets_the_avr_kernels_and_no_tflm(tmp_path: Path) -> None:
    export(Bundle.load("ecg5"), tmp_path / "firmware", board="mega2560")
    source = (tmp_path / "firmware" / "EcgEdge" / "src" / "ecg_model_ecg5_native.c").read_text(encoding="utf-8")
    assert '#include "ecg_ops_avr.h"' in source
    assert re.search(r"^static const (?!ECG_FLASH)", source, re.M) is None
    with pytest.raises(BudgetError, match="mega2560 has an 8-bit core, and TensorFlow Lite Micro needs 32"):
        export(Bundle.load("ecg5"), tmp_path / "other", board="mega2560", engine="tflm")


def linked(*, flash: int = 40_000, ram: int = 5_000, end: int = 20_000) -> Image:
    symbols = (
        Symbol("conv1_weights", 300, end - 300, function=False),
        Symbol("main", 70_000, 200, function=True),
        Symbol("scratch", 0x800200, 2_000, function=False),
    )
    return Image(flash, ram, symbols)


def test_a_linked_image_is_refused_where_it_does_not_fit_or_reads_wrong() -> None:
    avr.require_fit(linked(flash=253_952, ram=8_192, end=65_536))
    with pytest.raises(DeviceError, match="mega2560 has 253952 bytes of flash; this image needs 253953"):
        avr.require_fit(linked(flash=253_953))
    with pytest.raises(DeviceError, match="mega2560 has 8192 bytes of RAM; this image needs 8193"):
        avr.require_fit(linked(ram=8_193))
    with pytest.raises(DeviceError, match="first 65536 bytes of flash; conv1_weights ends at 65537"):
        avr.require_fit(linked(end=65_537))


def test_a_machine_without_the_tools_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(Bundle.load("ecg5"), tmp_path / "firmware", board="mega2560")
    monkeypatch.setattr(avr, "CORE", tmp_path / "nowhere")
    if shutil.which("avr-gcc") is not None:
        with pytest.raises(DeviceError, match="needs the Arduino AVR core, and there is none: sudo apt-get install"):
            open_device(simavr.URL, tmp_path / "firmware", cache=tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match="an image for mega2560 needs avr-gcc, and there is none: sudo apt-get"):
        open_device(simavr.URL, tmp_path / "firmware", cache=tmp_path)
    with pytest.raises(DeviceError, match="needs a C compiler, and there is none"):
        simavr.build_runner(cache=tmp_path)


def test_another_simulated_board_or_no_export_is_refused(tmp_path: Path) -> None:
    for url in ("simavr:uno", "simavr:"):
        with pytest.raises(DeviceError, match=f"no emulated board {url}; there are: simavr:mega2560"):
            image_for(url)
        with pytest.raises(DeviceError, match=f"no emulated board {url}"):
            open_device(url, tmp_path)
    with pytest.raises(DeviceError, match="simavr:mega2560 needs an exported firmware folder"):
        open_device(simavr.URL)
