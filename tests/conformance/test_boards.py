"""Every board that this machine starts, with every shipped model, over its own line: the same suite, the same bits.

What a board is asked here takes seconds; the deep suite beside this one asks a few of them much more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from board_bench import Reference, Said, said
from board_rungs import Rung, Started, in_images, shipped, started
from numpy.typing import NDArray

from ecg_edge.bench.beats import Beats, classify_beats
from ecg_edge.bench.beats_compare import compare_beats
from ecg_edge.bench.beats_device import device_beats, flags_of
from ecg_edge.bundle import Bundle
from ecg_edge.device import Device, FakeLink, Patience, simavr
from ecg_edge.device.machines import EMULATED
from ecg_edge.device.messages import SelfTestState
from ecg_edge.errors import BudgetError, DeviceError
from ecg_edge.signal.prepare import Prepare, State, sample_states
from ecg_edge.signal.synth import balanced_labels, collect, synthesize

WINDOWS = 100
SHORT = 24  # windows
RESETS = (1, 8, 16)  # after so many answers
GARBAGE_BYTES = 10_240
LEAD_OFF = 2
HEART_S = 7  # of each person
RESET_BEAT = 4  # after so many beats
PATIENCE = Patience(repeat_s=3.0, give_up_s=60.0)  # QEMU may hold a board's first input for a second
QUICK = Patience(repeat_s=0.3, give_up_s=60.0)
URLS = [
    "virtual:native",
    *(pytest.param(url, marks=pytest.mark.emulator) for url in (*EMULATED, simavr.URL)),
]


@dataclass(frozen=True)
class Task:
    """What a model is asked, and what it must answer."""

    samples_uv: NDArray[np.int16]  # (n, leads)
    flags: NDArray[np.uint8]  # (n,)
    expected: list[Said]


@dataclass(frozen=True)
class Heart:
    """Two people's ECG, one after the other; a lead comes off once."""

    samples_uv: NDArray[np.int16]  # (n,)
    states: NDArray[np.uint8]  # (n,)

    def golden(self, bundle: Bundle) -> Beats:
        return classify_beats(bundle, self.samples_uv, self.states)


@pytest.fixture(scope="module")
def heart() -> Heart:
    (model, *_) = shipped("beats")
    ecg = collect(synthesize(np.array([0, 0]), seed=2, length=HEART_S * model.manifest.fs_hz)).samples_uv.reshape(-1)
    states = sample_states(ecg, Prepare.from_manifest(model.manifest.prepare))
    states[len(ecg) // 4 : len(ecg) // 4 + 5] = State.LEAD_OFF
    return Heart(ecg, states)


@pytest.fixture(scope="module", params=URLS)
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(request.param, tmp_path_factory.mktemp("board"), request.config.cache.mkdir("boards")) as found:
        yield found


@pytest.fixture(scope="module")
def task_of(reference_of: Callable[[Bundle], Reference]) -> Callable[[Bundle, int], Task]:
    """Bundle and windows -> synthetic ECG of that many windows by hop, flat for a while, and a lead comes off once."""
    made: dict[tuple[str, int], Task] = {}

    def make(bundle: Bundle, windows: int) -> Task:
        m = bundle.manifest
        n = m.window + (windows - 1) * m.hop
        labels = balanced_labels(-(-n * m.leads // (5 * m.window)))
        ecg = collect(synthesize(labels, seed=11, length=m.window, fs_hz=m.fs_hz)).samples_uv
        samples = ecg.reshape(m.leads, -1)[:, :n].T.copy() if m.leads > 1 else ecg.reshape(-1, 1)[:n].copy()
        samples[n // 2 : n // 2 + reference_of(bundle).prepare.flat_samples + m.hop] = 17
        flags = np.zeros(n, np.uint8)
        flags[n // 4 : n // 4 + 5] = LEAD_OFF
        return Task(samples, flags, reference_of(bundle).stream(samples, flags))

    def find(bundle: Bundle, windows: int) -> Task:
        key = bundle.model_sha256, windows
        if key not in made:
            made[key] = make(bundle, windows)
        return made[key]

    return find


def models(board: Started, takes: str = "windows") -> Iterator[tuple[Rung, Bundle]]:
    """Every shipped model that takes windows, or beats, and the board that holds it."""
    held = [(rung, bundle) for rung in board.rungs for bundle in rung.bundles if bundle.manifest.takes == takes]
    assert {bundle.manifest.name for _, bundle in held} == {bundle.manifest.name for bundle in shipped(takes)}
    return iter(held)


def boot_of(rung: Rung) -> int:
    device = Device(rung.link, patience=QUICK)
    device.hello()
    return device._session.boot


def test_a_stream_of_100_windows_is_answered_bit_by_bit(board: Started, task_of: Callable[..., Task]) -> None:
    for rung, bundle in models(board):
        task, device = task_of(bundle, WINDOWS), Device(rung.link, patience=PATIENCE)
        device.require(bundle.model_sha256)
        answers = said(list(device.stream(task.samples_uv, task.flags)))
        assert len(answers) == WINDOWS
        assert {answer.state for answer in answers} >= {State.OK, State.FLAT, State.LEAD_OFF}
        assert answers == task.expected
        assert device.counters.resets == device.counters.losses == device.counters.damaged == 0


def test_every_heartbeat_of_a_stream_is_found_and_answered_bit_by_bit(board: Started, heart: Heart) -> None:
    for rung, bundle in models(board, "beats"):
        device, golden = Device(rung.link, patience=PATIENCE), heart.golden(bundle)
        device.require(bundle.model_sha256)
        found = device_beats(device, heart.samples_uv, heart.states).beats
        assert {State.OK, State.LEAD_OFF} <= set(found.state.tolist())
        assert compare_beats(golden, found).all_identical
        # The end of what the client before was told may still be on the line, and is no frame: `damaged` may be 1.
        assert device.counters.resets == device.counters.losses == 0


def test_a_reset_midway_costs_no_heartbeat_and_changes_no_bit(board: Started, heart: Heart) -> None:
    for rung, bundle in models(board, "beats"):
        assert rung.reset is not None
        device, golden, answers = Device(rung.link, patience=QUICK), heart.golden(bundle), []
        device.require(bundle.model_sha256)
        for answer in device.beats(heart.samples_uv, flags_of(heart.states)):
            answers.append(answer)
            if len(answers) == RESET_BEAT:
                rung.reset()
        assert device.counters.resets > 0
        assert [answer.at for answer in answers] == golden.at.tolist()
        assert [answer.rr for answer in answers] == golden.rr.tolist()
        assert [answer.scores.tolist() for answer in answers] == golden.scores.tolist()


def test_windows_are_not_asked_of_a_model_of_beats(board: Started, heart: Heart) -> None:
    for rung, bundle in models(board, "beats"):
        device = Device(rung.link, patience=PATIENCE)
        device.require(bundle.model_sha256)
        with pytest.raises(DeviceError, match=f"{bundle.manifest.name} takes beats"):
            next(iter(device.stream(heart.samples_uv)))


def test_the_self_test_runs_known_answers_and_passes(board: Started) -> None:
    for rung in board.rungs:
        device = Device(rung.link, patience=PATIENCE)
        assert {hello.selftest for hello in device.hello()} == {SelfTestState.PASSED}
        report = device.selftest()
        assert report.passed
        assert report.ran >= len(rung.bundles)


def test_another_model_is_refused_by_both_names(board: Started) -> None:
    for rung in board.rungs:
        device = Device(rung.link, patience=PATIENCE)
        held = ", ".join(rf"{bundle.manifest.name} {bundle.model_sha256[:12]}\.\.\." for bundle in rung.bundles)
        with pytest.raises(DeviceError, match=f"the board holds {held}; wanted 000000000000") as caught:
            device.require("0" * 64)
        assert "\n" not in str(caught.value)


def test_a_reset_draws_another_nonce(board: Started) -> None:
    for rung in board.rungs:
        assert rung.reset is not None
        boots = {boot_of(rung)}
        for lives in (2, 3):
            rung.reset()
            deadline_s = time.monotonic() + 30.0
            while len(boots) < lives:  # a process takes its signal when it gets to it
                assert time.monotonic() < deadline_s, boots
                boots.add(boot_of(rung))
        assert 0 not in boots


def test_resets_midway_cost_no_answer_and_change_no_bit(board: Started, task_of: Callable[..., Task]) -> None:
    for rung, bundle in models(board):
        assert rung.reset is not None
        task, device = task_of(bundle, SHORT), Device(rung.link, patience=QUICK)
        device.require(bundle.model_sha256)
        answers = []
        for answer in device.stream(task.samples_uv, task.flags):
            answers.append(answer)
            if len(answers) in RESETS:
                rung.reset()
        assert said(answers) == task.expected
        assert device.counters.resets > 0


def test_garbage_is_counted_and_what_follows_is_answered(board: Started, task_of: Callable[..., Task]) -> None:
    for rung, bundle in models(board):
        task, device = task_of(bundle, SHORT), Device(rung.link, patience=QUICK)
        device.require(bundle.model_sha256)
        before = device.stats()
        rung.link.write(np.random.default_rng(7).integers(0, 256, GARBAGE_BYTES, np.uint8).tobytes() + b"\0")
        assert said(list(device.stream(task.samples_uv, task.flags))) == task.expected
        after = device.stats()
        errors = [stats.crc_errors + stats.cobs_errors + stats.length_errors for stats in (before, after)]
        assert errors[1] > errors[0] + 10
        assert after.bytes_in >= before.bytes_in + GARBAGE_BYTES


def test_models_that_no_image_of_the_board_holds_together_get_an_image_each(image: tuple[Bundle, ...]) -> None:
    tried: list[int] = []

    def start(bundles: tuple[Bundle, ...]) -> Rung:
        tried.append(len(bundles))
        if len(bundles) > 1:
            raise BudgetError("RAM")
        return Rung("small", FakeLink(lambda data: b""), bundles, None)

    rungs = in_images(image, start)
    assert [rung.bundles for rung in rungs] == [(bundle,) for bundle in image]
    assert tried == [len(image), *[1] * len(image)]
