"""What a device says of the heartbeats of a recording. Layer: bench; composes device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bench.ask import matching_hello
from ecg_edge.bench.beats import Beats, require_beats
from ecg_edge.bench.board import open_board
from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.filerun import Reply
from ecg_edge.device.frame import SampleFlag
from ecg_edge.report.metrics import ABSTAINED
from ecg_edge.signal.prepare import State

# A flat signal the device tells by itself.
_FLAG_OF_STATE = {
    State.CLIPPED: SampleFlag.CLIPPED,
    State.LEAD_OFF: SampleFlag.LEAD_OFF,
    State.GAP: SampleFlag.GAP,
}


@dataclass(frozen=True, slots=True)
class TimedBeats:
    """n beats, and what each took on the device's clock."""

    beats: Beats
    prepare_us: NDArray[np.int64]  # (n,) detector and the beat's view are in it
    inference_us: NDArray[np.int64]  # (n,)

    @property
    def total_us(self) -> NDArray[np.int64]:
        return self.prepare_us + self.inference_us


def device_beats(
    device: Device,
    samples_uv: NDArray[np.int16],
    states: NDArray[np.uint8] | None = None,
    progress: Callable[[int], None] = lambda at: None,
) -> TimedBeats:
    """Let a device find and classify the beats of a recording; the model must be chosen.

    Args:
        device: told by require() which model to ask.
        samples_uv: (n,), uV, at 250 Hz.
        states: (n,) State of each sample; by default what the samples say by themselves.
        progress: told the R peak of each beat.

    Raises:
        DeviceError: the model takes windows, or the line fails.
    """
    flags = None if states is None else flags_of(states)
    answers = []
    for answer in device.beats(samples_uv, flags):
        answers.append(answer)
        progress(answer.at)
    said = [ABSTAINED if answer.verdict is None else answer.verdict for answer in answers]
    beats = Beats(
        at=np.array([answer.at for answer in answers], np.int64),
        rr=np.array([answer.rr for answer in answers], np.int64),
        state=np.array([answer.state for answer in answers], np.uint8),
        scores=np.array([answer.scores for answer in answers], np.int8).reshape(-1, device.model.classes),
        verdict=np.array(said, np.int64),
    )
    prepare_us, inference_us = (
        np.array([getattr(answer, name) for answer in answers], np.int64) for name in ("prepare_us", "inference_us")
    )
    return TimedBeats(beats, prepare_us, inference_us)


def file_beats(reply: Reply) -> Beats:
    """The beats of a recording that a board was asked about by file."""
    said = np.where(reply.states == State.OK, reply.scores.argmax(axis=1), ABSTAINED) if len(reply.rr) else reply.rr
    at, rr, verdict = (values.astype(np.int64) for values in (reply.last_index, reply.rr, said))
    return Beats(at, rr, reply.states, reply.scores, verdict)


def flags_of(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n,) State of each sample -> (n,) SampleFlag that tells a device so."""
    flags = np.zeros(len(states), np.uint8)
    for state, flag in _FLAG_OF_STATE.items():
        flags[states == state] = flag
    return flags


@contextmanager
def beats_board(url: str, bundle: Bundle) -> Iterator[Device]:
    """The device behind a URL, asked for this model of beats; a virtual or emulated one is built and started.

    Raises:
        BundleError: the model takes windows.
        DeviceError: nothing answers there, or it holds another model.
    """
    require_beats(bundle)
    with open_board(url, bundle) as device:
        matching_hello(device, bundle)
        yield device
