"""Inputs by hand for the fuzz targets: bytes for frame.c, and conversations in the language that core.c draws.

A fuzzer finds these by itself in hours; from here on it looks for what is next to them.
"""

from __future__ import annotations

from ecg_edge.device.frame import MAX_ENCODED, Frame, encode_frame

STREAM, WINDOW, SPARSE = 9, 0, 10  # START: the second model's stream, the first's window, the third's stream
BEATS, BEATS_SKIPPING, BEATS_WHOLE, OWN_OF_BEATS, NO_MODEL = 11, 131, 3, 19, 240  # START of the model of beats; of none
OWN, OWN_OF_ONE_LEAD, OWN_SKIPPING, NO_MODE = 17, 16, 161, 248  # START: the board's own samples, and what is refused
LAST_RESULT, LAST_BEAT = 0x70, 0x78  # an index: the newest RESULT's, or number: the newest BEAT's, the one before...
TWICE, OTHER_LENGTH, OTHER_VERSION, OTHER_BOOT, BY_BYTES = 0xFB, 0xFE, 0xFD, 0xFC, 0x48  # what is odd about a frame
GARBAGE, LIVE, CLOCK, CLOCK_STEP, RESET = 210, 220, 240, 243, 251  # what a step is; below 200: a frame
ENGINE_FAILS, ENGINE_LIVES, ENGINE_IS_SHORT = 247, 246, 249


def frame(kind: int, *payload: int, odd: int = 0) -> bytes:
    """A step that sends a frame."""
    return bytes((0, kind, odd, *payload))


def start(which: int, index: int = 0, *skip: int) -> bytes:
    return frame(2, which, index, *skip)


def samples(count: int, kind: int, *rest: int, odd: int = 0) -> bytes:
    return frame(3, count, kind, *rest, odd=odd)


def noise(values: int, seed: int = 9, odd: int = 0) -> bytes:
    """So many values, all leads together."""
    return samples(values, 3, seed, odd=odd)


def end(index: int = 0, odd: int = 0) -> bytes:
    return frame(4, index, odd=odd)


def poll(*index: int) -> bytes:
    return frame(7, *index)


HELLO, SELFTEST, STATS = frame(1), frame(10), frame(11)


def live(seed: int, count: int, flags: int = 0) -> bytes:
    """A step of samples of the board's own: two leads and flags each; at most 23."""
    values = ((seed * 37 + 11 * k) % 120 for k in range(count))
    return bytes((LIVE, 48 + count)) + b"".join(bytes((value, value ^ 1, flags)) for value in values)


def garbage(*values: int, by_bytes: bool = False) -> bytes:
    """A step that sends no frame; 63 bytes at most."""
    return bytes((GARBAGE, len(values) + 128 * by_bytes, *values))


def broken_board(nonce: int) -> list[bytes]:
    """A reset after which something is wrong, and another."""
    asked = [HELLO, start(WINDOW), SELFTEST, bytes((LIVE, 0)), STATS]
    return [bytes((RESET, nonce)), *asked, bytes((RESET, 1)), start(WINDOW), noise(48), end()]


def noises(values: int, count: int, odd: int = 0) -> list[bytes]:
    return [noise(values, seed, odd) for seed in range(count)]


def asked_of_a_board() -> dict[str, list[bytes]]:
    """Name -> steps: what a good host says, and what a line makes of it."""
    window = [start(WINDOW), noise(30, 1), noise(18, 2), end(), end(), poll(LAST_RESULT)]
    heard = [step for seed in range(6) for step in (noise(100, seed), poll(LAST_RESULT), poll(LAST_RESULT + 1))]
    flags = [step for flag in (1, 2, 4) for step in (noise(126, 5, flag), noise(126, 6))]
    gaps = [samples(20, 163, 5, 3), samples(20, 163, 5, 0xF8), samples(20, 163, 5, 0xFF, 0, 0x60), end(2), end(0xFE)]
    last_index = frame(2, STREAM, 0xFF, 0xF0, 0xFF)
    return {
        "windows": [*window, *window, *window, start(WINDOW), samples(48, 2, 70), end()],
        "two_leads": [start(1), noise(96), end(), start(1), noise(50), end(), noise(46), end()],
        "stream": [start(STREAM), *heard, end(), end(), samples(20, 163, 7, 0xF0), samples(20, 163, 7, 9), STATS],
        "forgotten": [start(STREAM), noise(126), start(STREAM, 0xC0), poll(LAST_RESULT), poll(LAST_RESULT), STATS],
        "skip": [start(129, 0, 30), noise(120), noise(120), end(), STATS, HELLO],
        "sparse": [start(SPARSE), *noises(126, 4), end(), STATS],
        "doubled": [start(STREAM), *noises(90, 4, TWICE), end(0, TWICE), STATS],
        "gaps": [start(STREAM), noise(40), *gaps, end(), STATS],
        "states": [start(STREAM), samples(120, 1, 10), samples(60, 1, 0x7F), *flags, samples(126, 2, 40), end()],
        "wrapped": [last_index, *noises(126, 5), end(), poll(LAST_RESULT + 1), STATS],
        "by_bytes": [start(WINDOW), noise(48, 9, BY_BYTES), end(0, BY_BYTES), STATS],
    }


def asked_of_beats() -> dict[str, list[bytes]]:
    """Name -> steps: streams of beats, their numbers, their ends."""
    polls = [poll(LAST_BEAT + back) for back in range(4)] + [poll(LAST_RESULT + 1), poll(0xFF, 0xFF, 0xFF), poll(5)]
    quiet = [samples(126, 1, 3) for _ in range(3)]
    far = [start(BEATS, 0xFF, 0xF0, 0xFF), *noises(126, 9), end(), poll(LAST_BEAT)]
    marked = [step for flag in (1, 2, 4) for step in (*noises(126, 3, flag), *noises(126, 3))]
    once = [start(BEATS), *noises(126, 10), *polls, end(), end(), *polls, STATS]
    refused = [start(BEATS_SKIPPING, 0, 5), start(BEATS_WHOLE), start(OWN_OF_BEATS), noise(9), end()]
    turns = [start(STREAM, 4), noise(126), *polls, start(BEATS), *noises(126, 6), *polls, start(WINDOW), *polls]
    fails = [bytes((ENGINE_FAILS,)), *noises(126, 4, 0), bytes((ENGINE_LIVES,)), start(BEATS), *noises(126, 7), end()]
    return {
        "beats": [*once, HELLO, *far, STATS],
        "beats_states": [start(BEATS), *noises(126, 6), *marked, *quiet, *noises(126, 5), end(), STATS],
        "beats_refused": [*once[:6], *refused, *turns, end(), start(BEATS), end(), SELFTEST, *polls, noise(5), STATS],
        "beats_engine": [start(BEATS), *noises(126, 9), *fails, STATS],
        "beats_clock": [bytes((CLOCK_STEP, 7)), start(BEATS), *noises(126, 8), end(), STATS],
        "beats_live": [
            *(
                bytes((LIVE, 3)),
                *(live_noise(k) for k in range(30)),
                bytes((LIVE, 40)),
                *(live_noise(k) for k in range(12)),
            ),
            *(start(OWN_OF_BEATS, 9), live_noise(1), poll(LAST_BEAT), start(BEATS, 70), noise(60), end(), STATS),
        ],
    }


def live_noise(seed: int) -> bytes:
    """23 samples of the board's own."""
    return live(seed * seed + 5 * seed, 23)


def asked_in_trouble() -> dict[str, list[bytes]]:
    """Name -> steps: boards that fail, hosts that err, noise."""
    fails, lives, short = (bytes((what,)) for what in (ENGINE_FAILS, ENGINE_LIVES, ENGINE_IS_SHORT))
    later = [bytes((CLOCK, 255, 23)), noise(120), bytes((CLOCK, 255, 20)), STATS, end(), STATS]
    engine = [start(STREAM), noise(100), fails, noise(20), noise(20), SELFTEST, start(STREAM), HELLO, lives, SELFTEST]
    refused = [start(NO_MODEL), start(16), frame(2, 128, 0, 5), frame(1, odd=OTHER_LENGTH), b"\x09", STATS]
    unasked = [frame(kind) for kind in (0, 5, 6, 8, 9, 12, 13, 14)]
    too_soon = [frame(2, 0, 0, odd=OTHER_BOOT), frame(11, odd=OTHER_VERSION), end(), samples(10, 3, 4)]
    too_much = [start(WINDOW), noise(100), end(), poll(5), poll(0xFF, 0xFF, 0xFF), STATS]
    odd_lengths = [frame(3, 51, 1, 9, odd=OTHER_LENGTH), b"\x09", frame(3, 3, 0, odd=OTHER_LENGTH), b"\x07"]
    stuffed = garbage(1, 1, 1, 20, *[7] * 19, 0, *[9] * 30)
    noisy = [garbage(*range(1, 21)), HELLO, garbage(*range(60, 122), by_bytes=True), garbage(*[5] * 63), HELLO, stuffed]
    own, lost = [live(seed, 23) for seed in range(4)], bytes((LIVE, 40))
    marked = [live(seed, 5, flags) for seed, flags in enumerate((0, 2, 2, 4, 1, 5, 0))]
    return {
        "forward": [
            start(OWN),
            bytes((LIVE, 1)),
            *own[:1],
            start(OWN, 9),
            *own,
            poll(0),
            lost,
            *marked,
            lost,
            lost,
            STATS,
        ],
        "forward_ends": [
            *(bytes((LIVE, 1)), start(OWN), own[0], start(OWN_OF_ONE_LEAD, 3), *own, start(OWN_SKIPPING, 0, 5), own[1]),
            *(
                start(NO_MODE),
                own[2],
                noise(4),
                end(),
                SELFTEST,
                own[0],
                start(OWN),
                own[3],
                start(STREAM),
                noise(90),
                STATS,
            ),
        ],
        "live": [bytes((LIVE, 1)), *own, lost, live(9, 12), *own, STATS, start(STREAM), lost],
        "live_twice": [bytes((LIVE, 1)), *own, lost, bytes((LIVE, 5)), *own, STATS],
        "live_engine": [bytes((LIVE, 1)), live(0, 23), fails, live(1, 23), STATS],
        "engine": [*engine, start(WINDOW), noise(48), short, end(), STATS],
        **{f"broken_{nonce}": broken_board(nonce) for nonce in (13, 14, 15)},
        "misconfigured": [step for how in range(11) for step in (bytes((RESET, 255, how)), HELLO)],
        "clock": [bytes((CLOCK_STEP, 9)), start(STREAM), noise(120), *later],
        "refused": [*refused, *unasked, *too_soon, *too_much],
        "lengths": [start(1), *odd_lengths, STATS],
        "garbage": [*noisy, HELLO, STATS, start(WINDOW), *[garbage(*[255] * 63)] * 5, noise(48), end(), STATS],
        "log": [bytes((LIVE, 47, LIVE, 44, LIVE, 46)), STATS],
    }


def frames() -> dict[str, bytes]:
    """Name -> input of frame.c: each length at which something else is wrong, and one byte on either side."""
    whole = [encode_frame(Frame(3, bytes(range(1, 1 + size)), 0, 7, 8)) for size in (0, 1, 240, 241, 242, 255)]
    longest = encode_frame(Frame(3, b"x" * 256, 0, 0x0101, 0x0101))
    short = encode_frame(Frame(1))
    return {
        "whole": b"".join(whole) + longest,
        "longer": longest[:-1] + b"\x01\0" + longest[:-1] + b"\x01\x01\0" + short,
        "zeros": b"".join(b"\x01" * size + b"\0" for size in range(MAX_ENCODED - 2, MAX_ENCODED + 3)) + short,
        "open": b"".join(b"\x01" * size + b"\x09\x01\0" for size in range(MAX_ENCODED - 4, MAX_ENCODED + 1)) + short,
        "values": b"".join(b"\x02\x05" * 135 + b"\x02"[:odd] + b"\x07\0" for odd in (0, 1)) + short,
        "full": b"".join(b"\xff" * size + b"\0" for size in (254, 255, 256, 271, 272, 600)) + short,
        "short": b"".join(b"\x01" * size + b"\0" for size in (1, 11, 12, 13, 14)) + short + short[:-2] + b"\0" + short,
        "damaged": short[:5] + b"\x02" + short[6:] + short + short[:-1] + short + short,
    }


def talks() -> dict[str, dict[str, bytes]]:
    """Target -> name -> input."""
    core = asked_of_a_board() | asked_of_beats() | asked_in_trouble()
    return {"frame": frames(), "core": {name: b"".join(steps) for name, steps in core.items()}}
