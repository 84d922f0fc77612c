"""Recordings: read, resample, write. Layer: signal; imports errors and files; the one door to wfdb.

Everything that comes out of here is int16 uV at a known rate; whatever cannot be that is refused in one line.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.csvfile import read_csv, write_csv
from ecg_edge.signal.recordset import find_records
from ecg_edge.signal.resample import check_rate, resample, resample_marks, to_int16
from ecg_edge.signal.wfdbplain import RawLead, read_plain

# WFDB codes of annotations that stand on a beat. Source: WFDB Applications Guide, appendix "Annotation codes".
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
_RHYTHM_SYMBOL = "+"
# Bits of a signal file's values: their lowest stands for no sample, in each format but that of differences.
_BITS = {"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "16": 16, "61": 16, "160": 16, "516": 16}
_BITS |= {"24": 24, "524": 24, "32": 32}
_UV_PER_UNIT = {"v": 1e6, "mv": 1e3, "uv": 1.0, "µv": 1.0}
_PREFERRED_LEADS = ("mlii", "ii")
_WFDB_SUFFIXES = (".hea", ".dat", ".mat", ".atr")


@dataclass(frozen=True, slots=True)
class Annotations:
    """What somebody marked in a recording, in the order of time."""

    samples: NDArray[np.int64]  # (k,) index of the sample
    symbols: tuple[str, ...]  # (k,) WFDB codes
    notes: tuple[str, ...]  # (k,) free text: of a rhythm change, the rhythm

    def beats(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Sample index and symbol of each beat."""
        kept = [k for k, symbol in enumerate(self.symbols) if symbol in BEAT_SYMBOLS]
        return self.samples[kept], tuple(self.symbols[k] for k in kept)

    def rhythms(self, length: int) -> list[tuple[int, int, str]]:
        """(start, stop, name) of each stretch of rhythm in a recording of `length` samples, as in (0, 750, "AFIB")."""
        changes = [
            (int(self.samples[k]), self.notes[k].lstrip("("))
            for k, symbol in enumerate(self.symbols)
            if symbol == _RHYTHM_SYMBOL and self.notes[k].startswith("(")
        ]
        stops = [*(start for start, _ in changes), length][1:]
        return [(start, stop, name) for (start, name), stop in zip(changes, stops, strict=True)]


def _no_index() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Record:
    """One lead of one recording."""

    name: str
    fs_hz: int
    lead: str
    samples_uv: NDArray[np.int16]  # (n,)
    clipped: NDArray[np.int64] = field(default_factory=_no_index)  # (k,) indices where the value did not fit
    missing: NDArray[np.int64] = field(default_factory=_no_index)  # (k,) indices where there is none: the last is held
    annotations: Annotations | None = None


def read_record(
    path: str | Path,
    *,
    lead: str | None = None,
    fs_hz: int | None = None,
    raw_uv: bool = False,
    annotator: str | None = "atr",
    gaps: bool = False,
) -> Record:
    """Read one lead of a WFDB record or a CSV file.

    Args:
        path: the record's .hea (suffix may be left out) or the .csv.
        lead: its name, in any case, or several with commas, of which the first that is there is taken; without it MLII
            or II, and else the first.
        fs_hz: resample to this rate; None keeps the record's.
        raw_uv: take 1 LSB as 1 uV and ignore the header's gains, where they are wrong (LUDB) or missing (NSTDB).
        annotator: suffix of the WFDB annotation file, read where it is there; None: not wanted.
        gaps: take a WFDB record whose values are missing here and there; else it is refused.

    Returns:
        the lead; annotations are moved to the new rate with it.

    Raises:
        SignalError: a file is missing or damaged, a value is missing, or the lead, gain or rate cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        raise SignalError(f"{path} is a folder, not a record; it holds {len(find_records(path))}")
    if path.suffix.lower() == ".csv":
        record = _read_csv_lead(path, lead)
    else:
        record = _read_wfdb_lead(path, lead, raw_uv=raw_uv, annotator=annotator, gaps=gaps)
    return record if fs_hz is None else resample_record(record, fs_hz)


def resample_record(record: Record, fs_hz: int) -> Record:
    """The same lead at another rate, with its marks moved along; what overshoots int16 is marked as clipped."""
    check_rate(fs_hz, record.name)
    if fs_hz == record.fs_hz:
        return record
    samples, overshoot = to_int16(resample(record.samples_uv, record.fs_hz, fs_hz))
    marks = np.zeros(record.samples_uv.size, np.bool_)
    marks[record.clipped] = True
    clipped = np.flatnonzero(overshoot | resample_marks(marks, record.fs_hz, fs_hz))
    marks[:] = False
    marks[record.missing] = True
    missing = np.flatnonzero(resample_marks(marks, record.fs_hz, fs_hz))
    annotations = _moved(record, fs_hz, samples.size)
    return Record(record.name, fs_hz, record.lead, samples, clipped, missing, annotations)


def write_wfdb(folder: Path, leads: Sequence[Record], *, comments: Sequence[str] = ()) -> Path:
    """Write the leads of one recording as a WFDB record, 1 LSB = 1 uV, with the first lead's annotations.

    int16's lowest value means "no sample" in WFDB, so it is written as the one above.

    Args:
        folder: where to; it is made.
        leads: the same name, rate and length.
        comments: lines for the end of the header.

    Returns:
        the path of the header, which is written last.
    """
    import wfdb

    name, fs_hz, annotations = leads[0].name, leads[0].fs_hz, leads[0].annotations
    samples = np.stack([np.maximum(lead.samples_uv, -32767) for lead in leads], axis=1).astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wfdb.", dir=folder) as temporary:
        wfdb.wrsamp(
            name,
            fs=fs_hz,
            units=["uV"] * len(leads),
            sig_name=[lead.lead for lead in leads],
            d_signal=samples,
            fmt=["16"] * len(leads),
            adc_gain=[1.0] * len(leads),
            baseline=[0] * len(leads),
            comments=list(comments),
            write_dir=temporary,
        )
        if annotations is not None and annotations.samples.size:
            wfdb.wrann(
                name,
                "atr",
                annotations.samples,
                symbol=list(annotations.symbols),
                aux_note=list(annotations.notes),
                write_dir=temporary,
            )
        for suffix in (".dat", ".atr", ".hea"):
            if (file := Path(temporary) / f"{name}{suffix}").exists():
                file.replace(folder / file.name)
    return folder / f"{name}.hea"


def write_csv_record(path: Path, leads: Sequence[Record]) -> None:
    """Write the leads of one recording as CSV: time_s and one <lead>_uv column each."""
    write_csv(path, leads[0].fs_hz, {lead.lead: lead.samples_uv for lead in leads})


def _read_csv_lead(path: Path, lead: str | None) -> Record:
    try:
        fs_hz, columns = read_csv(path)
    except OSError as error:
        raise SignalError(f"{path}: {error.strerror}") from error
    index = _lead_index(str(path), list(columns), lead)
    name, uv = list(columns.items())[index]
    samples, clipped = to_int16(uv)
    return Record(path.stem, fs_hz, name, samples, np.flatnonzero(clipped))


def _read_wfdb_lead(path: Path, lead: str | None, *, raw_uv: bool, annotator: str | None, gaps: bool) -> Record:
    base = path.with_suffix("") if path.suffix.lower() in _WFDB_SUFFIXES else path

    def choose(names: list[str]) -> int:
        return _lead_index(str(base), names, lead)

    raw = read_plain(base, choose) or _read_by_wfdb(base, choose, raw_uv=raw_uv)
    fs_hz = check_rate(raw.fs_hz, str(base))
    missing = _missing(raw)
    if missing.size and not (gaps and missing.size < raw.digital.size):
        raise SignalError(f"{base}: lead {raw.lead} has {missing.size} missing samples, the first at {missing[0]}")
    raw = replace(raw, digital=_held(raw.digital, missing))
    uv = raw.digital.astype(np.float64) if raw_uv else _to_uv(base, raw)
    samples, saturated = to_int16(uv)
    annotations = None if annotator is None else _read_annotations(base, annotator, fs_hz)
    clipped = np.flatnonzero(saturated | _at_rail(raw))
    return Record(base.name, fs_hz, raw.lead, samples, clipped, missing, annotations)


def _read_by_wfdb(base: Path, choose: Callable[[list[str]], int], *, raw_uv: bool) -> RawLead:
    with _readable_header(base) as readable:
        header = _wfdb("rdheader", base, str(readable), rd_segments=True)
        index = choose(header.sig_name or [])
        lead = header.sig_name[index]
        parts = _segments_with(lead, header, readable) if hasattr(header, "segments") else [(readable, header, index)]
        fs_hz = header.fs * _samples_a_frame(base, lead, parts)
        check_rate(fs_hz, str(base))
        # Without smoothing: a lead that is faster than the record's frames would be averaged down to their rate.
        raw = _wfdb("rdrecord", base, str(readable), channels=[index], physical=False, smooth_frames=False)
        if not raw.e_d_signal or not len(raw.e_d_signal[0]):
            raise SignalError(f"{base}: no samples")
        uncalibrated = not raw_uv and any(_gains(path)[k : k + 1] == [0.0] for path, _, k in parts)
    if uncalibrated:
        raise SignalError(f"{base}: the header gives lead {lead} no gain; raw units are the way to read it")
    return RawLead(
        lead,
        fs_hz,
        np.asarray(raw.e_d_signal[0], np.int64),
        raw.fmt[0],
        float(raw.adc_gain[0]),
        float(raw.baseline[0]),
        raw.units[0],
        (raw.adc_res or [0])[0] or 0,
        (raw.adc_zero or [0])[0] or 0,
    )


def _segments_with(lead: str, header: Any, readable: Path) -> list[tuple[Path, Any, int]]:
    """(path, header, index of the lead) of each segment of a record that has the lead; the others are a gap in it."""
    found = [one for one in header.segments if one is not None and one.sig_len and lead in (one.sig_name or [])]
    return [(readable.with_name(one.record_name), one, one.sig_name.index(lead)) for one in found]


def _samples_a_frame(base: Path, lead: str, parts: list[tuple[Path, Any, int]]) -> int:
    """Samples of a lead in each frame of its record: 1, but where leads have different rates.

    Raises:
        SignalError: no segment has the lead, or they do not have it alike, which wfdb would not tell.
    """
    kinds = {(h.adc_gain[k], h.baseline[k], h.units[k], h.fmt[k], h.samps_per_frame[k] or 1) for _, h, k in parts}
    if len(kinds) != 1:
        how = "with different gains, units or formats, which cannot be one signal" if kinds else "nowhere"
        raise SignalError(f"{base}: its segments have lead {lead} {how}")
    return int(kinds.pop()[-1])


def _to_uv(base: Path, raw: RawLead) -> NDArray[np.float64]:
    if raw.unit.lower() not in _UV_PER_UNIT:
        raise SignalError(f"{base}: lead {raw.lead} is in {raw.unit!r}, not in V, mV or uV")
    return (raw.digital - raw.baseline) * (_UV_PER_UNIT[raw.unit.lower()] / raw.gain)


def _missing(raw: RawLead) -> NDArray[np.int64]:
    """Where there is no sample. Source: the WFDB library's getskewedframe()."""
    return np.flatnonzero(raw.digital == -(1 << (_BITS[raw.format] - 1))) if raw.format in _BITS else _no_index()


def _held(digital: NDArray[np.int64], missing: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each missing value as the last one there was; before the first one, as that."""
    if not missing.size:
        return digital
    there = np.setdiff1d(np.arange(digital.size), missing)
    last = np.searchsorted(there, np.arange(digital.size), side="right") - 1
    return np.asarray(digital[there[np.maximum(last, 0)]], np.int64)


def _at_rail(raw: RawLead) -> NDArray[np.bool_]:
    """Samples at either end of the converter's range, where the header tells its resolution."""
    if raw.bits == 0:
        return np.zeros(raw.digital.size, np.bool_)
    half = 1 << (raw.bits - 1)
    return np.asarray((raw.digital <= raw.zero - half) | (raw.digital >= raw.zero + half - 1))


def _read_annotations(base: Path, annotator: str, fs_hz: int) -> Annotations | None:
    """At the lead's rate: an annotation file counts in frames of the record, or in a time of its own."""
    if not base.with_name(f"{base.name}.{annotator}").is_file():
        return None
    read = _wfdb("rdann", base, str(base), annotator)
    notes = tuple(note.rstrip("\x00").strip() for note in read.aux_note)
    samples = np.asarray(read.sample, np.int64)
    if read.fs and read.fs != fs_hz:
        samples = np.rint(samples * (fs_hz / read.fs)).astype(np.int64)
    return Annotations(samples, tuple(read.symbol), notes)


def _moved(record: Record, fs_hz: int, length: int) -> Annotations | None:
    if record.annotations is None:
        return None
    moved = np.rint(record.annotations.samples * (fs_hz / record.fs_hz)).astype(np.int64)
    return Annotations(np.clip(moved, 0, length - 1), record.annotations.symbols, record.annotations.notes)


def _lead_index(what: str, names: list[str], lead: str | None) -> int:
    """Position of the wanted lead among a record's: the first of several that is there."""
    if not names:
        raise SignalError(f"{what}: no leads")
    lower = [str(name).lower() for name in names]
    for wanted in (*_PREFERRED_LEADS, lower[0]) if lead is None else (lead.lower(), *lead.lower().split(",")):
        if wanted.strip() in lower:
            return lower.index(wanted.strip())
    raise SignalError(f"{what}: no lead {lead}; it has: {', '.join(names)}")


def _wfdb(function: str, base: Path, *args: Any, **kwargs: Any) -> Any:
    """Call wfdb, whose parsers raise whatever they stumble on when a file is damaged."""
    try:
        import wfdb
    except ModuleNotFoundError as error:
        if function == "rdann":
            raise
        raise SignalError(
            f"{base}: no plain record of format 16 or 212, or damaged; wfdb knows more: pip install 'ecg-edge[data]'"
        ) from error
    try:
        return getattr(wfdb, function)(*args, **kwargs)
    except FileNotFoundError as error:
        raise SignalError(f"{base}: {Path(str(error.filename)).name} is missing") from error
    except OSError as error:
        raise SignalError(f"{base}: {error.strerror or error}") from error
    except Exception as error:
        what = {"rdheader": "header", "rdrecord": "signal file", "rdann": "annotation file"}[function]
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SignalError(f"{base}: the {what} is damaged or cut short ({reason})") from error


@contextmanager
def _readable_header(base: Path) -> Iterator[Path]:
    """A base path whose header wfdb can read: some headers name their record X.mat, which WFDB forbids."""
    header = base.with_name(f"{base.name}.hea")
    try:
        lines = header.read_text(encoding="latin-1").splitlines(keepends=True)
    except OSError as error:
        raise SignalError(f"{base}: {header.name}: {error.strerror}") from error
    first = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise SignalError(f"{header}: empty header")
    fixed = re.sub(r"^([-\w]+)\.mat(?=[\s/])", r"\1", lines[first])
    if fixed == lines[first]:
        yield base
        return
    with tempfile.TemporaryDirectory(prefix="ecg-edge-") as temporary:
        lines[first] = fixed
        copy = Path(temporary) / header.name
        copy.write_text("".join(lines), encoding="latin-1")
        for line in lines[first + 1 :]:
            file = line.split(maxsplit=1)[0] if line.strip() and not line.startswith("#") else ""
            if file and not (copy.parent / file).exists() and (base.parent / file).exists():
                (copy.parent / file).symlink_to((base.parent / file).resolve())
        yield copy.with_suffix("")


def _gains(base: Path) -> list[float]:
    """Each signal line's ADC units per unit as written: wfdb-python quietly takes 200 where it is 0 or missing."""
    lines = base.with_name(f"{base.name}.hea").read_text(encoding="latin-1").splitlines()
    signal_lines = [line.split() for line in lines if line.strip() and not line.startswith("#")][1:]
    gains = []
    for fields in signal_lines:
        number = re.match(r"[\d.]+(?:e[+-]?\d+)?", fields[2]) if len(fields) > 2 else None
        gains.append(float(number.group()) if number else 0.0)
    return gains
