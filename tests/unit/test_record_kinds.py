"""WFDB records of the rarer kinds: several segments, several rates, every format, lead by name, marks with own time."""

from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_edge.errors import SignalError
from ecg_edge.signal.record import Annotations, Record, read_record, resample_record
from ecg_edge.signal.resample import to_int16

RAMP = np.arange(250, dtype=np.int64) % 100


def write(folder: Path, name: str, samples: NDArray[np.int64], lead: str = "II", **options: object) -> None:
    """A record of one lead, 1 uV an LSB unless told otherwise."""
    settings = {"fs": 250, "units": ["uV"], "fmt": ["16"], "adc_gain": [1.0], "baseline": [0], **options}
    wfdb.wrsamp(name, sig_name=[lead], d_signal=samples[:, None], write_dir=str(folder), **settings)


def write_header(folder: Path, name: str, *lines: str) -> Path:
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / name


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    """Two stretches of lead II, and the marks of both together."""
    write(tmp_path, "m_1", RAMP)
    write(tmp_path, "m_2", RAMP + 1000)
    wfdb.wrann("m", "atr", np.array([10, 300]), symbol=["N", "V"], fs=250, write_dir=str(tmp_path))
    return tmp_path


def test_segments_are_read_as_one_recording_with_its_marks(segments: Path) -> None:
    record = read_record(write_header(segments, "m", "m/2 1 250 500", "m_1 250", "m_2 250"))
    assert record.samples_uv.tolist() == [*RAMP.tolist(), *(RAMP + 1000).tolist()]
    assert (record.fs_hz, record.lead) == (250, "II")
    assert record.annotations is not None
    assert record.annotations.samples.tolist() == [10, 300]


def test_a_stretch_without_the_lead_is_a_gap(segments: Path) -> None:
    write(segments, "m_3", RAMP, lead="V1")
    layout = ("m_layout 2 250 0", "~ 0 1/uV 16 0 0 0 0 II", "~ 0 1/uV 16 0 0 0 0 V1")
    write_header(segments, "m_layout", *layout)
    path = write_header(segments, "m", "m/5 2 250 850", "m_layout 0", "m_1 250", "~ 100", "m_3 250", "m_2 250")
    record = read_record(path, gaps=True)
    assert record.missing.tolist() == list(range(250, 600))
    assert record.samples_uv[249:601].tolist() == [49] * 351 + [1000]
    with pytest.raises(SignalError, match="lead II has 350 missing samples, the first at 250"):
        read_record(path)
    assert read_record(path, lead="V1", gaps=True).samples_uv[350:600].tolist() == RAMP.tolist()
    write_header(segments, "n_layout", "n_layout 1 250 0", "~ 0 1/uV 16 0 0 0 0 V6")
    with pytest.raises(SignalError, match="its segments have lead V6 nowhere"):
        read_record(write_header(segments, "n", "n/2 1 250 250", "n_layout 0", "m_1 250"))


def test_segments_that_differ_in_gain_are_refused(segments: Path) -> None:
    write(segments, "m_2", RAMP, adc_gain=[2.0])
    with pytest.raises(SignalError, match="its segments have lead II with different gains, units or formats") as error:
        read_record(write_header(segments, "m", "m/2 1 250 500", "m_1 250", "m_2 250"))
    assert "\n" not in str(error.value)


def test_a_segment_that_is_not_there_is_named(segments: Path) -> None:
    with pytest.raises(SignalError, match=r"m_9\.hea is missing"):
        read_record(write_header(segments, "m", "m/2 1 250 500", "m_1 250", "m_9 250"))


def test_a_segment_without_a_gain_is_refused_unless_raw(segments: Path) -> None:
    write_header(segments, "m_2", "m_2 1 250 250", "m_2.dat 16 0 16 0 0 0 0 II")
    write_header(segments, "m_1", "m_1 1 250 250", "m_1.dat 16 0 16 0 0 0 0 II")
    path = write_header(segments, "m", "m/2 1 250 500", "m_1 250", "m_2 250")
    with pytest.raises(SignalError, match="the header gives lead II no gain"):
        read_record(path)
    assert read_record(path, raw_uv=True).samples_uv[-1] == 1049


def test_a_lead_faster_than_the_records_frames_keeps_its_rate(tmp_path: Path) -> None:
    ecg, pressure = np.arange(1000) % 77, np.arange(250) % 33
    wfdb.wrsamp(
        "mf",
        fs=125,
        units=["uV", "mmHg"],
        sig_name=["II", "ABP"],
        e_d_signal=[ecg, pressure],
        samps_per_frame=[4, 1],
        fmt=["16", "16"],
        adc_gain=[1.0, 10.0],
        baseline=[0, 0],
        write_dir=str(tmp_path),
    )
    wfdb.wrann("mf", "atr", np.array([10, 200]), symbol=["N", "V"], fs=125, write_dir=str(tmp_path))
    record = read_record(tmp_path / "mf")
    assert (record.fs_hz, record.samples_uv.tolist()) == (500, ecg.tolist())
    assert record.annotations is not None
    assert record.annotations.samples.tolist() == [40, 800]  # they count frames


def test_marks_with_a_time_of_their_own_are_moved_to_the_records(tmp_path: Path) -> None:
    write(tmp_path, "own", RAMP)
    wfdb.wrann("own", "atr", np.array([20, 100, 1000]), symbol=["N", "V", "N"], fs=1000, write_dir=str(tmp_path))
    marks = read_record(tmp_path / "own").annotations
    assert marks is not None
    assert marks.samples.tolist() == [5, 25, 250]


@pytest.mark.parametrize(("fmt", "bits"), [("80", 8), ("16", 16), ("24", 24), ("32", 32)])
def test_formats_of_every_width_are_read_with_their_gaps(tmp_path: Path, fmt: str, bits: int) -> None:
    high = min(2 ** (bits - 1) - 1, 32_000)
    samples = np.array([0, 1, -1, high, -high, -(2 ** (bits - 1)), 7], np.int64)
    write(tmp_path, "f", samples, fmt=[fmt])
    record = read_record(tmp_path / "f", gaps=True)
    assert record.samples_uv.tolist() == [0, 1, -1, high, -high, -high, 7]
    assert record.missing.tolist() == [5]


def packed_310(values: list[int]) -> bytes:
    """Three ten-bit values in two words of 16 bits: signal(5) of the WFDB Applications Guide."""
    x, y, z = (value & 0x3FF for value in values)
    return np.array([x << 1 | (z & 0x1F) << 11, y << 1 | (z >> 5) << 11], "<u2").tobytes()


def packed_311(values: list[int]) -> bytes:
    """Three ten-bit values in one word of 32 bits, the first lowest."""
    x, y, z = (value & 0x3FF for value in values)
    return np.array([x | y << 10 | z << 20], "<u4").tobytes()


@pytest.mark.parametrize(
    ("fmt", "data"),
    [
        ("8", np.array([5, -12, 107], np.int8).tobytes()),  # differences, the first from the header's first value
        ("160", (np.array([5, -7, 100]) + 32768).astype("<u2").tobytes()),
        ("310", packed_310([5, -7, 100])),
        ("311", packed_311([5, -7, 100])),
    ],
)
def test_old_formats_are_read(tmp_path: Path, fmt: str, data: bytes) -> None:
    (tmp_path / "f.dat").write_bytes(data)
    path = write_header(tmp_path, "f", "f 1 250 3", f"f.dat {fmt} 1/uV 16 0 0 0 0 II")
    assert read_record(path).samples_uv.tolist() == [5, -7, 100]


def test_a_format_that_nobody_knows_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "f.dat").write_bytes(bytes(60))
    path = write_header(tmp_path, "f", "f 1 250 3", "f.dat 99 1/uV 16 0 0 0 0 II")
    with pytest.raises(SignalError, match=r"/f: ") as error:
        read_record(path)
    assert "\n" not in str(error.value)


def test_a_header_without_signals_has_no_lead(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="none: no leads"):
        read_record(write_header(tmp_path, "none", "none 0 250 9205760"))


def test_several_leads_may_be_named_and_the_first_there_is_taken(tmp_path: Path) -> None:
    for name, lead in (("a", "V5"), ("b", "MLII")):
        write(tmp_path, name, RAMP, lead=lead)
        assert read_record(tmp_path / name, lead="mlii, V5").lead == lead
    with pytest.raises(SignalError, match="no lead MLII,II; it has: V5"):
        read_record(tmp_path / "a", lead="MLII,II")
    assert read_record(tmp_path / "a").lead == "V5"  # no MLII and no II: the first


@pytest.mark.parametrize("fs_hz", [128, 257, 360, 500, 1000])
def test_recordings_of_every_set_come_to_250_hz_with_their_marks(fs_hz: int) -> None:
    """128: svdb, 257: incartdb, 360: mitdb, 500: LUDB and PTB-XL, 1000: ptbdb."""
    beats = np.array([fs_hz, 2 * fs_hz + 1, 5 * fs_hz])
    time_s = np.arange(6 * fs_hz) / fs_hz
    peaks = sum(1000 * np.exp(-0.5 * ((time_s - at / fs_hz) / 0.03) ** 2) for at in beats)
    samples, _ = to_int16(np.asarray(peaks))
    record = Record("r", fs_hz, "II", samples, annotations=Annotations(beats, ("N", "V", "N"), ("", "", "")))
    moved = resample_record(record, 250)
    assert moved.annotations is not None
    assert (moved.fs_hz, moved.samples_uv.size) == (250, 1500)
    assert np.abs(moved.annotations.samples / 250 - beats / fs_hz).max() <= 0.5 / 250
    for at in moved.annotations.samples.tolist():
        around = moved.samples_uv[at - 10 : at + 11].astype(int)
        assert around.max() == pytest.approx(1000, abs=25)  # between two samples a peak is a little lower
        assert abs(int(around.argmax()) - 10) <= 1
