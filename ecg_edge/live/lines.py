"""Events as lines, for people and for scripts. Layer: live."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ecg_edge.bundle import Manifest
from ecg_edge.live.beatstream import BeatVerdict
from ecg_edge.live.run import Account, Event, Gap, Moment
from ecg_edge.live.source import Notice
from ecg_edge.live.stream import Verdict


class Lines:
    """A sink: a line an event, as it happens, and the account as the last."""

    def __init__(self, manifest: Manifest, write: Callable[[str], None], *, as_json: bool) -> None:
        """Args: manifest, of the model that runs; write, takes a line without its end; as_json, for scripts."""
        self._manifest, self._write, self._as_json = manifest, write, as_json
        self._account = Account()

    def take(self, moment: Moment, account: Account) -> None:
        self._account = account
        for event in moment.events:
            self._write(self._told(event, moment))

    def _told(self, event: Event, moment: Moment) -> str:
        if not self._as_json:
            return event_text(event, self._manifest)
        told = event_json(event, self._manifest)
        return line(told | {"rate_bpm": moment.rate_bpm} if isinstance(event, Verdict) else told)

    def close(self) -> None:
        end, m = self._account, self._manifest
        self._write(line(account_json(end, m)) if self._as_json else account_text(end, m))


def event_json(event: Event, manifest: Manifest) -> dict[str, Any]:
    """An event as a script wants it; times in seconds from the first sample of all."""
    fs_hz = manifest.fs_hz
    if isinstance(event, Notice):
        return {"kind": "notice", "time_s": round(event.index / fs_hz, 3), "text": event.text}
    if isinstance(event, Gap):
        return {
            "kind": "gap",
            "time_s": round(event.index / fs_hz, 3),
            "index": event.index,
            "samples": event.samples,
            "seconds": round(event.samples / fs_hz, 3),
            "exact": event.exact,
        }
    out = manifest.output
    told = {
        "kind": "verdict",
        "time_s": round((event.last_index + 1) / fs_hz, 3),
        "first_index": event.first_index,
        "last_index": event.last_index,
        "label": None if event.label is None else manifest.classes[event.label],
        "state": event.state.name.lower(),
        "scores": event.scores.tolist(),
        "probability": [round(out.scale * (int(score) - out.zero_point), 4) for score in event.scores],
    }
    if isinstance(event, BeatVerdict):
        told["beat"] = {"index": event.at, "rr_s": round(event.rr / fs_hz, 3) if event.rr else None}
    return told


def event_text(event: Event, manifest: Manifest) -> str:
    """An event as a line for people."""
    told = event_json(event, manifest)
    when = f"{int(told['time_s'] // 60):4}:{told['time_s'] % 60:06.3f}"
    if isinstance(event, Notice):
        return f"{when}  {event.text}"
    if isinstance(event, Gap):
        return f"{when}  gap of {told['seconds']:.3f} s" + ("" if event.exact else ", by this machine's clock")
    if event.label is None:
        return f"{when}  no verdict: {told['state']}"
    return f"{when}  {told['label']:<17} {told['probability'][event.label]:.2f}"


def account_text(account: Account, manifest: Manifest) -> str:
    """The last line, for people."""
    every = account.received + account.missing
    gaps = "1 gap" if account.gaps == 1 else f"{account.gaps} gaps"
    return (
        f"{every / manifest.fs_hz:.1f} s: {account.verdicts} verdicts, {account.abstained} of them withheld; "
        f"{gaps}, {account.missing} of {every} samples missing"
    )


def account_json(account: Account, manifest: Manifest) -> dict[str, Any]:
    """The last line."""
    seconds = (account.received + account.missing) / manifest.fs_hz
    return {"kind": "end", "seconds": round(seconds, 3), **asdict(account)}


def line(value: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
