"""Small models on a device in Python, and what they must answer: helpers of the client's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_edge.device import Answer, Device, FakeLink, Patience
from ecg_edge.device.fake import FakeDevice, FakeModel, fake_hello, mixing_scores

PATIENT = Patience(attempts=100_000, give_up_s=1e9)


def fake_model(**changes: object) -> FakeModel:
    hello = fake_hello(**changes)  # type: ignore[arg-type]
    return FakeModel(hello, mixing_scores(hello.classes))


def connect(*models: FakeModel, **options: Any) -> Device:
    board = FakeDevice(list(models) or [fake_model()])
    return Device(FakeLink(board.receive), **options)


def signal(n: int, leads: int = 1, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-2000, 2000, (n, leads)).astype(np.int16)


def expected_windows(model: FakeModel, windows: NDArray[np.int16]) -> list[list[int]]:
    """Scores of isolated windows, straight from the definition: the ends held for the filter's delay."""
    delay = model.hello.delay
    return [model.scores(np.pad(w, ((delay, delay), (0, 0)), mode="edge")).tolist() for w in windows]


def expected_stream(model: FakeModel, samples: NDArray[np.int16]) -> list[list[int]]:
    hello = model.hello
    held = np.pad(samples, ((hello.delay, hello.delay), (0, 0)), mode="edge")
    starts = range(0, len(samples) - hello.window + 1, hello.hop)
    return [model.scores(held[s : s + hello.window + 2 * hello.delay]).tolist() for s in starts]


def scores(answers: list[Answer]) -> list[list[int]]:
    return [answer.scores.tolist() for answer in answers]
