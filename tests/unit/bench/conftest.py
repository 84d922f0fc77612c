"""A bundle, and fake boards that run its model for real: the wire, the client and the integers, without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.bundle import Affine, Bundle, Manifest, save_bundle
from ecg_edge.device.fake import FakeModel, Scores, fake_hello
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import Prepare, prepare, scaled_prepare
from ecg_edge.signal.synth import CLASSES

MODEL = Path(__file__).parents[2] / "golden" / "models" / "bench_a.tflite"
FS_HZ = 100  # 360 samples of bench_a are 3.6 s then
MakeBoard = Callable[..., FakeModel]
Spoil = Callable[[NDArray[np.int8], int], NDArray[np.int8]]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """bench_a as a bundle of five classes; weights are random, so its answers are spread over all of int8."""
    model = MODEL.read_bytes()
    graph = read_graph(model, name="bench_a")
    assert graph.input.quant is not None
    assert graph.output.quant is not None
    scale, zero = graph.input.quant.scale[0], graph.input.quant.zero_point
    manifest = Manifest(
        name="bench_a",
        version="1",
        fs_hz=FS_HZ,
        window=360,
        hop=90,
        leads=1,
        classes=CLASSES,
        prepare=replace(scaled_prepare(uv_per_lsb=1000 * scale, zero_point=zero, average_log2=6), flat_samples=100)
        .to_manifest(),
        input=Affine(scale, zero),
        output=Affine(graph.output.quant.scale[0], graph.output.quant.zero_point),
    )  # fmt: skip
    return save_bundle(tmp_path_factory.mktemp("bundles") / "bench_a", manifest, {"model.tflite": model})


@pytest.fixture
def board(bundle: Bundle) -> MakeBoard:
    """Makes what a fake device holds: the bundle's own model, its answers spoilt where a test wants them to be.

    `spoil` is called with the scores and the number of the window, and gives the scores to send.
    """

    def make(*, spoil: Spoil | None = None) -> FakeModel:
        return _board(bundle, spoil)

    return make


def _board(bundle: Bundle, spoil: Spoil | None) -> FakeModel:
    m, graph = bundle.manifest, read_graph(bundle.model, name="fake")
    p = Prepare.from_manifest(m.prepare)
    count = 0

    def scores(context: NDArray[np.int16]) -> NDArray[np.int8]:
        nonlocal count
        columns = prepare(context[:, 0], p)[p.delay : p.delay + m.window]
        answer: NDArray[np.int8] = interpret.run(graph, columns[None, :, None])[0]
        count += 1
        return answer if spoil is None else spoil(answer, count - 1)

    hello = fake_hello(
        window=m.window,
        hop=m.hop,
        delay=p.delay,
        flat_samples=p.flat_samples,
        classes=len(m.classes),
        fs_hz=m.fs_hz,
        in_scale=float(np.float32(m.input.scale)),
        in_zero=m.input.zero_point,
        out_scale=float(np.float32(m.output.scale)),
        out_zero=m.output.zero_point,
        sha256=bundle.model_sha256,
        name=m.name,
    )
    return FakeModel(hello, _once(scores), p.flat_uv)


def _once(scores: Scores) -> Scores:
    """A context asked for again (POLL) is answered from memory, so that `count` counts windows."""
    known: dict[bytes, NDArray[np.int8]] = {}

    def remembered(context: NDArray[np.int16]) -> NDArray[np.int8]:
        key = context.tobytes()
        if key not in known:
            known[key] = scores(context)
        return known[key]

    return remembered
