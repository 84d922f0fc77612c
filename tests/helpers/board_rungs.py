"""Kinds of boards, each open with its bundles: helpers of the `device` fixture."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_edge.bundle import Affine, Bundle, Manifest, save_bundle, shipped_bundles
from ecg_edge.device import FakeLink, Link, SerialLink
from ecg_edge.device.emulator import BoardLink, image_for, open_device, start_board
from ecg_edge.device.fake import FakeDevice, FakeModel, Scores, fake_hello
from ecg_edge.device.machines import find_machine
from ecg_edge.device.qemu import QemuLink, start_qemu
from ecg_edge.errors import BudgetError, DeviceError
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.recipes.firmware import export
from ecg_edge.signal.prepare import Prepare, PrepareStream

MODELS = Path(__file__).parents[1] / "golden" / "models"


def missing(what: str) -> NoReturn:
    """Skip, saying what is missing; fail under ECG_STRICT=1."""
    if os.environ.get("ECG_STRICT") == "1":
        pytest.fail(what)
    pytest.skip(what)


@dataclass(frozen=True)
class Rung:
    """A kind of board, open, and the bundles that its image may hold."""

    name: str
    link: Link
    bundles: tuple[Bundle, ...]
    reset: Callable[[], None] | None  # presses the reset button, where one can

    def bundle(self, sha256: str) -> Bundle:
        """The bundle of a model that the board says it holds."""
        found = [bundle for bundle in self.bundles if bundle.model_sha256 == sha256]
        assert found, f"the board holds {sha256[:12]}..., which is no bundle here"
        return found[0]


def golden_bundle(folder: Path, name: str, *, hop: int, prepare: Prepare) -> Bundle:
    """A bundle around one of the golden models."""
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
        arena_bytes={"reference": 20_000},
    )
    return save_bundle(folder / name, manifest, {"model.tflite": data})


def reference_scores(bundle: Bundle) -> Scores:
    """What the fake device computes: prepare and the interpreter, over a window and its filter's context."""
    graph, p = read_graph(bundle.model, name=bundle.manifest.name), Prepare.from_manifest(bundle.manifest.prepare)

    def scores(context: NDArray[np.int16]) -> NDArray[np.int8]:
        columns = np.stack([whole_columns(lead, p) for lead in context.T], axis=-1)
        window: NDArray[np.int8] = columns[None, p.delay : len(columns) - p.delay]
        result: NDArray[np.int8] = interpret.run(graph, window)[0]
        return result

    return scores


def whole_columns(samples_uv: NDArray[np.int16], p: Prepare) -> NDArray[np.int8]:
    """(n,) samples of a whole stream -> (n,) columns."""
    stream = PrepareStream(p)
    return np.concatenate([stream.push(samples_uv), stream.end()])


def fake_model(bundle: Bundle) -> FakeModel:
    """The bundle as the fake device holds it."""
    m, p = bundle.manifest, Prepare.from_manifest(bundle.manifest.prepare)
    hello = fake_hello(
        window=m.window,
        hop=m.hop,
        delay=p.delay,
        flat_samples=p.flat_samples,
        leads=m.leads,
        classes=len(m.classes),
        in_scale=float(np.float32(m.input.scale)),
        in_zero=m.input.zero_point,
        out_scale=float(np.float32(m.output.scale)),
        out_zero=m.output.zero_point,
        sha256=bundle.model_sha256,
        name=m.name,
    )
    return FakeModel(hello, reference_scores(bundle), p.flat_uv)


def fake_rung(image: tuple[Bundle, ...]) -> Iterator[Rung]:
    board = FakeDevice([fake_model(bundle) for bundle in image])
    said: list[bytes] = []

    def answer(data: bytes) -> bytes:
        first, said[:] = b"".join(said), []
        return first + board.receive(data)

    yield Rung("fake", FakeLink(answer), image, lambda: said.append(board.reset()))


def virtual_rung(url: str, image: tuple[Bundle, ...], tmp: Path, cache: Path) -> Iterator[Rung]:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        missing(f"no C compiler: {url} is not tested (apt-get install gcc libc6-dev)")
    engine = url.partition(":")[2]
    export(image, tmp / engine, engine=engine, board="host")
    link: BoardLink = start_board(url, tmp / engine, cache=cache)
    yield Rung(engine, link, image, link.reset)
    link.close()


def need_emulator(url: str) -> None:
    """Skip, saying what is missing, unless the `qemu:` board can be built and emulated."""
    tools = find_machine(url).tools
    for tool in (tools.compiler, tools.emulator):
        if shutil.which(tool) is None:
            missing(f"no {tool}: {url} is not tested ({tools.apt})")


def qemu_rung(url: str, image: tuple[Bundle, ...], tmp: Path, cache: Path) -> Iterator[Rung]:
    need_emulator(url)
    export(image, tmp / "qemu", board=find_machine(url).board)
    link = start_qemu(url, tmp / "qemu", cache=cache)
    yield Rung("qemu", link, image, link.reset)
    link.close()


@dataclass(frozen=True)
class Started:
    """A board that this machine starts, open with every shipped model: in one image, or one after another."""

    url: str
    rungs: tuple[Rung, ...]


def in_images(bundles: tuple[Bundle, ...], start: Callable[[tuple[Bundle, ...]], Rung]) -> tuple[Rung, ...]:
    """All bundles in one image, or, where the board cannot hold them all, one image each."""
    try:
        return (start(bundles),)
    except (BudgetError, DeviceError):
        if len(bundles) == 1:
            raise
        return tuple(start((bundle,)) for bundle in bundles)


@contextmanager
def started(url: str, tmp: Path, cache: Path) -> Iterator[Started]:
    """Build and start the board behind a URL, or skip and say what is missing."""
    image = image_for(url)
    assert image is not None, f"{url} is started by nobody here"
    with ExitStack() as links:

        def start(bundles: tuple[Bundle, ...]) -> Rung:
            firmware = tmp / "-".join(bundle.manifest.name for bundle in bundles)
            export(bundles, firmware, engine=image.engine, board=image.board)
            link = open_device(url, firmware, cache=cache)._session.link
            assert isinstance(link, BoardLink | QemuLink)
            links.callback(link.close)
            return Rung(url, link, bundles, link.reset)

        try:
            rungs = in_images(shipped(), start)
        except DeviceError as error:
            if "there is none: " not in str(error):
                raise
            missing(f"{url} is not tested: {error}")
        yield Started(url, rungs)


def shipped(takes: str | None = None) -> tuple[Bundle, ...]:
    """The shipped models: all of them, or those that take windows, or beats."""
    bundles = (Bundle.load(name) for name in shipped_bundles())
    return tuple(bundle for bundle in bundles if takes in (None, bundle.manifest.takes))


def board_rung(url: str | None) -> Iterator[Rung]:
    if url is None:
        pytest.skip("no --device URL: no real board is tested")
    link = SerialLink(url)
    yield Rung("board", link, shipped("windows"), None)
    link.close()
