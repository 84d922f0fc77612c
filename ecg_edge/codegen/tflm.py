"""TensorFlow Lite Micro's side of a model: resolver and arena. Layer: codegen; imports errors, bundle, graph."""

from __future__ import annotations

from dataclasses import dataclass

from ..bundle import Manifest
from ..errors import GraphError
from ..graph.ir import Conv1D, Dense, DepthwiseConv1D, Graph

# Operators of the schema -> methods of MicroMutableOpResolver.
# Source: tensorflow/lite/micro/micro_mutable_op_resolver.h at 90b983c2b.
RESOLVER_METHODS = {
    "ADD": "AddAdd",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "EXPAND_DIMS": "AddExpandDims",
    "FULLY_CONNECTED": "AddFullyConnected",
    "LOGISTIC": "AddLogistic",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MEAN": "AddMean",
    "MUL": "AddMul",
    "PAD": "AddPad",
    "QUANTIZE": "AddQuantize",
    "REDUCE_MAX": "AddReduceMax",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "SOFTMAX": "AddSoftmax",
    "SQUEEZE": "AddSqueeze",
    "SUB": "AddSub",
    "TANH": "AddTanh",
}
_ALIGNMENT = 16


# Keys of the manifest's arena_bytes. "reference" is measured with 64-bit pointers, which bounds every 32-bit core.
_CMSIS_NN = "cmsis-nn-cortex-m4"
_CMSIS_NN_MVE = "cmsis-nn-cortex-m55"
_ESP_NN = "esp-nn-esp32s3"


@dataclass(frozen=True, slots=True)
class Arena:
    """Bytes of TFLM's arena: with the reference kernels, and on top of them with optimized ones."""

    reference: int
    cmsis_nn: int  # Cortex-M without vectors: what a Cortex-M4 needs, the others need too, or less
    cmsis_nn_mve: int  # with them
    esp_nn: int


def resolver_methods(graph: Graph) -> list[str]:
    """What the resolver must be told, in alphabetical order: the file's operators, dropped relabellings included.

    Raises:
        GraphError: an operator for which no method is known.
    """
    unknown = [op for op in graph.tflite_ops if op not in RESOLVER_METHODS]
    if unknown:
        raise GraphError(f"{graph.name}: no TFLM resolver method is known for {unknown[0]}")
    return sorted(RESOLVER_METHODS[op] for op in graph.tflite_ops)


def arena(graph: Graph, manifest: Manifest) -> Arena | None:
    """Arena sizes; None for a bundle whose arena was never measured.

    The reference figure is the manifest's, measured. A kernel set gets what the manifest's figure for it has on top of
    that, or, without a figure, the scratch that its sources ask for and the alignment of each buffer.
    """
    measured = manifest.arena_bytes
    if "reference" not in measured:
        return None
    reference = _aligned(measured["reference"])

    def on_top(key: str, estimate: int) -> int:
        return max(0, _aligned(measured[key]) - reference) if key in measured else estimate

    cmsis_nn = cmsis_nn_scratch(graph)
    return Arena(
        reference, on_top(_CMSIS_NN, cmsis_nn), on_top(_CMSIS_NN_MVE, cmsis_nn), on_top(_ESP_NN, esp_nn_scratch(graph))
    )


def cmsis_nn_scratch(graph: Graph) -> int:
    """Most that one op asks for, with DSP or MVE, whichever is more.

    Source: CMSIS-NN, arm_convolve_get_buffer_sizes_s8.c (two int16 columns, or four int8 ones in whole vectors),
    arm_depthwise_conv_get_buffer_sizes_s8.c (124 channels at a time, four int8 columns), and a sum per Dense output.
    """
    sizes = [0]
    for op in graph.ops:
        if isinstance(op, Conv1D):
            sizes.append(4 * _aligned(op.weights[0].size))
        elif isinstance(op, DepthwiseConv1D):
            sizes.append(4 * 124 * op.weights.shape[0])
        elif isinstance(op, Dense):
            sizes.append(4 * op.weights.shape[0])
    return _aligned(max(sizes)) + _ALIGNMENT * len(graph.ops)


def esp_nn_scratch(graph: Graph) -> int:
    """Most that one op asks for on an ESP32-S3: padded copies of weights and input, bounded from above.

    Source: esp-nn, esp_nn_get_conv_scratch_size_esp32s3() and esp_nn_get_depthwise_conv_scratch_size_esp32s3(). Their
    formulas change from version to version; this is more than any of them.
    """
    sizes = [0]
    for op in graph.ops:
        if isinstance(op, Conv1D):
            out, taps, channels = op.weights.shape
            columns = op.input.shape[0] + op.pad_before + op.pad_after + taps + op.stride
            sizes.append(2 * taps * _aligned(channels) * out + columns * _aligned(channels) + 4 * out + 64)
        elif isinstance(op, DepthwiseConv1D):
            taps, channels = op.weights.shape
            columns = op.input.shape[0] + op.pad_before + op.pad_after + taps + op.stride
            sizes.append(2 * (taps + columns) * _aligned(channels) + 64)
    return _aligned(max(sizes)) + _ALIGNMENT * len(graph.ops)


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT
