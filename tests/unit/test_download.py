"""Sets from a server that speaks as PhysioNet's, over a network that cuts, alters and refuses."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from physionet_server import ALTERED, CUT, PhysioNet, serve
from typer.testing import CliRunner

from ecg_edge.cli.app import make_app
from ecg_edge.errors import SignalError
from ecg_edge.signal import download as downloads
from ecg_edge.signal.download import SUMS, TRIES, download
from ecg_edge.signal.physionet import SETS, cache_root, records_folder
from ecg_edge.signal.record import Annotations, Record, read_record, write_wfdb
from ecg_edge.signal.recordset import find_records

PLACE = "mitdb/1.0.0"


def record_files(folder: Path, name: str, *, fs_hz: int = 360) -> dict[str, bytes]:
    """A real WFDB record with two beats, as the files that hold it."""
    samples = (500 * np.sin(np.arange(2 * fs_hz) / 9)).astype(np.int16)
    marks = Annotations(np.array([90, 450]), ("N", "V"), ("", ""))
    write_wfdb(folder / name, [Record(name, fs_hz, "MLII", samples, annotations=marks)])
    return {path.name: path.read_bytes() for path in sorted((folder / name).iterdir())}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PhysioNet]:
    """A set of two records, with what lies about and below it on PhysioNet."""
    own = {
        **record_files(tmp_path / "made", "100"),
        **record_files(tmp_path / "made", "101"),
        "RECORDS": b"100\n101\n",
        "ANNOTATORS": b"atr\treference beat annotations\n",
        "LICENSE.txt": b"\nOpen Data Commons Attribution License v1.0\n\nPREAMBLE\n",
        "x_mitdb/a b.txt": b"beside the set",
    }
    with serve({f"{PLACE}/{path}": data for path, data in own.items()}) as site:
        site.add_sums(PLACE)
        yield site


def lying(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def served(site: PhysioNet) -> dict[str, bytes]:
    return {path.removeprefix(f"{PLACE}/"): data for path, data in site.files.items()}


def test_a_set_comes_whole_and_reads_as_records(site: PhysioNet, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    made = download("mitdb", tmp_path / "sets", source=site.url, progress=lambda *step: steps.append(step))
    assert made.folder == tmp_path / "sets" / PLACE
    assert lying(made.folder) == served(site)
    assert (made.version, made.files, made.fetched, made.checked) == ("1.0.0", 10, 10, 10)
    assert made.bytes == sum(len(data) for path, data in served(site).items() if path != SUMS)
    assert steps == [(k, 10) for k in range(1, 11)]
    assert [path.stem for path in find_records(made.folder)] == ["100", "101"]
    marks = read_record(made.folder / "100", fs_hz=250).annotations
    assert marks is not None
    assert marks.samples.tolist() == [62, 312]  # 90 and 450 at 360 Hz; 62.5 is rounded to even


def test_what_is_there_and_right_is_not_asked_for_again(site: PhysioNet, tmp_path: Path) -> None:
    made = download("mitdb", tmp_path, source=site.url)
    site.asked.clear()
    assert download("mitdb", tmp_path, source=site.url).fetched == 0
    assert site.asked == []
    (made.folder / "100.dat").write_bytes(b"spoilt")
    (made.folder / "101.atr").unlink()
    assert download("mitdb", tmp_path, source=site.url).fetched == 2
    assert sorted(site.asked) == [f"{PLACE}/100.dat", f"{PLACE}/101.atr"]
    assert lying(made.folder) == served(site)


@pytest.mark.parametrize("fault", [CUT, ALTERED])
def test_a_file_that_comes_spoilt_is_asked_for_again(site: PhysioNet, tmp_path: Path, fault: str) -> None:
    site.faults[f"{PLACE}/100.dat"] = [fault] * (TRIES - 1)
    made = download("mitdb", tmp_path, source=site.url)
    assert site.asked.count(f"{PLACE}/100.dat") == TRIES
    assert lying(made.folder) == served(site)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (CUT, "the connection was cut; what came before stays"),
        (ALTERED, "its SHA-256 is not the one in SHA256SUMS.txt; nothing of it is kept"),
        (503, "the server answers 503"),
        (403, "not open to everybody"),
        (404, "the server has no such file"),
    ],
)
def test_a_file_that_never_comes_right_is_named_and_not_kept_and_the_rest_stays(
    site: PhysioNet, tmp_path: Path, fault: str | int, complaint: str
) -> None:
    path = f"{PLACE}/101.dat"
    site.faults[path] = [fault] * TRIES
    with pytest.raises(SignalError, match=rf"/files/{path}: {complaint}") as error:
        download("mitdb", tmp_path, source=site.url)
    assert "\n" not in str(error.value)
    there = lying(tmp_path / PLACE)
    assert "101.dat" not in there
    assert there.items() <= served(site).items()
    kept = len(there) - 1  # without the list of sums
    site.faults.clear()
    assert download("mitdb", tmp_path, source=site.url).fetched == 10 - kept


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import functools
    import socket

    from wfdb.io import _url

    session = _url._get_session()
    waiting = functools.partial(type(session).request, session, timeout=0.05)
    monkeypatch.setattr(session, "request", waiting, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(SignalError, match=r"mitdb/1\.0\.0/SHA256SUMS\.txt: nothing came for"):
            download("mitdb", tmp_path, source=place)
    assert lying(tmp_path) == {}


def test_no_network_is_said_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SignalError, match=r"no network, or nobody there \(Connection refused\)") as error:
        download("mitdb", tmp_path, source=f"http://127.0.0.1:{port}/")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("pattern", "names"), [("101", {"101"}), ("10?", {"100", "101"}), ("1*0", {"100"})])
def test_records_are_chosen_by_name_with_what_is_about_the_set(
    site: PhysioNet, tmp_path: Path, pattern: str, names: set[str]
) -> None:
    made = download("mitdb", tmp_path, records=[pattern], source=site.url)
    about = {"RECORDS", "ANNOTATORS", "LICENSE.txt", SUMS}
    assert set(lying(made.folder)) == about | {f"{name}.{kind}" for name in names for kind in ("hea", "dat", "atr")}
    assert {path.stem for path in find_records(made.folder)} == names


def test_a_record_comes_with_its_segments(site: PhysioNet, tmp_path: Path) -> None:
    site.files[f"{PLACE}/long.hea"] = b"long/2 1 360 1440\n100 720\n101 720\n"
    site.files[f"{PLACE}/other.hea"] = b"other 0 360\n"
    site.add_sums(PLACE)
    made = download("mitdb", tmp_path, records=["long"], source=site.url)
    assert {"long.hea", "100.dat", "101.hea"} <= set(lying(made.folder))
    assert "other.hea" not in lying(made.folder)
    assert read_record(made.folder / "long").samples_uv.size == 1440


def test_a_record_that_the_set_has_not_is_refused(site: PhysioNet, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"mitdb 1\.0\.0 has no record 300; it has 2: 100, 101"):
        download("mitdb", tmp_path, records=["300"], source=site.url)


def test_a_set_without_sums_is_found_by_its_lists_and_headers(site: PhysioNet, tmp_path: Path) -> None:
    del site.files[f"{PLACE}/{SUMS}"], site.files[f"{PLACE}/101.atr"]
    site.files[f"{PLACE}/RECORDS"] = b"100\nmore/\n"
    site.files[f"{PLACE}/more/RECORDS"] = b"101\n"
    for kind in ("hea", "dat"):
        site.files[f"{PLACE}/more/101.{kind}"] = site.files.pop(f"{PLACE}/101.{kind}")
    made = download("mitdb", tmp_path, source=site.url)
    wanted = {"RECORDS", "ANNOTATORS", "LICENSE.txt", "100.hea", "100.dat", "100.atr", "more/101.hea", "more/101.dat"}
    assert set(lying(made.folder)) == wanted
    assert (made.files, made.fetched, made.checked) == (8, 8, 0)
    assert [path.stem for path in find_records(made.folder)] == ["100", "101"]
    assert download("mitdb", tmp_path, source=site.url).fetched == 0


def test_a_set_that_is_not_there_is_refused_and_leaves_nothing(site: PhysioNet, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"mitdb/2\.0\.0/: no such set, version or folder"):
        download("mitdb/2.0.0", tmp_path / "sets", source=site.url)
    assert not (tmp_path / "sets").exists()


@pytest.mark.parametrize("wanted", ["../mitdb", "mitdb/../x", "/etc", "Mit db", "", "mitdb/"])
def test_a_name_that_is_none_is_refused(wanted: str, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="is no set of PhysioNet"):
        download(wanted, tmp_path)


@pytest.mark.parametrize("line", ["../../evil", "/etc/passwd", "a/../../b"])
def test_a_set_cannot_write_outside_its_folder(site: PhysioNet, tmp_path: Path, line: str) -> None:
    site.files[f"{PLACE}/{SUMS}"] = f"{'0' * 64} {line}\n".encode()
    with pytest.raises(SignalError, match=r"SHA256SUMS\.txt, line 1: no SHA-256 and path of a file"):
        download("mitdb", tmp_path, source=site.url)
    del site.files[f"{PLACE}/{SUMS}"]
    site.files[f"{PLACE}/RECORDS"] = line.encode()
    with pytest.raises(SignalError, match="is no record of this set"):
        download("mitdb", tmp_path, source=site.url)
    assert lying(tmp_path / "mitdb") == {}


def test_the_newest_version_is_read_off_the_page_of_an_unknown_set(
    site: PhysioNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wfdb.io import download as wfdb_download

    monkeypatch.setattr(wfdb_download, "PN_CONTENT_URL", site.url.replace("/files/", "/content/"))
    monkeypatch.setattr(downloads, "PHYSIONET", site.url)
    site.files["content/newdb/"] = b"<p>\n  Version: 2.0.1 </p>\n"
    site.files["content/odddb/"] = b"<p>nothing of that kind</p>\n"
    site.files["newdb/2.0.1/LICENSE.txt"] = b"\nSome licence\n"
    site.add_sums("newdb/2.0.1")
    made = download("newdb", tmp_path, source=site.url)
    assert (made.version, made.licence) == ("2.0.1", "Some licence")
    with pytest.raises(SignalError, match="PhysioNet has no set nodb"):
        download("nodb", tmp_path, source=site.url)
    with pytest.raises(SignalError, match="tells no version"):
        download("odddb", tmp_path, source=site.url)


def test_a_mirror_is_asked_for_the_version_that_the_user_names(site: PhysioNet, tmp_path: Path) -> None:
    site.files["newdb/2.0.1/LICENSE.txt"] = b"Some licence\n"
    site.add_sums("newdb/2.0.1")
    with pytest.raises(
        SignalError, match=r"newdb: which version of it .* has is not known here; give it, as in newdb/"
    ):
        download("newdb", tmp_path, source=site.url)
    assert download("newdb/2.0.1", tmp_path, source=site.url).fetched == 1


def test_files_have_the_users_permissions_though_two_come_at_once(site: PhysioNet, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        made = download("mitdb", tmp_path, source=site.url)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in made.folder.rglob("*") if path.is_file()}
    assert modes == {0o640}


def data(*args: str, cache: Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(make_app(), ["data", *args], env={"XDG_CACHE_HOME": str(cache)})
    return done.exit_code, done.stdout, done.stderr


def test_the_verb_says_what_came_whose_it_is_and_where_it_lies(site: PhysioNet, tmp_path: Path) -> None:
    code, told, noted = data("mitdb", "--from", site.url, cache=tmp_path)
    folder = tmp_path / "ecg-edge" / "physionet" / PLACE
    assert code == 0
    assert told.splitlines()[-1] == str(folder)
    assert "mitdb 1.0.0: 10 files" in told
    assert "10 fetched; the SHA-256 of each is right" in told
    assert "licence: ODC-By 1.0" in told
    assert "cite: Moody GB, Mark RG" in told
    assert noted == "MIT-BIH Arrhythmia Database: 48 records, about 100 MB, ODC-By 1.0\n"
    code, told, _ = data("mitdb", "--from", "http://127.0.0.1:1/", "--json", cache=tmp_path)
    assert code == 0
    facts = json.loads(told)
    assert (facts["folder"], facts["fetched"], facts["checked"]) == (str(folder), 0, 10)


def test_the_verb_lists_sets_and_what_lies_here(site: PhysioNet, tmp_path: Path) -> None:
    data("mitdb", "--from", site.url, "--out", str(tmp_path), cache=tmp_path)
    code, told, _ = data("--list", "--json", "--out", str(tmp_path), cache=tmp_path)
    found = {one["name"]: one for one in json.loads(told)["sets"]}
    assert code == 0
    assert set(found) == set(SETS)
    assert found["mitdb"]["folder"] == str(tmp_path / PLACE)
    assert found["svdb"]["folder"] is None
    _, told, _ = data("--list", cache=tmp_path)
    for known in SETS.values():
        assert known.title in told


def test_the_verb_wants_a_name(tmp_path: Path) -> None:
    code, _, noted = data(cache=tmp_path)
    assert (code, noted) == (2, "ecg-edge: data: which set? `ecg-edge data --list` names some\n")


def test_a_known_set_in_the_cache_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert records_folder(Path("mitdb")) == Path("mitdb")
    (cache_root() / PLACE).mkdir(parents=True)
    assert records_folder(Path("mitdb")) == cache_root() / PLACE
    (tmp_path / "mitdb").mkdir()
    assert records_folder(Path("mitdb")) == Path("mitdb")


def test_verbs_that_take_a_folder_take_the_name_of_a_set_in_the_cache(
    site: PhysioNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    data("mitdb", "--from", site.url, cache=tmp_path)
    for words, complaint in (
        ("evaluate aami --protocol ec57 mitdb", "100: 2 s long, and EC57 begins after 300"),
        ("noise aami mitdb --nstdb none", "no bw.hea, em.hea, ma.hea in none"),  # so the records were found
    ):
        done = CliRunner().invoke(make_app(), words.split())
        assert (done.exit_code, complaint in done.stderr) == (2, True), done.stderr


def test_downloads_end_where_wfdb_would_wait_forever() -> None:
    assert downloads._wfdb() is downloads._wfdb()
    from wfdb.io import _url

    assert _url._get_session().request.keywords == {"timeout": downloads.PATIENCE_S}
