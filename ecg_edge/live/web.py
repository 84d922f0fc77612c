"""The web page of a run: the sink, its address, and what it says in JSON. Layer: live."""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from typing import Any

from ecg_edge.bundle import Manifest
from ecg_edge.errors import EcgEdgeError
from ecg_edge.live.lines import event_json
from ecg_edge.live.run import Account, Moment
from ecg_edge.live.webserver import Page, Server
from ecg_edge.live.webstore import SHOWN_S, Happening, Store, Update, parts
from ecg_edge.signal.csvfile import csv_text
from ecg_edge.signal.prepare import Prepare

LOOPBACK = "127.0.0.1"
TOKEN_CHARACTERS = 16  # at least; a token drawn here has 43


class WebPage:
    """A sink: the live view for any number of browsers. `take` never waits for one of them."""

    def __init__(self, manifest: Manifest, address: str, *, token: str | None = None, source: str = "") -> None:
        """Serve at once.

        Args:
            manifest: of the model that runs.
            address: [HOST:]PORT; without a host only this machine can see the page; port 0 is any free one.
            token: what a client must know. None: on this machine's own addresses nothing, elsewhere one is drawn.
            source: where the signal comes from, for people.

        Raises:
            EcgEdgeError: a bad address or token, or a port that is taken.
        """
        where = resolve(address)
        if token is None and not where.loopback:
            token = secrets.token_urlsafe(32)
        elif token is not None and not re.fullmatch(rf"[A-Za-z0-9._~-]{{{TOKEN_CHARACTERS},256}}", token):
            raise EcgEdgeError(f"--token: {TOKEN_CHARACTERS} to 256 letters, digits and any of . _ ~ -")
        self._store = Store(manifest)
        self._server = Server(where.family, where.sockaddr, _Run(self._store, source), token=token)
        self.url = _url(where, self._server.server_port, token)

    def take(self, moment: Moment, account: Account) -> None:
        self._store.take(moment, account)

    def close(self) -> None:
        self._store.close()
        self._server.close()


class _Run(Page):
    """What the server asks of a run."""

    def __init__(self, store: Store, source: str) -> None:
        self._store, self._source = store, source
        self._id = secrets.token_hex(8)
        self.ended = store.ended

    def hello(self) -> dict[str, Any]:
        m = self._store.manifest
        return {
            "run": self._id,
            "model": m.name,
            "version": m.version,
            "classes": list(m.classes),
            "fs_hz": m.fs_hz,
            "leads": m.leads,
            "hop": m.hop,
            "takes": m.takes,
            "delay_s": Prepare.from_manifest(m.prepare).delay / m.fs_hz,
            "source": self._source,
            "keeps_s": self._store.keeps_s,
            "shown_s": SHOWN_S,
        }

    def since(self, index: int, serial: int) -> tuple[dict[str, Any], int, int]:
        update = self._store.since(index, serial)
        told = [*update.verdicts, *update.history]
        behind = max((happening.serial + 1 for happening in told), default=serial)
        return _update_json(update, self._store.manifest), update.end, behind

    def download(self, serial: int, part: str) -> tuple[str, str] | None:
        happening = self._store.happening(serial)
        if happening is None or part not in parts(happening.event):
            return None
        found = self._store.ecg(happening.event, part)
        if found is None:
            return None
        m, (first, samples) = self._store.manifest, found
        names = ["lead"] if m.leads == 1 else [f"lead{k + 1}" for k in range(m.leads)]
        leads = dict(zip(names, samples.T, strict=True))
        return f"{m.name}-{_file_name(happening, part, m)}.csv", csv_text(m.fs_hz, leads, first=first)


def _update_json(update: Update, manifest: Manifest) -> dict[str, Any]:
    # int16, little-endian, leads interleaved: a third of what numbers as text take.
    return {
        "now_s": round(update.now_s, 3),
        "idle_s": round(update.idle_s, 2),
        "end": update.end,
        "skipped": update.skipped,
        "runs": [
            [first, base64.b64encode(samples.astype("<i2").tobytes()).decode("ascii")] for first, samples in update.runs
        ],
        "verdicts": [_happening_json(happening, manifest) for happening in update.verdicts],
        "history": [_happening_json(happening, manifest) for happening in update.history],
        "account": update.account,
        "rate_bpm": update.rate_bpm,
        "ended": update.ended,
    }


def _happening_json(happening: Happening, manifest: Manifest) -> dict[str, Any]:
    return {
        "serial": happening.serial,
        "wall_s": round(happening.wall_s, 1),
        "latency_s": round(happening.latency_s, 5),
        "parts": parts(happening.event),
        **event_json(happening.event, manifest),
    }


def _file_name(happening: Happening, part: str, manifest: Manifest) -> str:
    told = event_json(happening.event, manifest)
    what = (told["label"] or told["state"]) if told["kind"] == "verdict" else told["kind"]
    name = f"{told['time_s']:.1f}s-{what}" + ("" if part == "ecg" else f"-{part}")
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Where:
    """An address to listen at."""

    host: str  # as the user wrote it
    family: socket.AddressFamily
    sockaddr: Any

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(self.sockaddr[0].partition("%")[0])

    @property
    def loopback(self) -> bool:
        return self.ip.is_loopback


def resolve(address: str) -> Where:
    """[HOST:]PORT -> where to listen; an IPv6 host stands in brackets.

    Raises:
        EcgEdgeError: no such form, port or host.
    """
    match = re.fullmatch(r"(?:(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]\s/]+)):)?([0-9]{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise EcgEdgeError(f"--web {address}: not [HOST:]PORT, as in 8765 or 0.0.0.0:8765")
    host, port = match[1] or match[2] or LOOPBACK, int(match[3])
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
        raise EcgEdgeError(
            f"--web {address}: no host {host} here ({getattr(error, 'strerror', None) or error})"
        ) from error
    return Where(host, family, sockaddr)


def _url(where: Where, port: int, token: str | None) -> str:
    host = _own_ip(where.family) if where.ip.is_unspecified else where.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def _own_ip(family: socket.AddressFamily) -> str:
    """An address others reach this machine at: that of its way out (nothing is sent), or else its name."""
    outside = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # Source: RFC 3849, RFC 5737
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))
        except OSError:
            return socket.gethostname()
        ip: str = probe.getsockname()[0]
        return ip
