"""Graphs to C text: literals, the engine's file, self-test vectors, TFLM's resolver and arena."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_edge.bundle import Affine, Manifest
from ecg_edge.codegen import ctext
from ecg_edge.codegen.kernels.layer import folded_bias
from ecg_edge.codegen.native import native_source
from ecg_edge.codegen.selftest import KEPT, expand, make_selftests
from ecg_edge.codegen.tflm import RESOLVER_METHODS, arena, cmsis_nn_scratch, resolver_methods
from ecg_edge.errors import GraphError
from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Conv1D, Graph
from ecg_edge.graph.plan import make_plan
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import Prepare, prepare

MODELS = Path(__file__).parents[1] / "golden" / "models"


def graph_of(name: str) -> Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def manifest_of(graph: Graph, *, hop: int, arena_bytes: dict[str, int] | None = None) -> Manifest:
    length, leads = graph.input.shape
    classes = tuple(f"class {i}" for i in range(graph.output.shape[-1]))
    numbers = arena_bytes or {}
    return Manifest(graph.name, "1", 250, length, hop, leads, classes, {}, Affine(1, 0), Affine(1 / 256, -128), numbers)


def prepared(samples_uv: NDArray[np.int16]) -> NDArray[np.int8]:
    return prepare(samples_uv, Prepare(zero_point=-43))  # of bench_a


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("ST Depression", '"ST Depression"'),
        ('say "no"\\', '"say \\"no\\"\\\\"'),
        ("Größe1", '"Gr\\303\\266\\303\\237e1"'),
        ("what??!", '"what\\?\\?!"'),  # no trigraph
        ("two\nlines", '"two\\012lines"'),
    ],
)
def test_a_string_literal_means_the_text_in_any_compiler(text: str, literal: str) -> None:
    assert ctext.string(text) == literal


def test_the_least_integer_is_written_so_that_c_can_read_it() -> None:
    assert ctext.integer(-(1 << 31)) == "(-2147483647 - 1)"
    assert ctext.integer(-128) == "-128"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=0, exclude_min=True))
def test_a_float_literal_reads_back_as_the_same_float32(value: float) -> None:
    text = ctext.float32(value)
    assert text.endswith("f")
    assert np.float32(float(text[:-1])) == np.float32(value)


@given(st.lists(st.integers(-(1 << 31) + 1, (1 << 31) - 1), min_size=1, max_size=200))
def test_an_array_holds_its_numbers_within_the_width(values: list[int]) -> None:
    text = ctext.array("int32_t", "numbers", values)
    assert max(map(len, text.splitlines())) <= ctext.WIDTH
    body = text[text.index("{") + 1 : text.rindex("}")]
    assert [int(number) for number in re.findall(r"-?\d+", body)] == values


def test_the_engines_file_names_its_model_and_no_time() -> None:
    graph = graph_of("bench_a")
    text = native_source(make_plan(graph, hop=88), name=graph.name, fs_hz=250)
    first = text.splitlines()[0]
    assert graph.sha256 in first
    assert "bench_a/model.tflite" in first
    assert not re.search(r"20\d\d-\d\d|\d\d:\d\d", text)
    assert text == native_source(make_plan(graph, hop=88), name=graph.name, fs_hz=250)


def test_the_engines_file_calls_each_op_once_and_states_its_shape() -> None:
    graph = graph_of("bench_a")
    text = native_source(make_plan(graph, hop=88), name=graph.name, fs_hz=250)
    for call in ("&conv1,", "&conv2,", "&conv3,", "ecg_mean_s8(", "ecg_dense_s8(", "ecg_softmax_s8("):
        assert text.count(call) == 1, call
    assert "// conv2: (177, 16) -> (87, 24), 5 taps, stride 2, RELU" in text
    assert "malloc" not in text


def test_a_model_that_cannot_stream_has_a_null_push_and_says_why() -> None:
    graph = graph_of("bench_b")
    text = native_source(make_plan(graph, hop=360), name=graph.name, fs_hz=250)
    assert ".push = NULL" in text
    assert "Cannot stream: Conv1D conv1 pads the window's edges" in text


def test_the_zero_point_folded_into_the_bias_changes_no_sum() -> None:
    op = graph_of("bench_a").ops[0]
    assert isinstance(op, Conv1D)
    columns = np.random.default_rng(1).integers(-128, 128, op.weights.shape[1:])
    plain = op.bias.astype(np.int64) + (op.weights * (columns - op.input_zero)).sum(axis=(1, 2))
    assert np.array_equal(folded_bias(op) + (op.weights * columns).sum(axis=(1, 2)), plain)


def test_an_accumulator_that_could_leave_int32_is_refused() -> None:
    op = graph_of("bench_a").ops[0]
    assert isinstance(op, Conv1D)
    full = replace(op, bias=np.full_like(op.bias, (1 << 31) - 1000))
    with pytest.raises(GraphError, match="conv1: an accumulator can reach 2147586868, beyond int32"):
        folded_bias(full)


def test_self_tests_are_the_models_answers_to_their_polylines() -> None:
    graph = graph_of("bench_a")
    tests = make_selftests(graph, 360, prepared)
    assert len(tests) == KEPT
    for test in tests:
        window = expand(test.knots)
        assert window.size == graph.input.shape[0]
        assert run(graph, prepared(window)[None])[0].tolist() == list(test.scores)


def test_self_tests_are_not_saturated_and_are_the_same_each_time() -> None:
    graph = graph_of("bench_a")
    tests = make_selftests(graph, 360, prepared)
    assert max(max(test.scores) for test in tests) < 60
    assert len({int(np.argmax(test.scores)) for test in tests}) > 1
    assert tests == make_selftests(graph, 360, prepared)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(-32768, 32767)), min_size=1, max_size=8))
def test_a_polyline_expands_by_cs_division(knots: list[tuple[int, int]]) -> None:
    wanted, before = [], 0
    for samples, level in knots:
        for i in range(1, samples + 1):
            step = (level - before) * i
            wanted.append(before + (abs(step) // samples) * (1 if step >= 0 else -1))
        before = level
    assert expand(tuple(knots)).tolist() == wanted


def test_the_resolver_holds_the_files_operators_and_no_other() -> None:
    assert resolver_methods(graph_of("bench_b")) == [
        "AddConv2D", "AddDepthwiseConv2D", "AddFullyConnected", "AddMean", "AddReshape", "AddSoftmax",
    ]  # fmt: skip


def test_every_operator_that_the_reader_takes_has_a_resolver_method() -> None:
    for path in MODELS.glob("*.tflite"):
        try:
            graph = read_graph(path.read_bytes(), name=path.stem)
        except GraphError:
            continue
        assert set(graph.tflite_ops) <= set(RESOLVER_METHODS), path.stem


def test_an_arena_is_the_measured_one_and_states_what_faster_kernels_add() -> None:
    graph = graph_of("bench_b")
    found = arena(graph, manifest_of(graph, hop=720, arena_bytes={"reference": 13380}))
    assert found is not None
    assert found.reference == 13392  # whole alignments
    # CMSIS-NN on a Cortex-M55 was measured at 15,924 bytes, on a Cortex-M4 at 13,604.
    assert found.reference + found.cmsis_nn_mve >= 15924
    assert found.cmsis_nn == found.cmsis_nn_mve == cmsis_nn_scratch(graph)


def test_a_figure_of_the_manifest_takes_the_place_of_the_estimate_on_that_kind_of_core_alone() -> None:
    graph = graph_of("bench_b")
    measured = {"reference": 13380, "reference-cortex-m4": 12000, "cmsis-nn-cortex-m4": 13604}
    found = arena(graph, manifest_of(graph, hop=720, arena_bytes=measured))
    assert found is not None
    assert found.reference + found.cmsis_nn == 13616
    assert found.cmsis_nn_mve == cmsis_nn_scratch(graph)


def test_optimized_kernels_that_need_less_than_the_reference_bound_get_that_bound() -> None:
    graph = graph_of("bench_b")
    found = arena(graph, manifest_of(graph, hop=720, arena_bytes={"reference": 13664, "cmsis-nn-cortex-m4": 12812}))
    assert found is not None
    assert (found.reference, found.cmsis_nn) == (13664, 0)


def test_a_bundle_without_a_measured_arena_has_none() -> None:
    graph = graph_of("bench_a")
    assert arena(graph, manifest_of(graph, hop=88)) is None
