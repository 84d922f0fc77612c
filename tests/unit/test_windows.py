"""Windows: cut, stored and read back, and what is refused on the way in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_edge.errors import SignalError
from ecg_edge.signal.record import Record, write_csv_record
from ecg_edge.signal.windows import Windows, cut_windows, labelled_windows, read_label_file, read_windows, write_windows

CLASSES = ("Normal", "Arrhythmia")


def ramp(length: int, fs_hz: int = 250) -> Record:
    """A lead whose sample n is n uV."""
    return Record("ramp", fs_hz, "II", np.arange(length, dtype=np.int16))


def arrays(**changes: Any) -> dict[str, Any]:
    """What a good .npz holds, with changes; None takes an array out."""
    good: dict[str, Any] = {
        "samples_uv": np.arange(20, dtype=np.int16).reshape(2, 10),
        "fs_hz": 250,
        "label": np.array(["Normal", "Arrhythmia"]),
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def test_windows_are_cut_whole_and_hop_apart() -> None:
    windows, starts = cut_windows(ramp(1000), length=400, hop=250, label="Normal")
    assert starts.tolist() == [0, 250, 500]
    assert windows.samples_uv[:, 0].tolist() == [0, 250, 500]
    assert windows.samples_uv.shape == (3, 400)
    assert windows.labels.tolist() == ["Normal"] * 3


def test_a_record_of_one_window_gives_one() -> None:
    windows, _ = cut_windows(ramp(400), length=400, hop=250)
    assert windows.samples_uv.tolist() == [list(range(400))]


def test_a_record_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(SignalError, match="ramp: 399 samples at 250 Hz; a window needs 400"):
        cut_windows(ramp(399), length=400, hop=250)


def test_a_window_is_a_copy_of_its_record() -> None:
    record = ramp(500)
    windows, _ = cut_windows(record, length=400, hop=50)
    windows.samples_uv[:] = 0
    assert record.samples_uv[1] == 1


def test_windows_read_back_as_they_were_written(tmp_path: Path) -> None:
    windows = Windows(np.arange(20, dtype=np.int16).reshape(2, 10), 250, np.array(CLASSES))
    write_windows(tmp_path / "w.npz", windows, extra={"snr_db": np.array([12.0, 6.0])})
    read = read_windows(tmp_path / "w.npz", fs_hz=250, length=10, classes=CLASSES)
    assert read.samples_uv.tolist() == windows.samples_uv.tolist()
    assert read.labels.tolist() == list(CLASSES)
    assert np.load(tmp_path / "w.npz")["snr_db"].tolist() == [12.0, 6.0]


@pytest.mark.parametrize(("rate", "length"), [(500, 2048), (360, 1474), (360, 1475), (100, 409), (100, 410)])
def test_windows_at_another_rate_are_resampled(tmp_path: Path, rate: int, length: int) -> None:
    time_s = np.arange(length) / rate
    sine = np.rint(1000 * np.sin(2 * np.pi * 3 * time_s)).astype(np.int16)
    np.savez(tmp_path / "w.npz", samples_uv=sine[None], fs_hz=rate, label=["Normal"])
    read = read_windows(tmp_path / "w.npz", fs_hz=250, length=1024)
    wanted = 1000 * np.sin(2 * np.pi * 3 * np.arange(1024) / 250)
    assert read.samples_uv.shape == (1, 1024)
    assert np.abs(read.samples_uv[0, 50:-50] - wanted[50:-50]).max() <= 10  # 1 %: the filter's pass band at 100 Hz


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"label": None}, "no array label; it has: samples_uv, fs_hz"),
        ({"samples_uv": np.zeros((2, 10))}, "samples_uv is float64 (2, 10); int16 (n, length) in uV is needed"),
        ({"samples_uv": np.zeros(10, np.int16)}, "samples_uv is int16 (10,)"),
        ({"samples_uv": np.zeros((0, 10), np.int16), "label": np.array([], "U1")}, "samples_uv is int16 (0, 10)"),
        ({"label": np.array(["Normal"])}, "label is <U6 (1,); 2 class names are needed"),
        ({"label": np.array([0, 1])}, "label is int64 (2,); 2 class names are needed"),
        ({"label": np.array(["Normal", None], object)}, "no .npz of plain arrays"),
        ({"label": np.array(["Normal", "Flutter"])}, "label 'Flutter' is no class of the model; it has: Normal"),
        ({"fs_hz": "fast"}, "fs_hz is <U4 (); one number is needed"),
        ({"fs_hz": np.array([250, 250])}, "fs_hz is int64 (2,); one number is needed"),
        ({"fs_hz": 10}, "10 Hz; a rate from 100 to 100000 Hz is needed"),
        ({"fs_hz": float("nan")}, "nan Hz; a rate from 100"),
        ({"fs_hz": 500}, "windows of 10 samples at 500 Hz; the model's need 20"),
        ({"samples_uv": np.zeros((2, 9), np.int16)}, "windows of 9 samples at 250 Hz; the model's need 10"),
        ({"samples_uv": np.zeros((2, 11), np.int16)}, "windows of 11 samples at 250 Hz; the model's need 10"),
    ],
)
def test_wrong_windows_are_refused_in_one_line(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    np.savez(tmp_path / "w.npz", **arrays(**change))
    with pytest.raises(SignalError) as error:
        read_windows(tmp_path / "w.npz", fs_hz=250, length=10, classes=CLASSES)
    assert complaint in str(error.value)
    assert "w.npz" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"time_s,II_uv\n0,1\n", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(data)
    with pytest.raises(SignalError, match=r"w\.npz: no \.npz of plain arrays"):
        read_windows(tmp_path / "w.npz", fs_hz=250, length=10)


def test_a_single_array_is_no_set_of_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(SignalError, match=r"one array; a \.npz"):
        read_windows(tmp_path / "w.npy", fs_hz=250, length=10)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"w\.npz is missing"):
        read_windows(tmp_path / "w.npz", fs_hz=250, length=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two records of 4 s at 250 Hz."""
    for name in ("a", "b"):
        write_csv_record(tmp_path / f"{name}.csv", [Record(name, 250, "II", np.arange(1000, dtype=np.int16))])
    return tmp_path


def labels(folder: Path, text: str) -> Path:
    """A label file."""
    (folder / "labels.txt").write_text(text)
    return folder / "labels.txt"


def test_windows_are_cut_from_labelled_stretches(folder: Path) -> None:
    file = labels(folder, "record,start_s,stop_s,label\na.csv,1,3,Normal\nb.csv,,,Arrhythmia\n")
    windows, sources = labelled_windows(folder, file, fs_hz=250, length=250, hop=250)
    assert windows.labels.tolist() == ["Normal"] * 2 + ["Arrhythmia"] * 4
    assert windows.samples_uv[:, 0].tolist() == [250, 500, 0, 250, 500, 750]
    assert sources.tolist() == ["a.csv"] * 2 + ["b.csv"] * 4


def test_stretches_too_short_for_a_window_are_refused(folder: Path) -> None:
    file = labels(folder, "record,start_s,stop_s,label\na.csv,1,1.5,Normal\n")
    with pytest.raises(SignalError, match="no labelled stretch holds a window of 250 samples at 250 Hz"):
        labelled_windows(folder, file, fs_hz=250, length=250, hop=250)


def test_a_label_for_a_record_that_is_not_there_is_refused(folder: Path) -> None:
    file = labels(folder, "record,label\nc.csv,Normal\n")
    with pytest.raises(SignalError, match=r"c\.csv: No such file"):
        labelled_windows(folder, file, fs_hz=250, length=250, hop=250)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no labels"),
        ("record,label\n", "no labels"),
        ("file,label\na,Normal\n", "columns file, label; record and label are needed"),
        ("record,label\na\n", "line 2: record or label is empty"),
        ("record,label\na,Normal\n,Normal\n", "line 3: record or label is empty"),
        ("record,label,start_s\na,Normal,soon\n", "line 2: start_s or stop_s is not a number"),
        ("record,label,start_s,stop_s\na,Normal,3,2\n", "line 2: from 3 s to 2 s is no stretch of time"),
        ("record,label,start_s\na,Normal,nan\n", "line 2: from nan s to inf s is no stretch of time"),
    ],
)
def test_a_wrong_label_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SignalError) as error:
        read_label_file(labels(tmp_path, text))
    assert complaint in str(error.value)
