"""The fuzz targets on their committed corpus, with any compiler; and broken firmware, which they must notice."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fuzz import CORPUS, HARNESS, SOURCES, TALK, TARGETS, Target, includes
from fuzz_image import write_fuzz_image
from fuzz_talks import talks
from toolchain import SANITIZE, WARNINGS, compiler

OPTIONS = (*WARNINGS, "-fsanitize=address", *SANITIZE, "-O1", "-g", "-DECG_WITH_BEATS=1")


@dataclass(frozen=True)
class Bench:
    """Targets compiled once; for a changed source, that one alone again."""

    cc: str
    image: Path
    objects: Path

    def compiled(self, file: Path, target: Path) -> Path:
        if not target.is_file():
            self.run([*OPTIONS, *includes(self.image), "-c", str(file), "-o", str(target)])
        return target

    def program(self, target: Target, folder: Path, changed: Path | None = None) -> Path:
        """The program that runs inputs from files; `changed` takes the place of the source of that name."""
        files = [*target.files(self.image), HARNESS / "replay.c"]
        objects = [self.compiled(file, self.objects / f"{file.stem}.o") for file in files if not _is(file, changed)]
        if changed is not None:
            objects.append(self.compiled(changed, folder / "changed.o"))
        program = folder / target.name
        self.run([*OPTIONS, *map(str, objects), "-o", str(program)])
        return program

    def run(self, options: Sequence[str]) -> None:
        done = subprocess.run([self.cc, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _is(file: Path, changed: Path | None) -> bool:
    return changed is not None and file.name == changed.name


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "objects").mkdir()
    return Bench(compiler(), write_fuzz_image(folder / "image"), folder / "objects")


def corpus(target: str) -> list[Path]:
    found = sorted((CORPUS / target).iterdir())
    assert found
    return found


def replay(program: Path, inputs: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, inputs)], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_finds_nothing(bench: Bench, tmp_path: Path, target: str) -> None:
    done = replay(bench.program(TARGETS[target], tmp_path), corpus(target))
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_corpus_is_small() -> None:
    files = [path for target in TARGETS for path in corpus(target)]
    assert len(files) <= 125
    assert sum(path.stat().st_size for path in files) <= 56_000


@pytest.mark.parametrize("target", TARGETS)
def test_the_inputs_by_hand_are_those_of_tools_fuzz_talks(target: str) -> None:
    written = {path.name.removeprefix(TALK): path.read_bytes() for path in (CORPUS / target).glob(f"{TALK}*")}
    assert written == talks()[target]


# Each is wrong in one way only: a source, what it says, what it is made to say.
BROKEN = [
    ("ecg_frame.c", "reader->zero_owed = byte != 0xFFu;", "reader->zero_owed = true;"),
    ("ecg_frame.c", "at - code_at == 0xFFu", "at - code_at == 0xFEu"),
    ("ecg_frame.c", "if (size < ECG_FRAME_HEADER + ECG_FRAME_CRC || ", "if ("),
    ("ecg_frame.c", "if (reader->seen >= ECG_FRAME_WIRE_MAX) {", "if (reader->seen > ECG_FRAME_WIRE_MAX) {"),
    ("ecg_frame.c", "if (reader->size < ECG_FRAME_RAW_MAX) {", "if (reader->size <= ECG_FRAME_RAW_MAX) {"),
    ("ecg_edge.c", "if (known >= count || take(", "if (known > 0u || take("),
    ("ecg_edge.c", "SAMPLES_HEADER, known, count)", "SAMPLES_HEADER, 0u, count)"),
    ("ecg_edge.c", "forget_from(e, first_index);", "(void)forget_from;"),
    ("ecg_edge.c", "frame->boot != e->boot", "frame->boot < e->boot"),
    ("ecg_edge.c", "(e->kept_at + 1u) % ECG_EDGE_KEPT_RESULTS", "(e->kept_at + 1u) % 3u"),
    ("ecg_edge.c", "    e->gap_owed = false;\n    if (e->state", "    if (e->state"),
    ("ecg_edge.c", "repeat_end(e);", "(void)repeat_end;"),
    ("ecg_edge.c", "if (frame->version != ECG_FRAME_VERSION) {", "if (frame->version > 2u) {"),
    ("ecg_edge.c", "const bool gap = known >= HALF_RANGE;", "const bool gap = known >= 0xC0000000u;"),
    ("ecg_edge.c", "e->rest_us + passed_us % 1000u", "passed_us % 1000u"),
    ("ecg_edge.c", "(e->own_flags & (uint8_t)~(unsigned)ECG_SAMPLE_GAP)", "e->own_flags"),
    ("ecg_edge.c", "        e->expected += n;", "        e->expected += 1u;"),
    ("ecg_edge.c", "    e->own_count = 0u;\n", ""),
    ("ecg_edge.c", "|| (own && !e->samples_itself)", ""),
    ("ecg_edge.c", "(!stream && skip != 0u)", "(!stream && !own && skip != 0u)"),
    ("ecg_answer.c", "(uint32_t)e->own_count / ecg_stream_leads(e->stream.image)", "(uint32_t)e->own_count"),
    ("ecg_answer.c", "ECG_TYPE_SAMPLES, e->own_flags,", "ECG_TYPE_SAMPLES, e->own_flags & 6u,"),
    ("ecg_answer.c", "if (e->state == ECG_EDGE_RUNNING) {", "if (e->state != ECG_EDGE_IDLE) {"),
    ("ecg_answer.c", "e->seq++;", "e->seq = (uint16_t)(e->seq + (type != ECG_TYPE_LOG));"),
    ("ecg_answer.c", "image->prepare.flat_samples", "image->prepare.flat_samples - 1u"),
    ("ecg_stream.c", "s->until = *due ? s->model->hop : s->until - 1u;", "s->until = *due ? 12u : s->until - 1u;"),
    ("ecg_stream.c", "r->scores[c] > r->scores[best]", "r->scores[c] >= r->scores[best]"),
    ("ecg_stream.c", "if (s->until > m->window) {", "if (s->until > m->window + 1u) {"),
    ("ecg_edge.c", "!ecg_answer_takes_beats(e, kept->model) && ", ""),
    ("ecg_edge.c", "ecg_answer_takes_beats(e, kept->model) == beats && ", ""),
    ("ecg_edge.c", "((!stream && !own) || skip != 0u)", "(!stream && !own)"),
    ("ecg_edge.c", "    e->given = 0u;\n", ""),
    ("ecg_answer.c", "ecg_answer_takes_beats(e, e->model) ? e->given : 0u", "e->given"),
    ("ecg_stream.c", "ecg_prepare_state(&s->prepare, span)", "ecg_prepare_state(&s->prepare, 1u)"),
    ("ecg_stream.c", "s->held > held_samples(s)", "s->held >= held_samples(s)"),
    ("ecg_stream.c", "s->first_index + beat->at", "beat->at"),
    ("ecg_stream.c", "    s->result.rr = beat->rr;\n", ""),
    ("ecg_stream.c", "s->memory->leads->last_uv", "0"),
    ("ecg_prepare.c", "- 1u + 2u * (uint32_t)ecg_prepare_delay", "- 1u + 1u * (uint32_t)ecg_prepare_delay"),
    ("ecg_prepare.c", "lead->mean[i] = first_uv;", "lead->mean[i] = 0;"),
    ("ecg_prepare.c", "s->warm = ecg_prepare_delay(params);", "s->warm = (uint16_t)(ecg_prepare_delay(params) - 1u);"),
    ("ecg_selftest.c", "== 0 ? ECG_OK", "<= 0 ? ECG_OK"),
]


@pytest.mark.parametrize(("file", "good", "bad"), BROKEN)
def test_broken_firmware_is_noticed(bench: Bench, tmp_path: Path, file: str, good: str, bad: str) -> None:
    target = "frame" if file == "ecg_frame.c" else "core"
    text = (SOURCES / file).read_text()
    assert text.count(good) == 1, f"{file} does not say {good!r} once: break it where it says so now"
    changed = tmp_path / file
    changed.write_text(text.replace(good, bad))
    done = replay(bench.program(TARGETS[target], tmp_path, changed), corpus(target))
    assert done.returncode != 0
    assert done.returncode != 2, done.stderr  # an input that cannot be read is no finding
