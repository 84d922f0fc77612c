"""Open the board that a bench run talks to, and make a virtual one first. Layer: bench; composes recipes and device."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecg_edge.bundle import Bundle
from ecg_edge.device.client import Device
from ecg_edge.device.emulator import VIRTUAL, image_for, open_device
from ecg_edge.recipes.firmware import export


def is_virtual_native(url: str) -> bool:
    """Whether the device is the native engine on this host."""
    return VIRTUAL.get(url) == "native"


@contextmanager
def open_board(url: str, bundle: Bundle) -> Iterator[Device]:
    """The device behind a URL; a virtual or emulated one is exported, built and started for this bundle.

    Raises:
        DeviceError: nothing answers there, or the board cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-edge.") as folder:
        firmware = None
        if (image := image_for(url)) is not None:
            firmware = Path(folder) / "firmware"
            export(bundle, firmware, engine=image.engine, board=image.board)
        with open_device(url, firmware) as device:
            yield device
