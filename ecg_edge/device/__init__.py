"""A board at the other end of a serial URL. Layer: device; imports errors, bundle."""

from ecg_edge.device.client import Device, engine_name
from ecg_edge.device.exchange import Answer
from ecg_edge.device.faults import Faults, FaultyLink, LimitedLink
from ecg_edge.device.frame import Frame, FrameReader, FrameType, SampleFlag, encode_frame
from ecg_edge.device.link import FakeLink, Link, SerialLink, VirtualClock
from ecg_edge.device.messages import Hello, SelfTest, Stats
from ecg_edge.device.pace import Patience
from ecg_edge.device.session import Counters

__all__ = [
    "Answer",
    "Counters",
    "Device",
    "FakeLink",
    "Faults",
    "FaultyLink",
    "Frame",
    "FrameReader",
    "FrameType",
    "Hello",
    "LimitedLink",
    "Link",
    "Patience",
    "SampleFlag",
    "SelfTest",
    "SerialLink",
    "Stats",
    "VirtualClock",
    "encode_frame",
    "engine_name",
]
