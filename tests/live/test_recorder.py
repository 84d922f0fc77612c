"""What the recorder leaves on the disk, by the WFDB project's own reader: samples, marks, lines, names and times."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import BEGIN, FS_HZ, INVALID, MANIFEST, chunk, feed, noise, read, recorder
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.device.frame import SampleFlag
from ecg_edge.device.link import VirtualClock
from ecg_edge.errors import EcgEdgeError
from ecg_edge.live.lines import event_json
from ecg_edge.live.recorder import FILLED_GAP_S
from ecg_edge.live.run import Account, Event, Gap, Moment, drive, run
from ecg_edge.live.source import Chunk, Notice, synthetic_chunks
from ecg_edge.live.stream import Stream, Verdict
from ecg_edge.runtime.numpy import NumpyBackend

LONG_GAP = FILLED_GAP_S * FS_HZ + 1


@given(
    parts=st.lists(st.tuples(st.integers(1, 900), st.sampled_from([0, 0, 1, 40, LONG_GAP - 1, LONG_GAP])), max_size=25),
    rotate=st.integers(100, 5000),
    step_s=st.sampled_from([0.0, 0.3, 1.0]),
    leads=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_every_sample_is_recorded_once_or_marked_as_missing(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]], rotate: int, step_s: float, leads: int
) -> None:
    folder, clock = tmp_path_factory.mktemp("run"), VirtualClock()
    hours = rotate / 3600 / FS_HZ
    sink = recorder(folder, manifest=replace(MANIFEST, leads=leads), rotate_hours=hours, clock=clock)
    sent: dict[int, list[int]] = {}
    filled: set[int] = set()

    def moments() -> Iterator[tuple[Chunk, tuple[Event, ...]]]:
        index = 0
        for n, (length, lost) in enumerate(parts):
            lost = lost if sent else 0
            samples = noise(length, leads=leads, seed=n)
            events = (Gap(index, lost),) if lost else ()
            filled.update(range(index, index + lost) if lost < LONG_GAP else ())
            sent.update(enumerate(np.maximum(samples, -32767).tolist(), start=index + lost))
            yield chunk(index + lost, samples), events
            clock.sleep_s(step_s)
            index += lost + length

    feed(sink, moments())
    sink.close()
    recordings = read(folder)
    kept = {one.index + k: row for one in recordings for k, row in enumerate(one.samples.tolist())}
    assert len(kept) == sum(len(one.samples) for one in recordings)  # none twice
    assert {k: row for k, row in kept.items() if row != [INVALID] * leads} == sent
    assert {k for k, row in kept.items() if row == [INVALID] * leads} == filled
    assert all(len(one.samples) <= rotate + LONG_GAP for one in recordings)
    assert sink.lost == 0


def test_every_event_is_marked_where_it_happened(tmp_path: Path) -> None:
    bundle = Bundle.load("ecg5")
    sink, account = recorder(tmp_path, rotate_hours=20 / 3600), Account()
    events: list[Event] = []

    def items() -> Iterator[Chunk | Notice]:
        yield Notice(0, "the board has greeted")
        for n, part in enumerate(synthetic_chunks(bundle.manifest, seed=1, windows=25)):
            flags = np.full(len(part.flags), SampleFlag.LEAD_OFF if 400 <= n < 450 else 0, np.uint8)
            jump = 200 * (n >= 100) + LONG_GAP * (n >= 700)
            if n == 700:
                yield Notice(part.index + 200, "unplugged")
            yield Chunk(part.index + jump, part.samples_uv, flags)

    moments = []
    for moment in run(items(), Stream(bundle.manifest, NumpyBackend(bundle.model)), account):
        moments.append(moment)
        events += moment.events
    drive(moments, [sink], account)

    recordings = read(tmp_path)
    assert len(recordings) > 5
    marks = [mark for one in recordings for mark in one.marks]
    classes = bundle.manifest.classes
    verdicts = [event for event in events if isinstance(event, Verdict)]
    notes = [(at, text.rpartition(" ")[0]) for at, symbol, _, text in marks if symbol == '"']
    assert [(v.last_index, classes[v.label] if v.label is not None else "no verdict:") for v in verdicts] == [
        note for note in notes if note[1] in (*classes, "no verdict:")
    ]
    assert [text for _, symbol, _, text in marks if symbol == "~"] == [
        "gap of 0.800 s", "ok", "lead_off", "ok", "gap of 60.004 s",
    ]  # fmt: skip
    assert [subtype for _, symbol, subtype, _ in marks if symbol == "~"] == [1, 0, 1, 0, 1]
    assert [text for _, _, _, text in marks if text.startswith(("the board", "unplugged"))] == [
        "the board has greeted",
        "unplugged",
    ]
    lines = [line for one in recordings for line in one.lines]
    assert {line.pop("time")[:10] for line in lines} == {"2026-11-23"}
    assert [line for line in lines if line["kind"] != "end"] == [event_json(e, bundle.manifest) for e in events]


def test_what_a_reader_finds_at_any_time_is_whole(tmp_path: Path) -> None:
    clock, samples = VirtualClock(), noise(6000)
    sink = recorder(tmp_path, clock=clock, rotate_hours=15 / 3600)
    for at in range(0, 6000, 30):
        feed(sink, [(chunk(at, samples[at : at + 30]), ())])
        clock.sleep_s(30 / FS_HZ)
        found = np.concatenate([np.empty((0, 1), np.int64), *(one.samples for one in read(tmp_path))])
        assert np.array_equal(found, np.maximum(samples, -32767)[: len(found)])
        assert at + 30 - len(found) <= FS_HZ  # a second
    sink.close()


def test_a_recording_has_its_lead_unit_and_time(tmp_path: Path) -> None:
    sink = recorder(tmp_path, leads=("II",), source="the bench")
    feed(sink, [(chunk(0, noise(500)), ())])
    sink.close()
    (one,) = read(tmp_path)
    assert one.name == "20261123T101458Z_ecg5"
    assert (one.record.sig_name, one.record.units, one.record.adc_gain, one.record.baseline) == (
        ["II"],
        ["mV"],
        [1000.0],
        [0],
    )
    assert one.begin == datetime(2026, 11, 23, 10, 14, 58)  # two seconds before its last sample came
    assert any("not a medical device" in comment for comment in one.record.comments)


def test_what_is_said_at_one_sample_is_read_in_the_order_it_was_said(tmp_path: Path) -> None:
    sink = recorder(tmp_path)
    said = tuple(Notice(250, text) for text in ("unplugged", "looking for it", "back"))
    feed(sink, [(chunk(0, noise(250)), ()), (Chunk.empty(250, 1), said), (chunk(250, noise(250)), ())])
    sink.close()
    (one,) = read(tmp_path)
    assert [(at, text) for at, _, _, text in one.marks] == [(250, notice.text) for notice in said]


def test_a_recording_after_a_long_gap_begins_at_its_own_time(tmp_path: Path) -> None:
    now = BEGIN.timestamp()
    sink = recorder(tmp_path, unix_s=lambda: now)
    feed(sink, [(chunk(0, noise(250)), ())])
    now += 3600.5
    feed(sink, [(chunk(250 + 900_000, noise(125)), (Gap(250, 900_000, exact=False),))])
    sink.close()
    first, second = read(tmp_path)
    assert (second.begin - first.begin).total_seconds() == 3601.0
    assert first.marks[-1][1:] == ("~", 1, "gap of 3600.000 s, by this machine's clock")


def test_a_replayed_recording_keeps_its_own_pace(tmp_path: Path) -> None:
    sink = recorder(tmp_path, realtime=False, rotate_hours=1 / 3600)
    feed(sink, [(chunk(at, noise(250)), ()) for at in range(0, 1000, 250)])
    sink.close()
    recordings = read(tmp_path)
    assert [(one.begin - recordings[0].begin).total_seconds() for one in recordings] == [0.0, 1.0, 2.0, 3.0]


def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    for n in range(3):
        sink = recorder(tmp_path)
        feed(sink, [(chunk(0, noise(250, seed=n)), ())])
        sink.close()
    assert {path.stem for path in tmp_path.glob("*.hea")} == {
        f"20261123T101459Z_ecg5{suffix}" for suffix in ("", "-2", "-3")
    }
    assert len({path.read_bytes() for path in tmp_path.glob("*.dat")}) == 3


def test_without_a_sample_nothing_is_made(tmp_path: Path) -> None:
    sink = recorder(tmp_path / "new")
    feed(sink, [(Chunk.empty(0, 1), (Notice(0, "nobody there"),))])
    sink.close()
    assert list((tmp_path / "new").iterdir()) == []


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    sink, account, samples = recorder(tmp_path, rotate_hours=0.2), Account(), noise(2500)
    grown = []
    tracemalloc.start()
    for n in range(360):  # an hour
        sink.take(Moment(chunk(n * 2500, samples), (Notice(n * 2500, "still here"),)), account)
        grown.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    sink.close()
    # 900 kB of samples came in the second half; CPython itself keeps 2,000 freed tuples of a size, 100 kB.
    assert max(grown[180:]) < max(grown[:180]) + 200_000


def test_a_folder_that_cannot_be_made_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EcgEdgeError, match="file"):
        recorder(tmp_path / "file" / "below")


def test_the_verb_records_what_it_classifies(tmp_path: Path) -> None:
    words = ["run", "ecg5", "--backend", "numpy", "--synthetic", "--speed", "max", "--seconds", "9"]
    result = CliRunner().invoke(make_app(), [*words, "--quiet", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (one,) = read(tmp_path)
    assert len(one.samples) == 9 * FS_HZ
    assert [line["kind"] for line in one.lines] == ["verdict"] * 5 + ["end"]
