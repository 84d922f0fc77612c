"""Live ECG from the core in C, on a virtual clock: unplugs, power cuts, a bad line; every sample is accounted for."""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from live_board import FS_HZ, LiveBoard
from numpy.typing import NDArray

from ecg_edge.bundle import Bundle
from ecg_edge.device.faults import Faults, FaultyLink
from ecg_edge.device.frame import Frame, FrameType, encode_frame
from ecg_edge.device.link import Link
from ecg_edge.device.messages import Mode, Start
from ecg_edge.errors import DeviceError
from ecg_edge.live.board import BoardSource
from ecg_edge.live.run import Account, Gap, Moment, drive, run
from ecg_edge.live.source import Chunk, Notice, synthetic_chunks
from ecg_edge.live.stream import Stream
from ecg_edge.runtime.choose import choose_backend

SOAK = bool(os.environ.get("ECG_SOAK"))
HOURS, UNPLUGS = (24.0, 50) if SOAK else (0.25, 12)
GROWTH_BYTES = 2_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("ecg5")


@pytest.fixture(scope="module")
def ecg(bundle: Bundle) -> NDArray[np.int16]:
    """(n, 1) uV, to be had round and round."""
    return np.concatenate([chunk.samples_uv for chunk in synthetic_chunks(bundle.manifest, seed=3, windows=15)])


@pytest.fixture
def board(core_library: ctypes.CDLL, ecg: NDArray[np.int16]) -> LiveBoard:
    return LiveBoard(core_library, lambda first, n: ecg.take(np.arange(first, first + n), axis=0, mode="wrap"))


@dataclass
class Checked:
    """A sink that holds every sample to the signal, and every gap to what was done to the line."""

    ecg: NDArray[np.int16]
    wrong: int = 0
    at: int | None = None  # of the next sample, counted as the run counts
    began: int = 0  # the signal's index of the run's first sample
    gaps: list[Gap] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def take(self, moment: Moment, account: Account) -> None:
        chunk = moment.chunk
        where = np.arange(chunk.index, chunk.index + len(chunk.samples_uv)) + self.began
        self.wrong += int((chunk.samples_uv != self.ecg.take(where, axis=0, mode="wrap")).sum())
        self.gaps += [event for event in moment.events if isinstance(event, Gap)]
        self.notices += [event.text for event in moment.events if isinstance(event, Notice)]
        if chunk.index // (600 * FS_HZ) >= len(self.memory):
            self.memory.append(resident_bytes())

    def close(self) -> None:
        """Nothing is open."""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def source_of(board: LiveBoard, bundle: Bundle, faults: Faults | None = None) -> BoardSource:
    def open_link() -> Link:
        link = board.open()
        return link if faults is None else FaultyLink(link, faults, seed=5)

    return BoardSource(bundle.manifest, open_link)


def troubled(
    items: Iterator[Chunk | Notice], board: LiveBoard, *, seconds: float, unplugs: int
) -> Iterator[Chunk | Notice]:
    """The items of so many seconds, the plug being pulled that often; every other board lives on its own power."""
    random_, now_s = random.Random(1), board.clock.now_s
    pulls = sorted(random_.uniform(0, seconds * 0.98) for _ in range(unplugs))
    back_s = None
    for item in items:
        yield item
        if now_s() >= seconds:
            return
        if back_s is not None and now_s() >= back_s:
            board.plug()
            back_s = None
        elif back_s is None and pulls and now_s() >= pulls[0]:
            pulls.pop(0)
            board.unplug(power=len(pulls) % 2 == 0)
            back_s = now_s() + random_.choice((0.3, 2.0, 20.0))


def test_a_day_with_fifty_unplugs_leaves_no_sample_unaccounted_for(
    board: LiveBoard, bundle: Bundle, ecg: NDArray[np.int16], figure: Callable[[str], None]
) -> None:
    source = source_of(board, bundle, Faults(flip=1e-5, drop=1e-5))
    account, checked = Account(), Checked(ecg, began=board.taken)
    stream = Stream(bundle.manifest, choose_backend("auto", bundle.model).backend)
    items = troubled(source.items(), board, seconds=HOURS * 3600, unplugs=UNPLUGS)
    drive(run(items, stream, account), [checked], account)
    every = board.taken - checked.began
    unaccounted = every - account.received - account.missing
    growth = checked.memory[-1] - checked.memory[len(checked.memory) // 4]
    figure(
        f"live board (core in C, virtual clock), {HOURS:g} h, {UNPLUGS} unplugs: {every} samples, {account.received} "
        f"received, {account.missing} missing in {account.gaps} gaps, {unaccounted} unaccounted for, {checked.wrong} "
        f"wrong; memory {growth / 1e6:+.1f} MB after the first quarter"
    )
    assert checked.wrong == 0
    assert 0 <= unaccounted <= FS_HZ // 10  # what the board still holds for its next frame
    assert account.gaps >= UNPLUGS
    assert sum("back" in text for text in checked.notices) >= UNPLUGS
    assert account.verdicts > HOURS * 3600 / 1.1 * 0.8
    assert growth < GROWTH_BYTES


def listen(coming: Iterator[Chunk | Notice], board: LiveBoard, seconds: float) -> list[Chunk | Notice]:
    """What comes in that time, heartbeats left out."""
    until_s = board.clock.now_s() + seconds
    found = []
    for item in coming:
        if isinstance(item, Notice) or len(item.samples_uv):
            found.append(item)
        if board.clock.now_s() >= until_s:
            break
    return found


def jumps(items: list[Chunk | Notice]) -> list[tuple[int, bool]]:
    """(samples, exact) of each gap."""
    chunks = [item for item in items if isinstance(item, Chunk)]
    pairs = pairwise(chunks)
    found = ((after.index - before.index - len(before.samples_uv), after.exact) for before, after in pairs)
    return [(lost, exact) for lost, exact in found if lost]


@pytest.mark.parametrize("power", [False, True])
def test_a_board_that_lives_on_tells_what_was_lost_and_of_another_the_clock_does(
    board: LiveBoard, bundle: Bundle, power: bool
) -> None:
    coming = source_of(board, bundle).items()
    items = listen(coming, board, 3.0)
    board.unplug(power=power)
    board.clock.sleep_s(5.0)
    board.plug()
    items += listen(coming, board, 3.0)
    ((lost, exact),) = jumps(items)
    assert exact is not power
    assert abs(lost - 5 * FS_HZ) < FS_HZ // 5
    last = items[-1]
    assert isinstance(last, Chunk)
    assert last.index + len(last.samples_uv) == board.taken


def test_samples_that_the_board_missed_are_a_gap_and_no_flag(board: LiveBoard, bundle: Bundle) -> None:
    coming = source_of(board, bundle).items()
    items = listen(coming, board, 1.0)
    board.lose(70)
    items += listen(coming, board, 1.0)
    assert jumps(items) == [(70, True)]
    assert not any(item.flags.any() for item in items if isinstance(item, Chunk))


def test_a_board_that_stops_sending_is_asked_again(board: LiveBoard, bundle: Bundle) -> None:
    coming = source_of(board, bundle).items()
    items = listen(coming, board, 1.0)
    board.tell(encode_frame(Frame(FrameType.START, Start(0, Mode.STREAM, 0).pack(), 0, board.boot, 0)))  # somebody else
    items += listen(coming, board, 4.0)
    assert next(item.text for item in items if isinstance(item, Notice)).startswith("no sample for 2 s")
    ((lost, exact),) = jumps(items)
    assert not exact
    assert 2 * FS_HZ <= lost < 3 * FS_HZ


def test_a_reset_is_told_and_measured(board: LiveBoard, bundle: Bundle) -> None:
    coming = source_of(board, bundle).items()
    items = listen(coming, board, 1.0)
    board.clock.sleep_s(0.048)
    board.reset()  # with twelve samples that were in no frame yet
    items += listen(coming, board, 2.0)
    assert next(item.text for item in items if isinstance(item, Notice)) == "live:: the board was reset"
    assert jumps(items) == [(12, False)]


def test_a_board_without_samples_of_its_own_is_refused(board: LiveBoard, bundle: Bundle) -> None:
    board.samples_itself = False
    board.reset()
    with pytest.raises(DeviceError, match="a toy board has no samples of its own: flash a sketch that samples"):
        source_of(board, bundle)


def test_a_board_with_other_leads_is_refused(board: LiveBoard, bundle: Bundle) -> None:
    other = replace(bundle.manifest, leads=5)
    with pytest.raises(DeviceError, match=r"samples leads: 1 at 250 Hz, 2 at 250 Hz, .*; the model takes 5 at 250 Hz"):
        BoardSource(other, board.open)
