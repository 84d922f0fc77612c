"""Which files of a folder are recordings."""

import os
from pathlib import Path

import pytest
from board_rungs import missing

from ecg_edge.errors import SignalError
from ecg_edge.signal.recordset import find_records, segments_of

DATA = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data"))


def touch(folder: Path, *names: str, text: str = "") -> None:
    """Files of this text, with their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_records(folder)]


def test_an_empty_folder_holds_no_record(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"holds no record: no \.hea, and no \.csv whose first column is time_s"):
        find_records(tmp_path)
    with pytest.raises(SignalError, match="is not a folder"):
        find_records(tmp_path / "none")


def test_records_are_found_in_every_folder_below_in_order_of_name(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.hea", "b/10.HEA", "a.hea", "a.dat", "b/c/d.hea")
    touch(tmp_path, "b/x.csv", text="time_s,II_uv\n0,1\n")
    touch(tmp_path, "b/y.csv", text="0.000,12\n0.004,15\n")
    assert found(tmp_path) == ["a.hea", "b/10.HEA", "b/2.hea", "b/c/d.hea", "b/x.csv", "b/y.csv"]


def test_a_table_about_records_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "1.hea")
    touch(tmp_path, "labels.csv", text="record,label\n1,Normal\n")
    touch(tmp_path, "empty.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert found(tmp_path) == ["1.hea"]


def test_the_list_of_a_set_decides_what_belongs_to_it_and_in_which_order(tmp_path: Path) -> None:
    touch(tmp_path, "101.hea", "100.hea", "x_mitdb/x_108.hea", "stray.hea")
    touch(tmp_path, "RECORDS", text="101\n100\n100\n\n102\n")
    assert found(tmp_path) == ["101.hea", "100.hea"]


def test_a_list_may_name_folders_and_paths(tmp_path: Path) -> None:
    touch(tmp_path, "g1/1.hea", "g1/2.hea", "g2/3.hea", "g3/4.hea", "g4/5.hea")
    touch(tmp_path, "RECORDS", text="g1/\ng2/\ng3/4\nnone/\n")
    touch(tmp_path, "g1/RECORDS", text="2\n")
    assert found(tmp_path) == ["g1/2.hea", "g2/3.hea", "g3/4.hea"]


def test_a_list_of_records_that_are_elsewhere_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "stray.hea")
    touch(tmp_path, "RECORDS", text="100\n101\n")
    with pytest.raises(SignalError, match="holds none of the records that its file RECORDS lists"):
        find_records(tmp_path)


def test_segments_of_a_record_are_no_records_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "m_layout.hea", "m_1.hea", "m_2.hea", "other.hea")
    touch(tmp_path, "m.hea", text="# a comment\nm/4 2 360 900\nm_layout 0\nm_1 400\n~ 100\nm_2 400\n")
    assert segments_of(tmp_path / "m.hea") == ["m_layout", "m_1", "m_2"]
    assert found(tmp_path) == ["m.hea", "other.hea"]


def test_hidden_folders_and_links_to_folders_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.hea", ".part/b.hea")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    assert found(tmp_path) == ["a.hea"]
    assert [path.name for path in find_records(tmp_path / "up")] == ["a.hea"]


@pytest.mark.parametrize(("folder", "count"), [("mitdb", 26), ("nstdb", 3), ("ludb", 100), ("cinc", 23)])
def test_real_sets_are_found_whole(folder: str, count: int) -> None:
    if not (DATA / folder).is_dir():
        missing(f"no {DATA / folder}: real sets are not tested (set ECG_EDGE_DATA)")
    assert len(find_records(DATA / folder)) == count
