"""The sink that records a run: WFDB records with annotations, and events as JSON lines. Layer: live.

    20261123T101500Z_ecg5.hea .dat .edge .jsonl     an hour each; .edge are the annotations

On the disk each second. Gaps are never bridged: a short one is filled with WFDB's "no sample", a long one ends the
recording, and the next begins with its own time. When the disk fails the run goes on, recording is tried again each
minute, and what was not recorded is counted and said.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from ecg_edge import __version__
from ecg_edge.bundle import Manifest
from ecg_edge.device.link import Clock, SystemClock
from ecg_edge.files import require_writable
from ecg_edge.live.beatstream import LATE, BeatVerdict
from ecg_edge.live.lines import account_json, event_json, line
from ecg_edge.live.recording import Recording, utc
from ecg_edge.live.run import Account, Event, Gap, Moment
from ecg_edge.live.source import Chunk, Notice
from ecg_edge.live.stream import Verdict
from ecg_edge.signal.prepare import Prepare, State
from ecg_edge.signal.wfdbformat import BEATS, NOISE, NOTE, UNKNOWN

ROTATE_HOURS = 1.0
FILLED_GAP_S = 60  # a longer gap begins a new recording
RETRY_S = 60.0
_COMMIT_S = 0.75  # with a chunk or a heartbeat, less than a second is lost
_PENDING_S = 600  # of signal, at any speed: memory is bounded
_EARLY = 16  # events before the first sample


class Recorder:
    """A sink: a folder of recordings."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        say: Callable[[str], None],
        rotate_hours: float = ROTATE_HOURS,
        leads: Sequence[str] = (),
        source: str = "",
        realtime: bool = True,
        clock: Clock | None = None,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """Make the folder.

        Args:
            folder: what is in it already stays.
            manifest: of the model that runs.
            say: takes a line about trouble with the disk, and about its end.
            rotate_hours: of signal in a recording.
            leads: their names.
            source: where the signal comes from, for the header.
            realtime: each recording begins at its time of day; else times count on from the first sample's.
            clock: what to wait by.
            unix_s: this machine's time of day.

        Raises:
            EcgEdgeError: the folder cannot be written.
        """
        require_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._manifest, self._say, self._source = folder, manifest, say, source
        count = manifest.leads
        self._leads = tuple(leads) or (("ECG",) if count == 1 else tuple(f"ECG{k + 1}" for k in range(count)))
        self._rotate = max(1, round(rotate_hours * 3600 * manifest.fs_hz))
        self._realtime, self._clock, self._unix_s = realtime, clock or SystemClock(), unix_s
        self._late = LATE if manifest.takes == "beats" else Prepare.from_manifest(manifest.prepare).delay
        self._began_s: float | None = None  # time of day of the sample with index 0
        self._open: list[Recording] = []  # the last is written to; one before it may wait for late verdicts
        self._early: deque[Notice] = deque(maxlen=_EARLY)
        self._account = Account()
        self._committed_s = self._clock.now_s()
        self._trouble: str | None = None  # what the disk said last
        self._retry_s = 0.0
        self._kept = 0  # samples in recordings that are closed
        self._noisy = False

    @property
    def lost(self) -> int:
        """Samples that were received, and are in no recording."""
        return self._account.received - self._kept - sum(recording.received for recording in self._open)

    def status(self) -> str:
        """What is recorded, for people."""
        if self._trouble is not None:
            return f"not recording: {self._trouble}"
        if not self._open:
            return f"records in {self._folder}"
        return f"recording {self._folder / self._open[-1].name}, {self._open[-1].size / 1e6:.2f} MB"

    def take(self, moment: Moment, account: Account) -> None:
        self._account = account
        if self._trouble is not None and not self._open and self._clock.now_s() < self._retry_s:
            return
        try:
            self._record(moment)
            pending = sum(recording.samples - recording.safe.samples for recording in self._open)
            waited_s = self._clock.now_s() - self._committed_s
            if waited_s >= _COMMIT_S or pending >= _PENDING_S * self._manifest.fs_hz:
                self._commit()
        except OSError as error:
            self._break_off(error)

    def close(self) -> None:
        try:
            if self._open:
                self._open[-1].add_line(self._line(account_json(self._account, self._manifest)))
            self._finish()
        except OSError as error:
            self._break_off(error)

    def _record(self, moment: Moment) -> None:
        """A gap lies before the chunk's samples, with all verdicts that end before it; other events end in them."""
        gaps = [k for k, event in enumerate(moment.events) if isinstance(event, Gap)]
        before = gaps[-1] + 1 if gaps else 0
        for event in moment.events[:before]:
            self._event(event)
        self._add(moment.chunk)
        for event in moment.events[before:]:
            self._event(event)
        # Verdicts come as late as the filter's delay, and still belong to the recording of their samples.
        while len(self._open) > 1 and self._open[0].end + self._late <= self._open[-1].end:
            self._close_first()

    def _add(self, chunk: Chunk) -> None:
        at = 0
        while at < len(chunk.samples_uv):
            if not self._open or self._open[-1].samples >= self._rotate:
                self._begin(chunk.index + at, left=len(chunk.samples_uv) - at)
            recording = self._open[-1]
            part = chunk.samples_uv[at : at + self._rotate - recording.samples]
            recording.add_samples(part)
            at += len(part)

    def _begin(self, index: int, *, left: int) -> None:
        """A new recording, whose first sample is `left` samples old."""
        m = self._manifest
        if self._realtime or self._began_s is None:
            self._began_s = self._unix_s() - (left + index) / m.fs_hz
        begin = utc(self._began_s + index / m.fs_hz)
        comments = (
            f"ecg-edge {__version__}; research use, not a medical device",
            f"model {m.name} {m.version}; source {self._source or 'unknown'}",
            f"sample 0 is number {index} of the run; time is UTC",
        )
        stem = self._folder / f"{begin:%Y%m%dT%H%M%SZ}_{re.sub('[^A-Za-z0-9]+', '-', m.name)}"
        self._open.append(
            Recording(stem, m.fs_hz, self._leads, index=index, begin=begin, comments=comments, late=self._late)
        )
        while self._early:
            self._event(self._early.popleft())

    def _event(self, event: Event) -> None:
        if not self._open:
            if isinstance(event, Notice):  # any other belongs to samples that are in no recording
                self._early.append(event)
            return
        self._open[-1].add_line(self._line(event_json(event, self._manifest)))
        if isinstance(event, Notice):
            self._annotate(event.index, NOTE, event.text)
        elif isinstance(event, Gap):
            self._gap(event)
        else:
            self._verdict(event)

    def _verdict(self, verdict: Verdict) -> None:
        m = self._manifest
        if verdict.label is None:
            text = f"no verdict: {verdict.state.name.lower()}"
        else:
            probability = m.output.scale * (int(verdict.scores[verdict.label]) - m.output.zero_point)
            text = f"{m.classes[verdict.label]} {probability:.2f}"
        if isinstance(verdict, BeatVerdict):
            name = None if verdict.label is None else m.classes[verdict.label]
            self._annotate(verdict.at, BEATS.get(name, UNKNOWN), text if name is None else "")
        else:
            self._annotate(verdict.last_index, NOTE, text)
        noisy = verdict.state is not State.OK
        if noisy != self._noisy:
            self._quality(verdict.last_index + 1, verdict.state.name.lower(), noisy=noisy)

    def _gap(self, gap: Gap) -> None:
        seconds = gap.samples / self._manifest.fs_hz
        text = f"gap of {seconds:.3f} s" + ("" if gap.exact else ", by this machine's clock")
        self._quality(gap.index, text, noisy=True)
        if seconds > FILLED_GAP_S:
            self._finish()
        else:
            self._open[-1].add_gap(gap.samples)
            self._quality(gap.index + gap.samples, "ok", noisy=False)

    def _quality(self, index: int, text: str, *, noisy: bool) -> None:
        """WFDB says what changes, and of which leads: one bit each."""
        self._noisy = noisy
        self._annotate(index, NOISE, text, subtype=(1 << min(self._manifest.leads, 7)) - 1 if noisy else 0)

    def _annotate(self, index: int, code: int, text: str, *, subtype: int = 0) -> None:
        """In the recording that has this sample, or will have it."""
        recording = next((r for r in self._open if index < r.end), self._open[-1])
        if index >= recording.index:  # else it is of a time when the disk failed
            recording.annotate(index, code, text, subtype=subtype)

    def _line(self, value: dict[str, object]) -> str:
        now = utc(self._unix_s()).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return line({"time": now, **value})

    def _commit(self) -> None:
        self._committed_s = self._clock.now_s()
        for recording in self._open:
            recording.commit()
        if self._trouble is not None and self._open and self._open[-1].safe.samples:
            self._trouble = None
            seconds = self.lost / self._manifest.fs_hz
            self._say(f"recording again, as {self._open[-1].name}; {seconds:.1f} s of signal were not recorded")

    def _close_first(self) -> None:
        self._open[0].commit(last=True)
        recording = self._open.pop(0)
        recording.close()
        self._kept += recording.safe.received

    def _finish(self) -> None:
        while self._open:
            self._close_first()
        self._noisy = False

    def _break_off(self, error: OSError) -> None:
        """The run goes on without recording."""
        safe = 0
        for recording in self._open:
            recording.cut()
            self._kept += recording.safe.received
            safe = max(safe, recording.index + recording.safe.samples)
        self._open, self._noisy = [], False
        self._retry_s = self._clock.now_s() + RETRY_S
        if self._trouble is None:
            safe_s = safe / self._manifest.fs_hz
            self._say(
                f"recording to {self._folder} stopped: {error.strerror}; what came up to {safe_s:.1f} s of the run is "
                f"safe; tried again every {RETRY_S:.0f} s"
            )
        self._trouble = error.strerror or str(error)
