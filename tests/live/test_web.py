"""The live page over HTTP: its stream is what the run was, its downloads are the signal, nobody slow holds it up."""

from __future__ import annotations

import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from board_bench import Reference
from hypothesis import given
from hypothesis import strategies as st
from live_page import Client, FedPage, chunk, fed_page, get
from numpy.typing import NDArray
from typer.testing import CliRunner

from ecg_edge.bundle import Bundle
from ecg_edge.cli.app import make_app
from ecg_edge.errors import EcgEdgeError
from ecg_edge.live.run import Account, Moment
from ecg_edge.live.source import Notice
from ecg_edge.live.web import resolve
from ecg_edge.live.webstore import SHOWN_S, Ring
from ecg_edge.signal.csvfile import read_csv, write_csv
from ecg_edge.signal.prepare import Prepare

FS_HZ = 250
GAP = range(3000, 3400)  # samples that never come, of those below
LENGTH = 6000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture
def page(bundle: Bundle) -> Iterator[FedPage]:
    with fed_page(bundle) as page:
        yield page


def signal(n: int, seed: int = 4) -> NDArray[np.int16]:
    """(n,) uV."""
    steps = np.random.default_rng(seed).normal(0, 40, n)
    samples: NDArray[np.int16] = np.clip(np.cumsum(steps), -9000, 9000).astype(np.int16)
    return samples


def feed_with_gap(page: FedPage) -> NDArray[np.int16]:
    """`LENGTH` samples, in chunks of 100, but for `GAP`."""
    samples = signal(LENGTH)
    for at in range(0, LENGTH, 100):
        if at not in GAP:
            page.feed(chunk(at, samples[at : at + 100]))
        if at == GAP.start:
            page.feed(Notice(at, "the port is gone"))
    return samples


def test_a_client_is_told_what_the_run_was(page: FedPage, bundle: Bundle) -> None:
    client = Client(page.port)
    client.hear(0)
    samples = feed_with_gap(page)
    page.end()
    told = client.hear()
    shown = set(told.samples)
    assert shown.isdisjoint(GAP)
    assert shown >= set(range(LENGTH - SHOWN_S * FS_HZ, LENGTH)) - set(GAP)
    assert all(row == (int(samples[index]),) for index, row in told.samples.items())
    expected = [*Reference(bundle).stream(samples[: GAP.start, None])]
    after = Reference(bundle).stream(samples[GAP.stop :, None])
    assert [verdict["scores"] for verdict in told.verdicts] == [said.scores for said in (*expected, *after)]
    assert [verdict["last_index"] for verdict in told.verdicts[len(expected) :]] == [
        said.last_index + GAP.stop for said in after
    ]
    last = told.updates[-1]
    assert last["ended"]
    assert told.hello["delay_s"] == Prepare.from_manifest(bundle.manifest.prepare).delay / FS_HZ
    assert all(verdict["latency_s"] > 0 for verdict in told.verdicts)
    assert (last["account"]["received"], last["account"]["missing"]) == (LENGTH - len(GAP), len(GAP))
    (gap,) = (event for event in told.history if event["kind"] == "gap")
    assert (gap["index"], gap["samples"], gap["exact"]) == (GAP.start, len(GAP), True)
    assert [event["text"] for event in told.history if event["kind"] == "notice"] == ["the port is gone"]


def test_the_history_has_a_verdict_only_where_it_changes(page: FedPage) -> None:
    feed_with_gap(page)
    client = Client(page.port)
    told = client.hear(LENGTH)
    client.close()
    said = [(verdict["label"], verdict["state"]) for verdict in told.verdicts]
    kept = [(event["label"], event["state"]) for event in told.history if event["kind"] == "verdict"]
    assert kept == [one for k, one in enumerate(said) if k == 0 or one != said[k - 1]]
    assert len(kept) < len(said)


def test_who_comes_late_has_the_last_seconds_and_the_history_at_once(page: FedPage) -> None:
    feed_with_gap(page)
    for _ in range(2):  # a client that comes again is one that comes late
        client = Client(page.port)
        told = client.hear(LENGTH)
        client.close()
        assert set(told.samples) == set(range(LENGTH - SHOWN_S * FS_HZ, LENGTH)) - set(GAP)
        assert {event["kind"] for event in told.history} == {"verdict", "gap", "notice"}
        assert [update["skipped"] for update in told.updates] == [0]


def test_clients_do_not_take_from_each_other(page: FedPage) -> None:
    clients = [Client(page.port) for _ in range(3)]
    for client in clients:
        client.hear(0)
    samples = signal(1000)
    for at in range(0, 1000, 100):
        page.feed(chunk(at, samples[at : at + 100]))
    heard = [client.hear(1000) for client in clients]
    assert [sorted(told.samples) for told in heard] == [list(range(1000))] * 3
    for client in clients:
        client.close()


def test_who_does_not_read_holds_nobody_up_and_learns_what_was_left_out(page: FedPage) -> None:
    slow, quick = Client(page.port, receive_bytes=2048), Client(page.port)
    minute = 60 * FS_HZ
    samples = signal(minute)

    def feed() -> None:
        for k in range(40):
            page.page.take(Moment(chunk(k * minute, samples), ()), Account())
            time.sleep(0.05)

    feeding = Thread(target=feed, daemon=True)
    feeding.start()
    quick.hear(40 * minute)  # while the other one has taken nothing
    feeding.join(20.0)
    assert not feeding.is_alive()
    told = slow.hear(40 * minute)
    skipped = [update["skipped"] for update in told.updates]
    assert max(skipped) > 5 * minute  # far more than one who keeps up could miss between two updates
    before = told.updates[0]["end"] - sum(len(b64decode(run)) // 2 for _, run in told.updates[0]["runs"])
    assert before + len(told.samples) + sum(skipped) == 40 * minute  # since it came all is told, or told to be left out
    assert max(told.samples) == 40 * minute - 1
    slow.close()
    quick.close()


@pytest.mark.parametrize("kind", ["verdict", "gap", "notice"])
def test_a_download_is_the_signal_around_its_event_and_reads_back(page: FedPage, tmp_path: Path, kind: str) -> None:
    samples = feed_with_gap(page)
    client = Client(page.port)
    events = [event for event in client.hear(LENGTH).history if event["kind"] == kind]
    client.close()
    assert events
    for event in events:
        for part in event["parts"]:
            status, body, headers = get(page.port, f"/events/{event['serial']}/{part}.csv")
            assert status == 200
            assert headers["Content-Disposition"].startswith('attachment; filename="ecg5-')
            (tmp_path / "event.csv").write_bytes(body)
            fs_hz, leads = read_csv(tmp_path / "event.csv")
            first = round(float(body.split(b"\n")[1].split(b",")[0]) * FS_HZ)
            stretch = range(first, first + len(leads["lead"]))
            assert fs_hz == FS_HZ
            assert leads["lead"].tolist() == samples[first : stretch.stop].tolist()
            assert not set(stretch) & set(GAP)
            if kind == "verdict":
                assert {event["first_index"], event["last_index"]} <= set(stretch)
            else:
                assert (stretch.start == GAP.stop) if part == "after" else (stretch.stop == GAP.start)


def test_what_is_not_kept_is_no_download(page: FedPage) -> None:
    page.feed(Notice(0, "nothing has come yet"))
    assert get(page.port, "/events/0/ecg.csv")[0] == 404
    for path in ("/events/0/before.csv", "/events/1/ecg.csv", "/events/-1/ecg.csv", "/events/0/ecg.txt"):
        assert get(page.port, path)[0] == 404


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 25)), max_size=30), st.data())
def test_the_ring_gives_what_a_list_of_all_samples_gives(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    capacity = 40
    ring, every, end, value = Ring(capacity, 2), {}, 0, 0
    for gap, count in steps:
        rows = np.arange(value, value + 2 * count, dtype=np.int16).reshape(-1, 2)
        ring.push(end + gap, rows)
        if count:
            every.update({end + gap + k: tuple(row) for k, row in enumerate(rows.tolist())})
            end, value = end + gap + count, value + 2 * count
    start, stop = sorted((data.draw(st.integers(-5, end + 5)), data.draw(st.integers(-5, end + 5))))
    runs = ring.runs(start, stop)
    found = {first + k: tuple(row) for first, rows in runs for k, row in enumerate(rows.tolist())}
    assert found == {index: row for index, row in every.items() if start <= index < stop and index >= end - capacity}
    assert all(first + len(rows) < behind for (first, rows), (behind, _) in pairwise(runs))


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("http", "not [HOST:]PORT"),
        ("127.0.0.1:", "not [HOST:]PORT"),
        ("127.0.0.1:70000", "not [HOST:]PORT"),
        ("::1:80", "not [HOST:]PORT"),
        ("no such host:80", "not [HOST:]PORT"),
        ("nosuch.invalid:8765", "no host nosuch.invalid"),
        ("192.0.2.7:8765", "cannot listen at 192.0.2.7 port 8765"),
    ],
)
def test_a_bad_address_is_one_line(bundle: Bundle, tmp_path: Path, address: str, complaint: str) -> None:
    write_csv(tmp_path / "mine.csv", FS_HZ, {"II": signal(300)})
    words = ["run", "ecg5", "--backend", "numpy", "--record", str(tmp_path / "mine.csv"), "--quiet", "--web", address]
    result = CliRunner().invoke(make_app(), words)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_named_and_free_again_after_the_run(bundle: Bundle) -> None:
    with fed_page(bundle) as page:
        port = page.port
        with pytest.raises(EcgEdgeError, match=f"cannot listen at 127.0.0.1 port {port}: Address already in use"):
            FedPage(bundle, str(port))
    with fed_page(bundle, str(port)) as again:
        assert get(again.port)[0] == 200


def test_an_address_says_who_can_see_it() -> None:
    assert [resolve(address).loopback for address in ("0", "127.0.0.9:1", "[::1]:1", "localhost:1")] == [True] * 4
    assert [resolve(address).loopback for address in ("0.0.0.0:1", "[::]:1", "192.0.2.7:1")] == [False] * 3


def test_the_verb_serves_the_page_and_says_where(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine.csv", FS_HZ, {"II": signal(1500)})
    words = ["--backend", "numpy", "--record", str(tmp_path / "mine.csv"), "--speed", "max", "--quiet", "--web", "0"]
    result = CliRunner().invoke(make_app(), ["run", "ecg5", *words])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "live at http://127.0.0.1:" in result.stderr


def test_a_client_that_never_asks_does_not_keep_the_run_from_ending(bundle: Bundle) -> None:
    with fed_page(bundle) as page, socket.create_connection(("127.0.0.1", page.port)) as idle:
        idle.sendall(b"GET /")
        client = Client(page.port)
        client.hear(0)
        page.end()
        assert client.hear().updates[-1]["ended"]
        client.close()
