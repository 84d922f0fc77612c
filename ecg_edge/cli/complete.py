"""What the shell may offer for an argument. Layer: cli. Verbs import it at their top: nothing heavy up here."""

from __future__ import annotations


def bundles(incomplete: str) -> list[str]:
    """Names of shipped bundles; the shell itself offers folders."""
    from ecg_edge.bundle import shipped_bundles

    return _starting(shipped_bundles(), incomplete)


def real_boards(incomplete: str) -> list[str]:
    """Boards that can be flashed."""
    from ecg_edge.device.boards import flashable_boards

    return _starting([board.id for board in flashable_boards()], incomplete)


def all_boards(incomplete: str) -> list[str]:
    """Boards that a model can be judged on."""
    from ecg_edge.device.boards import boards

    return _starting(list(boards()), incomplete)


def tools(incomplete: str) -> list[str]:
    """Tools that flash."""
    from ecg_edge.device.boards import boards
    from ecg_edge.device.flash import tools_for

    found = {tool for board in boards().values() for built in (False, True) for tool in tools_for(board, built=built)}
    return _starting(sorted(found), incomplete)


def devices(incomplete: str) -> list[str]:
    """Boards that this machine starts, and its serial ports."""
    from ecg_edge.device.emulator import STARTED
    from ecg_edge.device.link import available_ports

    return _starting([*STARTED, *available_ports()], incomplete)


def loops(incomplete: str) -> list[str]:
    """Lines that give back what they get, and serial ports, which do with a wire."""
    from ecg_edge.device.link import available_ports

    return _starting(["pty", "loop://", "socket://", *available_ports()], incomplete)


def physionet_sets(incomplete: str) -> list[str]:
    """Sets of recordings that `data` knows by name."""
    from ecg_edge.signal.physionet import SETS

    return _starting(list(SETS), incomplete)


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
