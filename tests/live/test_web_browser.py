"""The live page in a real browser: what it shows and draws, what it does when the server goes; light, dark, a phone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from browser import Browser, browser
from live_page import FedPage, chunk, fed_page

from ecg_edge.bundle import Bundle
from ecg_edge.live.run import Gap
from ecg_edge.live.source import Notice, synthetic_chunks

FS_HZ = 250
GAP = range(3000, 3400)

# Of the strip's canvas: 1 where a pixel column holds ink of the trace's colour, between the seconds and the verdicts.
INKED = """(() => {
  const canvas = document.getElementById("strip"), pen = canvas.getContext("2d");
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--trace").trim();
  pen.save(); pen.fillStyle = colour; const hex = pen.fillStyle; pen.restore();
  const wanted = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  const dots = window.devicePixelRatio, top = Math.ceil(20 * dots), height = canvas.height - Math.ceil(48 * dots);
  const { data, width } = pen.getImageData(0, top, canvas.width, height);
  const inked = new Array(width).fill(0);
  for (let k = 0; k < data.length; k += 4) {
    if (wanted.every((value, c) => Math.abs(data[k + c] - value) < 24)) inked[(k / 4) % width] = 1;
  }
  return inked;
})()"""
PIXELS = "document.getElementById('strip').toDataURL()"
OLDEST = "document.querySelector('#history tr:last-child td')?.textContent"
TEXT = "document.getElementById('{}').textContent"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def tab(chromium: Browser) -> Browser:
    """The browser, at nothing, as a desktop's in daylight, its complaints forgotten."""
    chromium.open("about:blank")
    chromium.size(1280, 900)
    chromium.media(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    chromium.complaints()
    chromium.seen.clear()
    return chromium


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture
def page(bundle: Bundle) -> Iterator[FedPage]:
    with fed_page(bundle) as page:
        yield page


def feed_ecg(page: FedPage, start: int, stop: int) -> None:
    """The same synthetic ECG whenever asked; of `GAP` nothing."""
    for part in synthetic_chunks(page.bundle.manifest, seed=3):
        if part.index >= stop:
            return
        if part.index >= start and part.index not in GAP:
            page.feed(part)


def text(tab: Browser, name: str) -> str:
    value: str = tab.value(TEXT.format(name))
    return value


def test_the_page_says_what_the_run_said(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 2500)
    page.feed(Notice(2500, "<b>the port</b> & its board are gone"))
    tab.open(page.page.url)
    tab.wait_for("document.querySelectorAll('#history tr').length > 1")
    said = page.verdicts[-1]
    m = page.bundle.manifest
    assert said.label is not None
    assert text(tab, "verdict") == m.classes[said.label]
    shares = [f"{100 * m.output.scale * (int(score) - m.output.zero_point):.1f} %" for score in said.scores]
    told = tab.value("[...document.querySelectorAll('#odds li')].map((row) => row.textContent)")
    assert told == [name + share for name, share in zip(m.classes, shares, strict=True)]
    assert text(tab, "signal") == "good"
    assert text(tab, "missing") == "0"
    assert text(tab, "verdicts") == str(page.account.verdicts)
    assert text(tab, "time") == "0:10"
    assert "ecg5 1.0.0 · 250 Hz · a test" in text(tab, "about")
    events = tab.value("[...document.querySelectorAll('#history .what')].map((cell) => cell.textContent)")
    assert events[0] == "<b>the port</b> & its board are gone"
    changes = [v for k, v in enumerate(page.verdicts) if k == 0 or v.label != page.verdicts[k - 1].label]
    assert events[1:] == [m.classes[v.label] for v in changes[::-1] if v.label is not None]
    assert "not a medical device" in tab.value("document.querySelector('footer').textContent")
    assert tab.complaints() == []


def test_a_verdict_that_changes_is_read_out_as_text(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 1500)
    tab.open(page.page.url)
    tab.wait_for("document.querySelectorAll('#history tr').length > 0")
    before = text(tab, "verdict")
    assert tab.value("document.getElementById('verdict').ariaLive") == "polite"
    feed_ecg(page, 1500, 2500)
    tab.wait_for(f"{TEXT.format('verdict')} !== {before!r}")


def test_the_strip_moves_with_the_signal(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 2500)
    tab.open(page.page.url)
    tab.wait_for(f"{INKED}.filter(Boolean).length > 900")
    first = tab.value(PIXELS)
    feed_ecg(page, 2500, 2800)
    tab.wait_for(f"{TEXT.format('time')} === '0:11'")
    tab.wait_for(f"{PIXELS} !== {first!r} && {INKED}.filter(Boolean).length > 900")


def test_who_wants_less_motion_has_a_strip_that_goes_in_steps(tab: Browser, page: FedPage) -> None:
    tab.media(prefers_reduced_motion="reduce")
    tab.open(page.page.url)
    for start, stop, filled in ((0, 2500, 1.0), (2500, 2800, 0.92), (2800, 2950, 0.98)):  # of 10 s, from a whole 2 s on
        feed_ecg(page, start, stop)
        tab.wait_for(f"Math.abs({INKED}.lastIndexOf(1) / document.getElementById('strip').width - {filled}) < 0.01")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_line_is_drawn_across_a_gap(tab: Browser, page: FedPage, scheme: str) -> None:
    tab.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")  # stands still: pixels can be counted
    feed_ecg(page, 0, 5000)
    tab.open(page.page.url)
    tab.wait_for(f"{INKED}.filter(Boolean).length > 700")
    inked = np.flatnonzero(tab.value(INKED))
    holes = [(int(a), int(b)) for a, b in pairwise(inked) if b - a > 3]
    assert len(holes) == 1
    ((left, right),) = holes
    width = tab.value("document.getElementById('strip').width")
    per_sample = width / (10 * FS_HZ)  # the strip shows samples 2500 to 5000
    assert left == pytest.approx((GAP.start - 2500) * per_sample, abs=4)
    assert right == pytest.approx((GAP.stop - 2500) * per_sample, abs=4)
    assert text(tab, "missing") == str(len(GAP))
    assert "Gap of 1.600 s" in tab.value("document.getElementById('history').textContent")
    links = tab.value(
        "[...document.querySelectorAll('#history tr')].find((row) => row.textContent.includes('Gap'))"
        ".querySelectorAll('a').length"
    )
    assert links == 2


def test_after_a_gap_the_verdict_before_it_stands_no_more(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 3000)
    tab.open(page.page.url)
    tab.wait_for(f"!{TEXT.format('verdict')}.startsWith('Waiting')")
    feed_ecg(page, 3000, 3500)
    for _ in range(2):
        tab.wait_for(f"{TEXT.format('verdict')} === 'Waiting for a whole window after the gap'")
        assert "%" not in tab.value("document.getElementById('odds').textContent")
        tab.open(page.page.url)  # who comes only now is told the same
    feed_ecg(page, 3500, 5000)
    tab.wait_for(f"!{TEXT.format('verdict')}.startsWith('Waiting')")


def test_a_download_of_the_page_is_the_events_ecg(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 2500)
    tab.open(page.page.url)
    tab.wait_for("document.querySelector('#history a') !== null")
    text = tab.value("fetch(document.querySelector('#history tr:last-child a').href).then((answer) => answer.text())")
    assert text.splitlines()[0] == "time_s,lead_uv"
    assert len(text.splitlines()) > 1024


@contextmanager
def verb(port: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ecg-edge run --web`, a process of its own -> it, and its page's URL."""
    words = ["run", "ecg5", "--synthetic", "--backend", "numpy", "--speed", "4", "--quiet", "--json", "--web", port]
    command = [sys.executable, "-c", "from ecg_edge.cli.app import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, next(line.split()[-1] for line in process.stderr if "live at" in line)
        finally:
            process.kill()


def test_a_lost_connection_is_said_and_mends_itself(tab: Browser) -> None:
    with verb("0") as (process, url):
        tab.open(url)
        tab.wait_for("document.querySelector('#history a') !== null")
        first = tab.value(OLDEST)  # by the time of day too
        process.kill()
        tab.wait_for(f"{TEXT.format('link')} === 'Connection lost, trying again'")
        assert tab.value("document.body.classList.contains('stale')")
    with verb(url.strip("/").rpartition(":")[2]) as (process, again):
        assert again == url
        tab.wait_for(f"{TEXT.format('link')} === 'Live'")
        tab.wait_for(f"![undefined, {first!r}].includes({OLDEST})")  # another run's
        process.send_signal(signal.SIGINT)
        tab.wait_for(f"{TEXT.format('link')} === 'The run has ended'")
        assert process.wait(20.0) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(tab: Browser, page: FedPage, width: int, scheme: str) -> None:
    tab.media(prefers_color_scheme=scheme)
    tab.size(width, 844, dots=2.0)
    feed_ecg(page, 0, 3600)
    tab.open(page.page.url)
    tab.wait_for(f"{INKED}.filter(Boolean).length > {width}")  # two dots a pixel
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    cut = tab.value(
        "[...document.querySelectorAll('.tile b, .tile dt, .tile span, .verdict, .link, .odds .name, .what')]"
        ".filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map((e) => e.textContent)"
    )
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(tab: Browser, page: FedPage, scheme: str) -> None:
    """4.5 to 1. Source: WCAG 2.2, success criterion 1.4.3 and its definition of relative luminance."""
    tab.media(prefers_color_scheme=scheme)
    feed_ecg(page, 0, 3600)
    tab.open(page.page.url)
    tab.wait_for("document.querySelectorAll('#history tr').length > 1")
    for stale in ("false", "true"):
        tab.value(f"document.body.classList.toggle('stale', {stale})")
        faint = tab.value("""(() => {
          const parts = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
          const behind = (e) => {
            for (; e; e = e.parentElement) {
              const found = parts(getComputedStyle(e).backgroundColor);
              if (found.length === 3 || found[3] === 1) return found;
            }
          };
          const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
          while (walk.nextNode()) {
            const e = walk.currentNode.parentElement;
            if (!walk.currentNode.textContent.trim() || !e.checkVisibility()) continue;
            const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push([e.textContent.slice(0, 40), ratio]);
          }
          return found;
        })()""")
        assert faint == []


def test_an_event_too_old_to_be_kept_has_no_link(tab: Browser, page: FedPage) -> None:
    feed_ecg(page, 0, 1500)
    tab.open(page.page.url)
    tab.wait_for("document.querySelector('#history a') !== null")
    hour = 3600 * FS_HZ
    page.feed(chunk(1500 + hour, np.zeros(250, np.int16)))
    assert any(isinstance(event, Gap) for event in page.events)
    tab.wait_for("document.querySelector('#history tr:last-child td:last-child').textContent === 'past'")
