"""A generated engine behind its descriptor, by ctypes."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Affine, Manifest
from ecg_edge.graph.interpret import run
from ecg_edge.graph.ir import Graph

CONFIG = "#define ECG_USE_TFLM 0\n#define ECG_USE_NATIVE 1\n"
Verdicts = list[tuple[int, list[int]]]

Reset = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
Push = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
Run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Model(ctypes.Structure):
    """ecg_model_t."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_uint8 * 32),
        ("fs_hz", ctypes.c_uint16),
        ("window", ctypes.c_uint16),
        ("hop", ctypes.c_uint16),
        ("leads", ctypes.c_uint8),
        ("classes", ctypes.c_uint8),
        ("scratch_bytes", ctypes.c_size_t),
        ("reset", Reset),
        ("push", Push),
        ("run", Run),
    )


def at_a_precipice(count: int, *, alignment: int = 1) -> NDArray[np.uint8]:
    """Bytes behind which no page is: whoever reads or writes past them ends the process."""
    size = -(-count // alignment) * alignment
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)  # keeps the mapping alive
    libc = ctypes.CDLL(None, use_errno=True)
    last = ctypes.c_void_p(whole.ctypes.data + pages * mmap.PAGESIZE)
    assert libc.mprotect(last, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return whole[pages * mmap.PAGESIZE - size :][:count]


class Engine:
    """One compiled model and memory for it, filled with rubbish: nothing may depend on what scratch held before.

    Scratch and windows end where the process' memory does.
    """

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.model = Model.in_dll(library, f"ecg_model_{name}")
        self._library = library  # the descriptor lives in it
        self._fence = at_a_precipice(self.model.scratch_bytes + 16, alignment=16)
        self._fence[:] = 0xA5
        self.scratch = self._fence[16:]

    def fences_stand(self) -> bool:
        """Whether the bytes before scratch are as they were."""
        return bool((self._fence[:16] == 0xA5).all())

    @property
    def streams(self) -> bool:
        """Whether there is a push()."""
        return bool(self.model.push)

    def reset(self) -> None:
        self.model.reset(self.scratch.ctypes.data)

    def run(self, windows: NDArray[np.int8]) -> NDArray[np.int8]:
        """(n, length, leads) -> (n, classes)."""
        scores = np.zeros((len(windows), self.model.classes), np.int8)
        window = at_a_precipice(windows[0].size)
        row = at_a_precipice(self.model.classes)
        for given, wanted in zip(windows, scores, strict=True):
            window[:] = given.ravel().view(np.uint8)
            assert self.model.run(self.scratch.ctypes.data, window.ctypes.data, row.ctypes.data) == 0
            wanted[:] = row.view(np.int8)
        return scores

    def push(self, columns: NDArray[np.int8]) -> Verdicts:
        """(n, leads) -> (columns pushed, scores) of each verdict."""
        columns = np.ascontiguousarray(columns)
        scores = np.zeros(self.model.classes, np.int8)
        verdicts: Verdicts = []
        for count, column in enumerate(columns, 1):
            if self.model.push(self.scratch.ctypes.data, column.ctypes.data, scores.ctypes.data):
                verdicts.append((count, scores.tolist()))
        return verdicts


def manifest_for(graph: Graph, *, hop: int) -> Manifest:
    """The manifest of a graph that is no bundle."""
    length, leads = graph.input.shape
    classes = tuple(f"class {i}" for i in range(graph.output.shape[-1]))
    return Manifest(graph.name, "1", 250, length, hop, leads, classes, {}, Affine(1.0, 0), Affine(1 / 256, -128))


def expected_stream(graph: Graph, columns: NDArray[np.int8], *, hop: int) -> Verdicts:
    """What a stream of columns, (n, leads), must answer: the interpreter on each window by itself."""
    window = graph.input.shape[0]
    ends = range(window, len(columns) + 1, hop)
    if not ends:
        return []
    scores = run(graph, np.stack([columns[end - window : end] for end in ends]))
    return [(end, row.tolist()) for end, row in zip(ends, scores, strict=True)]
