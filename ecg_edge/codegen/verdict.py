"""Whether what is partly estimated fits what a board has: yes, no, or too close to say. Layer: codegen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """Of one resource, or of a board as a whole; the worst of several wins."""

    FITS = "fits"
    TIGHT = "tight"  # the limit lies within the estimate's error: build it to know
    SLOW = "too slow"  # there is room, and a live signal comes faster than verdicts can
    NO = "no"


@dataclass(frozen=True, slots=True)
class Amount:
    """What an image needs of one resource of a board, and what there is; bytes."""

    what: str  # flash, RAM
    needed: int  # estimated
    error: int  # it may be so much more, or less
    there: int

    @property
    def verdict(self) -> Verdict:
        """NO where not even the estimate fits."""
        if self.needed > self.there:
            return Verdict.NO
        return Verdict.TIGHT if self.needed + self.error > self.there else Verdict.FITS

    @property
    def reason(self) -> str:
        """What it breaks, and by how much; empty where it fits."""
        if self.verdict is Verdict.NO:
            return f"{self.what}: {self.needed - self.there:,} bytes too many"
        if self.verdict is Verdict.TIGHT:
            return f"{self.what}: {self.there - self.needed:,} bytes to spare, within the estimate's {self.error:,}"
        return ""


@dataclass(frozen=True, slots=True)
class Share:
    """What one live model takes of a board's time, the least and the most; 1.0 is all of it."""

    model: str
    least: float
    most: float

    @property
    def verdict(self) -> Verdict:
        """SLOW where not even the least keeps up."""
        if self.least > 1.0:
            return Verdict.SLOW
        return Verdict.TIGHT if self.most > 1.0 else Verdict.FITS

    @property
    def reason(self) -> str:
        """What it takes; empty where it keeps up."""
        if self.verdict is Verdict.FITS:
            return ""
        return f"time: {self.model} live takes {100 * self.least:.0f} to {100 * self.most:.0f} % of the CPU, estimated"


class Judged(Protocol):
    """One resource."""

    @property
    def verdict(self) -> Verdict: ...

    @property
    def reason(self) -> str: ...


def worst(resources: Sequence[Judged]) -> tuple[Verdict, str]:
    """The verdict over several resources, and the reasons of those that gave it."""
    order = list(Verdict)
    verdict = max((one.verdict for one in resources), key=order.index)
    return verdict, "; ".join(one.reason for one in resources if one.verdict is verdict and one.reason)
