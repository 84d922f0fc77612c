"""What a board must answer, and a bare line to ask it: helpers of the conformance suite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device import Answer, Frame, FrameReader, FrameType, Link, encode_frame
from ecg_edge.device.messages import ErrorReport, Hello
from ecg_edge.graph import interpret
from ecg_edge.graph.tflite import read_graph
from ecg_edge.signal.prepare import Prepare, PrepareStream, State, sample_states, stream_states

BARRIER_TIMEOUT_S = 30.0
FLAG_STATES = {1: State.GAP, 2: State.LEAD_OFF, 4: State.CLIPPED}


@dataclass(frozen=True)
class Said:
    """The part of an answer that the signal decides."""

    scores: list[int]
    verdict: int | None
    state: int
    last_index: int


def said(answers: list[Answer]) -> list[Said]:
    return [Said(a.scores.tolist(), a.verdict, a.state, a.last_index) for a in answers]


class Reference:
    """Prepare, states and scores of a bundle, straight from their definitions."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.manifest = bundle, bundle.manifest
        self.prepare = Prepare.from_manifest(bundle.manifest.prepare)
        self._graph = read_graph(bundle.model, name=bundle.manifest.name)

    def stream(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8] | None = None) -> list[Said]:
        """Answers to a stream, (n, leads)."""
        m = self.manifest
        if len(samples_uv) < m.window:
            return []
        columns = np.stack([self._columns(lead) for lead in samples_uv.T], axis=-1)
        states = np.max([sample_states(lead, self.prepare) for lead in samples_uv.T], axis=0)
        for bit, state in FLAG_STATES.items():
            flagged = np.zeros(len(states), np.bool_) if flags is None else (flags & bit) != 0
            states[flagged] = np.maximum(states[flagged], state)
        worst = stream_states(states, self.prepare, window=m.window, hop=m.hop)
        starts = range(0, len(samples_uv) - m.window + 1, m.hop)
        scores = interpret.run(self._graph, np.stack([columns[s : s + m.window] for s in starts]))
        return [
            Said(row.tolist(), int(row.argmax()) if state == 0 else None, int(state), start + m.window - 1)
            for start, row, state in zip(starts, scores, worst, strict=True)
        ]

    def windows(self, windows_uv: NDArray[np.int16]) -> list[Said]:
        """Answers to isolated windows, (n, window, leads)."""
        return [self.stream(window)[0] for window in windows_uv]

    def _columns(self, lead_uv: NDArray[np.int16]) -> NDArray[np.int8]:
        stream = PrepareStream(self.prepare)
        return np.concatenate([stream.push(lead_uv), stream.end()])


class Wire:
    """Single frames to a board, and all that it says to each."""

    def __init__(self, link: Link) -> None:
        self._link, self._reader = link, FrameReader()
        self._seq = 40_000
        self.boot = 0
        link.write(b"\0")
        hello = self.ask(FrameType.HELLO)
        self.boot = hello[-1].boot
        said = [Hello.unpack(frame.payload) for frame in hello if frame.type == FrameType.HELLO]
        self.hellos = list({one.model_index: one for one in said}.values())  # the unasked one of the boot comes too

    @property
    def seq(self) -> int:
        """Of the frame sent last but the barrier."""
        return self._seq - 1

    def frame(self, kind: int, payload: bytes = b"", *, flags: int = 0, boot: int | None = None) -> bytes:
        self._seq += 1
        return encode_frame(Frame(kind, payload, flags, self.boot if boot is None else boot, self._seq))

    def ask(self, kind: int, payload: bytes = b"", *, flags: int = 0, boot: int | None = None) -> list[Frame]:
        """Everything that the board says to a frame."""
        return self.send(self.frame(kind, payload, flags=flags, boot=boot))

    def send(self, data: bytes) -> list[Frame]:
        """Everything that the board says to bytes: up to its answer to a question asked after them."""
        barrier = self.frame(FrameType.STATS)
        self._link.write(data + barrier)
        frames: list[Frame] = []
        deadline_s = self._link.clock.now_s() + BARRIER_TIMEOUT_S
        while self._link.clock.now_s() < deadline_s:
            frames += self._reader.feed(self._link.read(1.0))
            if frames and self._closes(frames[-1]):
                return frames[:-1]
        raise AssertionError(f"no end to the answers: {frames}")

    def _closes(self, frame: Frame) -> bool:
        """STATS, or (before HELLO taught us the nonce) its refusal as stale."""
        return frame.type == FrameType.STATS or (
            frame.type == FrameType.ERROR and ErrorReport.unpack(frame.payload).seq == self._seq
        )
