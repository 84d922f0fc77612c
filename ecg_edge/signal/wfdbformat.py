"""The bytes of a WFDB record that grows: samples in format 16, annotations, a header of constant length. Layer: signal.

Pure functions; wfdb-python's own writers want a whole record in memory.
Source: WFDB Applications Guide, signal(5), header(5), annot(5), and its table of annotation codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

INVALID = -32768  # format 16's "no sample"
NOISE = 14  # "~", signal quality changes: each bit of the subtype says that one lead is noisy
NOTE = 22  # '"', a comment in words
ANNOTATIONS_END = bytes(2)
UNKNOWN = 13  # a beat that could not be classified
BEATS: dict[str | None, int] = {"N": 1, "S": 9, "V": 5, "F": 6, "Q": UNKNOWN}  # of AAMI classes

_SKIP, _SUB, _AUX = 59, 61, 63
_INTERVAL_BITS = 10
_UV_PER_MV = 1000
_AUX_BYTES = 255


def sample_bytes(samples_uv: NDArray[np.int16]) -> bytes:
    """(n, leads) uV -> format 16, leads interleaved; the lowest value means "no sample" and becomes the one above."""
    return np.maximum(samples_uv, INVALID + 1).astype("<i2").tobytes()


def invalid_bytes(samples: int, leads: int) -> bytes:
    """As many samples that are not there."""
    return np.full(samples * leads, INVALID, "<i2").tobytes()


def annotation_bytes(interval: int, code: int, text: str = "", *, subtype: int = 0) -> bytes:
    """One annotation of an MIT format file.

    Args:
        interval: samples since the annotation before it, 0 to 2^31 - 1.
        code: NOISE, NOTE or one of BEATS.
        text: cut to 255 bytes of ASCII.
        subtype: 0 to 127, of this annotation alone.
    """
    if interval >= 1 << _INTERVAL_BITS:  # the high half first, each half with its low byte first
        data = _pair(_SKIP, 0) + (interval >> 16).to_bytes(2, "little") + (interval & 0xFFFF).to_bytes(2, "little")
        data += _pair(code, 0)
    else:
        data = _pair(code, interval)
    if subtype:
        data += _pair(_SUB, subtype)
    if note := text.encode("ascii", "replace")[:_AUX_BYTES]:
        data += _pair(_AUX, len(note)) + note + bytes(len(note) % 2)
    return data


def time_resolution_bytes(fs_hz: int) -> bytes:
    """What an annotation file begins with, so that it can be read without its header."""
    return annotation_bytes(0, NOTE, f"## time resolution: {fs_hz}")


def header_text(
    name: str,
    fs_hz: int,
    leads: Sequence[str],
    begin: datetime,
    *,
    samples: int,
    first: Sequence[int],
    sums: Sequence[int],
    comments: Sequence[str] = (),
) -> str:
    """The header; for one record it always has the same length, so that it can be written over in place.

    Args:
        name: of the record and, with .dat, of its signal file.
        fs_hz: its rate.
        leads: their names.
        begin: when the first sample was taken.
        samples: how many there are, of each lead.
        first: (leads,) the first value of each.
        sums: (leads,) the sum of each, any integer.
        comments: lines for its end.
    """
    when = begin.strftime("%H:%M:%S.%f")[:-3]
    lines = [f"{name} {len(leads)} {fs_hz} {samples:012d} {when} {begin:%d/%m/%Y}"]
    for lead, value, total in zip(leads, first, sums, strict=True):
        checksum = (total + 0x8000) % 0x10000 - 0x8000
        lines.append(f"{name}.dat 16 {_UV_PER_MV}(0)/mV 16 0 {value:06d} {checksum:06d} 0 {lead}")
    return "\n".join([*lines, *(f"# {comment}" for comment in comments)]) + "\n"


def _pair(code: int, value: int) -> bytes:
    return (code << _INTERVAL_BITS | value).to_bytes(2, "little")
