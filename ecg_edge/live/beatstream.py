"""A stream of samples, and the beats in it with their classes. Layer: live; composes signal, runtime and bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.live.stream import States, Stream, Verdict
from ecg_edge.runtime.backend import Backend
from ecg_edge.signal.beatview import BeatStream, BeatView
from ecg_edge.signal.prepare import Prepare, State

# A beat is judged by the next two, so it is told late: how late has no bound, but after so many samples a recording
# does not wait for it.
LATE = 4096
# Of signal about an R peak, what is shown as the beat's own.
_BEFORE, _AFTER = 34, 35


@dataclass(frozen=True, slots=True)
class BeatVerdict(Verdict):
    """What the model says of one beat."""

    at: int  # its R peak, counted from the first sample of all
    rr: int  # samples since the beat before; 0 of the first


class Beats:
    """The firmware's stream of beats in Python: the same beats, the same scores, any chunks.

    A gap begins a new stream, and a new acquaintance with the patient.
    """

    def __init__(self, manifest: Manifest, backend: Backend) -> None:
        """Args: manifest, of the bundle of beats that the backend runs; backend, int8 in and out."""
        self._backend = backend
        self.leads, self.fs_hz = manifest.leads, manifest.fs_hz
        self._p = Prepare.from_manifest(manifest.prepare)
        self.restart(0)

    def restart(self, index: int) -> None:
        """Forget what came; the next sample has this index."""
        self._beats, self._states = BeatStream(self._p), States(self._p, self.leads)
        self._first = self.index = index

    def push(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8] | None = None) -> list[BeatVerdict]:
        """Take samples.

        Args:
            samples_uv: (k, 1), uV.
            flags: (k,) SampleFlag of each; none by default.

        Returns:
            the beats that are judged now, in order.
        """
        if not len(samples_uv):
            return []
        self.index += len(samples_uv)
        lead = np.ascontiguousarray(samples_uv[:, 0])
        return self._judged(self._beats.push(lead, self._states.push(samples_uv, flags)))

    def end(self) -> list[BeatVerdict]:
        """Hold the last sample until every beat is judged. `restart` begins the next stream."""
        return self._judged(self._beats.end())

    def _judged(self, views: list[BeatView]) -> list[BeatVerdict]:
        if not views:
            return []
        scores = self._backend.run(np.stack([view.tensor for view in views]))
        return [self._verdict(view, row) for view, row in zip(views, scores, strict=True)]

    def _verdict(self, view: BeatView, scores: NDArray[np.int8]) -> BeatVerdict:
        at = self._first + view.at
        label = int(scores.argmax()) if view.state is State.OK else None
        return BeatVerdict(at - _BEFORE, at + _AFTER, scores, view.state, label, at, view.rr)


def open_stream(manifest: Manifest, backend: Backend) -> Stream | Beats:
    """The stream that this model wants: windows that slide, or beats."""
    return Beats(manifest, backend) if manifest.takes == "beats" else Stream(manifest, backend)
