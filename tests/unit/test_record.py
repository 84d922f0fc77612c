"""Recordings in and out, and every way in which a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_edge.errors import SignalError
from ecg_edge.signal.record import (
    Annotations,
    Record,
    read_record,
    resample_record,
    write_csv_record,
    write_wfdb,
)
from ecg_edge.signal.resample import resample_marks, to_int16


def tone(fs_hz: int, seconds: float, *, hz: float = 5.0) -> Record:
    """A sine of 1 mV with two beats and a rhythm marked."""
    time_s = np.arange(round(fs_hz * seconds)) / fs_hz
    samples, _ = to_int16(1000 * np.sin(2 * np.pi * hz * time_s))
    marks = Annotations(np.array([0, fs_hz, 2 * fs_hz]), ("+", "N", "V"), ("(AFIB", "", ""))
    return Record("tone", fs_hz, "II", samples, annotations=marks)


def write_header(folder: Path, name: str, *lines: str) -> Path:
    """A WFDB header of these lines."""
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.hea"


def write_raw(folder: Path, name: str, samples: list[int], signal_line: str, *, record_line: str | None = None) -> Path:
    """A WFDB record of one lead in format 16 with the header lines given."""
    np.array(samples, "<i2").tofile(folder / f"{name}.dat")
    return write_header(folder, name, record_line or f"{name} 1 250 {len(samples)}", signal_line)


def test_a_wfdb_record_reads_back_sample_for_sample(tmp_path: Path) -> None:
    record = tone(250, 4)
    header = write_wfdb(tmp_path / "set", [record], comments=["label: Normal"])
    for path in (header, header.with_suffix(""), header.with_suffix(".dat")):
        read = read_record(path)
        assert read.samples_uv.tolist() == record.samples_uv.tolist()
        assert (read.name, read.fs_hz, read.lead, read.clipped.size) == ("tone", 250, "II", 0)
    assert "label: Normal" in header.read_text()


def test_annotations_read_back_as_beats_and_rhythms(tmp_path: Path) -> None:
    read = read_record(write_wfdb(tmp_path, [tone(250, 4)]))
    assert read.annotations is not None
    samples, symbols = read.annotations.beats()
    assert (samples.tolist(), symbols) == ([250, 500], ("N", "V"))
    assert read.annotations.rhythms(1000) == [(0, 1000, "AFIB")]


def test_a_record_without_rhythm_has_none() -> None:
    assert Annotations(np.array([5]), ("N",), ("",)).rhythms(100) == []


def test_a_csv_reads_back_sample_for_sample(tmp_path: Path) -> None:
    record = tone(360, 3)
    write_csv_record(tmp_path / "tone.csv", [record])
    read = read_record(tmp_path / "tone.csv")
    assert read.samples_uv.tolist() == record.samples_uv.tolist()
    assert (read.name, read.fs_hz, read.lead) == ("tone", 360, "II")


def test_resampling_keeps_the_signal_and_moves_its_marks(tmp_path: Path) -> None:
    moved = resample_record(tone(360, 4), 250)
    wanted = tone(250, 4)
    assert moved.samples_uv.size == 1000
    inside = slice(25, -25)  # the filter reaches 20 samples over either end, where the signal is held instead
    error_uv = moved.samples_uv[inside].astype(int) - wanted.samples_uv[inside]
    assert np.abs(error_uv).max() <= 5  # resample_poly's pass band is flat within 0.5 %
    assert moved.annotations is not None
    assert moved.annotations.samples.tolist() == [0, 250, 500]


def test_resampling_an_offset_does_not_bend_its_ends() -> None:
    flat = Record("flat", 360, "II", np.full(720, 5000, np.int16))
    assert np.abs(resample_record(flat, 250).samples_uv.astype(int) - 5000).max() <= 1


def test_what_does_not_fit_saturates_and_is_marked(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "big", [0, 200, -200, 0], "big.dat 16 1(0)/mV 0 0 0 0 0 II")
    read = read_record(path)
    assert read.samples_uv.tolist() == [0, 32767, -32768, 0]
    assert read.clipped.tolist() == [1, 2]


def test_the_ends_of_the_converters_range_are_marked_as_clipped(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "rail", [1024, 2047, 0, 1], "rail.dat 16 200/mV 11 1024 0 0 0 MLII")
    read = read_record(path)
    assert read.clipped.tolist() == [1, 2]
    assert read.samples_uv.tolist() == [0, 5115, -5120, -5115]


def test_a_clipped_sample_stays_marked_at_another_rate(tmp_path: Path) -> None:
    samples = np.zeros(720, np.int16)
    moved = resample_record(Record("r", 360, "II", samples, np.array([360])), 250)
    assert 250 in moved.clipped
    assert 1 <= moved.clipped.size <= 3


@given(
    marked=st.sets(st.integers(0, 199), max_size=8),
    rates=st.tuples(st.integers(100, 1000), st.integers(100, 1000)),
)
def test_every_mark_survives_resampling_near_its_place(marked: set[int], rates: tuple[int, int]) -> None:
    from_hz, to_hz = rates
    marks = np.zeros(200, np.bool_)
    marks[sorted(marked)] = True
    moved = resample_marks(marks, from_hz, to_hz)
    assert moved.size == -(-200 * to_hz // from_hz)
    for index in marked:
        assert moved[min(round(index * to_hz / from_hz), moved.size - 1)]
    assert marked or not moved.any()


def test_raw_units_are_microvolts_by_option(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "1", [-120, 25], "1.dat 16 1716(6)/mV 0 0 -120 0 0 i")
    assert read_record(path, raw_uv=True).samples_uv.tolist() == [-120, 25]
    assert read_record(path).samples_uv.tolist() == [-73, 11]


@pytest.mark.parametrize("gain", ["0", "0(0)/mV", ""])
def test_a_lead_without_a_gain_is_refused_unless_raw(tmp_path: Path, gain: str) -> None:
    line = f"bw.dat 16 {gain} 12 0 -29 0 0 noise1" if gain else "bw.dat 16"
    path = write_raw(tmp_path, "bw", [-29, -32], line)
    with pytest.raises(SignalError, match=r"no gain; raw units"):
        read_record(path)
    assert read_record(path, raw_uv=True).samples_uv.tolist() == [-29, -32]


def test_a_header_that_names_its_record_with_a_suffix_is_read(tmp_path: Path) -> None:
    (tmp_path / "E1.mat").write_bytes(b"\0" * 24 + np.array([7, 8], "<i2").tobytes())
    write_header(tmp_path, "E1", "E1.mat 1 500 2 05-May-2020 09:49:17", "E1.mat 16+24 1000/mV 16 0 7 0 0 II")
    for name in ("E1", "E1.hea", "E1.mat"):
        assert read_record(tmp_path / name).samples_uv.tolist() == [7, 8]


def test_lead_ii_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    first, second = tone(250, 1), tone(250, 1, hz=7)
    leads = [Record("two", 250, "V1", first.samples_uv), Record("two", 250, "II", second.samples_uv)]
    header = write_wfdb(tmp_path, leads)
    assert read_record(header).lead == "II"
    assert read_record(header, lead="v1").samples_uv.tolist() == first.samples_uv.tolist()
    with pytest.raises(SignalError, match="no lead V6; it has: V1, II"):
        read_record(header, lead="V6")


def test_a_record_without_its_signal_file_is_refused(tmp_path: Path) -> None:
    header = write_wfdb(tmp_path, [tone(250, 1)])
    header.with_suffix(".dat").unlink()
    with pytest.raises(SignalError, match=r"tone\.dat is missing"):
        read_record(header)


@pytest.mark.parametrize("size", [0, 1, 301])
def test_a_signal_file_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    header = write_wfdb(tmp_path, [tone(250, 1)])
    data = header.with_suffix(".dat").read_bytes()
    header.with_suffix(".dat").write_bytes(data[:size])
    with pytest.raises(SignalError, match=r"tone: (the signal file is damaged or cut short|no samples)") as error:
        read_record(header)
    assert "\n" not in str(error.value)


def test_missing_samples_are_held_and_marked_where_gaps_are_welcome(tmp_path: Path) -> None:
    values = [-32768, 1, 2, -32768, -32768, 4]
    path = write_raw(tmp_path, "gap", values, "gap.dat 16 1000/mV 0 0 0 0 0 II")
    record = read_record(path, gaps=True)
    assert record.samples_uv.tolist() == [1, 1, 2, 2, 2, 4]
    assert record.missing.tolist() == [0, 3, 4]
    nothing = write_raw(tmp_path, "none", [-32768, -32768], "none.dat 16 1000/mV 0 0 0 0 0 II")
    with pytest.raises(SignalError, match="lead II has 2 missing samples, the first at 0"):
        read_record(nothing, gaps=True)


def test_missing_samples_are_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "gap", [1, 2, -32768, 4], "gap.dat 16 200/mV 0 0 0 0 0 II")
    with pytest.raises(SignalError, match="lead II has 1 missing samples, the first at 2"):
        read_record(path)


def test_a_unit_that_is_no_voltage_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "bp", [1, 2], "bp.dat 16 200/mmHg 0 0 0 0 0 ABP")
    with pytest.raises(SignalError, match="lead ABP is in 'mmHg', not in V, mV or uV"):
        read_record(path)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "%%%\n", "x 1 250 4\n"])
def test_a_damaged_header_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.hea").write_text(text)
    with pytest.raises(SignalError, match=r"x") as error:
        read_record(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_a_rate_that_cannot_show_a_qrs_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "slow", [1, 2], "slow.dat 16 200/mV 0 0 0 0 0 II", record_line="slow 1 10 2")
    with pytest.raises(SignalError, match="slow: 10 Hz; a rate from 100 to 100000 Hz is needed"):
        read_record(path)


def test_a_rate_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "odd", [1, 2], "odd.dat 16 200/mV 0 0 0 0 0 II", record_line="odd 1 257.5 2")
    with pytest.raises(SignalError, match=r"odd: 257\.5 Hz is not a whole number of hertz"):
        read_record(path)


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"none\.hea: No such file"):
        read_record(tmp_path / "none")
    with pytest.raises(SignalError, match=r"none\.csv: No such file"):
        read_record(tmp_path / "none.csv")


def test_a_folder_is_no_record(tmp_path: Path) -> None:
    write_wfdb(tmp_path, [tone(250, 1)])
    with pytest.raises(SignalError, match="is a folder, not a record; it holds 1"):
        read_record(tmp_path)


GOOD_ROWS = [f"{index / 250:.3f},{index}" for index in range(50)]


def csv_with(tmp_path: Path, rows: list[str], header: str = "time_s,II_uv") -> Path:
    """A CSV of these lines."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows] if header else rows) + "\n")
    return path


def replaced(index: int, row: str) -> list[str]:
    """The good rows with one of them replaced."""
    return [*GOOD_ROWS[:index], row, *GOOD_ROWS[index + 1 :]]


@pytest.mark.parametrize(
    ("rows", "header", "complaint"),
    [
        (replaced(9, "0.036,high"), "time_s,II_uv", "line 11: 'high' is not a number"),
        (replaced(9, "0.036,nan"), "time_s,II_uv", "line 11: nan is not a finite number"),
        (replaced(9, "0.036,-inf"), "time_s,II_uv", "line 11: -inf is not a finite number"),
        (replaced(9, "0.036,"), "time_s,II_uv", "line 11: '' is not a number"),
        (replaced(9, "0.036"), "time_s,II_uv", "line 11: 1 columns instead of 2"),
        (replaced(9, ""), "time_s,II_uv", "line 11: 1 columns instead of 2"),
        (replaced(9, "0.036,1,2"), "time_s,II_uv", "line 11: 3 columns instead of 2"),
        (replaced(9, "0.036,x"), "", "line 10: 'x' is not a number"),
        (replaced(9, "0.050,1"), "time_s,II_uv", "line 11: time is not even; 250 Hz fits"),
        (GOOD_ROWS[:9] + GOOD_ROWS[12:], "time_s,II_uv", "is not"),
        (GOOD_ROWS[::-1], "time_s,II_uv", "time does not rise"),
        ([f"{index / 10},1" for index in range(20)], "time_s,II_uv", "10 Hz; a rate from 100 to 100000 Hz"),
        (GOOD_ROWS, "seconds,II_uv", "the first column is 'seconds', not time_s or time_ms"),
        (GOOD_ROWS, "time_s,II", "column 'II' does not say its unit"),
        (["0.000", "0.004"], "time_s", "no lead beside the time column"),
        (GOOD_ROWS[:1], "time_s,II_uv", "1 samples; at least 2"),
        ([], "", "empty"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(tmp_path: Path, rows: list[str], header: str, complaint: str) -> None:
    with pytest.raises(SignalError) as error:
        read_record(csv_with(tmp_path, rows, header))
    assert complaint in str(error.value)
    assert "a.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_csv_of_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(bytes(range(256)))
    with pytest.raises(SignalError, match="not a text file"):
        read_record(tmp_path / "a.csv")


def test_a_csv_may_have_milliseconds_millivolts_a_mark_and_no_header(tmp_path: Path) -> None:
    rows = [f"{index * 4},{index / 1000}" for index in range(50)]
    path = csv_with(tmp_path, rows, "\ufefftime_ms,V1_mV")
    assert read_record(path).samples_uv.tolist() == list(range(50))
    assert read_record(path).lead == "V1"
    assert read_record(csv_with(tmp_path, GOOD_ROWS, "")).samples_uv.tolist() == list(range(50))


def test_a_csv_with_rounded_times_keeps_its_rate(tmp_path: Path) -> None:
    rows = [f"{index / 360:.3f},{index % 100}" for index in range(3600)]
    assert read_record(csv_with(tmp_path, rows)).fs_hz == 360
