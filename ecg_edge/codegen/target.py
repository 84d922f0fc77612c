"""What native code is generated for: a core, and whether speed or size counts. Layer: codegen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from ..errors import EcgEdgeError

Opt = Literal["speed", "size"]
Kernels = Literal["portable", "thumb1", "dsp", "mve", "avr", "host"]

# Core -> kernels. A core that is not listed runs the portable ones.
CORES: dict[str, Kernels] = {
    "portable": "portable",
    "cortex-m0": "thumb1",
    "cortex-m0plus": "thumb1",
    "cortex-m3": "portable",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
    "rv32imc": "portable",
    "avr": "avr",
    "host": "host",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A core and what counts there."""

    core: str = "portable"
    opt: Opt = "size"

    @property
    def kernels(self) -> Kernels:
        """The kernel set: kernels/<name>.py, and firmware/EcgEdge/src/ecg_ops_<name>.h."""
        return CORES[self.core]

    @property
    def standard(self) -> str:
        """The C that its engine is written in: on AVR tables lie in flash, which ISO C cannot say."""
        return "gnu99" if self.kernels == "avr" else "c99"


PORTABLE = Target()


def find_target(core: str, opt: str) -> Target:
    """A target by its names.

    Raises:
        EcgEdgeError: no such core, or neither speed nor size; says which there are.
    """
    if core not in CORES:
        raise EcgEdgeError(f"no core {core!r}; there are: {', '.join(CORES)}")
    if opt not in get_args(Opt):
        raise EcgEdgeError(f"no optimization {opt!r}; there are: {', '.join(get_args(Opt))}")
    return Target(core, cast(Opt, opt))


def flags(target: Target) -> tuple[str, ...]:
    """What the engine's files are best compiled with, for GCC and clang."""
    if target.core == "host":
        return ("-O3", "-march=native")
    return ("-O2",)
