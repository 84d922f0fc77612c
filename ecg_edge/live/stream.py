"""A stream of samples, and the verdicts that fall due on it. Layer: live; composes signal, runtime and bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecg_edge.bundle import Manifest
from ecg_edge.device.frame import SampleFlag
from ecg_edge.runtime.backend import Backend
from ecg_edge.signal.prepare import Prepare, PrepareStream, State, sample_states

_STATE_OF_FLAG = (
    (SampleFlag.CLIPPED, State.CLIPPED),
    (SampleFlag.LEAD_OFF, State.LEAD_OFF),
    (SampleFlag.GAP, State.GAP),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model says of one window."""

    first_index: int  # of the window, counted from the first sample of all
    last_index: int
    scores: NDArray[np.int8]  # (classes,)
    state: State
    label: int | None  # index of the class; None: the state is not OK, so none is given


class States:
    """The state of every sample of a stream, in any chunks."""

    def __init__(self, p: Prepare, leads: int) -> None:
        self._p = p
        self._recent = np.empty((0, leads), np.int16)  # as many samples as tell a flat line

    def push(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """(k, leads) uV and (k,) SampleFlag -> (k,) State, the worst of leads and flags."""
        known = len(self._recent)
        seen = np.concatenate((self._recent, samples_uv))
        self._recent = seen[-(self._p.flat_samples + 1) :]
        states: NDArray[np.uint8] = sample_states(np.ascontiguousarray(seen.T), self._p).max(axis=0)[known:]
        if flags is not None:
            for flag, state in _STATE_OF_FLAG:
                states = np.where(flags & flag, np.maximum(states, state), states).astype(np.uint8)
        return states


class Stream:
    """The firmware's stream in Python: the same columns, the same windows, the same states, any chunks.

    A gap begins a new stream: no window reaches over it, and no filter either.
    """

    def __init__(self, manifest: Manifest, backend: Backend) -> None:
        """Args: manifest, of the bundle that the backend runs; backend, int8 in and out."""
        self._manifest, self._backend = manifest, backend
        self.leads, self.fs_hz = manifest.leads, manifest.fs_hz
        self._p = Prepare.from_manifest(manifest.prepare)
        self.restart(0)

    def restart(self, index: int) -> None:
        """Forget what came; the next sample has this index."""
        m = self._manifest
        self._leads = [PrepareStream(self._p) for _ in range(m.leads)]
        self._states_of = States(self._p, m.leads)
        self._states = np.empty(0, np.uint8)  # of the samples from _states_from on
        self._columns = np.empty((0, m.leads), np.int8)  # from _start on
        self._start = self._states_from = index  # of the next window; of the first state kept
        self._first = index
        self.index = index  # of the next sample

    def push(self, samples_uv: NDArray[np.int16], flags: NDArray[np.uint8] | None = None) -> list[Verdict]:
        """Take samples.

        Args:
            samples_uv: (k, leads), uV.
            flags: (k,) SampleFlag of each; none by default.

        Returns:
            the verdicts that fell due, in order.
        """
        if not len(samples_uv):
            return []
        self._states = np.concatenate((self._states, self._states_of.push(samples_uv, flags)))
        self.index += len(samples_uv)
        columns = [
            stream.push(np.ascontiguousarray(lead)) for stream, lead in zip(self._leads, samples_uv.T, strict=True)
        ]
        return self._due(np.stack(columns, axis=1))

    def end(self) -> list[Verdict]:
        """Hold the last sample for the filter's delay -> the last verdicts. `restart` begins the next stream."""
        return self._due(np.stack([stream.end() for stream in self._leads], axis=1))

    def _due(self, columns: NDArray[np.int8]) -> list[Verdict]:
        m = self._manifest
        self._columns = np.concatenate((self._columns, columns))
        count = (len(self._columns) - m.window) // m.hop + 1
        if count <= 0:
            return []
        windows = sliding_window_view(self._columns, m.window, axis=0)[
            : count * m.hop : m.hop
        ]  # (count, leads, window)
        scores = self._backend.run(np.ascontiguousarray(windows.transpose(0, 2, 1)))
        verdicts = [self._verdict(self._start + n * m.hop, row) for n, row in enumerate(scores)]
        self._columns = self._columns[count * m.hop :]
        self._start += count * m.hop
        needed = max(self._first, self._start - self._p.delay)
        self._states, self._states_from = self._states[needed - self._states_from :], needed
        return verdicts

    def _verdict(self, start: int, scores: NDArray[np.int8]) -> Verdict:
        delay, end = self._p.delay, start + self._manifest.window
        low = max(0, start - delay - self._states_from)
        state = State(int(self._states[low : end + delay - self._states_from].max()))
        label = int(scores.argmax()) if state is State.OK else None
        return Verdict(start, end - 1, scores, state, label)
