"""Whether an amount that is partly estimated fits what a board has: yes, no, or too close to say. Layer: codegen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of one resource, or of a board as a whole; the worst of several wins."""

    FITS = "fits"
    TIGHT = "tight"  # the limit lies within the estimate's error: build it to know
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


def worst(amounts: tuple[Amount, ...]) -> tuple[Verdict, str]:
    """The verdict over several resources, and the reasons of those that gave it."""
    order = list(Verdict)
    verdict = max((amount.verdict for amount in amounts), key=order.index)
    return verdict, "; ".join(amount.reason for amount in amounts if amount.verdict is verdict and amount.reason)
