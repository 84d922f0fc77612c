"""The fuzz targets on their committed corpus, with any compiler; and broken cores, which they must notice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from toolchain import SANITIZE, SOURCES, WARNINGS, compiler

FUZZ = SOURCES.parents[1] / "fuzz"
CORPUS = Path(__file__).with_name("corpus")
HARNESS = {"frame": ("frame.c",), "core": ("core.c", "page.c", "ecg_models.c")}
CODE = {
    "frame": ("ecg_frame.c",),
    "core": ("ecg_edge.c", "ecg_answer.c", "ecg_frame.c", "ecg_stream.c", "ecg_prepare.c", "ecg_selftest.c"),
}
Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """(target, folder of the firmware's sources) -> the program that runs inputs from files."""

    def built(target: str, sources: Path = SOURCES) -> Path:
        program = tmp_path / target
        files = [FUZZ / name for name in (*HARNESS[target], "replay.c")] + [sources / name for name in CODE[target]]
        options = ["-fsanitize=address", *SANITIZE, "-O0", "-g", f"-I{FUZZ}", f"-I{SOURCES}"]
        command = [compiler(), *WARNINGS, *options, *map(str, files), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return program

    return built


def replay(program: Path, target: str) -> subprocess.CompletedProcess[str]:
    inputs = [str(path) for path in sorted((CORPUS / target).iterdir())]
    assert inputs
    return subprocess.run(
        [program, *inputs], capture_output=True, text=True, check=False, env={"ASAN_OPTIONS": "detect_leaks=0"}
    )


@pytest.mark.parametrize("target", HARNESS)
def test_the_corpus_finds_nothing(build: Build, target: str) -> None:
    done = replay(build(target), target)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("target", HARNESS)
def test_the_corpus_is_small(target: str) -> None:
    files = list((CORPUS / target).iterdir())
    assert len(files) <= 300
    assert sum(path.stat().st_size for path in files) <= 100_000


BROKEN = [
    ("ecg_frame.c", "reader->zero_owed = byte != 0xFFu;", "reader->zero_owed = true;"),
    ("ecg_frame.c", "at - code_at == 0xFFu", "at - code_at == 0xFEu"),
    ("ecg_frame.c", "if (size < ECG_FRAME_HEADER + ECG_FRAME_CRC || ", "if ("),
    ("ecg_edge.c", "if (known >= count || take(", "if (known > 0u || take("),
    ("ecg_edge.c", "SAMPLES_HEADER, known, count)", "SAMPLES_HEADER, 0u, count)"),
    ("ecg_edge.c", "forget_from(e, first_index);", "(void)forget_from;"),
    ("ecg_edge.c", "frame->boot != e->boot", "frame->boot < e->boot"),
    ("ecg_edge.c", "(e->kept_at + 1u) % ECG_EDGE_KEPT_RESULTS", "(e->kept_at + 1u) % 3u"),
    ("ecg_edge.c", "    e->gap_owed = false;\n    const ecg_status_t", "    const ecg_status_t"),
    ("ecg_edge.c", "repeat_end(e);", "(void)repeat_end;"),
    ("ecg_answer.c", "if (e->state == ECG_EDGE_RUNNING) {", "if (e->state != ECG_EDGE_IDLE) {"),
]


@pytest.mark.parametrize(("file", "good", "bad"), BROKEN)
def test_a_broken_core_is_noticed(build: Build, tmp_path: Path, file: str, good: str, bad: str) -> None:
    target = "frame" if file == "ecg_frame.c" else "core"
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in SOURCES.glob("*.[ch]"):
        text = path.read_text()
        if path.name == file:
            assert text.count(good) == 1, good
            text = text.replace(good, bad)
        (broken / path.name).write_text(text)
    done = replay(build(target, broken), target)
    assert done.returncode != 0
