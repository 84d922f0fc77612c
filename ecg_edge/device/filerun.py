"""Ask an emulated board by files: thousands of windows, with exact instruction counts and no wire. Layer: device.

Under QEMU's -icount an instruction takes one nanosecond of the board's time, so that its clock counts instructions, 40
to a tick of 25 MHz. These are instructions (emulated), no time on hardware. firmware/qemu/README.md has the formats.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.device.images import build_image
from ecg_edge.device.machines import find_machine
from ecg_edge.device.qemu import run_to_end
from ecg_edge.errors import DeviceError

MAINS = ("semihost.c", "file_main.c")
_MAGIC = 0x31474345
_QUESTION = struct.Struct("<4I")
_SUMMARY = struct.Struct("<6I")
_ABSTAIN = 255
_BLOCK = 512  # samples of a stream that go together
_ANSWER = np.dtype(
    [
        ("last_index", "<u4"),
        ("ticks", "<u4"),
        ("verdict", "u1"),
        ("state", "u1"),
        ("classes", "u1"),
        ("", "u1"),
        ("scores", "i1", 32),
    ]
)


class Mode(IntEnum):
    """What to do with the question."""

    WINDOWS = 0
    STREAM = 1
    PREPARE = 2
    MODEL = 3
    DETECTOR = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """What the board made of n windows, or n beats."""

    scores: NDArray[np.int8]  # (n, classes); of PREPARE empty
    columns: NDArray[np.int8]  # (n, window, leads); of PREPARE only
    states: NDArray[np.uint8]  # (n,)
    last_index: NDArray[np.uint32]  # (n,) of the window's last sample, or of the beat's R peak
    rr: NDArray[np.uint32]  # (n,) samples since the beat before; of windows 0
    instructions: NDArray[np.int64]  # (n,), emulated
    selftest_failed: int  # vectors
    selftest_instructions: int
    stack_bytes: int  # ever used, self-test and this work; interrupts of the clock included


class FileBoard:
    """An emulated board that answers files."""

    def __init__(self, url: str, firmware: Path, manifest: Manifest, *, cache: Path | None = None) -> None:
        """Build its image, unless that was done before.

        Args:
            url: of an emulated board.
            firmware: the exported folder.
            manifest: of the image's first model.
            cache: where to keep builds; the user's cache folder by default.

        Raises:
            DeviceError: a tool is missing, or it does not compile.
        """
        self.image = build_image(url, firmware, MAINS, defines=(f"-DFILE_COLUMNS={manifest.window}u",), cache=cache)
        self._url, self._window, self._leads = url, manifest.window, manifest.leads
        self._columns, self._beats = manifest.columns, manifest.takes == "beats"

    def windows(self, samples_uv: NDArray[np.int16]) -> Reply:
        """Classify isolated windows, (n, window, leads)."""
        return self._ask(Mode.WINDOWS, self._shaped(samples_uv, "<i2").tobytes(), len(samples_uv))

    def prepare(self, samples_uv: NDArray[np.int16]) -> Reply:
        """Prepare isolated windows, (n, window, leads), and no more."""
        return self._ask(Mode.PREPARE, self._shaped(samples_uv, "<i2").tobytes(), len(samples_uv))

    def model(self, columns: NDArray[np.int8]) -> Reply:
        """Run the model over prepared windows, (n, window, leads), or views of beats, (n, columns, channels)."""
        assert columns.shape[1:] == self._columns, columns.shape
        return self._ask(Mode.MODEL, columns.astype("i1").tobytes(), len(columns))

    def stream(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8]) -> Reply:
        """Classify one stream to its end, (n, leads), with the wire's flags of every sample, (n,)."""
        return self._ask(Mode.STREAM, self._blocks(samples_uv, flags), len(samples_uv))

    def detector(self, samples_uv: NDArray[np.int16]) -> Reply:
        """Look for beats in (n, 1) samples, and no more: an answer for every 512 of them, for its instructions."""
        return self._ask(Mode.DETECTOR, self._blocks(samples_uv, np.zeros(len(samples_uv), np.uint8)), len(samples_uv))

    def _blocks(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8]) -> bytes:
        n = len(samples_uv)
        assert samples_uv.shape == (n, self._leads), samples_uv.shape
        assert flags.shape == (n,), flags.shape
        data, marks = samples_uv.astype("<i2"), flags.astype("u1")
        return b"".join(
            marks[at : at + _BLOCK].tobytes() + data[at : at + _BLOCK].tobytes() for at in range(0, n, _BLOCK)
        )

    def _shaped(self, data: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
        assert data.shape[1:] == (self._window, self._leads), data.shape
        return np.ascontiguousarray(data, dtype=dtype)

    def _ask(self, mode: Mode, data: bytes, count: int) -> Reply:
        with tempfile.TemporaryDirectory(prefix="ecg-edge.") as work:
            folder = Path(work)
            (folder / "questions.bin").write_bytes(_QUESTION.pack(_MAGIC, mode, 0, count) + data)
            # A slow machine takes a second for ten windows, and emulates none faster than in a millisecond.
            run_to_end(self._url, self.image, folder, timeout_s=60.0 + len(data) / 2000)
            return self._parse((folder / "answers.bin").read_bytes(), mode)

    def _parse(self, data: bytes, mode: Mode) -> Reply:
        magic, count, stack, _, ticks, failed = _SUMMARY.unpack(data[-_SUMMARY.size :])
        extra = self._window * self._leads if mode is Mode.PREPARE else 0
        rr = 1 if self._beats and mode is Mode.STREAM else 0
        dtype = np.dtype([("answer", _ANSWER), ("columns", "i1", (extra,)), ("rr", "<u4", (rr,))])
        if magic != _MAGIC or len(data) != count * dtype.itemsize + _SUMMARY.size:
            raise DeviceError(f"{self._url}: {len(data)} bytes are no file of {count} answers")
        rows = np.frombuffer(data, dtype, count)
        answers = rows["answer"]
        classes = int(answers["classes"].max(initial=0))
        expected = np.where(answers["state"] == 0, answers["scores"][:, : max(1, classes)].argmax(axis=1), _ABSTAIN)
        if mode in (Mode.WINDOWS, Mode.STREAM) and not np.array_equal(answers["verdict"], expected):
            raise DeviceError(f"{self._url}: a verdict is not the highest score of its answer")
        per_tick = find_machine(self._url).instructions_per_tick
        return Reply(
            answers["scores"][:, :classes].copy(),
            rows["columns"].reshape(count, -1, self._leads).copy() if extra else np.empty((count, 0, 0), np.int8),
            answers["state"].copy(),
            answers["last_index"].copy(),
            rows["rr"][:, 0].copy() if rr else np.zeros(count, np.uint32),
            np.rint(answers["ticks"] * per_tick).astype(np.int64),
            failed,
            round(ticks * per_tick),
            stack,
        )
