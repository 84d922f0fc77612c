"""The whole exception tree. Layer: errors; imports nothing.

Bad input or a bad device raises one of these, with one line that names the object and the limit it broke.
A bug is an assertion or a TypeError instead, so that it keeps its traceback.
"""


class EcgEdgeError(Exception):
    """Something outside this program is wrong; the message is one line, fit to print as it is."""


class SignalError(EcgEdgeError):
    """A record, a window or a label file that cannot be used."""


class TrainingError(EcgEdgeError):
    """Training or quantization cannot start, or cannot go on."""


class GraphError(EcgEdgeError):
    """A .tflite that is damaged, or outside what the engines run."""


class UnsupportedOpError(GraphError):
    """The graph holds an op that the engine cannot run."""

    def __init__(self, op: str, index: int, *, supported: tuple[str, ...]) -> None:
        super().__init__(f"op {index} is {op}; supported: {', '.join(supported)}")
        self.op, self.index = op, index


class BundleError(EcgEdgeError):
    """A model bundle that is incomplete, altered or in the way."""


class BudgetError(EcgEdgeError):
    """The model needs more than the board has."""


class DeviceError(EcgEdgeError):
    """A board that refuses, disagrees or has gone."""


class LinkError(DeviceError):
    """The serial line cannot be opened, or broke."""


class LinkReplugged(LinkError):  # noqa: N818 - it is an event as much as an error
    """The serial line broke, and is open again: whoever is there now has to be greeted."""


class DeviceTimeout(LinkError):  # noqa: N818 - named like the standard library's timeouts
    """The board did not answer in time."""


class FrameError(DeviceError):
    """Bytes that are no frame, or a frame that breaks the protocol."""


class GateError(EcgEdgeError):
    """The work is done, and its result misses a limit the user set."""
