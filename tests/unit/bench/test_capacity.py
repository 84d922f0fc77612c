"""bench/capacity.py: what a line carries for a model is what the client reaches on it, within what its bytes allow."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_edge.bench.capacity import LineFacts, capacity
from ecg_edge.bundle import Bundle
from ecg_edge.device.frame import Frame, FrameType, encode_frame
from ecg_edge.device.messages import MAX_SAMPLES, Credit, Index, Result, Samples, Start

BYTES_PER_S = 11_520.0


def size(kind: FrameType, payload: bytes) -> int:
    """On the wire, by the real encoder; numbers without zero bytes, which COBS makes no difference to."""
    return len(encode_frame(Frame(kind, payload, 0, 0x1234, 0x1234)))


def samples_bytes(samples: int) -> int:
    """The fewest bytes that carry so many samples of one lead."""
    full, rest = divmod(samples, MAX_SAMPLES)
    values = np.full(MAX_SAMPLES, 0x1234, np.int16)
    one = size(FrameType.SAMPLES, Samples(0x12345678, values).pack())
    return full * one + (size(FrameType.SAMPLES, Samples(0x12345678, values[:rest]).pack()) if rest else 0)


def test_isolated_windows_fill_the_line(bundle: Bundle) -> None:
    found = capacity(bundle, LineFacts(BYTES_PER_S, 0.0))["windows"]
    window = bundle.manifest.window
    around = size(FrameType.START, Start(0, 0, 1).pack()) + size(FrameType.END, Index(1).pack())
    assert found["bytes_out"] == pytest.approx(samples_bytes(window) + around, rel=0.01)
    frames = -(-window // MAX_SAMPLES) + 2
    answer = size(FrameType.RESULT, Result(0, 1, 0, 1, 1, 1, np.ones(5, np.int8)).pack())
    assert found["bytes_in"] == pytest.approx(frames * size(FrameType.CREDIT, Credit(1, 1).pack()) + answer, rel=0.05)
    assert 0.95 * BYTES_PER_S <= found["windows_per_s"] * found["bytes_out"] <= 1.01 * BYTES_PER_S


def test_live_leads_are_samples_a_second_by_the_models_rate(bundle: Bundle) -> None:
    m = bundle.manifest
    found = capacity(bundle, LineFacts(BYTES_PER_S, 0.0))["stream"]
    assert found["live_leads"] == pytest.approx(found["samples_per_s"] / m.fs_hz)
    limit = BYTES_PER_S * MAX_SAMPLES / samples_bytes(MAX_SAMPLES)
    assert 0.9 * limit <= found["samples_per_s"] <= 1.01 * limit


def test_a_line_twice_as_fast_carries_twice_as_much(bundle: Bundle) -> None:
    slow, fast = (capacity(bundle, LineFacts(rate, 0.0)) for rate in (BYTES_PER_S, 2 * BYTES_PER_S))
    assert fast["windows"]["windows_per_s"] == pytest.approx(2 * slow["windows"]["windows_per_s"], rel=0.02)
    assert fast["stream"]["live_leads"] == pytest.approx(2 * slow["stream"]["live_leads"], rel=0.02)


def test_a_late_line_costs_a_small_board_most(bundle: Bundle) -> None:
    """Much credit hides what a USB bridge adds; a board that takes 16 samples at a time pays it for each frame."""

    def leads(delay_s: float, credit: int) -> float:
        value = capacity(bundle, LineFacts(BYTES_PER_S, delay_s), credit=credit)["stream"]["live_leads"]
        assert isinstance(value, float)
        return value

    assert leads(0.016, 1024) > 0.9 * leads(0.0, 1024)
    assert leads(0.016, 16) < 0.5 * leads(0.0, 16)
    assert leads(0.016, 16) <= 16 / 0.016 / bundle.manifest.fs_hz


def test_a_line_slower_than_the_clients_patience_is_said_to_carry_nothing(bundle: Bundle) -> None:
    found = capacity(bundle, LineFacts(2.0, 0.0))
    assert "windows_per_s" not in found["windows"]
    assert found["windows"]["reason"].startswith("the line: ")
