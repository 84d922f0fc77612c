"""The plainest WFDB records, read with NumPy alone. Layer: signal.

One signal file in format 16 or 212, everything said in the header: MIT-BIH, PTB-XL, and what `ecg-edge run` records.
wfdb-python reads all others; it brings pandas and more, 150 MB and two seconds of import that a small machine lacks.
Source: WFDB Applications Guide, header(5) and signal(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RECORD = re.compile(r"(?P<name>[-\w]+) +(?P<signals>\d+) +(?P<fs>[\d.]+)(?:/\S+)? +(?P<samples>\d+)(?: .*)?")
_SIGNAL = re.compile(
    r"(?P<file>[-\w.]+) +(?P<format>16|212) +(?P<gain>\d+(?:\.\d+)?)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))? +"
    r"(?P<bits>\d+) +(?P<zero>-?\d+) +-?\d+ +-?\d+ +0 +(?P<lead>\S.*)"
)


@dataclass(frozen=True, slots=True)
class RawLead:
    """One lead as the converter gave it, and what its numbers mean."""

    lead: str
    fs_hz: float
    digital: NDArray[np.int64]  # (n,)
    format: str  # of the signal file
    gain: float  # digital units a physical one
    baseline: float  # digital, of physical zero
    unit: str
    bits: int  # of the converter; 0: not known
    zero: int  # digital, in the middle of the converter's range


def read_plain(base: Path, choose: Callable[[list[str]], int]) -> RawLead | None:
    """One lead of a record, if it is a plain one.

    Args:
        base: path of the record, without suffix.
        choose: names of all leads -> index of the one to read.

    Returns:
        None where anything is not as plain as this reader wants it, or not there: that is for others to judge.
    """
    try:
        lines = base.with_name(f"{base.name}.hea").read_text(encoding="ascii").splitlines()
        record, *leads = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        head, found = _RECORD.fullmatch(record), [_SIGNAL.fullmatch(lead) for lead in leads]
        described = [lead for lead in found if lead is not None]
        if head is None or len(described) != len(found) or len(found) != int(head["signals"]):
            return None
        files = {(lead["file"], lead["format"]) for lead in described}
        if len(files) != 1 or head["name"] != base.name:
            return None
        ((file, form),) = files
        stored = np.fromfile(base.with_name(file), np.uint8)
    except (OSError, ValueError):
        return None
    index = choose([lead["lead"] for lead in described])
    values = int(head["samples"]) * len(found)
    digital = (_format_16 if form == "16" else _format_212)(stored, values)
    chosen = described[index]
    gain, zero = float(chosen["gain"]), int(chosen["zero"])
    if digital is None or not values or not gain:
        return None
    return RawLead(
        chosen["lead"],
        float(head["fs"]),
        digital[index :: len(found)],
        form,
        gain,
        float(chosen["baseline"] or zero),
        chosen["unit"] or "mV",
        int(chosen["bits"]),
        zero,
    )


def _format_16(stored: NDArray[np.uint8], values: int) -> NDArray[np.int64] | None:
    """Two bytes a value, the low one first."""
    return stored[: 2 * values].view("<i2").astype(np.int64) if len(stored) >= 2 * values else None


def _format_212(stored: NDArray[np.uint8], values: int) -> NDArray[np.int64] | None:
    """Two values in three bytes: the low bytes of both, and between them their high nibbles, the second's first."""
    if len(stored) < (3 * values + 1) // 2:
        return None
    whole = 3 * -(-values // 2)
    first, middle, second = np.append(stored[:whole], np.uint8(0))[:whole].reshape(-1, 3).astype(np.int64).T
    both = np.stack([first | (middle & 0x0F) << 8, second | (middle & 0xF0) << 4], axis=1).reshape(-1)
    return np.where(both > 0x7FF, both - 0x1000, both)[:values]
