"""Every rule of a legal graph, broken one at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ecg_edge.errors import GraphError
from ecg_edge.graph import ir
from ecg_edge.graph.check import check
from ecg_edge.graph.tflite import read_graph

MODELS = Path(__file__).parents[1] / "golden" / "models"


def graph(name: str) -> ir.Graph:
    return read_graph((MODELS / f"{name}.tflite").read_bytes(), name=name)


def with_op(g: ir.Graph, name: str, **fields: Any) -> ir.Graph:
    """The graph with fields of one op changed, and nothing else."""
    assert name in {op.name for op in g.ops}
    changed: list[Any] = [replace(op, **fields) if op.name == name else op for op in g.ops]
    return replace(g, ops=tuple(changed))


def constant(values: Any) -> ir.Constant:
    return ir.Constant("c", values, ir.Quant((0.1,), 3, None))


def graph_to_break(name: str) -> ir.Graph:
    """A golden graph; `excite` ends in a sum with a constant here, which Keras puts only where it folds nothing."""
    g = graph(name)
    if name != "excite":
        return g
    source = g.ops[-2].output
    out = replace(source, name="sum")
    add = ir.Add(
        "add_constant", source, constant(np.arange(5, dtype=np.int8)), out, "NONE", 20,
        1 << 30, 0, 0, 1 << 30, 0, 3, 1 << 30, -18, 0, -128, 127,
    )  # fmt: skip
    softmax: Any = replace(cast(Any, g.ops[-1]), input=out)
    return replace(g, ops=(*g.ops[:-1], add, softmax))


def op_of(g: ir.Graph, name: str) -> Any:
    return next(op for op in g.ops if op.name == name)


def test_a_float_graph_is_no_int8_graph_and_the_other_way_round() -> None:
    with pytest.raises(GraphError, match=r"^float: tensor '.*' is float32; quantize the model to full int8 first$"):
        check(graph("float"), int8=True)
    with pytest.raises(GraphError, match=r"^conv1d: tensor '.*' is int8; the float model is wanted here$"):
        check(graph("conv1d"), int8=False)


def test_a_dense_with_a_scale_for_each_output_is_refused_with_the_way_out() -> None:
    g = graph("dense_per_channel")
    with pytest.raises(GraphError, match=r"Dense dense1 has 5 weight scales; supported: 1; .*_for_dense_layers = True"):
        check(g, int8=True)
    check(g, int8=True, dense_per_channel=True)


def test_a_single_float_tensor_in_an_int8_graph_is_found() -> None:
    g = graph("conv1d")
    conv, after = g.ops[0], cast(Any, g.ops[1])
    odd = replace(conv.output, dtype="float32")
    changed: tuple[Any, ...] = (replace(conv, output=odd), replace(after, input=odd), *g.ops[2:])
    with pytest.raises(GraphError, match="float32; quantize"):
        check(replace(g, ops=changed), int8=True)


Break = Callable[[ir.Graph], ir.Graph]
BROKEN: dict[str, tuple[str, Break, str]] = {
    "no ops": ("conv1d", lambda g: replace(g, ops=()), "no op computes anything"),
    "ops out of order": ("conv1d", lambda g: replace(g, ops=(g.ops[1], g.ops[0], *g.ops[2:])), "conv2 reads tensor"),
    "an op twice": ("conv1d", lambda g: replace(g, ops=(g.ops[0], *g.ops)), "conv1 writes tensor .* a second time"),
    "an op too few": ("conv1d", lambda g: replace(g, ops=g.ops[:-1]), "is read by no op"),
    "another output": (
        "conv1d",
        lambda g: replace(g, output=replace(g.output, name="elsewhere")),
        "is read by no op",
    ),
    "time at the end": (
        "conv1d",
        lambda g: replace(g, output=g.ops[1].output, ops=g.ops[:2]),
        r"output has shape \(20, 8\); expected \(classes,\)",
    ),
    "a stride of 0": ("conv1d", lambda g: with_op(g, "conv1", stride=0), "conv1 has 5 taps, dilation 1, stride 0"),
    "another stride": ("conv1d", lambda g: with_op(g, "conv1", stride=3), "Conv1D conv1 gives"),
    "a pool too long": ("columns", lambda g: with_op(g, "avgpool1", pool=40), "AveragePool1D avgpool1 gives"),
    "padding under VALID": ("conv1d", lambda g: with_op(g, "conv1", padding="VALID"), "conv1 pads 1 and 2 columns"),
    "padding past the kernel": (
        "causal",
        lambda g: with_op(g, "conv2", pad_before=0, pad_after=4),
        "conv2 pads 0 and 4 columns",
    ),
    "weights of another shape": (
        "conv1d",
        lambda g: with_op(g, "conv2", weights=op_of(g, "conv2").weights[:, :, 1:]),
        "Conv1D conv2 has weights",
    ),
    "a bias too short": ("conv1d", lambda g: with_op(g, "dense1", bias=np.zeros(4, np.int32)), "dense1 has weights"),
    "a bias of bytes": (
        "conv1d",
        lambda g: with_op(g, "dense1", bias=np.zeros(5, np.int8)),
        "an int8 bias; expected int8 and int32",
    ),
    "a zero point past int8": ("conv1d", lambda g: with_op(g, "conv1", input_zero=128), "conv1 has input_zero 128"),
    "an empty clamp": ("conv1d", lambda g: with_op(g, "conv1", act_min=5, act_max=4), "clamps to 5..4"),
    "a negative multiplier": (
        "conv1d",
        lambda g: with_op(g, "conv1", multipliers=-op_of(g, "conv1").multipliers),
        "conv1 has channel 0 multiplier -",
    ),
    "multipliers too few": (
        "conv1d",
        lambda g: with_op(g, "conv1", multipliers=op_of(g, "conv1").multipliers[:2]),
        "has 2 multipliers for 6 channels",
    ),
    "a shift past 31": (
        "conv1d",
        lambda g: with_op(g, "conv1", shifts=np.full(6, -32, np.int32)),
        r"conv1 has channel 0 shift -32; limits: -31..30",
    ),
    "an accumulator past int32": (
        "conv1d",
        lambda g: with_op(g, "conv1", bias=np.full(6, 2**31 - 1, np.int32)),
        "conv1 channel 0 accumulates up to 2147.*, shifted left by 0: past int32",
    ),
    "an accumulator past int32 after its shift": (
        "conv1d",
        lambda g: with_op(g, "conv1", shifts=np.full(6, 20, np.int32)),
        "shifted left by 20: past int32",
    ),
    "a mean of something else": (
        "conv1d",
        lambda g: with_op(g, "mean1", input=g.ops[0].output),
        "is read by no op",
    ),
    "a sum past int32": ("residual", lambda g: with_op(g, "add1", left_shift=24), "past int32"),
    "a product past int32": ("excite", lambda g: with_op(g, "mul1", shift=20), "shifted left by 20: past int32"),
    "a difference past int32": ("excite", lambda g: with_op(g, "sub1", left_shift=25), "input_accumulates up to"),
    "a shift of sums past 30": ("excite", lambda g: with_op(g, "sub1", left_shift=31), "left_shift 31; limits: 0..30"),
    "a new scale past int32": (
        "excite",
        lambda g: with_op(g, "requantize1", shift=25),
        "Requantize requantize1 accumulates up to .*, shifted left by 25",
    ),
    "a tanh past int32": ("excite", lambda g: with_op(g, "tanh1", shift=30, radius=200), "tanh1 accumulates"),
    "a zero point that brings a result past int32": (
        "conv1d",
        lambda g: with_op(
            g,
            "dense1",
            weights=np.zeros_like(op_of(g, "dense1").weights),
            bias=np.full(5, 2**31 - 60, np.int32),
            multipliers=np.array([2**31 - 1], np.int32),
            shifts=np.array([0], np.int32),
        ),
        "dense1 channel 0 gives up to 21474835.*, and its zero point brings that past int32",
    ),
    "a gate of other channels": (
        "excite",
        lambda g: with_op(g, "mul1", other=replace(op_of(g, "mul1").other, shape=(7,))),
        "reads tensor '.*', which nothing before it gives",
    ),
    "a constant of another shape": (
        "excite",
        lambda g: with_op(g, "add_constant", other=constant(np.zeros(7, np.int8))),
        r"Add add_constant gives \(5,\) from \(5,\) and \(7,\); expected one shape",
    ),
    "a constant of floats": (
        "excite",
        lambda g: with_op(g, "add_constant", other=constant(np.zeros(5, np.float32))),
        "reads 'c', float32 numbers; expected int8",
    ),
    "constants alone": (
        "excite",
        lambda g: with_op(g, "add_constant", input=constant(np.zeros(5, np.int8))),
        "add_constant reads no tensor",
    ),
    "a join of other channels": (
        "excite",
        lambda g: with_op(g, "concat1", inputs=op_of(g, "concat1").inputs * 2),
        r"concat1 gives \(48, 9\) from \(48, 5\), \(48, 4\), .*; expected one length, and all channels",
    ),
    "a pad of another length": ("excite", lambda g: with_op(g, "pad1", before=3), "3 columns before and 1 after"),
    "a pad of another value": ("excite", lambda g: with_op(g, "pad1", value=128), "pad1 has value 128; limits"),
    "an input twice": ("excite", lambda g: replace(g, inputs=g.inputs * 2), "two of its inputs have one name"),
    "an input for nothing": (
        "excite",
        lambda g: replace(g, inputs=(*g.inputs, replace(g.input, name="spare"))),
        "tensor 'spare' is read by no op",
    ),
    "a float input beside": (
        "excite",
        lambda g: replace(g, inputs=(*g.inputs, replace(g.input, name="spare", dtype="float32"))),
        "read by no op",
    ),
    "a softmax past int32": ("conv1d", lambda g: with_op(g, "softmax1", shift=28), "and shift 28: past int32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(case: str) -> None:
    name, broken, pattern = BROKEN[case]
    g = graph_to_break(name)
    check(g, int8=True)
    with pytest.raises(GraphError, match=pattern) as caught:
        check(broken(g), int8=True)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
