"""A live run as a systemd service: starts at boot, comes back after anything, writes to one folder. Layer: recipes.

No DeviceAllow=: systemd resolves kinds of devices when the service starts, and a USB adapter's driver may be loaded
later, when the board is plugged in. Who may open a port is said by its group.
Source: systemd.service(5), systemd.exec(5), sd_notify(3).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_edge import __version__
from ecg_edge.errors import EcgEdgeError

STATE, CACHE = Path("/var/lib"), Path("/var/cache")
WATCHDOG_S = 60  # a live source gives something several times a second, while a board is greeted every few seconds
_UNIT = """\
# Made by ecg-edge {version}: {made_by}
# Research use; not a medical device.

[Unit]
Description=ecg-edge: live ECG classification
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
WorkingDirectory={directory}
User={user}
SupplementaryGroups=dialout
Restart=always
RestartSec=5
WatchdogSec={watchdog_s}
TimeoutStartSec=180

# Recordings, and the engine compiled for this machine. A page's token: ECG_EDGE_TOKEN=... in the file.
StateDirectory={name}
CacheDirectory={name}
Environment=XDG_CACHE_HOME={cache}/{name} PYTHONUNBUFFERED=1
EnvironmentFile=-/etc/{name}.env
{writable}
# It reads a port and writes recordings; nothing else is its business.
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0027

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run, and as whom."""

    name: str  # of the unit, and of its folders
    program: Path  # the command ecg-edge, in the environment that runs it
    arguments: tuple[str, ...]  # of its verb run
    user: str
    directory: Path  # relative paths among the arguments begin here
    out: Path | None  # where the arguments have it record; None: the service's own folder
    made_by: str  # the command line


def unit_text(service: Service) -> str:
    """The unit file.

    Raises:
        EcgEdgeError: the name or the user cannot stand in a unit.
    """
    for what, word in (("name", service.name), ("user", service.user)):
        if not word.replace("-", "").replace("_", "").isalnum() or not word.isascii():
            raise EcgEdgeError(f"service: {what} {word!r} is not made of letters, digits, - and _")
    command = [str(service.program), "run", *service.arguments]
    writable = ""
    if service.out is None:
        command += ["--out", str(STATE / service.name)]
    else:
        writable = f"ReadWritePaths={_word(str(service.directory / service.out))}\n"
    return _UNIT.format(
        version=__version__,
        made_by=service.made_by,
        command=" ".join(map(_word, command)),
        directory=str(service.directory).replace("%", "%%"),
        user=service.user,
        watchdog_s=WATCHDOG_S,
        name=service.name,
        cache=CACHE,
        writable=writable,
    )


def shell_line(words: Sequence[str]) -> str:
    """A command line, for a comment of one line."""
    return shlex.join(words).replace("\n", " ")


def _word(text: str) -> str:
    """A word as systemd reads it: quoted where it must be, nothing in it expanded."""
    if any(ord(char) < ord(" ") for char in text):
        raise EcgEdgeError(f"service: {text!r} has a control character")
    plain = text.replace("%", "%%").replace("$", "$$")
    if plain and not set(plain) & set(" \"'\\;"):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
