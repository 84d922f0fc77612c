"""The five AAMI classes of heartbeats, and the MIT-BIH records that they are judged on. Layer: signal.

Source: ANSI/AAMI EC57:1998, 4.3.1 (classes by annotation code); de Chazal, O'Dwyer, Reilly 2004, IEEE TBME
51(7):1196-1206 (DS1; the paced records, which EC57 leaves out).
"""

from __future__ import annotations

from typing import Final

AAMI_CLASSES: Final = ("N", "S", "V", "F", "Q")

# By the codes of WFDB annotations. Escape beats of the atria or the node (e, j, n) are N, as in de Chazal 2004; bxb: S.
_SYMBOLS: Final = {"N": "NLRBejn", "S": "AaJS", "V": "VEr", "F": "F", "Q": "/fQ?"}
_CLASS_OF: Final = {symbol: name for name, symbols in _SYMBOLS.items() for symbol in symbols}

# Patients to learn from; the rest of the unpaced ones are DS2, which judges. 201 and 202 are one patient.
DS1: Final = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
PACED: Final = ("102", "104", "107", "217")


def aami_class(symbol: str) -> str | None:
    """The class of an annotated beat; None where the annotation is no beat."""
    return _CLASS_OF.get(symbol)
