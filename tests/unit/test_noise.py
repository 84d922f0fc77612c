"""The noise stress test, from recordings to figures; on real ECG, since noise means nothing to a model of nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from board_rungs import missing
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.errors import EcgEdgeError
from ecg_edge.recipes.ec57 import judge_folder, python_pipeline
from ecg_edge.recipes.noise import noise_records, records_of, stress
from ecg_edge.report.noise import COLUMNS, figure_of, lines_of, noise_text, records_text
from ecg_edge.report.plots import save_noise

pytestmark = pytest.mark.slow
DATA = Path(os.environ.get("ECG_EDGE_DATA", "../shared/data"))
RECORD = DATA / "mitdb" / "119"


@pytest.fixture(scope="module")
def aami() -> Bundle:
    for name in ("mitdb", "nstdb"):
        if not (DATA / name).is_dir():
            missing(f"no {DATA / name}: the noise stress test is not tested (ECG_EDGE_DATA)")
    return Bundle.load("aami")


@pytest.fixture(scope="module")
def report(aami: Bundle) -> dict[str, Any]:
    """Record 119, clean, at 24 dB and at -6 dB of electrode motion."""
    steps: list[tuple[int, int]] = []
    noises = noise_records(DATA / "nstdb", RECORD, ["em"])
    found = stress(
        aami,
        [RECORD],
        noises,
        [24.0, -6.0],
        lead=None,
        annotator="atr",
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    return found


def test_a_clean_record_has_the_figures_that_evaluate_gives_it(aami: Bundle, report: dict[str, Any]) -> None:
    told = python_pipeline(aami)
    judged = judge_folder(aami, RECORD, told, lead=None, annotator="atr", progress=lambda *_: None)
    for kind in ("qrs", "veb", "sveb", "n"):
        assert report["clean"][kind] == judged[kind]["gross"]
    assert report["clean"]["macro_f1"] == judged["macro_f1"]
    assert report["clean"]["confusion"] == judged["confusion"]["counts"]


def test_much_noise_is_worse_than_little_and_worst_where_it_is(report: dict[str, Any]) -> None:
    little, much = report["results"]
    assert (little["snr_db"], much["snr_db"]) == (24.0, -6.0)
    for keys in (("qrs", "se"), ("qrs", "ppv"), ("veb", "f1"), ("macro_f1",)):
        at_24_db, at_minus_6_db, where_it_is = (figure_of(one, keys) for one in (little, much, much["noisy"]))
        assert at_24_db is not None
        assert at_minus_6_db is not None
        assert where_it_is is not None
        assert at_24_db > at_minus_6_db > where_it_is, keys
    assert little["records"][0]["gain"] < much["records"][0]["gain"]


def test_the_noisy_stretches_are_a_part_of_what_ec57_counts(report: dict[str, Any]) -> None:
    for one in (report["clean"], *report["results"]):
        whole, noisy = one["coverage"]["beats"], one["noisy"]["coverage"]["beats"]
        assert 0.45 < noisy / whole < 0.6  # 13 of 25 minutes


def test_the_text_has_every_figure_and_says_what_the_model_has_learnt_from(report: dict[str, Any]) -> None:
    text = noise_text({**report, "training_records": ["119"]})
    for title in COLUMNS:
        assert title in text
    assert "TRAINING SET: the model learnt from 119 of these" in text
    assert "TRAINING SET" not in noise_text({**report, "training_records": []})
    assert text.count("em, electrode motion") == 4
    assert "not a medical device" in text
    assert "int8, on 119, lead MLII\n" in text
    assert records_text({"1": "II", "2": "V1", "3": "II", "4": "II"}) == "3 records, lead II; 2, lead V1"


def test_figures_are_drawn_against_snr_one_line_a_kind(report: dict[str, Any], tmp_path: Path) -> None:
    ((name, points),) = lines_of(report, ("qrs", "se"))
    assert name == "em: electrode motion"
    assert [snr for snr, _ in points] == [-6.0, 24.0]
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    save_noise(report, tmp_path / "noise.png")
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")


def folder_of(tmp_path: Path, *names: str) -> Path:
    """A folder with empty headers of these names."""
    tmp_path.mkdir(exist_ok=True)
    for name in names:
        (tmp_path / f"{name}.hea").touch()
    return tmp_path


def test_118_and_119_are_taken_unless_others_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", "100", "118", "119")
    assert [path.stem for path in records_of(folder, [])] == ["118", "119"]
    assert [path.stem for path in records_of(folder, ["100", "119"])] == ["100", "119"]
    assert [path.stem for path in records_of(folder, ["all"])] == ["100", "118", "119"]
    assert [path.stem for path in records_of(folder_of(tmp_path / "b", "1", "2"), [])] == ["1", "2"]
    with pytest.raises(EcgEdgeError, match="has no record 300; it has 3"):
        records_of(folder, ["118", "300"])


def test_noise_is_looked_for_beside_the_records_and_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EcgEdgeError, match=r"no bw\.hea, em\.hea in .*: `ecg-edge data nstdb` downloads the noise"):
        noise_records(None, tmp_path / "mitdb", ["bw", "em"])
    cached = tmp_path / "cache" / "ecg-edge" / "physionet" / "nstdb" / "1.0.0"
    cached.mkdir(parents=True)
    folder_of(cached, "em")
    assert noise_records(None, tmp_path / "mitdb", ["em"]) == {"em": cached / "em"}
    beside = folder_of(tmp_path / "nstdb", "em")
    assert noise_records(None, tmp_path / "mitdb", ["em"]) == {"em": beside / "em"}
    given = folder_of(tmp_path / "own", "em")
    assert noise_records(given, tmp_path / "mitdb", ["em"]) == {"em": given / "em"}
    with pytest.raises(EcgEdgeError, match="noise of kind 'pink'; NSTDB has bw, em, ma"):
        noise_records(given, tmp_path, ["pink"])


def noise(*args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(make_app(), ["noise", *args])
    return done.exit_code, done.stdout, done.stderr


def test_the_verb_writes_what_it_prints(aami: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra [report]")
    options = ("--kinds", "ma", "--snr", "6", "--records", "119", "--out", str(tmp_path), "--json")
    code, told, _ = noise("aami", str(DATA / "mitdb"), *options)
    assert code == 0
    assert json.loads(told) == json.loads((tmp_path / "report.json").read_text())
    assert [(one["kind"], one["snr_db"]) for one in json.loads(told)["results"]] == [("ma", 6.0)]
    assert (tmp_path / "noise.png").is_file()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("aami", "none"), "none is not a folder"),
        (("aami", ".", "--snr", "loud"), "--snr 'loud'; numbers from -40 to 60 dB"),
        (("aami", ".", "--snr", "nan"), "--snr 'nan'; numbers from -40 to 60 dB"),
        (("aami", ".", "--snr", ""), "--snr ''; numbers from -40 to 60 dB"),
        (("aami", ".", "--kinds", "pink"), "noise of kind 'pink'; NSTDB has bw, em, ma"),
        (("aami", ".", "--kinds", ""), "no kind of noise; NSTDB has bw, em, ma"),
        (("aami", ".", "--nstdb", "none"), "no bw.hea, em.hea, ma.hea in none"),
        (("aami", ".", "--nstdb", "."), "none of 1 recordings can be judged; 118: 118.hea: empty header"),
        (("aami", ".", "--records", "119"), ". has no record 119; it has 1"),
        (("ecg5", "."), "bundle ecg5 takes windows, not beats"),
    ],
)
def test_a_wrong_order_is_refused_in_one_line(
    args: tuple[str, ...], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_of(tmp_path, "118", "bw", "em", "ma"))
    (tmp_path / "RECORDS").write_text("118\n")
    (tmp_path / "nstdb").mkdir()
    code, told, noted = noise(*args)
    assert (code, told) == (2, "")
    assert complaint in noted
    assert noted.count("\n") == 1
