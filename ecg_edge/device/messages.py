"""Payloads of the frames as typed values: the wire table of firmware/PROTOCOL.md. Layer: device; imports errors."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device.frame import MAX_PAYLOAD
from ecg_edge.errors import FrameError

PROTOCOL = 1
ABSTAIN = 255  # a verdict that is none
NO_INDEX = 0xFFFFFFFF  # POLL: only the credit is wanted
MAX_SAMPLES = (MAX_PAYLOAD - 4) // 2  # int16 values in one SAMPLES frame, all leads together
ENGINES = {1: "tflm", 2: "native"}
_NAME_BYTES = 24


class Mode(IntEnum):
    """How START runs a model."""

    WINDOW = 0
    STREAM = 1
    OWN = 2  # the samples of the board itself, as they are


class ErrorCode(IntEnum):
    """Why the device refused a frame."""

    BAD_LENGTH = 1
    BAD_MODEL = 2
    NOT_STARTED = 3
    INDEX_GAP = 4
    STALE_BOOT = 5
    SELFTEST_FAILED = 6
    UNSUPPORTED = 7
    NO_RESULT = 8
    BAD_MODE = 9
    ENGINE = 10
    BAD_VERSION = 11
    OVERRUN = 12
    INCOMPLETE = 13


class SelfTestState(IntEnum):
    """What became of the self-test at boot."""

    NOT_RUN = 0
    PASSED = 1
    FAILED = 2


def _take(layout: struct.Struct, payload: bytes, what: str, *, tail: bool = False) -> tuple[tuple[Any, ...], bytes]:
    """The fields of `payload`, and what follows them where `tail` allows it."""
    size = layout.size
    if len(payload) < size or (len(payload) > size and not tail):
        wanted = f"{size} or more" if tail else f"{size}"
        raise FrameError(f"{what} payload of {len(payload)} bytes; the protocol wants {wanted}")
    return layout.unpack_from(payload), payload[size:]


def _padded(text: str) -> bytes:
    """`text` as a NUL-padded field; what does not fit is cut."""
    return text.encode("ascii", "replace")[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a device says of itself and of one of its models."""

    model_index: int
    model_count: int
    engine: int  # a key of ENGINES
    firmware: tuple[int, int, int]
    selftest: int  # a SelfTestState
    credit_samples: int
    fs_hz: int
    window: int  # samples
    hop: int  # samples
    delay: int  # samples: a column needs that many after it
    history: int  # samples before a window that its answer and its state can depend on
    leads: int
    classes: int
    streams: bool
    in_scale: float
    in_zero: int
    out_scale: float
    out_zero: int
    scratch_bytes: int
    arena_used: int
    sha256: str  # of model.tflite, hex
    board: str
    name: str
    engine_version: str
    protocol: int = PROTOCOL
    takes_beats: bool = False  # the model; else windows

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<8B6H4BfifiII32s24s24s24s")

    def pack(self) -> bytes:
        """The payload."""
        major, minor, patch = self.firmware
        return self._LAYOUT.pack(
            *(self.protocol, self.model_index, self.model_count, self.engine, major, minor, patch, self.selftest),
            *(self.credit_samples, self.fs_hz, self.window, self.hop, self.delay, self.history),
            *(self.leads, self.classes, int(self.streams), int(self.takes_beats)),
            *(self.in_scale, self.in_zero, self.out_scale, self.out_zero, self.scratch_bytes, self.arena_used),
            *(bytes.fromhex(self.sha256), _padded(self.board), _padded(self.name), _padded(self.engine_version)),
        )

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed.

        Raises:
            FrameError: another length than the protocol's.
        """
        f, _ = _take(cls._LAYOUT, payload, "HELLO")
        protocol, index, count, engine, major, minor, patch, selftest = f[:8]
        credit, fs_hz, window, hop, delay, history, leads, classes, streams, takes = f[8:18]
        in_scale, in_zero, out_scale, out_zero, scratch, arena = f[18:24]
        return cls(
            *(index, count, engine, (major, minor, patch), selftest),
            *(credit, fs_hz, window, hop, delay, history, leads, classes, bool(streams)),
            *(in_scale, in_zero, out_scale, out_zero, scratch, arena),
            *(f[24].hex(), _text(f[25]), _text(f[26]), _text(f[27]), protocol),
            takes_beats=takes == 1,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Reset, then run a model from sample `first_index`; the first `skip` columns are thrown away."""

    model: int
    mode: int
    first_index: int
    skip: int = 0

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBHII")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(self.model, self.mode, 0, self.first_index, self.skip)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for another length."""
        (model, mode, _, first_index, skip), _ = _take(cls._LAYOUT, payload, "START")
        return cls(model, mode, first_index, skip)


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in uV from sample `index` on, leads interleaved."""

    index: int
    values: NDArray[np.int16]  # (n * leads,)

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(self.index) + self.values.astype("<i2", copy=False).tobytes()

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for a length that is no whole number of values."""
        (index,), tail = _take(cls._LAYOUT, payload, "SAMPLES", tail=True)
        if len(tail) % 2:
            raise FrameError(f"SAMPLES payload holds {len(tail)} bytes of samples: not a whole number of int16")
        return cls(index, np.frombuffer(tail, "<i2").astype(np.int16))


@dataclass(frozen=True, slots=True)
class Index:
    """A sample index and nothing else: END (the index after the last sample) and POLL (a RESULT's last index)."""

    index: int

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<I")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(self.index)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for another length."""
        (index,), _ = _take(cls._LAYOUT, payload, "END or POLL")
        return cls(index)


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to the window that ends with sample `last_index`."""

    model: int
    verdict: int  # index of the class, or ABSTAIN
    state: int  # 0 ok, or why the device abstains
    last_index: int
    prepare_us: int
    inference_us: int
    scores: NDArray[np.int8]  # (classes,)

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4B3I")

    def pack(self) -> bytes:
        """The payload."""
        head = (self.model, self.scores.size, self.verdict, self.state)
        return self._LAYOUT.pack(*head, self.last_index, self.prepare_us, self.inference_us) + self.scores.tobytes()

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError when the scores are not as many as it says."""
        fields, tail = _take(cls._LAYOUT, payload, "RESULT", tail=True)
        model, classes, verdict, state, last, prepare_us, inference_us = fields
        if len(tail) != classes:
            raise FrameError(f"RESULT announces {classes} classes and holds {len(tail)} scores")
        scores = np.frombuffer(tail, np.int8).copy()
        return cls(model, verdict, state, last, prepare_us, inference_us, scores)


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to one heartbeat."""

    model: int
    verdict: int  # index of the class, or ABSTAIN
    state: int  # 0 ok, or why the device abstains
    number: int  # 0, 1, ... since START
    at: int  # sample index of its R peak
    rr: int  # samples since the beat before, 65,535 at most; 0 of the first
    prepare_us: int
    inference_us: int
    scores: NDArray[np.int8]  # (classes,)

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4B2I2H2I")

    def pack(self) -> bytes:
        """The payload."""
        head = (self.model, self.scores.size, self.verdict, self.state, self.number, self.at, self.rr, 0)
        return self._LAYOUT.pack(*head, self.prepare_us, self.inference_us) + self.scores.tobytes()

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError when the scores are not as many as it says."""
        fields, tail = _take(cls._LAYOUT, payload, "BEAT", tail=True)
        model, classes, verdict, state, number, at, rr, _, prepare_us, inference_us = fields
        if len(tail) != classes:
            raise FrameError(f"BEAT announces {classes} classes and holds {len(tail)} scores")
        scores = np.frombuffer(tail, np.int8).copy()
        return cls(model, verdict, state, number, at, rr, prepare_us, inference_us, scores)


@dataclass(frozen=True, slots=True)
class Credit:
    """Where the device stands, and how many samples past that it can take now."""

    next_index: int
    credit_samples: int  # 0 when no stream runs
    beats: int = 0  # given since START, modulo 65,536; of a model of beats

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<IHH")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(self.next_index, self.credit_samples, self.beats)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for another length."""
        return cls(*_take(cls._LAYOUT, payload, "CREDIT")[0])


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Outcome of the known answers."""

    passed: bool  # also when there were none to run
    ran: int  # over all models
    first_failed: int | None  # counted over all models, in order
    model: int  # of the one that failed
    expected: NDArray[np.int8]  # (classes,) of the one that failed; (0,) when none did
    got: NDArray[np.int8]  # (classes,)

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<4B")

    def pack(self) -> bytes:
        """The payload."""
        failed = 255 if self.first_failed is None else self.first_failed
        head = self._LAYOUT.pack(self.passed, self.ran, failed, self.model)
        return head + self.expected.tobytes() + self.got.tobytes()

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError when the two rows of scores differ in length."""
        (passed, ran, failed, model), tail = _take(cls._LAYOUT, payload, "SELFTEST", tail=True)
        if len(tail) % 2:
            raise FrameError(f"SELFTEST holds {len(tail)} scores: not two rows of the same length")
        rows = np.frombuffer(tail, np.int8).reshape(2, -1).copy()
        return cls(bool(passed), ran, None if failed == 255 else failed, model, rows[0], rows[1])


@dataclass(frozen=True, slots=True)
class Stats:
    """What the device counted since its boot."""

    frames_in: int = 0
    frames_out: int = 0
    crc_errors: int = 0
    cobs_errors: int = 0
    length_errors: int = 0
    gaps: int = 0
    duplicates: int = 0
    overruns: int = 0
    results: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    uptime_ms: int = 0

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<12I")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for another length."""
        return cls(*_take(cls._LAYOUT, payload, "STATS")[0])


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """A refusal: its code, and the type and sequence number of the frame that it answers."""

    code: int
    type: int
    seq: int
    detail: int

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<BBHI")

    def pack(self) -> bytes:
        """The payload."""
        return self._LAYOUT.pack(self.code, self.type, self.seq, self.detail)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The payload, parsed; FrameError for another length."""
        return cls(*_take(cls._LAYOUT, payload, "ERROR")[0])
