"""From ECG to a wearable, with proof.

The public names are loaded when first used: importing this package alone costs nothing,
which keeps `ecg-edge --help` fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ecg_edge.bundle import Bundle, Manifest, save_bundle
    from ecg_edge.errors import EcgEdgeError
    from ecg_edge.signal.record import Record, read_record

_HOMES = {
    "Bundle": "bundle",
    "EcgEdgeError": "errors",
    "Manifest": "bundle",
    "Record": "signal.record",
    "read_record": "signal.record",
    "save_bundle": "bundle",
}

__all__ = ["Bundle", "EcgEdgeError", "Manifest", "Record", "__version__", "read_record", "save_bundle"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
