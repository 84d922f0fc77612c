"""Open the board that a bench run talks to, and make a virtual one first. Layer: bench; composes recipes and device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.emulator import VIRTUAL, open_device
from ecg_edge.errors import DeviceError
from ecg_edge.recipes.firmware import export


def is_virtual_native(url: str) -> bool:
    """Whether the device is the native engine on this host."""
    return VIRTUAL.get(url) == "native"


@contextmanager
def open_board(url: str, bundle: Bundle) -> Iterator[Device]:
    """The device behind a URL; a virtual one is exported, built and started for this bundle.

    Raises:
        DeviceError: nothing answers there, or the virtual board cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        firmware = None
        if url.startswith("virtual:"):
            if url not in VIRTUAL:
                raise DeviceError(f"no virtual board {url}; there are: {', '.join(VIRTUAL)}")
            firmware = Path(folder) / "firmware"
            export(bundle, firmware, engine=VIRTUAL[url], board="host")
        with open_device(url, firmware) as device:
            yield device
