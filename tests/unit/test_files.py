"""Whole or not at all: what is left on the disk when writing fails."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecg_edge.errors import EcgEdgeError
from ecg_edge.files import replacing_file, replacing_folder, write_json, write_text


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden names too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    goal = tmp_path / "deep" / "report.txt"
    write_text(goal, "old")
    write_text(goal, "new")
    assert goal.read_text() == "new"
    assert names(goal.parent) == ["report.txt"]


@pytest.fixture
def no_room() -> Iterator[None]:
    """A disk that takes 1000 bytes of a file and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_leaves_the_old_file_and_no_rest(tmp_path: Path, no_room: None) -> None:
    goal = tmp_path / "report.txt"
    write_text(goal, "old")
    with pytest.raises(OSError, match="too large") as error:
        write_text(goal, "x" * 5000)
    assert error.value.filename == str(goal)
    assert goal.read_text() == "old"
    assert names(tmp_path) == ["report.txt"]


def test_ctrl_c_while_a_file_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing_file(tmp_path / "a.npz") as temporary:
        assert temporary.suffix == ".npz"
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_written_file_is_as_public_as_any_other(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_link_stays_a_link_to_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_not_a_number_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"accuracy": float("nan")})
    assert names(tmp_path) == []


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "out" / "EcgEdge") as temporary:
        (temporary / "src").mkdir()
        (temporary / "src" / "a.c").write_text("int a;")
        assert not (tmp_path / "out" / "EcgEdge").exists()
    assert (tmp_path / "out" / "EcgEdge" / "src" / "a.c").read_text() == "int a;"
    assert names(tmp_path / "out") == ["EcgEdge"]


def test_a_folder_with_content_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(EcgEdgeError, match="--force replaces it"), replacing_folder(tmp_path):
        raise AssertionError("must not start")


def test_force_replaces_the_whole_folder(tmp_path: Path) -> None:
    goal = tmp_path / "ecg5"
    for content in ("old", "new"):
        with replacing_folder(goal, force=True) as temporary:
            (temporary / "manifest.json").write_text(content)
            (temporary / content).write_text("")
    assert names(goal) == ["manifest.json", "new"]
    assert names(tmp_path) == ["ecg5"]


def test_force_does_not_replace_a_folder_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(EcgEdgeError, match="not ours to replace"), replacing_folder(tmp_path, force=True):
        raise AssertionError("must not start")
    assert names(tmp_path) == ["thesis.tex"]


def test_a_failure_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    goal = tmp_path / "ecg5"
    with replacing_folder(goal) as temporary:
        (temporary / "manifest.json").write_text("old")
    with pytest.raises(OSError, match="No space"), replacing_folder(goal, force=True) as temporary:
        (temporary / "manifest.json").write_text("new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (goal / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["ecg5"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(EcgEdgeError, match="is a file, not a folder"), replacing_folder(tmp_path / "out"):
        raise AssertionError("must not start")
