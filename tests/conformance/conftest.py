"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from board_bench import Reference, Wire

from ecg_edge.bundle import Bundle
from ecg_edge.device import Device


@pytest.fixture
def wire(device: Device) -> Wire:
    """A bare line to the board."""
    return Wire(device._session.link)


@pytest.fixture(scope="session")
def reference_of() -> Callable[[Bundle], Reference]:
    """Bundle -> its Reference, made once."""
    made: dict[str, Reference] = {}

    def find(bundle: Bundle) -> Reference:
        return made.setdefault(bundle.model_sha256, Reference(bundle))

    return find
