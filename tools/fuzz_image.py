"""The image that is fuzzed: two golden models, exported as any bundle is. One needs its whole window, one streams."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ecg_edge.bundle import Affine, Bundle, Manifest, save_bundle
from ecg_edge.graph.tflite import read_graph
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare

MODELS = Path(__file__).resolve().parents[1] / "tests" / "golden" / "models"
# Short filters, so that few samples come far; one of them scales in 32 bits, the other in 64.
IMAGE = (
    ("separable", 20, Prepare(2, (1, 2, 1), 1, 5, 2, flat_samples=10, flat_uv=2)),
    ("flat", 12, Prepare(3, (1, 2, 3, 2, 1), 3 << 20, 29, -4, flat_samples=14, flat_uv=1)),
)


def write_fuzz_image(folder: Path) -> Path:
    """Export it into `folder`; gives where its C files are."""
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as made:
        bundles = [_bundle(Path(made), name, hop, prepare) for name, hop, prepare in IMAGE]
        report = export(bundles, folder, force=True)
    assert [model.streams for model in report.models] == [False, True]
    return folder / "EcgEdge" / "src"


def _bundle(folder: Path, name: str, hop: int, prepare: Prepare) -> Bundle:
    data = (MODELS / f"{name}.tflite").read_bytes()
    graph = read_graph(data, name=name)
    window, leads = graph.input.shape
    assert graph.input.quant is not None
    assert graph.output.quant is not None
    manifest = Manifest(
        name=name,
        version="1",
        fs_hz=250,
        window=window,
        hop=hop,
        leads=leads,
        classes=tuple(f"class {k}" for k in range(graph.output.shape[-1])),
        prepare=prepare.to_manifest(),
        input=Affine(graph.input.quant.scale[0], graph.input.quant.zero_point),
        output=Affine(graph.output.quant.scale[0], graph.output.quant.zero_point),
    )
    return save_bundle(folder / name, manifest, {"model.tflite": data})
