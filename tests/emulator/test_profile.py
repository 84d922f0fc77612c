"""`ecg-edge profile`: every instruction of a window has one owner, and none is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_rungs import need_emulator
from m4 import need_tools
from typer.testing import CliRunner

from ecg_edge.bench.profile import APART, attribute, profile
from ecg_edge.bench.subject import find_subject, flat, inputs
from ecg_edge.cli.app import make_app
from ecg_edge.codegen.bare import export_bare
from ecg_edge.codegen.target import Target
from ecg_edge.device.elf import Image, Symbol
from ecg_edge.device.enginerun import EngineBoard
from ecg_edge.device.images import EngineFolder
from ecg_edge.device.machines import CORES, find_core
from ecg_edge.device.trace import Stretch, stretches

pytestmark = pytest.mark.emulator

MODEL = Path(__file__).parents[1] / "golden" / "models" / "separable.tflite"
FILE = "ecg_model_separable_native.c"


def command(*arguments: str) -> Any:
    return CliRunner().invoke(make_app(), ["profile", *arguments])


def test_steps_kept_apart_execute_hardly_more_than_the_clock_counts_of_the_engine_as_built() -> None:
    """Two ways of counting: one by SysTick, one by the trace."""
    need_tools()
    found = profile(find_subject(MODEL), Target("cortex-m4", "speed"))
    assert found.between_instructions + sum(op.instructions for op in found.ops) == found.instructions
    assert 0.9 * found.built_instructions < found.instructions < 1.25 * found.built_instructions


@pytest.mark.parametrize("opt", ["speed", "size"])
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0", "rv32imc"])
def test_every_op_has_instructions_and_what_multiplies_has_constants(core: str, opt: Any) -> None:
    need_emulator(find_core(core))
    found = profile(find_subject(MODEL), Target(core, opt))
    assert all(op.instructions > 0 for op in found.ops), found.ops
    assert all(op.flash_bytes > 0 for op in found.ops if op.macs), found.ops
    assert found.between_instructions < 0.5 * found.instructions
    assert abs(sum(op.share for op in found.ops) + found.between_instructions / found.instructions - 1) < 1e-9
    weights = sum(op.macs > 0 for op in found.ops)
    assert weights >= 3
    assert sum(op.flash_bytes + op.code_bytes for op in found.ops) < found.flash_bytes
    assert 0 < sum(op.ram_bytes for op in found.ops) <= found.scratch_bytes


def test_a_bare_model_is_profiled_as_a_table_and_as_json() -> None:
    need_tools()
    table = command("--tflite", str(MODEL))
    assert table.exit_code == 0, table.stderr
    assert "depthwise1  DepthwiseConv1D" in table.stdout
    assert "#" in table.stdout
    report = json.loads(command("--tflite", str(MODEL), "--json").stdout)
    assert {"name", "macs", "instructions", "share", "flash_bytes", "ram_bytes"} <= report["ops"][0].keys()
    assert f"{report['instructions']:,}" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "either a bundle's name or folder, or --tflite FILE"),
        (["ecg5", "--tflite", str(MODEL)], "either a bundle's name or folder, or --tflite FILE"),
        (["--tflite", "Makefile"], "Makefile is no .tflite by its name"),
        (["ecg5", "--core", "z80"], "no core 'z80'; there are: "),
        (["ecg5", "--core", "host"], "no emulated board qemu:host; there are: qemu:mps2-an386"),
    ],
)
def test_a_wrong_wish_is_one_line(arguments: list[str], line: str) -> None:
    done = command(*arguments)
    assert done.exit_code == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def ours(name: str, instructions: int, *, entered: bool = False) -> Stretch:
    return Stretch(Symbol(name, 0, 4, function=True, file=FILE), instructions, entered)


def other(name: str, instructions: int, file: str = "") -> Stretch:
    return Stretch(Symbol(name, 0, 4, function=True, file=file), instructions, entered=True)


def test_what_a_step_calls_is_its_own_and_the_way_between_steps_is_nobodys() -> None:
    followed = [
        other("board_main", 500, "engine_main.c"),
        ours("run", 1, entered=True),
        other("memset", 7),
        ours("depthwise1_step", 10, entered=True),
        other("ecg_depthwise_s8", 100),
        other("memcpy", 1000),
        ours("depthwise1_step", 10),
        ours("run", 1),
        ours("advance0", 2, entered=True),
        ours("conv1_step.constprop.0", 20, entered=True),
        ours("matrix_fused", 200, entered=True),  # of a header, and so a function of this file
        ours("conv1_step.constprop.0", 20),
        ours("advance0", 2),
        ours("run", 2),
        ours("finish", 2, entered=True),
        other("ecg_softmax_s8", 30),
        other("exp_negative", 300, "ecg_ops.c"),
        ours("finish", 2),
        ours("run", 3),
        other("board_ticks", 7),
        ours("run", 9999),
    ]
    counts = attribute(followed, find_subject(MODEL).graph.ops, FILE)
    assert counts == {"": 22, "depthwise1": 1120, "conv1": 240, "softmax1": 330}


def test_kernels_of_the_head_belong_to_their_ops_in_order() -> None:
    (dense,) = (op for op in find_subject(MODEL).graph.ops if op.name == "dense1")
    followed = [
        ours("run", 1, entered=True),
        other("ecg_dense_s8", 10),
        ours("run", 2),
        other("ecg_dense_s8", 100),
        ours("run", 3),
        other("board_ticks", 7),
    ]
    assert attribute(followed, [dense, replace(dense, name="dense2")], FILE) == {"": 6, "dense1": 10, "dense2": 100}


def test_a_table_of_the_head_belongs_to_its_op() -> None:
    ops = find_subject(MODEL.with_name("residual.tflite")).graph.ops
    followed = [ours("run", 1, entered=True), other("ecg_lookup_s8", 10), ours("run", 2), other("board_ticks", 7)]
    assert attribute(followed, ops, FILE) == {"": 3, "logistic1": 10}


def test_addresses_become_stretches_of_functions() -> None:
    one, two = Symbol("one", 16, 8, function=True), Symbol("two", 32, 8, function=True)
    image = Image(0, 0, (one, Symbol("table", 24, 8, function=False), two))
    addresses = [np.array([16, 18, 20], np.int64), np.array([22, 24, 34, 8], np.int64)]
    found = [(s.function.name, s.instructions, s.entered) for s in stretches(image, iter(addresses))]
    assert found == [("one", 4, True), ("", 1, False), ("two", 1, False), ("", 1, False)]


def test_steps_are_declared_by_the_macro_that_the_profile_sets() -> None:
    header = Path(__file__).parents[2] / "firmware" / "EcgEdge" / "src" / "ecg_ops.h"
    name = APART.removeprefix("-D").partition("=")[0]
    assert f"#ifndef {name}" in header.read_text()


@pytest.mark.parametrize("core", CORES)
def test_the_clock_and_the_trace_count_the_same(core: str, tmp_path: Path) -> None:
    need_emulator(find_core(core))
    subject = find_subject(MODEL)
    export_bare(MODEL, tmp_path / "engine", target=Target("portable", "speed"))
    engine = EngineFolder(tmp_path / "engine", subject.name, subject.input_bytes, subject.classes)
    board = EngineBoard(find_core(core), engine, optimize=("-O2", APART))
    window = flat(inputs(subject.graph, 2))[1:]
    traced = sum(attribute(board.trace(window[0]), subject.graph.ops, FILE).values())
    counted = board.run(window.repeat(400, axis=0)).mean()
    # A tick is 31 to 63 instructions, averaged out by 400 runs; run's call and return are a few.
    assert abs(counted - traced) < 40, (counted, traced)
