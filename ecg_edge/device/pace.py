"""How long to wait for a board, and when to ask again. Layer: device."""

from __future__ import annotations

from dataclasses import dataclass

_MARGIN, _MARGIN_S = 1.5, 0.05  # over the slowest answer met
_MEMORY = 0.995  # of the slowest answer, from one answer to the next: half is forgotten after 140
_LATE_ANSWERS = 3  # in a row: not the line loses them, it is slow
_GROWTH = 1.5  # from one silence to the next, while nobody knows how long the board computes
_GROWN_PARTS = 6  # of give_up_s make the longest of them
_QUICK_GREETINGS, _LISTEN_S = 3, 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try."""

    repeat_s: float = 0.3  # of silence, before a frame is sent again; a board that proves slower is given longer
    give_up_s: float = 12.0  # of silence, before the board counts as gone; a board that resets on opening needs a few
    attempts: int = 60  # at one place, before a line counts as hopeless

    def greeting_s(self, attempt: int) -> float:
        """How long to listen after a HELLO, the first being attempt 0.

        A board may reset when its port is opened, and its boot loader may take every byte as a reason to stay: after a
        few tries it is left alone long enough to time out (Arduino's stk500v2: about a second).
        """
        return self.repeat_s if attempt < _QUICK_GREETINGS else max(self.repeat_s, _LISTEN_S)


class Pace:
    """How long a silence may last before something is asked again: longer than this board's slowest answer.

    A frame that was repeated may be answered twice, and the first answer may be that to either: it says nothing of
    time (Karn's rule). How long the board computes it tells itself, in RESULT; until the first, each silence makes the
    next one longer, since a first inference may take any time. From then on the wait is the same after every silence,
    so that a line that was dead for a minute is noticed as soon as it lives.

    Source: Karn and Partridge 1987, "Improving Round-Trip Time Estimates in Reliable Transport Protocols", SIGCOMM.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._slowest_s = 0.0  # that an answer took; forgotten slowly
        self._computes_s: float | None = None  # for one verdict, by the board's own clock; None: unknown yet
        self._silences = 0  # since something was heard
        self._late = 0  # answers in a row that came after a silence

    @property
    def wait_s(self) -> float:
        """The silence that is too long now."""
        slowest_s = max(self._slowest_s, self._computes_s or 0.0)
        wait_s = max(self._patience.repeat_s, _MARGIN * slowest_s + _MARGIN_S)
        if self._computes_s is None:
            grown_s = wait_s * _GROWTH ** min(self._silences, 100)
            wait_s = max(wait_s, min(grown_s, self._patience.give_up_s / _GROWN_PARTS))
        return wait_s

    def heard(self, waited_s: float) -> None:
        """An answer came, so long after the host began to wait."""
        self._slowest_s *= _MEMORY
        self._late = self._late + 1 if self._silences else 0
        if self._late == 0:
            self._slowest_s = max(self._slowest_s, waited_s)
        elif self._late >= _LATE_ANSWERS:
            self._slowest_s = max(self._slowest_s, self.wait_s)
            self._late = 0
        self._silences = 0

    def silence(self) -> None:
        """Nothing came in `wait_s`."""
        self._silences += 1

    def computed(self, us: int) -> None:
        """A RESULT says how long the board computed."""
        self._computes_s = max(us * 1e-6, (self._computes_s or 0.0) * _MEMORY)
