"""A hand-made image of three toy models, so that the core is tested without the code generator.

`stream` takes columns one by one; `kept` has no push, two leads and overlapping windows; `sparse` has no push and
windows with room between them. Their engine gives the largest, the smallest and the sum (modulo 256) of the window's
columns, and a number that depends on their order: enough to notice a column that is missing, doubled or swapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_edge.signal.prepare import Prepare, prepare, sample_states, stream_states

CLASSES = 4
PREPARE = Prepare(average_log2=4, fir=(1, 2, 3, 2, 1), multiplier=3, shift=7, zero_point=-4, flat_samples=40, flat_uv=2)
KNOTS = ((10, 300), (6, -900), (0, 50), (30, 1200), (18, 0))  # steps, uV; 64 samples


@dataclass(frozen=True)
class Toy:
    """The shape of a toy model."""

    name: str
    window: int
    hop: int
    leads: int
    streams: bool


TOYS = (Toy("stream", 64, 16, 1, True), Toy("kept", 64, 24, 2, False), Toy("sparse", 64, 100, 1, False))


def toy_scores(columns: NDArray[np.int8]) -> list[int]:
    """(window, leads) -> (CLASSES,) the toy engine in Python."""
    flat = columns.astype(np.int64).reshape(-1)
    mixed = 0
    for value in flat:
        mixed = (mixed * 31 + int(value)) & 0xFF
    values = [int(flat.max()), int(flat.min()), int(flat.sum()) & 0xFF, mixed]
    return [(v + 128) % 256 - 128 for v in values]


@dataclass(frozen=True)
class Verdict:
    """What the core should say about one window."""

    last_index: int
    verdict: int
    state: int
    scores: list[int]


def expected_verdicts(
    toy: Toy, samples_uv: NDArray[np.int16], states: NDArray[np.uint8] | None = None
) -> list[Verdict]:
    """(n, leads) samples of a whole stream, its first sample's index 0 -> the verdicts; states (n,) come on top."""
    columns = np.stack([prepare(np.ascontiguousarray(lead), PREPARE) for lead in samples_uv.T], axis=1)
    per_sample = np.max([sample_states(lead, PREPARE) for lead in samples_uv.T], axis=0)
    if states is not None:
        per_sample = np.maximum(per_sample, states)
    worst = stream_states(per_sample.astype(np.uint8), PREPARE, window=toy.window, hop=toy.hop)
    verdicts = []
    for number, state in enumerate(worst):
        start = number * toy.hop
        scores = toy_scores(columns[start : start + toy.window])
        best = int(np.argmax(scores)) if state == 0 else 255
        verdicts.append(Verdict(start + toy.window - 1, best, int(state), scores))
    return verdicts


def knot_samples() -> NDArray[np.int16]:
    """The self-test's polyline, (64,)."""
    level, values = 0, []
    for steps, target in KNOTS:
        values += [level + int((target - level) * i / steps) for i in range(1, steps + 1)]
        level = target
    return np.array(values, np.int16)


ENGINE = """
#include <string.h>
#include "ecg_models.h"

static void score(const int8_t *columns, size_t n, int8_t *scores)
{
    int32_t sum = 0;
    uint32_t mixed = 0u;
    scores[0] = columns[0];
    scores[1] = columns[0];
    for (size_t i = 0; i < n; i++) {
        scores[0] = columns[i] > scores[0] ? columns[i] : scores[0];
        scores[1] = columns[i] < scores[1] ? columns[i] : scores[1];
        sum += columns[i];
        mixed = (mixed * 31u + (uint8_t)columns[i]) & 0xFFu;
    }
    scores[2] = (int8_t)(uint8_t)((uint32_t)sum & 0xFFu);
    scores[3] = (int8_t)(uint8_t)mixed;
}

typedef struct { uint32_t count; int8_t columns[64]; } state_t;

static void reset_stream(void *scratch)
{
    memset(scratch, 0, sizeof(state_t));
}

static bool push_stream(void *scratch, const int8_t *column, int8_t *scores)
{
    state_t *s = scratch;
    memmove(s->columns, s->columns + 1, 63);
    s->columns[63] = *column;
    s->count++;
    if (s->count < 64u || (s->count - 64u) % 16u != toy_late) {
        return false;
    }
    score(s->columns, 64u, scores);
    return true;
}

static ecg_status_t run_stream(void *scratch, const int8_t *window, int8_t *scores)
{
    (void)scratch;
    score(window, 64u, scores);
    return ECG_OK;
}

static ecg_status_t run_kept(void *scratch, const int8_t *window, int8_t *scores)
{
    (void)scratch;
    score(window, 128u, scores);
    return toy_status;
}
"""


def toy_image(folder: Path) -> Path:
    """Write ecg_models.h and ecg_models.c into `folder`; returns the .c.

    The known answers are not const, and `toy_status` and `toy_late` spoil the engines: a test breaks what it likes.
    """
    (folder / "ecg_models.h").write_text(
        '#include "ecg_image.h"\n'
        "extern const ecg_image_model_t ecg_models[];\nextern const uint8_t ecg_models_count;\n"
        "extern int8_t toy_answers[3][4];\nextern ecg_status_t toy_status;\nextern uint32_t toy_late;\n"
        '#define ECG_ENGINE 2\n#define ECG_ENGINE_VERSION "toy 1"\n#define ECG_BOARD "a toy board"\n'
        "#define ECG_SCRATCH_BYTES 80\n#define ECG_WINDOW_BYTES 128\n#define ECG_MAX_LEADS 2\n"
    )
    samples = knot_samples()
    answers = [expected_verdicts(toy, np.stack([samples] * toy.leads, axis=1))[0].scores for toy in TOYS]
    p = PREPARE
    text = [ENGINE]
    text.append(f"int8_t toy_answers[3][4] = {{{', '.join('{' + str(a)[1:-1] + '}' for a in answers)}}};")
    text.append("ecg_status_t toy_status = ECG_OK;\nuint32_t toy_late = 0u;")
    text.append(f"static const int16_t fir[] = {{{', '.join(map(str, p.fir))}}};")
    text.append(f"static const ecg_knot_t knots[] = {{{', '.join(f'{{{s}, {uv}}}' for s, uv in KNOTS)}}};")
    rows = []
    for number, toy in enumerate(TOYS):
        run = f"reset_stream, {'push_stream' if toy.streams else 'NULL'}, run_{'kept' if toy.leads == 2 else 'stream'}"
        text.append(
            f'static const ecg_model_t model_{toy.name} = {{"{toy.name}", {{{number + 1}, 2, 3}}, 250, {toy.window}, '
            f"{toy.hop}, {toy.leads}, {CLASSES}, sizeof(state_t), {run}}};"
        )
        text.append(f"static const ecg_selftest_t test_{toy.name} = {{knots, {len(KNOTS)}, toy_answers[{number}]}};")
        rows.append(
            f"{{&model_{toy.name}, ECG_TAKES_WINDOWS, "
            f"{{{p.average_log2}, {len(p.fir)}, fir, {p.multiplier}, {p.shift}, {p.zero_point}, "
            f"{p.flat_samples}, {p.flat_uv}}}, "
            f"0.015625f, {p.zero_point}, 0.00390625f, -128, NULL, &test_{toy.name}, 1}}"
        )
    text.append("const ecg_image_model_t ecg_models[] = {\n" + ",\n".join(rows) + "};")
    text.append("const uint8_t ecg_models_count = 3;\n")
    source = folder / "ecg_models.c"
    source.write_text("\n".join(text))
    return source
