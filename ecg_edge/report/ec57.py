"""Beat-by-beat tables by ANSI/AAMI EC57: who was found, and what it was called. Layer: report; numbers only.

The rules are those of `bxb` and `sumstats` of the WFDB software, which EC57 names as its reference implementation:

- a detection is the annotated beat's where they are 150 ms apart at most, and neither has a nearer neighbour there;
- the first five minutes are for learning; a beat just before their end may still match one just behind it;
- within ventricular flutter or fibrillation neither the annotator's beats count nor what was found there;
- a beat that was found and not classified is `q`: found for QRS, missed for its class. bxb tells shutdown (`x`) apart
  in its tables, but its figures count a beat missed there as missed, and one found there as extra: so here it is `o`;
- a fusion beat (F) or one that the annotator could not classify (Q) is no false VEB; a Q is no false SVEB, an F is one;
- gross figures are those of the summed table, average ones the mean of the records' where they are defined.

`sumstats` leaves F called s out of SVEB +P, where bxb counts it as false: bxb it is, the stricter one. N has no figures
in EC57; here one called n is false where it is S, V, F or no beat at all, as for SVEB.

Source: ANSI/AAMI EC57:1998, 4.3; WFDB 10.7 bxb(1), sumstats(1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecg_edge.errors import EcgEdgeError
from ecg_edge.report.metrics import Json, finite

LABELS = ("N", "S", "V", "F", "Q")
UNCLASSIFIED = LABELS.index("Q")
ROWS = "NSVFQO"  # what the annotator says; O: no beat there
COLUMNS = "nsvfqo"  # what was answered; o: no beat found
NONE = 5  # row O and column o
MATCH_MS = 150
LEARNING_S = 300
RESAMPLES = 2000
_NEVER = 2**62

Table = NDArray[np.int64]  # (6, 6): ROWS by COLUMNS
Figures = dict[str, dict[str, NDArray[np.float64]]]  # kind -> figure -> (...) shares, nan where 0/0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Beats in the order of time."""

    at: NDArray[np.int64]  # (n,) sample index, ascending
    label: NDArray[np.int64]  # (n,) index into LABELS

    def outside(self, spans: Sequence[tuple[int, int]]) -> Labelled:
        """Those that are in none of the spans, whose ends belong to them."""
        kept = ~within(self.at, spans)
        return Labelled(self.at[kept], self.label[kept])


@dataclass(frozen=True, slots=True)
class Counted:
    """One record's table, and whose heart it is."""

    name: str
    patient: str
    table: Table


def within(at: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """(n,) sample indices -> whether each is in one of the spans, ends included."""
    inside = np.zeros(at.shape, np.bool_)
    for first, last in spans:
        inside |= (at >= first) & (at <= last)
    return inside


def match_window(fs_hz: int) -> int:
    """150 ms in samples, to the nearest one, as bxb has it: 38 at 250 Hz."""
    return (MATCH_MS * fs_hz + 500) // 1000


def beat_table(
    reference: Labelled, answer: Labelled, *, fs_hz: int, fibrillation: Sequence[tuple[int, int]] = ()
) -> Table:
    """Count the beats of one record, from the end of the learning period on.

    Args:
        reference: the annotator's beats.
        answer: the beats that were found; UNCLASSIFIED where no class was given.
        fs_hz: rate of both.
        fibrillation: (first, last) sample of each stretch of ventricular flutter or fibrillation.
    """
    reference = reference.outside(fibrillation)
    unjudged = within(answer.at, fibrillation)
    table = np.zeros((len(ROWS), len(COLUMNS)), np.int64)
    for r, a in match_beats(reference.at, answer.at, window=match_window(fs_hz), start=LEARNING_S * fs_hz):
        if r is not None or not unjudged[a]:
            table[NONE if r is None else reference.label[r], NONE if a is None else answer.label[a]] += 1
    return table


def match_beats(
    reference: NDArray[np.int64], answer: NDArray[np.int64], *, window: int, start: int
) -> Iterator[tuple[int | None, int | None]]:
    """Pair two ascending lists of sample indices from `start` on; None stands for what has no partner.

    Whichever is first is looked at: it takes the head of the other list if that is within the window and closer to it
    than to the next of its own list; or if that next one has a closer partner itself. At a tie the later one wins.

    Args:
        window: the most that a pair may be apart, in samples.
        start: the first sample that counts.
    """
    first = int(np.searchsorted(answer, start))
    r, a = int(np.searchsorted(reference, start)), first
    ref, ans = [*reference.tolist(), _NEVER, _NEVER], [*answer.tolist(), _NEVER, _NEVER]
    if first and _is_partner(ref[r] - ans[first - 1], abs(ref[r] - ans[first]), window):
        yield r, first - 1
        r += 1
    elif ans[a] - start <= window and abs(ref[r] - ans[a + 1]) < abs(ref[r] - ans[a]):
        a += 1  # it may belong to a beat before the start: not counted
    while r < reference.size or a < answer.size:
        next_apart = abs(ref[r + 1] - ans[a + 1]) if r < reference.size and a < answer.size else _NEVER
        rival = abs(ref[r] - ans[a + 1]) if ans[a] < ref[r] else abs(ref[r + 1] - ans[a])
        if _is_partner(abs(ref[r] - ans[a]), rival, window, next_apart):
            yield r, a
            r, a = r + 1, a + 1
        elif ans[a] < ref[r]:
            yield None, a
            a += 1
        else:
            yield r, None
            r += 1


def _is_partner(apart: int, rival: int, window: int, next_apart: int = _NEVER) -> bool:
    """Whether two heads are a pair.

    Args:
        apart: what is between them.
        rival: between the later of them and the next in the list of the earlier.
        next_apart: between the next two of both lists.
    """
    return apart <= window and (apart < rival or next_apart < rival)


def _cells(rows: str, columns: str) -> NDArray[np.bool_]:
    return np.array([[row in rows and column in columns for column in COLUMNS] for row in ROWS])


@dataclass(frozen=True, slots=True)
class _Kind:
    """Which cells of a table are right, missed, false, and rightly not called so; each (6, 6)."""

    tp: NDArray[np.bool_]
    fn: NDArray[np.bool_]
    fp: NDArray[np.bool_]
    tn: NDArray[np.bool_] | None = None  # None: a beat that is not there cannot be counted


KINDS: Final[Mapping[str, _Kind]] = {
    "qrs": _Kind(_cells("NSVFQ", "nsvfq"), _cells("NSVFQ", "o"), _cells("O", "nsvfq")),
    "veb": _Kind(_cells("V", "v"), _cells("V", "nsfqo"), _cells("NSO", "v"), _cells("NSFQO", "nsfq")),
    "sveb": _Kind(_cells("S", "s"), _cells("S", "nvfqo"), _cells("NVFO", "s"), _cells("NVFQO", "nvfq")),
    "n": _Kind(_cells("N", "n"), _cells("N", "svfqo"), _cells("SVFO", "n"), _cells("SVFQO", "svfq")),
}
MACRO = {"n": "N", "sveb": "S", "veb": "V"}  # whose F1 the macro F1 is the mean of, and their rows


def figures(tables: Table) -> Figures:
    """Se, +P, F1 and (QRS apart) FPR of each kind.

    Args:
        tables: (..., 6, 6).
    """
    flat = tables.reshape(*tables.shape[:-2], -1)

    def count(cells: NDArray[np.bool_]) -> Table:
        return np.asarray(flat @ cells.ravel().astype(np.int64))

    found: Figures = {}
    for name, kind in KINDS.items():
        tp, fn, fp = count(kind.tp), count(kind.fn), count(kind.fp)
        found[name] = {"se": _share(tp, tp + fn), "ppv": _share(tp, tp + fp), "f1": _share(2 * tp, 2 * tp + fn + fp)}
        if kind.tn is not None:
            found[name]["fpr"] = _share(fp, fp + count(kind.tn))
    return found


def macro_f1(tables: Table) -> NDArray[np.float64]:
    """(..., 6, 6) -> (...) mean F1 of those of N, S and V that the annotator has; nan where there is none."""
    f1 = figures(tables)
    scores = np.stack([f1[kind]["f1"] for kind in MACRO], axis=-1)
    there = np.stack([tables[..., ROWS.index(row), :].sum(axis=-1) > 0 for row in MACRO.values()], axis=-1)
    return _share(np.where(there, scores, 0.0).sum(axis=-1), there.sum(axis=-1))


def _share(part: NDArray[np.generic], whole: NDArray[np.generic]) -> NDArray[np.float64]:
    """part / whole, and nan where that is 0/0."""
    out = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=np.asarray(whole) != 0)
    return out


def intervals(patients: Table, *, resamples: int = RESAMPLES, seed: int = 1) -> tuple[Json, list[float] | None]:
    """95 % intervals of the gross figures and of macro F1, by drawing as many patients again with replacement.

    Patients, not beats: beats of one heart are alike. Draws in which a figure is 0/0 do not count for it.

    Args:
        patients: (p, 6, 6) one table each.

    Returns:
        kind -> figure -> [low, high], and that of macro F1; None where there is one patient only or nothing to draw.
    """
    p = len(patients)
    drawn = np.random.default_rng(seed).multinomial(p, np.full(p, 1 / p), size=resamples)
    sums = (drawn @ patients.reshape(p, -1)).reshape(resamples, *patients.shape[1:])

    def ends(values: NDArray[np.float64]) -> list[float] | None:
        known = values[np.isfinite(values)]
        return None if p < 2 or not known.size else [float(v) for v in np.percentile(known, [2.5, 97.5])]

    return {k: {name: ends(v) for name, v in kind.items()} for k, kind in figures(sums).items()}, ends(macro_f1(sums))


def summary(records: Sequence[Counted]) -> Json:
    """All tables as one JSON object: per kind gross, average and intervals, macro F1, confusion and coverage.

    Raises:
        EcgEdgeError: there is no record, or none has a beat after its learning period.
    """
    tables = np.array([record.table for record in records], np.int64).reshape(-1, len(ROWS), len(COLUMNS))
    total = tables.sum(axis=0)
    if not total[:NONE].any():
        raise EcgEdgeError(f"EC57: no beat to judge in {len(records)} records: none is after the first 5 minutes")
    names = list(dict.fromkeys(record.patient for record in records))
    owner = np.array([names.index(record.patient) for record in records])
    patients = np.zeros((len(names), *total.shape), np.int64)
    np.add.at(patients, owner, tables)
    low_high, macro_ends = intervals(patients)
    each = figures(tables)
    report: Json = {
        kind: {
            "gross": gross,
            "average": {name: mean_of(each[kind][name]) for name in gross},
            "ci95": low_high[kind],
            "counts": counts_of(total, kind),
        }
        for kind, gross in figures_json(total).items()
    }
    return report | {
        "macro_f1": finite(float(macro_f1(total))),
        "macro_f1_ci95": macro_ends,
        "confusion": {"rows": list(ROWS), "columns": list(COLUMNS), "counts": total.tolist()},
        "coverage": coverage(total),
        "bootstrap": {"over": "patients", "patients": len(names), "resamples": RESAMPLES},
    }


def figures_json(table: Table) -> dict[str, dict[str, float | None]]:
    """The figures of one table, (6, 6); null where one is 0/0."""
    return {k: {name: finite(float(v)) for name, v in kind.items()} for k, kind in figures(table).items()}


def counts_of(table: Table, kind: str) -> Json:
    """What the figures of a kind come from."""
    cells = KINDS[kind]
    counts = {"tp": cells.tp, "fn": cells.fn, "fp": cells.fp, **({} if cells.tn is None else {"tn": cells.tn})}
    return {name: int(table[mask].sum()) for name, mask in counts.items()}


def coverage(table: Table) -> Json:
    """How many of the annotator's beats were found, and how many of these given a class."""
    beats, found = int(table[:NONE].sum()), int(table[:NONE, :NONE].sum())
    unclassified = int(table[:NONE, UNCLASSIFIED].sum())
    return {
        "beats": beats,
        "found": found,
        "abstained": unclassified,
        "answered": found - unclassified,
        "answered_share": (found - unclassified) / beats if beats else None,
        "extra": int(table[NONE].sum()),
    }


def mean_of(values: NDArray[np.float64]) -> float | None:
    """(n,) -> their mean where they are numbers; None: none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
