"""From ECG to a wearable, with proof.

The public names are loaded when first used: importing this package alone costs nothing,
which keeps `ecg-edge --help` fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ecg_edge.bundle import Bundle, Manifest, save_bundle
    from ecg_edge.codegen.project import export
    from ecg_edge.device.client import Device
    from ecg_edge.device.emulator import open_device
    from ecg_edge.errors import EcgEdgeError
    from ecg_edge.graph.interpret import run
    from ecg_edge.graph.tflite import read_graph
    from ecg_edge.signal.prepare import Prepare, prepare
    from ecg_edge.signal.record import Record, read_record

# Public name -> the module it lives in.
_HOMES = {
    "Bundle": "bundle",
    "Device": "device.client",
    "EcgEdgeError": "errors",
    "Manifest": "bundle",
    "Prepare": "signal.prepare",
    "Record": "signal.record",
    "export": "codegen.project",
    "open_device": "device.emulator",
    "prepare": "signal.prepare",
    "read_graph": "graph.tflite",
    "read_record": "signal.record",
    "run": "graph.interpret",
    "save_bundle": "bundle",
}

__all__ = [
    "Bundle",
    "Device",
    "EcgEdgeError",
    "Manifest",
    "Prepare",
    "Record",
    "__version__",
    "export",
    "open_device",
    "prepare",
    "read_graph",
    "read_record",
    "run",
    "save_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
